"""Outputs of encoded video: one encoder, one interleaver, one muxer or several.

::

    frames ──► PacketEncoder ──► video packets ──► Interleaver ──► Muxer ──► file, pipe, network
                    copied packets (PacketSpool) ─────┘     └────► Muxer ...

Every muxer gets the same packets in the same order, so several outputs (``-f tee``) cost one encoding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from streamvsr.config import OutputOptions
from streamvsr.errors import SinkError
from streamvsr.frames import Frame, MediaInfo, Packet
from streamvsr.media.av_errors import FOREIGN, sink_error
from streamvsr.media.encode.open_encoder import PacketEncoder
from streamvsr.media.encode.options import split_options
from streamvsr.media.encode.pixel_formats import choose_format
from streamvsr.media.mux.atomic_file import is_url
from streamvsr.media.mux.base import Sink
from streamvsr.media.mux.muxer import Muxer
from streamvsr.media.mux.options import stream_tags
from streamvsr.media.mux.tracks import AudioDecoder
from streamvsr.pipeline.interleave import Interleaver
from streamvsr.pipeline.ring import PacketSpool
from streamvsr.secrets import mask_url

OnFail = Literal["go on", "ignore", "abort"]
"""When an output fails, ``go on``: the others are finished, and the run ends with an error; ``ignore``: it does not;
``abort``: it ends at once."""


@dataclass(slots=True, eq=False)
class _Output:
    muxer: Muxer
    path: str
    on_fail: OnFail


class EncodedSink(Sink):
    """Encodes frames once and muxes the packets, together with the copied ones, into one output or several."""

    spool: PacketSpool

    def __init__(
        self, output: OutputOptions, outputs: Sequence[tuple[OutputOptions, OnFail]], media: MediaInfo,
        streams: Mapping[int, Any], codec: str, target: str, *, on_warning: Callable[[str], None],
    ) -> None:  # fmt: skip
        """``media.video`` describes the frames that will come, after all filters.

        ``output``: the options of the encoder; ``outputs``: those of each muxer. ``streams``: see ``Source``.
        ``codec``: the encoder's name.
        ``target``: the container that its pixel format and settings are chosen for.
        """
        self._path, self._warn, self._media = output.path, on_warning, media
        info, several = media.video, len(outputs) > 1
        self._encoder: PacketEncoder | None = None
        self._open: list[_Output] = []
        self._failed: list[SinkError] = []
        self._done: list[str] = []
        self._broken_off: list[Muxer] = []
        self._frames = 0
        self.spool = PacketSpool()
        self._interleaver = Interleaver(self.spool.pop)
        try:
            self.pixel_format = choose_format(codec, target, info.format, info.width, info.height, output.pixel_format)
            options = split_options(stream_tags(output.options)[0], codec, None).video
            for one, on_fail in outputs:
                with self._opening(on_fail):
                    muxer = Muxer(one, media, streams, codec, may_drop=several, on_warning=on_warning)
                    self._open.append(_Output(muxer, one.path, on_fail))
            muxers = [entry.muxer for entry in self._open]
            segments = [muxer.segment_seconds for muxer in muxers if muxer.segment_seconds is not None]
            self._encoder = encoder = PacketEncoder(
                codec, options, output, media, self.pixel_format, target=target,
                live=any(muxer.watched for muxer in muxers),
                short_gop=info.live or any(muxer.fragmented for muxer in muxers),
                segment=min(segments, default=None),
                in_front=any(muxer.in_front for muxer in muxers),
            )  # fmt: skip
            decoders: dict[int, AudioDecoder] = {}
            for entry in list(self._open):
                with self._opening(entry.on_fail, entry):
                    entry.muxer.start(encoder, decoders)
            if not self._open:
                raise SinkError("none of the outputs can be written")
        except FOREIGN as exc:
            self.abort()
            raise sink_error(exc, output.path) from exc
        except BaseException:
            self.abort()
            raise

    @contextmanager
    def _opening(self, on_fail: OnFail, entry: _Output | None = None) -> Iterator[None]:
        try:
            yield
        except SinkError as error:
            if on_fail != "ignore":
                raise
            if entry is not None:
                self._open.remove(entry)
            self._warn(f"{error}; the other outputs go on")

    def write_frame(self, frame: Frame) -> None:
        assert self._encoder is not None
        self._frames += 1
        try:
            packets = list(self._encoder.encode(frame))
        except FOREIGN as exc:
            raise sink_error(exc, self._path) from exc
        for packet in packets:
            self._write_video(packet)

    def _write_video(self, packet: Packet) -> None:
        """After all that has to be decoded before it. Encoders hold frames back for longer than a muxer waits for them
        on pipes, and readers of a NUT lose what comes out of order."""
        self.encoded_bytes += len(packet.data)
        while (copied := self._interleaver.next(packet.seconds)) is not None:
            self._write_copied(copied)
        self._each(lambda muxer: muxer.write_video(packet))

    def _write_copied(self, packet: Packet) -> None:
        self._each(lambda muxer: muxer.write_packet(packet))

    def _each(self, act: Callable[[Muxer], None]) -> None:
        for entry in list(self._open):
            try:
                act(entry.muxer)
            except SinkError as error:
                self._fail(entry, error)

    def _fail(self, entry: _Output, error: SinkError) -> None:
        self._open.remove(entry)
        entry.muxer.abort()
        if entry.on_fail == "abort":
            raise error
        if entry.on_fail == "go on":
            self._failed.append(error)
        if not self._open and not self._done:
            raise error
        self._warn(f"{error}; the other outputs go on")

    def request_stop(self) -> None:
        for entry in list(self._open):
            entry.muxer.request_stop()

    def break_off(self) -> None:
        self._broken_off = [entry.muxer for entry in self._open]
        for muxer in self._broken_off:
            muxer.break_off()

    @property
    def kept(self) -> str:
        return "', '".join(muxer.kept for muxer in self._broken_off if muxer.kept)

    def finish(self, until: Fraction | None = None) -> None:
        try:
            if not self._frames:
                raise SinkError("no frame came, so there is nothing to write")
            self._flush()
            self._tell_shifts()
            for packet in self._interleaver.rest(until):
                self._write_copied(packet)
            # What nobody can take away first; a connection may keep us waiting.
            for entry in sorted(self._open, key=lambda one: is_url(one.path)):
                try:
                    entry.muxer.finish()
                except SinkError as error:
                    self._fail(entry, error)
                else:
                    self._open.remove(entry)
                    self._done.append(mask_url(entry.path))
        finally:
            self.abort()
        if self._failed:
            raise SinkError(f"{self._failed[0]} (complete: {', '.join(self._done)})")

    def _tell_shifts(self) -> None:
        assert self._encoder is not None
        unit = self._media.video.time_base
        lines = [
            self._encoder.shifts.line(entry.muxer.inside, self._encoder.codec, self._encoder.rate, unit)
            for entry in self._open
        ]
        for line in dict.fromkeys(filter(None, lines)):
            self._warn(line)

    def _flush(self) -> None:
        assert self._encoder is not None
        try:
            packets = list(self._encoder.flush())
        except FOREIGN as exc:
            raise sink_error(exc, self._path) from exc
        for packet in packets:
            self._write_video(packet)

    def abort(self) -> None:
        for entry in self._open:
            entry.muxer.abort()
        self._open = []
        if self._encoder is not None:
            self._encoder.close()
        self.spool.close()
