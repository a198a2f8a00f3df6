"""FFmpeg's own filters as a link of our chain: one libavfilter graph around several of them. No torch in here."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import av

from streamvsr.errors import FilterError
from streamvsr.filters.base import Filter
from streamvsr.filters.libav.trial import CHOOSING, frame_of, learn
from streamvsr.filters.libav.wiring import Graph, blank_frame, written
from streamvsr.frames import Color, Frame, StreamInfo
from streamvsr.media.av_frames import as_av, to_av
from streamvsr.media.filter_graph import Spec

UNCOUNTABLE = frozenset({*CHOOSING, "decimate", "fieldmatch", "freezeframes", "loop", "thumbnail", "tile", "tpad"})
"""Filters behind which it is not known beforehand how many frames there will be."""


class LibavFilter(Filter):
    """A linear chain of libavfilter filters, e.g. ``LibavFilter([("fps", "fps=25"), ("scale", "w=640:h=360")])``.

    Time stamps are those that the filters give, in the time base that they give. Frames may be dropped and repeated
    where that is a filter's purpose (``fps``). Where a duration is not known, the nominal one is stated. A
    discontinuity is passed on, to the first frame that is not before it; filters with a memory of their own do not
    know of it. Frames have to keep the size and format of ``configure``, going in and coming out.

    Raises ``FilterError``, naming the filter, for names, options and frames that FFmpeg does not take.
    """

    def __init__(self, spec: Spec) -> None:
        self.name = "+".join(name for name, _ in spec) or "null"
        self._spec = list(spec)
        self._graph: Graph | None = None
        self._info: StreamInfo | None = None
        self._size = (0, 0)  # of what comes out
        self._color = Color()
        self._cuts: deque[Fraction] = deque()
        self._last_pts: int | None = None

    def __repr__(self) -> str:
        return f"LibavFilter({written(self._spec)})"

    def configure(self, info: StreamInfo) -> StreamInfo:
        self._info, self._color = info, info.color
        after, self.lookahead = learn(self._spec, info)
        self._size = after.width, after.height
        # The last of the graphs: some filters open files, and a later scratch graph would empty them again.
        self._graph = Graph(self._spec, info, to_av(blank_frame(info)))
        hint = None if any(name in UNCOUNTABLE for name, _ in self._spec) else info.frames_hint
        rate = after.frame_rate
        if hint is not None and rate != info.frame_rate:
            hint = round(hint * rate / info.frame_rate) if rate and info.frame_rate else None
        return replace(after, frames_hint=hint)

    def push(self, frame: Frame) -> Iterator[Frame]:
        graph, info = self._ready()
        found = (frame.width, frame.height, frame.format, frame.time_base)
        if found != (info.width, info.height, info.format, info.time_base):
            raise FilterError(
                f"filter {written(self._spec)} was set up for {info.width}x{info.height} {info.format.name} in"
                f" {info.time_base}, but the frame at {float(frame.seconds):.3f} s is {frame!r}"
            )
        if frame.discontinuity:
            self._cuts.append(frame.seconds)
        self._color = frame.color
        av_frame = as_av(frame)
        # libavfilter ends the stream where the last frame ends: without a duration, `fps` would lose that frame.
        av_frame.duration = frame.duration or self._nominal(frame)
        self._last_pts = frame.pts
        return self._drain(graph, av_frame)

    def flush(self) -> Iterator[Frame]:
        return self._drain(self._ready()[0], None)

    def close(self) -> None:
        self._graph = None

    def _nominal(self, frame: Frame) -> int:
        rate = self._info.frame_rate if self._info else None
        if rate:
            return max(1, round(1 / rate / frame.time_base))
        return max(0, frame.pts - (frame.pts if self._last_pts is None else self._last_pts))

    def _ready(self) -> tuple[Graph, StreamInfo]:
        if self._graph is None or self._info is None:
            raise RuntimeError("LibavFilter.configure has to be called before the first frame")
        return self._graph, self._info

    def _drain(self, graph: Graph, av_frame: av.VideoFrame | None) -> Iterator[Frame]:
        for out in graph.run(av_frame):
            if out.pts is None:
                raise FilterError(f"filter {written(self._spec)} gave a frame without a time stamp")
            frame = self._frame(out, out.pts)
            if (frame.width, frame.height) != self._size:
                size = "{}x{}".format(*self._size)
                raise FilterError(
                    f"filter {written(self._spec)} gave a frame of {frame.width}x{frame.height}"
                    f" after those of {size}: put scale={size} behind it"
                )
            if self._cuts and frame.seconds >= self._cuts[0]:
                while self._cuts and frame.seconds >= self._cuts[0]:
                    self._cuts.popleft()
                frame = replace(frame, discontinuity=True)
            yield frame

    def _frame(self, filtered: av.VideoFrame, pts: int) -> Frame:
        assert self._info is not None
        return frame_of(filtered, pts, self._color, self._info)
