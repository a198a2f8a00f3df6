"""Filters one after another. A frame goes through all of them before the next one is asked for::

    push(frame) ──► filter 1 ──each frame──► filter 2 ──each frame──► ... ──► yielded

At the end the first filter is flushed through the others, then the second, and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from time import perf_counter

from streamvsr.filters.base import Filter
from streamvsr.frames import Frame, StreamInfo


class Chain(Filter):
    """A list of filters as one filter; an empty one passes everything on.

    As lazy as its links: closing an iterator half way closes the iterators of the links it had reached.
    """

    name = "chain"

    def __init__(self, filters: Sequence[Filter]) -> None:
        self.filters = tuple(filters)
        self._frames = [0] * len(self.filters)
        self._seconds = [0.0] * len(self.filters)

    def configure(self, info: StreamInfo) -> StreamInfo:
        """Configure the links in order. ``lookahead`` is known afterwards: the sum of theirs."""
        for link in self.filters:
            info = link.configure(info)
        self.lookahead = sum(link.lookahead for link in self.filters)
        return info

    @property
    def memory_bytes(self) -> int:
        return sum(link.memory_bytes for link in self.filters)

    def push(self, frame: Frame) -> Iterator[Frame]:
        return self._through(iter((frame,)), 0)

    def flush(self) -> Iterator[Frame]:
        for position, link in enumerate(self.filters):
            yield from self._through(self._timed(position, link.flush), position + 1)

    def idle(self) -> Iterator[Frame]:
        for position, link in enumerate(self.filters):
            yield from self._through(self._timed(position, link.idle), position + 1)

    def parts(self) -> tuple[tuple[str, int, float], ...]:
        """Each link's name, the frames that it took, and the seconds that it worked by itself."""
        names = [link.name for link in self.filters]
        return tuple(zip(names, self._frames, self._seconds, strict=True))

    def close(self) -> None:
        """Close every link, also after one of them raised; the first error is raised at the end."""
        first: Exception | None = None
        for link in self.filters:
            try:
                link.close()
            except Exception as exc:
                first = first or exc
        if first is not None:
            raise first

    def _through(self, frames: Iterator[Frame], position: int) -> Iterator[Frame]:
        """``frames``, come out of the links before ``position``, through those from there on."""
        if position == len(self.filters):
            yield from frames
            return
        try:
            for frame in frames:
                self._frames[position] += 1
                work = partial(self.filters[position].push, frame)
                yield from self._through(self._timed(position, work), position + 1)
        finally:
            close = getattr(frames, "close", None)
            if close is not None:
                close()

    def _timed(self, position: int, work: Callable[[], Iterator[Frame]]) -> Iterator[Frame]:
        """What ``work`` of the link at ``position`` yields; the time that it takes is counted."""
        begin = perf_counter()
        frames = work()
        try:
            while True:
                frame = next(frames, None)
                self._seconds[position] += perf_counter() - begin
                if frame is None:
                    return
                yield frame
                begin = perf_counter()
        finally:
            close = getattr(frames, "close", None)
            if close is not None:
                close()


def segments(filters: Iterable[Filter]) -> list[list[Filter]]:
    """The filters in runs that a thread each may work on: those of ``own_thread`` stand alone.

    >>> segments([a, b, vsr, c])
    [[a, b], [vsr], [c]]
    """
    runs: list[list[Filter]] = []
    joinable = False
    for link in filters:
        if joinable and not link.own_thread:
            runs[-1].append(link)
        else:
            runs.append([link])
        joinable = not link.own_thread
    return runs
