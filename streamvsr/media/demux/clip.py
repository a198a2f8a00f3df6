"""A piece of a video for a machine that does not see the file: its compressed packets, and what the file says of them.

The packets travel in a NUT container, which takes any codec with its parameters; their time stamps are kept apart, in
the file's own ticks. A ``ClipSource`` gives the frames that the file's own source gives from the same key frame on.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import av

from streamvsr.config import InputOptions, OutputOptions
from streamvsr.errors import SourceError
from streamvsr.frames import Color, Frame, MediaInfo
from streamvsr.media.av_errors import FOREIGN, source_error
from streamvsr.media.decode.clock import Clock, Shift
from streamvsr.media.decode.concat import TimestampConcat
from streamvsr.media.decode.conform import Orientation
from streamvsr.media.decode.decoder import VideoDecoder
from streamvsr.media.decode.normalise import Normaliser
from streamvsr.media.demux.base import Source
from streamvsr.media.demux.options import plain_options
from streamvsr.media.open_container import open_container
from streamvsr.plain_json import from_json, to_json

_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class ClipHead:
    """What is known of the file."""

    media: MediaInfo
    """Without tracks."""
    orientation: Orientation
    colors: Color
    """What its first frame says of its colours."""
    ticks: Fraction
    """Of the stamps, as the file has them."""
    begin: Fraction
    start: Fraction
    """See ``Shift``."""
    first: int | None
    """The key frame that decoding begins with; None: the file's first packet."""
    stamps: tuple[tuple[int | None, int | None, int, bool], ...]
    """(pts, dts, duration, whether it is a key frame) of each packet."""


def write_clip(head: ClipHead, stream: Any, packets: Iterable[av.Packet[Any]]) -> bytes:
    """``stream``: the file's. ``head.stamps`` is filled in."""
    file, stamps = io.BytesIO(), []
    with open_container(file, "w", format="nut") as container:
        copied = container.add_stream_from_template(stream, opaque=True)
        for number, packet in enumerate(packets):
            stamps.append((packet.pts, packet.dts, packet.duration or 0, packet.is_keyframe))
            packet.stream = copied
            # The muxer wants stamps that grow; the file's own are kept separately.
            packet.time_base, packet.pts, packet.dts = copied.time_base, number, number
            container.mux(packet)
    data = to_json(replace(head, stamps=tuple(stamps)))
    return _LENGTH.pack(len(data)) + data + file.getvalue()


class ClipSource(Source):
    """The frames of a clip."""

    def __init__(self, clip: bytes, input: InputOptions, output: OutputOptions) -> None:
        """``input`` and ``output``: as the file was opened with. Raises ``SourceError``."""
        super().__init__()
        size = _LENGTH.unpack_from(clip)[0]
        body = clip[_LENGTH.size : _LENGTH.size + size]
        self._head = head = from_json(body, ClipHead)
        self.info = head.media
        self._path, self._stopped = input.path, False
        try:
            self._container = open_container(io.BytesIO(clip[_LENGTH.size + size :]), "r", format="nut")
            self._stream = self._container.streams.video[0]
            self._decoder = VideoDecoder(
                self._stream, plain_options(input.options), low_delay=False, on_damage=lambda: None
            )
        except FOREIGN as exc:
            raise source_error(exc, self._path) from exc
        clock = Clock(Shift(head.ticks, head.begin, head.start), head.media.video.frame_rate)
        self._normaliser = Normaliser(
            head.media.video, head.orientation, head.colors, clock, TimestampConcat(), output, lambda _: None
        )

    def __iter__(self) -> Iterator[Frame]:
        try:
            for frame in self._decoded():
                if self._stopped:
                    return
                yield from self._normaliser.push(frame)
            yield from self._normaliser.flush()
        except FOREIGN as exc:
            raise source_error(exc, self._path) from exc

    def _decoded(self) -> Iterator[av.VideoFrame]:
        stamps, first = iter(self._head.stamps), self._head.first
        for packet in self._container.demux(self._stream):
            if not packet.size:
                continue
            stamp = next(stamps, None)
            if stamp is None:
                raise SourceError(f"'{self._path}': its packets were not sent whole")
            packet.pts, packet.dts, packet.duration = stamp[:3]
            packet.time_base, packet.is_keyframe = self._head.ticks, stamp[3]
            yield from (f for f in self._decoder.decode(packet) if self._wanted(f, first))
        yield from (f for f in self._decoder.decode(None) if self._wanted(f, first))

    def _wanted(self, frame: av.VideoFrame, first: int | None) -> bool:
        frame.time_base = self._head.ticks
        return first is None or frame.pts is None or frame.pts >= first

    def begin_at(self, key: int) -> None:
        """It begins there."""

    def stop(self) -> None:
        self._stopped = True

    def close(self) -> None:
        with suppress(*FOREIGN):
            self._container.close()
