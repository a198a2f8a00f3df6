"""The encoder as an output wants it: for a file, for segments, for who watches live."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

import av
from av.container import OutputContainer
from av.format import ContainerFormat
from av.format import Flags as FormatFlags

from streamvsr.config import OutputOptions
from streamvsr.errors import SinkError
from streamvsr.frames import Frame, MediaInfo, Packet
from streamvsr.media.av_packets import plain_packet
from streamvsr.media.encode.options import LIVE_DEFAULTS
from streamvsr.media.encode.shift import Shifts
from streamvsr.media.encode.video_encoder import ASSUMED_RATE, VideoEncoder, plausible_rate
from streamvsr.media.open_container import open_container

LIVE_GOP_SECONDS = 2
"""Fragments begin at key frames: what a killed recording loses, and what who tunes in waits for."""


LONG_PAUSE_SECONDS = 600
"""A pause that no frame is reordered across: some readers pass over the time stamps of a frame that is shown so much
later than it is decoded (FFmpeg's of FLV, after 15 minutes; of mp4, after 2**28 ticks), and MPEG-4 cannot state it."""

LONG_PAUSE_STEPS = 20
"""A pause is so many times longer than the step before it; else the frames just come seldom."""


CARRIER = "nut"
"""Where the stream of a ``PacketEncoder`` lives, if it can hold the codec: PyAV's streams belong to containers. This
one is in memory; nothing is written to it but its header."""


class PacketEncoder:
    """A video encoder that belongs to no output: frames in, packets out, for any number of muxers, at any time."""

    def __init__(
        self, codec: str, options: Mapping[str, str], output: OutputOptions, media: MediaInfo, pixel_format: str, *,
        target: str, live: bool = False, short_gop: bool = False, segment: Fraction | None = None,
        in_front: bool = True,
    ) -> None:  # fmt: skip
        """``target``: the container that its packets are for, or ``CARRIER`` for several. ``live``: somebody watches,
        so no frame is held back. ``short_gop``: somebody may begin to read anywhere. ``segment``: seconds after each of
        which a key frame has to come. ``in_front``: the stream's parameters go into the container's header, else into
        each key frame. Raises ``UsageError`` and ``SinkError``."""
        self.codec, self.pixel_format, self.in_front = codec, pixel_format, in_front
        self._size = media.video.width, media.video.height
        given = output.gop is not None
        if live:
            options = {**LIVE_DEFAULTS.get(codec, {}), **options}
        if not given and (live or (short_gop and segment is None)):
            rate = plausible_rate(media.video.frame_rate) or ASSUMED_RATE
            output = replace(output, gop=round(rate * LIVE_GOP_SECONDS))
        # A tag is the container's name for the codec: the muxer sets it.
        options = {key: value for key, value in options.items() if key != "tag"}
        carrier = CARRIER if _holds(CARRIER, codec) else target
        self._containers: list[OutputContainer] = []
        """Of each encoder so far: the first one's stream is what muxers copy from."""

        def open_next() -> VideoEncoder:
            container = open_container(io.BytesIO(), "w", format=carrier, container_options=dict(CARRIER_OPTIONS))
            self._containers.append(container)
            made = VideoEncoder(container, codec, options, output, media, pixel_format, target, in_front=in_front)
            made.key_seconds = None if given else segment
            container.start_encoding()
            return made

        self._open_next = open_next
        self._encoder = open_next()
        self.stream: Any = self._encoder.stream
        """The template from which a muxer makes its stream; it lives until ``close``."""
        self.codec_tag: str | None = self._encoder.codec_tag
        """The tag that the encoder has set itself, such as ProRes's for its profile."""
        self._reorders = av.Codec(codec, "w").reorder
        self._last: Fraction | None = None
        self._step = Fraction(0)
        """Seconds from the frame before the last to the last."""

    @property
    def time_base(self) -> Fraction:
        """The unit of its packets' time stamps."""
        return self._encoder.time_base

    @property
    def shifts(self) -> Shifts:
        """How far the frames so far are shown from their times."""
        return self._encoder.shifts

    @property
    def rate(self) -> Fraction:
        """Frames a second, of those that have one rate."""
        return 1 / self._encoder.step

    def encode(self, frame: Frame) -> Iterator[Packet]:
        """The packets that this frame completes, track 0. Raises ``SinkError`` for a frame of another size."""
        if (frame.width, frame.height) != self._size:
            # PyAV would scale it without a word.
            raise SinkError(
                f"a frame of {frame.width}x{frame.height} came into a video of {'x'.join(map(str, self._size))}"
            )
        if self._reorders and self._pauses_before(frame.seconds):
            yield from self.flush()
            shifts = self._encoder.shifts
            self._encoder = self._open_next()
            self._encoder.shifts = shifts
        yield from map(plain_packet, self._encoder.encode(frame))

    def _pauses_before(self, seconds: Fraction) -> bool:
        step = Fraction(0) if self._last is None else seconds - self._last
        self._last, before, self._step = seconds, self._step, step
        return step > LONG_PAUSE_SECONDS and step > LONG_PAUSE_STEPS * before

    def flush(self) -> Iterator[Packet]:
        """What it still holds; it takes no frame afterwards."""
        return map(plain_packet, self._encoder.flush())

    def close(self) -> None:
        """Let go of the encoder; never raises."""
        # Nothing was written to the container, which its trailer may not like.
        for container in self._containers:
            with suppress(Exception):
                container.close()


CARRIER_OPTIONS = {"strict": "experimental"}
"""Whether a codec or a tag is unusual is the muxer's business."""


def wants_parameters_in_front(container: str) -> bool:
    """Whether a container has its streams' parameters in its header, and not in each key frame."""
    flags: Any = ContainerFormat(container, "w").flags
    return bool(flags & FormatFlags.global_header.value)


@lru_cache
def _holds(container: str, codec: str) -> bool:
    with open_container(io.BytesIO(), "w", format=container) as trial:
        try:
            trial.add_stream(codec, rate=25)
        except ValueError:
            return False
    return True
