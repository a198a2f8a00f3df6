"""Silence where sound pauses, for containers that cannot say when it goes on.

AVI and MXF play sound from the first video frame on without a gap, whatever time stamps their packets had, and so does
MOV with samples that are not compressed, once they have begun. There a pause is filled with silent samples, if the
sound is made of samples; where it is compressed and copied, a line tells by how much it comes early.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction

from streamvsr.frames import Packet
from streamvsr.media.encode.options import MOV_FAMILY

TIMELESS = frozenset({"avi", "mxf"})
"""Containers that cannot say when sound begins or goes on."""

MAX_JUMP_SECONDS = Fraction(1, 100)
"""How far audio stamps may be from counted samples before they are believed: more than the rounding of containers with
millisecond stamps, less than anybody hears."""

PART_SECONDS = 1
"""Length of one silent packet."""

ZERO = {"pcm_u8": b"\x80", "pcm_alaw": b"\xd5", "pcm_mulaw": b"\xff"}
"""The sample of silence, where it is not made of zeros."""


def plays_on(container: str, codec: str) -> bool:
    """Whether a pause inside sound of this codec (FFmpeg's name) is lost."""
    return container in TIMELESS or (container in MOV_FAMILY and codec.startswith("pcm_"))


class PauseFiller:
    """Copied packets of one track for such a container."""

    def __init__(
        self, container: str, codec: str, sample_rate: int, channels: int, name: str, on_warning: Callable[[str], None]
    ) -> None:
        self._container, self._codec, self._rate, self._name, self._warn = (
            container,
            codec,
            sample_rate,
            name,
            on_warning,
        )
        sample = re.fullmatch(r"pcm_[suf](\d+)(?:le|be)?", codec)
        width = int(sample[1]) // 8 if sample is not None else 1 if codec in ZERO else 0
        self._unit = ZERO.get(codec, bytes(width)) * channels if width else b""
        """One silent sample of all channels; empty where silence cannot be written."""
        self._end: Fraction | None = Fraction(0) if container in TIMELESS else None
        """Where the sound that was written ends, in seconds."""
        self._early = Fraction(0)

    def fill(self, packet: Packet) -> Iterator[Packet]:
        """The packet, and before it what makes up for a pause."""
        if packet.pts is None:
            yield packet
            return
        start, length = packet.pts * packet.time_base, packet.duration * packet.time_base
        if self._unit:
            length = Fraction(len(packet.data) // len(self._unit), self._rate)
        pause = start - self._end if self._end is not None else Fraction(0)
        if pause > MAX_JUMP_SECONDS:
            if self._unit:
                yield from self._silence(packet, pause)
            else:
                self._tell(pause)
        self._end = start + length
        yield packet

    def _silence(self, like: Packet, pause: Fraction) -> Iterator[Packet]:
        assert self._end is not None
        left, begin = round(pause * self._rate), self._end
        while left > 0:
            count = min(left, PART_SECONDS * self._rate)
            stamp = round(begin / like.time_base)
            length = round(Fraction(count, self._rate) / like.time_base)
            yield replace(like, data=self._unit * count, pts=stamp, dts=stamp, duration=length, side_data=())
            left, begin = left - count, begin + Fraction(count, self._rate)

    def _tell(self, pause: Fraction) -> None:
        self._early += pause
        if self._early == pause:
            self._warn(
                f"{self._name} ({self._codec}) pauses for {float(pause):.2f} s, which {self._container} cannot say: it "
                "is early from there on; -c:a with an encoder fills pauses with silence, .mkv keeps them"
            )
