"""A temporal filter whose results do not depend on where the work was begun: the base of resuming and of workers.

The input is cut into segments at given time stamps. A segment's frames are computed from the frames around it alone:
``before`` frames of context run before its first frame and ``after`` frames behind its last one, with everything the
filter remembers thrown away in between, so a process that begins at a segment gives what one that went through the
whole input gives, bit for bit::

    frames         0 1 2 3 4 5 6 7 8 9           cut at 5, before = 3, after = 1
    segment 0      0 1 2 3 4(5)                  (results in brackets are thrown away)
    segment 1          (2 3 4)5 6 7 8 9

What a cut changes against no cut at all fades with ``before`` (docs/resume.md has the figures). Nothing changes where
the network is put into the phase that it has there in a run without a cut (see ``trace``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple

from streamvsr.filters.base import Filter
from streamvsr.frames import Frame, StreamInfo
from streamvsr.vsr.filter import VsrFilter
from streamvsr.vsr.repeats import Repeats


class Cut(NamedTuple):
    """Where a segment begins, and how many frames of context are run before and behind it."""

    seconds: Fraction
    """A frame at or after it belongs behind it."""
    before: int
    """Frames of context before it, for the segment behind it."""
    after: int
    """Frames of look-ahead behind it, for the segment before it."""
    number: int = 0
    """Of the first frame of context, within its scene."""
    seen: int = 0
    """How many of the frames before it come ahead of the context: scenes are found by them, the network does not get
    them."""


class SegmentedVsr(Filter):
    """``inner`` with its memory cut at ``cuts``. Holds ``before + after`` frames beside those of ``inner``."""

    name = "vsr"
    own_thread = True

    def __init__(self, inner: Repeats[VsrFilter]) -> None:
        """Uncut until ``cut`` is called, before the first frame."""
        self._inner = inner
        self.context = inner.network.context
        """Frames (before, after) a cut that the network needs where no scene begins."""
        self.network = inner.network
        self.scene_threshold = inner.network.scene_threshold
        self._tail: list[Frame] = []
        """Frames behind the next cut, which the segment before it waits for."""
        self._begin: Fraction | None = None
        """Where the segment at hand begins, in seconds; None in the first."""
        self._done = False
        self._owed = 0
        """Frames before the next cut that ``inner`` has not given back."""
        self.lookahead = inner.lookahead + self.context[1]
        self.cut(())

    def cut(
        self, cuts: Iterable[tuple[Fraction, int, int] | tuple[Fraction, int, int, int, int]], *,
        start: Fraction | None = None, end: Fraction | None = None,
    ) -> None:  # fmt: skip
        """``cuts``: see ``Cut``; increasing. ``start``, ``end``: those between which results are wanted; the frames
        before and behind are taken for context alone. None: from the first, to the last frame."""
        self._cuts = deque(cut for cut in (Cut(*each) for each in cuts) if start is None or cut.seconds >= start)
        self._end = end
        self._skipping = start is not None
        self._history: deque[Frame] = deque(maxlen=max((cut.before for cut in self._cuts), default=0))
        """The last frames before the next cut."""

    def configure(self, info: StreamInfo) -> StreamInfo:
        return self._inner.configure(info)

    @property
    def memory_bytes(self) -> int:
        return self._inner.memory_bytes

    def push(self, frame: Frame) -> Iterator[Frame]:
        if self._done:
            return
        if self._cuts and frame.seconds >= self._cuts[0].seconds:
            self._tail.append(frame)
            if len(self._tail) > self._cuts[0].after:
                yield from self._cross()
            return
        self._history.append(frame)
        if not self._skipping:
            yield from self._given(frame)

    def flush(self) -> Iterator[Frame]:
        while self._tail:
            yield from self._cross()
        if not self._skipping and not self._done:
            yield from self._wanted(self._inner.flush())

    def idle(self) -> Iterator[Frame]:
        return iter(())

    def close(self) -> None:
        self._history.clear()
        self._tail.clear()
        self._inner.close()

    def _cross(self) -> Iterator[Frame]:
        """End the segment before the next cut, and begin the one that the first frame of the tail belongs to."""
        tail, self._tail = self._tail, []
        cut = self._cuts.popleft()
        if not self._skipping:
            for frame in tail[: cut.after]:
                yield from self._wanted(self._inner.push(frame), end=cut.seconds)
            if self._owed > 0:
                yield from self._wanted(self._inner.flush(), end=cut.seconds)
        if cut.seconds == self._end:
            self._done = True
            return
        self._skipping = False
        # Segments between two frames that are far apart have no frame.
        while self._cuts and tail[0].seconds >= self._cuts[0].seconds:
            cut = self._cuts.popleft()
            if cut.seconds == self._end:
                self._done = True
                return
        self._begin = cut.seconds
        context = list(self._history)[len(self._history) - min(cut.before, len(self._history)) :]
        self._inner.restart(cut.number, context[: cut.seen], inside_scene=bool(context))
        self._owed = 0
        for frame in context[cut.seen :]:
            yield from self._given(frame)
        for frame in tail:
            yield from self.push(frame)

    def _given(self, frame: Frame) -> Iterator[Frame]:
        self._owed += 1
        yield from self._wanted(self._inner.push(frame))

    def _wanted(self, frames: Iterator[Frame], end: Fraction | None = None) -> Iterator[Frame]:
        for frame in frames:
            self._owed -= 1
            if (self._begin is None or frame.seconds >= self._begin) and (end is None or frame.seconds < end):
                yield frame
