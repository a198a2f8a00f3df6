"""Which frames belong together.

``time`` (the default for videos): for each frame of the first input the nearest in time of every other; the earlier of
two equally near ones. ``frames`` (the default where an input is stills): the n-th with the n-th. Either way it ends
with the shortest input: a frame of the first is shown as long as its middle lies before the others' end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from streamvsr.frames import Frame


class Sampled:
    """An input that is asked for its frame at a time; times never go back. Holds two frames."""

    def __init__(self, frames: Iterator[Frame], rate: Fraction | None) -> None:
        self._frames = frames
        self._gap = 1 / rate if rate else Fraction(0)
        self._now = next(frames, None)
        self._next = next(frames, None)

    def at(self, seconds: Fraction, half: Fraction) -> Frame | None:
        """The nearest frame; None where the input is over ``half`` a frame after ``seconds``."""
        while self._now is not None and self._next is not None:
            if abs(self._next.seconds - seconds) >= abs(self._now.seconds - seconds):
                return self._now
            self._gap = self._next.seconds - self._now.seconds
            self._now, self._next = self._next, next(self._frames, None)
        if self._now is None:
            return None
        length = self._now.duration * self._now.time_base or self._gap
        return self._now if not length or seconds + half < self._now.seconds + length else None


def by_time(
    clock: Iterator[Frame], others: Sequence[Iterator[Frame]], rates: Sequence[Fraction | None]
) -> Iterator[list[Frame]]:
    """[frame of the clock, one of each of the others] until one of them is over. ``rates``: the clock's first."""
    sampled = [Sampled(frames, rate) for frames, rate in zip(others, rates[1:], strict=True)]
    nominal = 1 / rates[0] if rates[0] else Fraction(0)
    for frame in clock:
        half = (frame.duration * frame.time_base or nominal) / 2
        found = [one.at(frame.seconds, half) for one in sampled]
        together = [frame, *(one for one in found if one is not None)]
        if len(together) <= len(others):
            return
        yield together


def by_frames(inputs: Sequence[Iterator[Frame]]) -> Iterator[list[Frame]]:
    for together in zip(*inputs, strict=False):
        yield list(together)
