"""Frames to the packets of finished segments: what a run on its own and every worker do.

::

    frames ──► encoder, a new one for each segment ──► packets ──► store
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction

from streamvsr.config import OutputOptions
from streamvsr.errors import SinkError
from streamvsr.frames import Frame, MediaInfo
from streamvsr.jobs.store import JobStore, SegmentWriter
from streamvsr.media.av_errors import FOREIGN, sink_error
from streamvsr.media.encode.open_encoder import PacketEncoder, wants_parameters_in_front
from streamvsr.media.encode.options import encoder_name, output_format, split_options
from streamvsr.media.encode.pixel_formats import choose_format
from streamvsr.media.mux.base import Sink
from streamvsr.media.mux.options import stream_tags
from streamvsr.threads import encoder_threads, processors

CLOSED_GOP = {"libx265": ("x265-params", "open-gop=0")}
"""What makes a segment's packets decodable without those of the segment before, where that is not the default."""


class SegmentSink(Sink):
    """Encodes each segment by itself. Frames of segments that the store has already are passed over."""

    def __init__(
        self, output: OutputOptions, media: MediaInfo, store: JobStore, *, first: int = 0, threads: int | None = None
    ) -> None:
        """``media``: the frames that will come, after all filters. ``first``: the segment of the first frame.
        ``threads``: of the encoder, by the job's plan; None for a new job. Raises ``UsageError`` and ``SinkError`` for
        what the encoder refuses."""
        self._output, self._media, self._store = output, media, store
        self._starts: Sequence[Fraction] = ()
        self._format = output_format(output, stdout=False)
        self._codec = encoder_name(output.video_codec, self._format)
        info = media.video
        self.pixel_format = choose_format(
            self._codec, self._format, info.format, info.width, info.height, output.pixel_format
        )
        self._options = split_options(stream_tags(output.options)[0], self._codec, None).video
        if self._codec in CLOSED_GOP:
            name, value = CLOSED_GOP[self._codec]
            self._options[name] = ":".join(filter(None, (self._options.get(name), value)))
        if threads is None:
            own = "threads" not in self._options
            threads = encoder_threads(self._codec, processors(), info.height) if own else 0
        self.threads = threads
        """Of the encoder, where its packets depend on their number and the user does not say; 0: its own affair."""
        if threads:
            self._options["threads"] = str(threads)
        self._number = first
        self._encoder: PacketEncoder | None = None
        self._writer: SegmentWriter | None = None

    def begin(self, starts: Sequence[Fraction]) -> None:
        """Before the first frame: the seconds at which segments begin, but the first."""
        self._starts = starts

    def write_frame(self, frame: Frame) -> None:
        number = bisect_right(self._starts, frame.seconds)
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
                self.encoded_bytes += len(packet.data)
                self._writer.write(packet)
        except FOREIGN as exc:
            raise self._explained(exc) from exc

    def finish(self, until: Fraction | None = None) -> None:  # noqa: ARG002 - there are no tracks here
        """The last segment is complete."""
        try:
            self._end_segment()
        finally:
            self.abort()

    def abort(self) -> None:
        """What is finished stays in the store."""
        if self._encoder is not None:
            self._encoder.close()
            self._encoder = None
        if self._writer is not None:
            self._writer.discard()
            self._writer = None
        self._store.close()

    def _open_encoder(self) -> PacketEncoder:
        try:
            return PacketEncoder(
                self._codec, self._options, self._output, self._media, self.pixel_format, target=self._format,
                in_front=wants_parameters_in_front(self._format),
            )  # fmt: skip
        except FOREIGN as exc:
            raise sink_error(exc, self._output.path) from exc

    def _flush(self) -> None:
        if self._encoder is not None and self._writer is not None:
            for packet in self._encoder.flush():
                self.encoded_bytes += len(packet.data)
                self._writer.write(packet)
            self._writer.shifts = self._encoder.shifts
            self._encoder.close()
            self._encoder = None
            self._writer.flush()

    def _end_segment(self) -> None:
        try:
            if self._number not in self._store.records:
                if self._writer is None:
                    self._store.finish_empty(self._number)
                else:
                    self._flush()
                    self._store.finish(self._number, self._writer)
                    self._writer = None
        except FOREIGN as exc:
            raise self._explained(exc) from exc
        self._number += 1

    def _explained(self, exc: BaseException) -> SinkError:
        return sink_error(exc, str(self._store.folder) if isinstance(exc, OSError) else self._output.path)
