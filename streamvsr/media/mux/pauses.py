"""Pauses that are longer than a container can state: all streams leave out the same part of them, and a line
reports it.

Behind such a pause FFmpeg's muxers write time stamps that have wrapped, or refuse the packet and with it the file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from streamvsr.frames import Packet
from streamvsr.media.encode.options import MOV_FAMILY

REORDERED_SECONDS = 10
"""No frame is shown so much later than it is decoded, and no stream of a file ends so much before the others."""

MAX_MP4_TICKS = 2**31 - 2
"""What FFmpeg's mp4 muxer takes for the time from one packet to the next; of more it makes one tick."""

MAX_AVI_TICKS = 60_000
"""How many empty packets FFmpeg's AVI muxer writes into a pause; for more it refuses the packet."""

MAX_SAMPLE_SECONDS = Fraction(1, 1000)
"""A tick of AVI that is shorter is one sample of uncompressed sound, which has no empty packets."""


@dataclass(frozen=True)
class Limits:
    """In seconds; None where there is none."""

    pause: Fraction | None = None
    """From one packet to the next."""
    delay: Fraction | None = None
    """From the decoding of a frame to its showing."""
    total: Fraction | None = None
    """Where the clock begins anew, for good: a clock that readers join again is none."""
    hint: str = ".mkv keeps all"
    """What helps against a short ``pause``."""


PROGRAM_CLOCK = Limits(pause=Fraction(2**33, 90_000) - REORDERED_SECONDS)
"""33 bits of 90 kHz, which wrap after 26.5 hours; readers join them, but for a pause that is longer."""

LIMITS = {
    **dict.fromkeys(("mpegts", "mpeg", "vob", "dvd", "svcd", "vcd"), PROGRAM_CLOCK),
    # Time is 32 bits of milliseconds, signed. FFmpeg reads no time stamps of a frame that is delayed by 15 minutes.
    "flv": Limits(delay=Fraction(15 * 60 - 1), total=Fraction(2**31, 1000)),
    **dict.fromkeys(("asf", "asf_stream"), Limits(total=Fraction(2**32, 1000))),
    # The length of one frame: 16 bits of 1/100 s, and 24 of milliseconds.
    "gif": Limits(pause=Fraction(2**16 - 1, 100)),
    "webp": Limits(pause=Fraction(2**24 - 1, 1000)),
    # The file would hold 65535 s; FFmpeg reads it in 31 bits of 1/100000 s.
    "apng": Limits(pause=Fraction(2**31 - 1, 100_000)),
}
"""By FFmpeg's name of the container."""

OGG_TICKS = 2**32
"""So far FFmpeg's Ogg muxer counts the ticks of Theora and VP8."""


def longest_gap(container: str, time_base: Fraction) -> int | None:
    """The most ticks from one packet of a stream to its next; None where any number is stated."""
    if container in MOV_FAMILY:
        return MAX_MP4_TICKS - int(REORDERED_SECONDS / time_base)
    if container == "avi" and time_base > MAX_SAMPLE_SECONDS:
        return MAX_AVI_TICKS - int(REORDERED_SECONDS / time_base)
    return None


def limits(container: str, time_bases: Iterable[Fraction], video: Fraction) -> Limits:
    """Those of a file whose streams have these units; ``video``: that of the video."""
    if container == "ogg":
        return Limits(total=OGG_TICKS * video)
    gaps = {unit: gap * unit for unit in time_bases if (gap := longest_gap(container, unit)) is not None}
    if not gaps:
        return LIMITS.get(container, Limits())
    result = Limits(pause=min(gaps.values()))
    if container in MOV_FAMILY and gaps[video] == result.pause:
        result = replace(result, hint=f"{result.hint}, -video_track_timescale 1000 more")
    return result


class Pauses:
    """Shortens what all streams of one output pause for.

    Packets come in the order of their decoding times, all streams in one. A frame that is shown behind a pause may be
    decoded before others that are shown before it.
    """

    def __init__(self, container: str, limits: Limits, on_warning: Callable[[str], None]) -> None:
        self._container, self._limits, self._warn = container, limits, on_warning
        self._latest: Fraction | None = None
        """The greatest time so far, in seconds, as it came."""
        self._left_out: list[tuple[Fraction, int]] = []
        """(from which time on, how many seconds)"""
        self._longest = Fraction(0)
        self._end_reported = False

    def apply(self, packet: Packet) -> Packet:
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None or self._limits == Limits():
            return packet
        unit = packet.time_base
        shown = stamp * unit
        decoded = shown if packet.dts is None else packet.dts * unit
        if self._latest is not None and shown > self._latest:
            limits, pause = self._limits, shown - self._latest
            excess = Fraction(0) if limits.pause is None else pause - limits.pause
            if limits.delay is not None:
                excess = max(excess, self._shortened(shown) - self._shortened(decoded) - limits.delay)
            if excess > 0:
                self._leave_out(self._latest, pause, math.ceil(excess))
        self._latest = shown if self._latest is None else max(shown, self._latest)
        self._tell_end(self._shortened(shown))
        if not self._left_out:
            return packet
        pts, dts = (None if t is None else round(self._shortened(t * unit) / unit) for t in (packet.pts, packet.dts))
        return replace(packet, pts=pts, dts=dts)

    def _shortened(self, seconds: Fraction) -> Fraction:
        return seconds - sum(part for begin, part in self._left_out if seconds >= begin)

    def _leave_out(self, before: Fraction, pause: Fraction, seconds: int) -> None:
        # Packets of both sides come in turns: what lies in the first half belongs to what was before.
        self._left_out.append((before + pause / 2, seconds))
        self._longest = max(self._longest, pause)

    def finish(self) -> None:
        """Tell what was left out."""
        if self._left_out:
            many = f"{len(self._left_out)} pauses of up to" if len(self._left_out) > 1 else "a pause of"
            self._warn(
                f"{many} {float(self._longest):.0f} s: more than {self._container} can state, so shortened by "
                f"{sum(seconds for _, seconds in self._left_out)} s; {self._limits.hint}"
            )

    def _tell_end(self, seconds: Fraction) -> None:
        total = self._limits.total
        if total is not None and seconds >= total and not self._end_reported:
            self._end_reported = True
            self._warn(
                f"{self._container} counts time up to {float(total):.0f} s, and begins anew then: what follows is "
                "played at a wrong time; .mkv and .mp4 keep it"
            )


def units(streams: Iterable[Any]) -> list[Fraction]:
    """Of PyAV's streams."""
    return [Fraction(s.time_base.numerator, s.time_base.denominator) for s in streams if s.time_base is not None]
