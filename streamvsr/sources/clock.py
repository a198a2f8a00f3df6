"""Time stamps of decoded frames: strictly increasing integers, whatever the container gives.

Containers leave stamps out (raw streams: all of them; AVI: the presentation times; RTSP: the first), repeat them, or
jump backwards where recordings were glued together. The rules, in order:

=============================================  ========================================================================
a frame has no pts                             its dts is taken (AVI)
it has neither                                 the frame before, plus one frame
it is not later than the frame before          one tick after that frame, so that later stamps stay as they are
it is more than ``JUMP_SECONDS`` earlier       one frame after that frame, and all that follow move along
=============================================  ========================================================================
"""

from __future__ import annotations

from fractions import Fraction

JUMP_SECONDS = 1
"""Backward steps up to this are disorder, longer ones are another recording."""

DEFAULT_RATE = Fraction(25)
"""Frames a second where neither the container nor the frames before tell."""


class Clock:
    """Turns raw stamps in ticks of ``time_base`` into pts from the start of the run."""

    def __init__(self, time_base: Fraction, frame_rate: Fraction | None, offset_seconds: Fraction) -> None:
        self.time_base = time_base
        self.offset = round(offset_seconds / time_base)
        """In ticks; subtracted from every stamp, so frames before the start come out negative."""
        self.jumps = 0
        """How often the stamps have jumped backwards."""
        self._step = max(1, round(1 / ((frame_rate or DEFAULT_RATE) * time_base)))
        self._last: int | None = None
        self._moved = 0

    def __call__(self, pts: int | None, dts: int | None, duration: int) -> int:
        raw = pts if pts is not None else dts
        if self._last is None:
            self._last = (0 if raw is None else raw) - self.offset
            return self._last
        if raw is None:
            self._last += duration or self._step
            return self._last
        stamp = raw - self.offset + self._moved
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
        self.time_base = 1 / frame_rate
        self.offset = round(start_seconds * frame_rate)
        self._next = -self.offset

    def __call__(self, pts: int | None, dts: int | None, duration: int) -> int:  # noqa: ARG002
        self._next += 1
        return self._next - 1
