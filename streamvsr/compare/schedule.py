"""Where the sliding line is at which frame. Pure arithmetic.

::

    position
    span  ┤           ╱╲          ╱      · last frame stands: the line ends its first way, if it has not been
          │         ╱    ╲      ╱  ╲       across yet, pauses, and goes back
       0  ┤ left  ╱        ╲  ╱      ╲   right
          └──────┬──────────────────┬───────► frames
            start_frame          last frame

Left of the line is the left frame. Before ``start_frame`` the left frame is alone; at the end it is the right one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from streamvsr.compare.options import CompareOptions

ASSUMED_RATE = Fraction(25)
MOST_CROSSING_SECONDS = 8
"""Across the frame in at most this time; in longer clips the line goes to and fro."""

LINE_SHARE = 160
"""The line is one part in so many of the frame's width: 8 pixels of 1280."""


@dataclass(frozen=True, slots=True)
class Schedule:
    span: int
    """The line's left edge moves from 0 to here, so that the line is always seen."""
    start_frame: int
    pause_frame: int | None
    repeat_when_pause: int
    slide_step: int
    line_width: int
    crosses: bool
    """Whether the line ends its first way over the last frame, where the clip was too short for it."""

    def position(self, number: int) -> int | None:
        """The line's left edge at a frame; None where the left frame is alone."""
        if number < self.start_frame:
            return None
        if not self.span:
            return 0
        way = self.slide_step * (number - self.start_frame)
        there = way % (2 * self.span)
        return there if there <= self.span else 2 * self.span - there

    def repeats(self, number: int) -> int:
        """How often a frame is shown again because it is the one to pause at."""
        return self.repeat_when_pause if number == self.pause_frame else 0

    def total(self, frames: int) -> int:
        """How many frames the whole will have when the clip has so many."""
        return frames + self.repeats(min(frames - 1, self.pause_frame or 0)) + sum(1 for _ in self.ending(frames - 1))

    def ending(self, last: int) -> Iterator[int | None]:
        """Positions over the last frame, after frame ``last`` was shown; -1 is the right frame alone."""
        now = self.position(last)
        at = 0 if now is None else now
        if self.crosses and self.slide_step * (last - self.start_frame) < self.span:
            yield from range(at + self.slide_step, self.span, self.slide_step)
            at = self.span
            yield at
        for _ in range(self.repeat_when_pause):
            yield at
        yield from range(at - self.slide_step, 0, -self.slide_step)
        yield -1
        for _ in range(self.repeat_when_pause):
            yield -1


def make_schedule(
    options: CompareOptions, width: int, frames: int | None, rate: Fraction | None, *, sound: bool
) -> Schedule:
    """What was asked for, and for the rest what suits the length of the clip.

    ================== ================================================================================
    start_frame        after a second, and a sixth of the clip at most
    slide_step         across in the rest of the clip, in at least 1 second and at most 8
    pause_frame        half way across; with sound there is no pause unless it is asked for
    repeat_when_pause  a second
    line_width         one 160th of the width
    ================== ================================================================================
    """
    second = max(1, round(rate or ASSUMED_RATE))
    length = second * (MOST_CROSSING_SECONDS + 1) if frames is None else frames
    start = min(second, length // 6) if options.start_frame is None else options.start_frame
    line = max(2, width // LINE_SHARE) if options.line_width is None else options.line_width
    line = min(line, width)
    crossing = max(second, min(length - start, second * MOST_CROSSING_SECONDS))
    step = -(-(width - line) // crossing) if options.slide_step is None else options.slide_step
    step = max(1, step)
    pause = options.pause_frame
    if pause is None and not sound:
        pause = start + (width - line) // step // 2
    repeats = second if options.repeat_when_pause is None else options.repeat_when_pause
    return Schedule(width - line, start, pause, repeats, step, line, crosses=options.slide_step is None)
