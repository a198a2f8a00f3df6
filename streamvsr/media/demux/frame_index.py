"""Where the frames of a video are, from its packets alone: what has to be decoded for the frames of a given time.

A fast pass over the input without decoding. Where the packets tell every frame's time stamp, a run may begin at any key
frame and has, from there on, the frames of a run that began at the beginning: the same samples, the same stamps.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

SPARE_FRAMES = 3
"""So many frames more are decoded before those that are asked for: a de-interlacer looks at the frames around."""


class CannotSeekError(Exception):
    """Why a source gives its frames from the beginning only: part of a sentence."""


@dataclass(frozen=True, slots=True)
class FrameIndex:
    """Time stamps of a source's frames, in ticks of its video's time base."""

    time_base: Fraction
    pts: array[int]
    """Of all frames, increasing."""
    keys: array[int]
    """Of those with which decoding may begin, increasing."""

    @classmethod
    def of(cls, time_base: Fraction, stamps: Iterable[tuple[int, bool]]) -> FrameIndex:
        """``stamps``: (pts, whether it is a key frame) of each packet, in any order.

        Raises ``CannotSeekError`` where two packets have the same, as two fields of one frame do.
        """
        ordered = sorted(stamps)
        pts = array("q", (stamp for stamp, _ in ordered))
        if any(pts[n] == pts[n + 1] for n in range(len(pts) - 1)):
            raise CannotSeekError("several of its packets have the same time stamp")
        return cls(time_base, pts, array("q", (stamp for stamp, key in ordered if key)))

    def moved(self, ticks: int, parts: int, time_base: Fraction) -> FrameIndex:
        """With stamps ``parts`` times as fine, less ``ticks``."""
        moved = (array("q", (stamp * parts - ticks for stamp in stamps)) for stamps in (self.pts, self.keys))
        return FrameIndex(time_base, *moved)

    def entry(self, start: int, before: int) -> int | None:
        """The last key frame from which on there are ``before`` frames, and some to spare, before tick ``start``.

        None where only the beginning will do.
        """
        at = bisect_left(self.pts, start)
        if at < before + SPARE_FRAMES:
            return None
        latest = self.pts[at - before - SPARE_FRAMES]
        found = bisect_left(self.keys, latest + 1) - 1
        return self.keys[found] if found > 0 else None

    def exit(self, end: int, after: int) -> int | None:
        """The last of the ``after`` frames, and some to spare, from tick ``end`` on; None where that is the end."""
        at = bisect_left(self.pts, end) + after + SPARE_FRAMES
        return self.pts[at] if at < len(self.pts) else None
