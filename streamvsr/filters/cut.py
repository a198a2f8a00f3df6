"""``-ss``, ``-t`` and ``-to`` of the output behind filters that change the number or the times of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction

from streamvsr.filters.base import Filter
from streamvsr.frames import Frame, StreamInfo
from streamvsr.media.ticks import ticks_per_tick


class Cut(Filter):
    """Passes the frames from ``start`` up to ``end`` seconds on, moved such that ``start`` becomes 0."""

    name = "cut"

    def __init__(self, start: Fraction | None, end: Fraction | None) -> None:
        self._start, self._end = start or Fraction(0), end
        self._parts, self._ticks = 1, 0
        self.on_end: Callable[[], None] | None = None
        """Called once, when a frame comes that is behind the end: no more are wanted."""

    def configure(self, info: StreamInfo) -> StreamInfo:
        # A tick may be a whole frame; divided, frames keep their distance to the sound.
        self._parts = ticks_per_tick(info.time_base, self._start)
        time_base = info.time_base / self._parts
        self._ticks = -(-self._start // time_base)
        return replace(info, time_base=time_base, frames_hint=None)

    def push(self, frame: Frame) -> Iterator[Frame]:
        seconds = frame.seconds
        if self._end is not None and seconds >= self._end:
            on_end, self.on_end = self.on_end, None
            if on_end is not None:
                on_end()
        elif seconds >= self._start:
            pts = frame.pts * self._parts - self._ticks
            time_base, duration = frame.time_base / self._parts, frame.duration * self._parts
            yield replace(frame, pts=pts, time_base=time_base, duration=duration)
