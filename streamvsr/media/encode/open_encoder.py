"""The encoder as an output wants it: for a file, for segments, for who watches live."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import Any

from av.container import OutputContainer

from streamvsr.config import OutputOptions
from streamvsr.errors import SinkError
from streamvsr.frames import Frame, MediaInfo, Packet
from streamvsr.media.av_packets import plain_packet
from streamvsr.media.encode.options import LIVE_DEFAULTS
from streamvsr.media.encode.video_encoder import ASSUMED_RATE, VideoEncoder, plausible_rate
from streamvsr.media.open_container import open_container

LIVE_GOP_SECONDS = 2
"""Fragments begin at key frames: what a killed recording loses, and what who tunes in waits for."""


def open_encoder(
    container: OutputContainer,
    codec: str,
    options: Mapping[str, str],
    output: OutputOptions,
    media: MediaInfo,
    pixel_format: str,
    *,
    live: bool,
    short_gop: bool,
    segment: Fraction | None,
    target: str | None = None,
) -> VideoEncoder:
    """``live``: somebody watches, so no frame is held back. ``short_gop``: somebody may begin to read anywhere.
    ``segment``: seconds after each of which a key frame has to come."""
    if live:
        options = {**LIVE_DEFAULTS.get(codec, {}), **options}
    given = output.gop is not None
    if not given and (live or (short_gop and segment is None)):
        rate = plausible_rate(media.video.frame_rate) or ASSUMED_RATE
        output = replace(output, gop=round(rate * LIVE_GOP_SECONDS))
    encoder = VideoEncoder(container, codec, dict(options), output, media, pixel_format, target)
    encoder.key_seconds = None if given else segment
    return encoder


CARRIER = "nut"
"""Where the stream of a ``PacketEncoder`` lives: a container in memory that takes any codec, and wants its parameters
in front, as most outputs do; the others take them from there."""


class PacketEncoder:
    """A video encoder that belongs to no output: frames in, packets out, for any number of muxers, at any time."""

    def __init__(
        self, codec: str, options: Mapping[str, str], output: OutputOptions, media: MediaInfo, pixel_format: str, *,
        live: bool = False, short_gop: bool = False, segment: Fraction | None = None, target: str | None = None,
    ) -> None:  # fmt: skip
        """See ``open_encoder``. ``target``: the format that its packets are for, where it is a single one. Raises
        ``UsageError`` and ``SinkError``."""
        self.codec, self.pixel_format = codec, pixel_format
        self._size = media.video.width, media.video.height
        self._container = open_container(io.BytesIO(), "w", format=CARRIER)
        self._encoder = open_encoder(
            self._container, codec, options, output, media, pixel_format, live=live, short_gop=short_gop,
            segment=segment, target=target,
        )  # fmt: skip
        self._container.start_encoding()

    @property
    def stream(self) -> Any:
        """The template from which a muxer makes its stream."""
        return self._encoder.stream

    @property
    def time_base(self) -> Fraction:
        """The unit of its packets' time stamps."""
        return self._encoder.time_base

    def encode(self, frame: Frame) -> Iterator[Packet]:
        """The packets that this frame completes, track 0. Raises ``SinkError`` for a frame of another size."""
        if (frame.width, frame.height) != self._size:
            # PyAV would scale it without a word.
            raise SinkError(
                f"a frame of {frame.width}x{frame.height} came into a video of {'x'.join(map(str, self._size))}"
            )
        return map(plain_packet, self._encoder.encode(frame))

    def flush(self) -> Iterator[Packet]:
        """What it still holds; it takes no frame afterwards."""
        return map(plain_packet, self._encoder.flush())

    def close(self) -> None:
        """Let go of the encoder; never raises."""
        # Nothing was written to the container, which its trailer may not like.
        with suppress(Exception):
            self._container.close()
