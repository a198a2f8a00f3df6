"""Frames that a stream lacks, by their times.

FFmpeg passes over what a network or a sender has lost, and what of a Matroska file is damaged, and says so in its log
alone. Where frames come at an even rate their times show it: the step to the next frame is two or more of the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

FIRST_STEPS = 25
"""The median of so many steps is that of the stream."""

EVEN_SHARE = Fraction(9, 10)
"""Of the steps have to be about alike, or the rate is not even and nothing is known."""

EVEN = Fraction(3, 4), Fraction(5, 4)
"""How far a step may be from the stream's own: senders take the time of a frame when they get to it."""

LONG = Fraction(3, 2)
"""From here on, frames lack."""


class FrameSteps:
    """Counts them. Holds a few numbers, however long the stream is."""

    def __init__(self) -> None:
        self._last: Fraction | None = None
        self._first: list[Fraction] = []
        """Steps before the stream's own is known."""
        self._step = Fraction(0)
        self._count = self._even = self.missing = 0
        """Steps so far, those among them that are about alike, and the frames that lack."""

    def restart(self) -> None:
        """What comes next does not follow what was before."""
        self._last = None

    def add(self, seconds: Fraction) -> None:
        """The next frame's time."""
        step = None if self._last is None else seconds - self._last
        self._last = seconds
        if step is None or step <= 0:
            return
        if self._step:
            self._measure(step)
            return
        self._first.append(step)
        if len(self._first) == FIRST_STEPS:
            self._settle()

    def _settle(self) -> None:
        self._step = sorted(self._first)[len(self._first) // 2]
        for one in self._first:
            self._measure(one)

    def _measure(self, step: Fraction) -> None:
        ratio = step / self._step
        self._count += 1
        self._even += EVEN[0] <= ratio <= EVEN[1]
        if ratio >= LONG:
            self.missing += round(ratio) - 1

    def lacks(self) -> bool:
        """At the end: whether frames are missing from an even rate."""
        if not self._step and self._first:
            self._settle()
        return self.missing > 0 and self._even >= EVEN_SHARE * self._count

    def report(self) -> Iterator[str]:
        """At the end: what there is to say of it, where a stream is long enough to tell."""
        if self._step and self.lacks():
            frames = f"{self.missing} frames have" if self.missing > 1 else "a frame has"
            yield f"{frames} not come, by the times of the others: lost on the way, or never sent"
