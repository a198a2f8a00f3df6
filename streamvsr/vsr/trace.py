"""Where a temporal filter may be begun in the middle of a scene and give what it gives in a run through all of it.

The frames are put through the windows, the scenes and the repeats of the filter, without a network. A run that begins
with a window of that trace has the same windows from there on. The carried state is the same once a state that begins
for both has taken over (``Model.exact_from``), so a segment begins a few windows earlier::

    windows of the whole run      |-------|-------|-------|-------|-------|
    a new state every P frames    s         s         s         s
    segment                                           [
    context                       |-------------------         begun at a window, with the number it has in its scene
    exact from                              s----+             the first state that begins in both, when it is alone

Frames behind a segment's last one are needed until its window has run, wherever that ends.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from streamvsr.frames import Frame, StreamInfo
from streamvsr.vsr.repeats import Repeats
from streamvsr.vsr.windowed import WindowedFilter
from streamvsr.vsr.windows import Step, Windows

MOST_FRAMES = 400
"""Of context, before or behind, that may be held: where long repeats ask for more, a cut changes a little."""
SEEN = 2
"""Frames before the context that decide whether a scene begins with its second one."""


class Context(NamedTuple):
    """What the segments on both sides of a cut need. See ``segmented.Cut``."""

    before: int
    after: int
    number: int
    seen: int


class _Window(NamedTuple):
    first: int
    """The number, in the input, of its first frame."""
    keep_start: int
    """Of the frames that the network gets, the first one that it keeps."""
    number: int
    """Of its first frame, within its scene; 0 where the network forgets everything before."""
    exact: int | None
    """Of the frames that the network gets, the first that a run that begins with this window gives exactly."""


class Tracer(WindowedFilter):
    """Notes windows. Frames come out as they came."""

    name = "trace"

    def __init__(
        self, windows: Windows, scene_threshold: float, exact_from: Callable[[int], int | None] | None
    ) -> None:
        """``exact_from``: see ``Model``; None for windows that are independent of each other."""
        super().__init__(windows, scene_threshold)
        self._exact_from = exact_from
        self._held: list[Frame] = []
        self._scene = 0
        self._now = 0
        self.pts = array("q")
        """Of all frames, in ticks."""
        self.scenes: list[int] = []
        """Those with which a scene begins, but the first, in ticks."""
        self._network = array("q")
        """By the frames that the network gets: their numbers in the input."""
        self._out = array("q")
        """By the number of each frame in the input: with which frame's arrival its result came."""
        self._pauses: list[int] = []
        self._windows_seen: list[_Window] = []

    def run(self, frames: Iterable[Frame]) -> None:
        repeats = Repeats(self)
        for frame in frames:
            self._now = len(self.pts)
            self.pts.append(frame.pts)
            for _ in repeats.push(frame):
                self._out.append(self._now)
        self._now = len(self.pts)
        for _ in repeats.flush():
            self._out.append(self._now)

    def context(self, tick: int) -> Context | None:
        """For a cut in front of the first frame at ``tick`` or later; None where no context is small enough."""
        cut = bisect_right(self.pts, tick - 1)
        if not 0 < cut < len(self.pts):
            return None
        after = min(self._out[cut - 1] + 1, len(self.pts)) - cut
        network = bisect_right(self._network, cut) - 1
        at = bisect_right(self._windows_seen, network, key=lambda window: window.keep_start) - 1
        while at >= 0:
            window = self._windows_seen[at]
            if window.exact is not None and window.exact <= network and self._alone(window.first):
                seen = min(SEEN, window.first)
                before = cut - window.first + seen
                if max(before, after) > MOST_FRAMES:
                    return None
                return Context(before, max(0, after), window.number, seen)
            at -= 1
        return None

    def _alone(self, first: int) -> bool:
        """Whether repeats that wait before frame ``first`` cut no window short that a run from there leaves whole."""
        before = self._out[first - 1] if first else -1
        at = bisect_right(self._pauses, first - 1)
        return at == len(self._pauses) or self._pauses[at] > before

    def configure(self, info: StreamInfo) -> StreamInfo:
        return info

    def push(self, frame: Frame) -> Iterator[Frame]:
        self._network.append(self._now)
        return super().push(frame)

    def settle(self) -> Iterator[Frame]:
        self._pauses.append(self._now)
        return super().settle()

    def _take(self, frame: Frame) -> None:
        if frame.discontinuity:
            self.scenes.append(frame.pts)
        self._held.append(frame)

    def _drop(self, count: int) -> None:
        del self._held[:count]

    def _window(self, step: Step) -> Iterator[Frame]:
        if step.reset:
            self._scene = step.start
        number = step.start - self._scene
        exact: int | None = step.keep_start
        if number and self._exact_from is not None:
            exact = self._exact_from(number)
            exact = None if exact is None else self._scene + exact
        self._windows_seen.append(_Window(self._network[step.start], step.keep_start, number, exact))
        yield from self._held[step.keep_start - self._first_held : step.keep_stop - self._first_held]
