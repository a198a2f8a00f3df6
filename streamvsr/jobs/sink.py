"""The output of a job: segments go to the store as they are finished, and become the output in the end.

::

    packets of the segments ──► store ──► interleaver ──► muxer
    tracks of the input, read once at the end ──┘
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from itertools import count, takewhile
from typing import Any

from streamvsr.config import OutputOptions
from streamvsr.errors import SinkError, StreamLostError
from streamvsr.frames import MediaInfo, Packet
from streamvsr.jobs.segment_sink import SegmentSink
from streamvsr.jobs.store import JobStore, read_packets
from streamvsr.media.av_errors import FOREIGN
from streamvsr.media.demux.base import Source
from streamvsr.media.encode.shift import Shifts
from streamvsr.media.mux.muxer import Muxer
from streamvsr.pipeline.interleave import Interleaver


class JobSink(SegmentSink):
    """Writes one job."""

    def __init__(
        self, output: OutputOptions, media: MediaInfo, streams: Mapping[int, Any], store: JobStore,
        open_tracks: Callable[[], Source], *, on_warning: Callable[[str], None], threads: int | None = None,
    ) -> None:  # fmt: skip
        """``media``, ``threads``: see ``SegmentSink``. ``streams``: see ``Source``. ``open_tracks``: opens
        the input once more, for its copied packets. Raises ``UsageError`` and ``SinkError`` as a ``Muxer`` does."""
        super().__init__(output, media, store, threads=threads)
        self._open_tracks, self._on_warning = open_tracks, on_warning
        self._warned: set[str] = set()
        self._stopped = self._broken_off = False
        self._kept = ""
        self._joining: Muxer | None = None
        # What can be refused is refused here: the output's place and tracks, the encoder's options.
        muxer = Muxer(output, media, streams, self._codec, on_warning=self._warn_once)
        try:
            self._template = self._open_encoder()
            try:
                muxer.start(self._template)
            except BaseException:
                self._template.close()
                raise
        finally:
            muxer.abort()

    @property
    def frames_before(self) -> int:  # type: ignore[override]
        return sum(record.frames for record in self._store.records.values())

    def request_stop(self) -> None:
        self._stopped = True
        if self._joining is not None:
            self._joining.request_stop()

    def break_off(self) -> None:
        """The job stays: once the input can be read, the same command goes on."""
        self._stopped = self._broken_off = True

    @property
    def kept(self) -> str:
        return self._kept

    def finish(self, until: Fraction | None = None) -> None:  # noqa: ARG002 - tracks are copied up to the last frame
        """Finish the segment at hand, join all, and remove the job; after a stop: write what is done, keep the job."""
        try:
            if not self._stopped:
                while self._number <= len(self._starts):
                    self._end_segment()
            else:
                self._flush()
            self._join()
            if self._broken_off:
                return
            if self._stopped:
                self._store.left_partial(self._output.path)
            else:
                self._store.remove()
        except FOREIGN as exc:
            raise self._explained(exc) from exc
        finally:
            self.abort()

    def abort(self) -> None:
        """What is finished stays in the store; nothing is written under the output's name."""
        self._template.close()
        if self._joining is not None:
            self._joining.abort()
        super().abort()

    def _warn_once(self, line: str) -> None:
        """Once: what the constructor's check has said of the tracks is found again, gaps and stamps are not."""
        if line not in self._warned:
            self._warned.add(line)
            self._on_warning(line)

    def _join(self) -> None:
        last = self._writer.end if self._writer is not None else None
        if last is None:
            records = (self._store.records[number] for number in range(self._store.finished))
            last = max((record.end for record in records if record.end is not None), default=None)
        if last is None:
            raise SinkError("no frame came, so there is nothing to write")
        with closing(self._open_tracks()) as source:
            source.on_warning = _silent  # the run has said it all
            media = replace(self._media, tracks=source.info.tracks)
            self._joining = muxer = Muxer(self._output, media, source.streams, self._codec, on_warning=self._warn_once)
            muxer.start(self._template)
            if self._broken_off:
                muxer.break_off()
            packets = self._copied(source)
            interleaver = Interleaver(lambda: next(packets, None))
            for packet in self._video_packets():
                while (copied := interleaver.next(packet.seconds)) is not None:
                    muxer.write_packet(copied)
                muxer.write_video(packet)
            self._tell_shifts(muxer)
            for copied in interleaver.rest(last if self._stopped else None):
                muxer.write_packet(copied)
            muxer.finish()
        self._kept, self._joining = muxer.kept, None

    def _tell_shifts(self, muxer: Muxer) -> None:
        rate, shifts = self._template.rate, Shifts()
        for number in self._finished():
            shifts.join(self._store.records[number].shifts, 1 / rate)
        if self._writer is not None:
            shifts.join(self._writer.shifts, 1 / rate)
        line = shifts.line(muxer.inside, self._codec, rate, self._media.video.time_base)
        if line is not None:
            self._warn_once(line)

    def _copied(self, source: Source) -> Iterator[Packet]:
        """The packets to copy; where the input breaks off for the frames, it does so for these."""
        try:
            yield from (item for item in source if isinstance(item, Packet))
        except StreamLostError:
            if not self._broken_off:
                raise

    def _video_packets(self) -> Iterator[Packet]:
        """Those of all segments that are finished without a gap, and what there is of the one at hand."""
        number = -1
        for number in self._finished():
            yield from read_packets(self._store.packets_path(number))
        number += 1
        if self._writer is not None and number == self._number:
            yield from read_packets(self._writer.path)

    def _finished(self) -> Iterator[int]:
        """The finished segments without a gap."""
        return takewhile(self._store.records.__contains__, count())


def _silent(line: str) -> None:
    pass
