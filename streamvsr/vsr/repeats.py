"""Frames that repeat the one before: computed once, shown as often as they came.

Screen recordings stand still for seconds, and film in a 60 Hz stream shows every frame two or three times. A frame
whose samples are those of the frame before it is not given to the network. It gets the result of that frame, bit for
bit, with its own time stamp::

    in       A0  A1  A2  B3  B4  C5        the same letter: the same samples
    network  A           B       C         its windows, its carried state and its scenes know nothing of the others
    out      a0  a1  a2  b3  b4  c5

So a recurrent network sees the video without its repeats: its state moves once for each frame that differs.

While a frame is repeated no window fills. Once ``PATIENCE`` windows' worth of frames wait (one of a live input), the
network runs what it holds, without the look-ahead that has not come, and keeps its state for what comes then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Generic, TypeVar

import numpy as np

from streamvsr.filters.base import Filter
from streamvsr.frames import Frame, StreamInfo
from streamvsr.vsr.windowed import WindowedFilter

Network = TypeVar("Network", bound=WindowedFilter)

PATIENCE = 4
"""Windows' worth of frames that may wait, so that repeats in a film cut no window short."""


class Repeats(Filter, Generic[Network]):
    """A network that is spared repeats. Holds the last frame, its result, and the time stamps of repeats that wait."""

    own_thread = True

    def __init__(self, network: Network) -> None:
        self.name = network.name
        self.network = network
        self._last: Frame | None = None
        self._result: Frame | None = None
        """What the network gave for ``_last``; None while it has not."""
        self._waiting: deque[list[Frame]] = deque()
        """For each frame that the network has not given back, its repeats; all share its samples."""
        self._repeats = 0
        self._windows = PATIENCE

    def configure(self, info: StreamInfo) -> StreamInfo:
        self._windows = 1 if info.live else PATIENCE
        made = self.network.configure(info)
        self.lookahead = self.network.lookahead
        return made

    @property
    def memory_bytes(self) -> int:
        return self.network.memory_bytes

    def push(self, frame: Frame) -> Iterator[Frame]:
        last = self._last
        if last is None or frame.discontinuity or not same_frame(last, frame):
            self._last, self._result = frame, None
            self._waiting.append([])
            yield from self._given(self.network.push(frame))
        elif self._result is not None:
            yield _again(self._result, frame)
        else:
            self._waiting[-1].append(replace(frame, planes=last.planes, origin=None))
            self._repeats += 1
            if self._repeats + self.network.waiting >= self._windows * self.network.max_seq_len:
                yield from self._given(self.network.settle())

    def flush(self) -> Iterator[Frame]:
        yield from self._given(self.network.flush())

    def restart(self, number: int = 0, seen: Iterable[Frame] = (), *, inside_scene: bool = False) -> None:
        """See ``WindowedFilter.restart``."""
        self._last = self._result = None
        self._waiting.clear()
        self._repeats = 0
        self.network.restart(number, seen, inside_scene=inside_scene)

    def idle(self) -> Iterator[Frame]:
        yield from self._given(self.network.idle())

    def close(self) -> None:
        self._last = self._result = None
        self._waiting.clear()
        self.network.close()

    def _given(self, results: Iterator[Frame]) -> Iterator[Frame]:
        try:
            for result in results:
                repeats = self._waiting.popleft()
                self._repeats -= len(repeats)
                if not self._waiting:
                    self._result = result
                yield result
                for frame in repeats:
                    yield _again(result, frame)
        finally:
            close = getattr(results, "close", None)
            if close is not None:
                close()


def same_frame(a: Frame, b: Frame) -> bool:
    """Whether two frames have the same samples, to be read in the same way."""
    if (a.format, a.width, a.height, a.color) != (b.format, b.width, b.height, b.color):
        return False
    # One row tells nearly all frames that differ apart.
    row = a.height // 2
    if not np.array_equal(a.planes[0][row], b.planes[0][row]):
        return False
    return all(np.array_equal(one, other) for one, other in zip(a.planes, b.planes, strict=True))


def _again(result: Frame, frame: Frame) -> Frame:
    """``result`` at the moment of ``frame``."""
    return replace(
        result, pts=frame.pts, time_base=frame.time_base, duration=frame.duration, discontinuity=False, origin=None
    )
