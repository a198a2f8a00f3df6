"""The output of a job: segments go to the store as they are finished, and become the output in the end.

::

    frames ──► encoder, a new one for each segment ──► packets ──► store ──► interleaver ──► muxer
                                                  tracks of the input, read once at the end ──┘
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction

from streamvsr.config import OutputOptions
from streamvsr.errors import SinkError
from streamvsr.frames import Frame, MediaInfo, Packet
from streamvsr.jobs.store import JobStore, SegmentWriter, read_packets
from streamvsr.media.av_errors import FOREIGN, sink_error
from streamvsr.media.demux.base import Source
from streamvsr.media.encode.open_encoder import PacketEncoder, warn_of_losses
from streamvsr.media.encode.options import encoder_name, output_format, split_options
from streamvsr.media.encode.pixel_formats import choose_format
from streamvsr.media.mux.base import Sink
from streamvsr.media.mux.muxer import Muxer
from streamvsr.media.mux.options import stream_tags
from streamvsr.pipeline.interleave import Interleaver

CLOSED_GOP = {"libx265": ("x265-params", "open-gop=0")}
"""What makes a segment's packets decodable without those of the segment before, where that is not the default."""


class JobSink(Sink):
    """Writes one job. Frames of segments that the store has already are not expected, and passed over."""

    def __init__(
        self, output: OutputOptions, media: MediaInfo, store: JobStore, cuts: Sequence[Fraction],
        open_tracks: Callable[[], Source], *, on_warning: Callable[[str], None],
    ) -> None:  # fmt: skip
        """``media``: the frames that will come, after all filters. ``cuts``: see ``Plan``. ``open_tracks``: opens the
        input once more, for its copied packets. Raises ``UsageError`` and ``SinkError`` as a ``Muxer`` does."""
        self._output, self._media, self._store, self._cuts = output, media, store, cuts
        self._open_tracks, self._warn = open_tracks, on_warning
        self._format = output_format(output, stdout=False)
        self._codec = encoder_name(output.video_codec, self._format)
        info = media.video
        self.pixel_format = choose_format(
            self._codec, self._format, info.format, info.width, info.height, output.pixel_format
        )
        warn_of_losses(info, self._codec, self.pixel_format, on_warning, given=output.pixel_format is not None)
        self._options = split_options(stream_tags(output.options)[0], self._codec, None).video
        if self._codec in CLOSED_GOP:
            name, value = CLOSED_GOP[self._codec]
            self._options[name] = ":".join(filter(None, (self._options.get(name), value)))
        self._number = 0
        self._encoder: PacketEncoder | None = None
        self._writer: SegmentWriter | None = None
        self._stopped = self._broken_off = False
        self._kept = ""
        self._joining: Muxer | None = None
        # What can be refused is refused here: the output's place and tracks, the encoder's options.
        muxer = Muxer(output, media, self._codec, on_warning=on_warning)
        try:
            self._in_front = muxer.in_front
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

    def _open_encoder(self) -> PacketEncoder:
        try:
            return PacketEncoder(
                self._codec, self._options, self._output, self._media, self.pixel_format, target=self._format,
                in_front=self._in_front,
            )  # fmt: skip
        except FOREIGN as exc:
            raise sink_error(exc, self._output.path) from exc

    def write_frame(self, frame: Frame) -> None:
        number = bisect_right(self._cuts, frame.seconds)
        while self._number < number:
            self._end_segment()
        if number in self._store.records:
            return
        if self._encoder is None:
            self._encoder, self._writer = self._open_encoder(), self._store.writer(number)
        assert self._writer is not None
        try:
            self._writer.add_frame(frame.seconds, frame.seconds + frame.duration * frame.time_base)
            for packet in self._encoder.encode(frame):
                self._writer.write(packet)
        except FOREIGN as exc:
            raise self._explained(exc) from exc

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
                while self._number <= len(self._cuts):
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
        for encoder in (self._encoder, self._template):
            if encoder is not None:
                encoder.close()
        self._encoder = None
        if self._joining is not None:
            self._joining.abort()
        if self._writer is not None:
            self._writer.discard()
            self._writer = None
        self._store.close()

    def _flush(self) -> None:
        if self._encoder is not None and self._writer is not None:
            for packet in self._encoder.flush():
                self._writer.write(packet)
            self._encoder.close()
            self._encoder = None
            self._writer.flush()

    def _end_segment(self) -> None:
        try:
            if self._number not in self._store.records:
                # Where no frame begins in a segment it is empty, and finished all the same.
                self._writer = self._writer or self._store.writer(self._number)
                self._flush()
                self._store.finish(self._number, self._writer)
                self._writer = None
        except FOREIGN as exc:
            raise self._explained(exc) from exc
        self._number += 1

    def _join(self) -> None:
        last = self._writer.end if self._writer is not None else None
        if last is None:
            ends = [record.end for record in self._store.records.values() if record.end is not None]
            last = max(ends, default=None)
        if last is None:
            raise SinkError("no frame came, so there is nothing to write")
        with closing(self._open_tracks()) as source:
            source.on_warning = _silent  # the run has said it all, and so has ``_check_output``
            media = replace(self._media, tracks=source.info.tracks)
            self._joining = muxer = Muxer(self._output, media, self._codec, on_warning=_silent)
            muxer.start(self._template)
            packets = (item for item in source if isinstance(item, Packet))
            interleaver = Interleaver(lambda: next(packets, None))
            for packet in self._video_packets():
                while (copied := interleaver.next(packet.seconds)) is not None:
                    muxer.write_packet(copied)
                muxer.write_video(packet)
            for copied in interleaver.rest(last if self._stopped else None):
                muxer.write_packet(copied)
            muxer.finish()
        self._joining = None

    def _video_packets(self) -> Iterator[Packet]:
        """Those of all segments that are finished without a gap, and what there is of the one at hand."""
        number = 0
        while number in self._store.records:
            yield from read_packets(self._store.packets_path(number))
            number += 1
        if self._writer is not None and number == self._number:
            yield from read_packets(self._writer.path)

    def _explained(self, exc: BaseException) -> SinkError:
        return sink_error(exc, str(self._store.folder) if isinstance(exc, OSError) else self._output.path)


def _silent(line: str) -> None:
    pass
