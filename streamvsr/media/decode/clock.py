"""Time stamps of decoded frames: strictly increasing integers, whatever the container gives.

Containers leave stamps out (raw streams: all of them; AVI: the presentation times; RTSP: the first), repeat them, or
jump backwards where recordings were glued together: ``concat.py`` looks at packets, and what it cannot see is left to
``Clock``, which looks at decoded frames. Its rules, in order:

=============================================  ========================================================================
a frame has no pts                             its dts is taken (AVI)
it has neither                                 the frame before, plus one frame
it is not later than the frame before          one tick after that frame, so that later stamps stay as they are
it is more than ``JUMP_SECONDS`` earlier       one frame after that frame, and all that follow move along
=============================================  ========================================================================
"""

from __future__ import annotations

from fractions import Fraction

from streamvsr.media.ticks import ticks_per_tick

JUMP_SECONDS = 1
"""Backward steps up to this are disorder, longer ones are another recording."""

DEFAULT_RATE = Fraction(25)
"""Frames a second where neither the container nor the frames before tell."""


MAX_FRAME_RATE = 500
"""Higher ones are tick rates of the container (Matroska and FLV files that claim 600 or 1000 frames a second)."""


class Shift:
    """Moves the stamps of one stream: ``begin_seconds`` of the input becomes 0, then ``start_seconds`` after it does.

    The first is the input's own beginning, rounded to a tick as ffmpeg does. The second is a cut: what lies before it
    comes out negative, nothing else does, and what lies behind it is what an uncut run has there.
    """

    def __init__(self, time_base: Fraction, begin_seconds: Fraction, start_seconds: Fraction) -> None:
        self.given = time_base, begin_seconds, start_seconds
        self.parts = ticks_per_tick(time_base, start_seconds)
        """Ticks of ``time_base`` in one of the stream."""
        self.time_base = time_base / self.parts
        """Of the shifted stamps."""
        self.ticks = round(begin_seconds / time_base) * self.parts - (-start_seconds // self.time_base)

    def __call__(self, stamp: int) -> int:
        return stamp * self.parts - self.ticks

    def back(self, stamp: int) -> int:
        """The stamp of the stream that became ``stamp``."""
        return (stamp + self.ticks) // self.parts


class Clock:
    """Turns raw stamps of the video stream into pts from the start of the run."""

    def __init__(self, shift: Shift, frame_rate: Fraction | None) -> None:
        self.time_base, self.parts = shift.time_base, shift.parts
        self.jumps = 0
        """How often the stamps have jumped backwards."""
        self._shift = shift
        self._step = max(1, round(1 / ((frame_rate or DEFAULT_RATE) * self.time_base)))
        self._last: int | None = None
        self._moved = 0

    def __call__(self, pts: int | None, dts: int | None, duration: int) -> int:
        raw = pts if pts is not None else dts
        if self._last is None:
            self._last = self._shift(raw or 0)
            return self._last
        if raw is None:
            self._last += duration * self.parts or self._step
            return self._last
        stamp = self._shift(raw) + self._moved
        if stamp <= self._last:
            if (self._last - stamp) * self.time_base > JUMP_SECONDS:
                self._moved += self._last + self._step - stamp
                stamp = self._last + self._step
                self.jumps += 1
            else:
                stamp = self._last + 1
        self._last = stamp
        return stamp


class ConstantClock:
    """Numbers frames at a given rate and does not look at their stamps (``-r`` before ``-i``, raw streams)."""

    jumps = 0

    def __init__(self, frame_rate: Fraction, start_seconds: Fraction) -> None:
        self.frame_rate = frame_rate
        self.parts = ticks_per_tick(1 / frame_rate, start_seconds)
        self.time_base = 1 / frame_rate / self.parts
        self._next = -start_seconds // self.time_base

    def __call__(self, pts: int | None, dts: int | None, duration: int) -> int:  # noqa: ARG002
        self._next += self.parts
        return self._next - self.parts
