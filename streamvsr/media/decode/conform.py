"""Decoded frames to those that a run was set up for: de-interlaced, upright, of one size, format and colour.

::

    decoder ──► Deinterlacer ──► turned (-autorotate) ──► fitted to the first frame ──► frames

A frame that needs none of it passes as it is. Each comes out exactly once, in order, with what was put in with it
(its time stamp). De-interlacing holds one frame back, because it looks at both neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Generic, TypeVar

import av
import numpy as np
from av.sidedata.sidedata import Type

from streamvsr.frames import Color, PixelFormat, StreamInfo
from streamvsr.media.av_frames import RGB, color_of, padded, rescaled, resolve_color, side_data, target_format
from streamvsr.media.filter_graph import FilterGraph

T = TypeVar("T")
"""What travels with a frame, untouched."""

DEINTERLACER = ("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
"""One frame for one, frames that are not flagged as interlaced untouched."""

SAME_SHAPE = Fraction(1, 50)
"""Frames whose shapes on the screen differ by less are stretched, others get black bars."""

MAX_REPORTED_CHANGES = 5
"""Further changes of size are made without a line: a broken stream may change with every frame."""


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a player turns a frame: by ``rotation`` degrees counter-clockwise, then mirrored left to right."""

    rotation: int = 0
    mirrored: bool = False

    @property
    def filters(self) -> tuple[tuple[str, str], ...]:
        """FFmpeg's filters that turn the pixels so; none where it is no multiple of 90 degrees."""
        turn = {90: ("transpose", "cclock"), 180: ("", ""), 270: ("transpose", "clock")}.get(self.rotation % 360)
        filters = [turn] if turn is not None and turn[0] else []
        if self.rotation % 360 == 180:
            filters = [("hflip", ""), ("vflip", "")]
        return (*filters, *([("hflip", "")] if self.mirrored and self.rotation % 90 == 0 else []))

    @property
    def swaps_sides(self) -> bool:
        return self.rotation % 180 == 90


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """What the display matrix of a frame says (from its container, or from the stream's own messages)."""
    side = side_data(frame, Type.DISPLAYMATRIX)
    if side is None:
        return Orientation()
    m = np.frombuffer(side, "<i4", 9).astype(float)
    # (x, y) goes to (m0 x + m3 y, m1 x + m4 y); a negative determinant mirrors.
    mirrored = bool(m[0] * m[4] - m[1] * m[3] < 0)
    if not mirrored:
        return Orientation(int(frame.rotation))
    width, height = np.hypot(m[0], m[3]), np.hypot(m[1], m[4])
    clockwise = np.degrees(np.arctan2(m[1] / height, -m[0] / width)) if width and height else 0.0
    return Orientation(-round(float(clockwise)), mirrored=True)


def kind_of(frame: av.VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name


class Deinterlacer(Generic[T]):
    """Passes frames on until one is flagged as interlaced; from there on bwdif looks at all of them.

    bwdif is FFmpeg's "Bob Weaver Deinterlacing Filter": w3fdif's and yadif's interpolation together.
    """

    def __init__(self, on_start: Callable[[], None]) -> None:
        """``on_start`` is called once, at the first interlaced frame."""
        self._on_start: Callable[[], None] | None = on_start
        self._graph: FilterGraph | None = None
        self._kind: tuple[int, int, str] | None = None
        self._before: av.VideoFrame | None = None
        """The last frame that was passed on as it is: the neighbour of the first that is not."""
        self._inside: dict[int, T] = {}
        self._count = 0

    def push(self, frame: av.VideoFrame, payload: T, *, cut: bool = False) -> Iterator[tuple[av.VideoFrame, T]]:
        """``cut``: the frame has nothing to do with those before it."""
        if self._graph is not None and (cut or kind_of(frame) != self._kind):
            yield from self.flush()
        if self._graph is None:
            before, self._before = None if cut else self._before, frame
            if not frame.interlaced_frame:
                yield frame, payload
                return
            if self._on_start is not None:
                self._on_start()
                self._on_start = None
            self._graph, self._kind = FilterGraph((DEINTERLACER,), frame), kind_of(frame)
            if before is not None and kind_of(before) == self._kind:
                # So that the result does not depend on where a run begins. It is somebody else's by now: the graph
                # gives another frame with the same samples.
                (neighbour,) = FilterGraph((("null", ""),), before).run(before)
                yield from self._filtered(self._numbered(neighbour))
        numbered = self._numbered(frame)
        self._inside[2 * (self._count - 1)] = payload
        yield from self._filtered(numbered)

    def flush(self) -> Iterator[tuple[av.VideoFrame, T]]:
        if self._graph is not None:
            yield from self._filtered(None)
        self._graph = self._before = None

    def restart(self) -> None:
        """Drop what it holds: what is pushed next has nothing to do with it."""
        self._graph = self._before = None
        self._inside.clear()

    def _numbered(self, frame: av.VideoFrame) -> av.VideoFrame:
        """With its number for a time stamp; the filter halves the unit, for those who want a frame of each field."""
        frame.pts, frame.time_base = self._count, Fraction(1)
        self._count += 1
        return frame

    def _filtered(self, frame: av.VideoFrame | None) -> Iterator[tuple[av.VideoFrame, T]]:
        assert self._graph is not None
        for filtered in self._graph.run(frame):
            assert filtered.pts is not None
            if filtered.pts in self._inside:  # what is not was passed on before
                yield filtered, self._inside.pop(filtered.pts)


class Rotator:
    """Turns frames as their orientation says."""

    def __init__(self, orientation: Orientation) -> None:
        self._filters = orientation.filters
        self._graph: FilterGraph | None = None
        self._kind: tuple[int, int, str] | None = None

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        if not self._filters:
            return frame
        if self._graph is None or kind_of(frame) != self._kind:
            self._graph, self._kind = FilterGraph(self._filters, frame), kind_of(frame)
        (turned,) = self._graph.run(frame)
        return turned


class Fitter:
    """Brings frames that are unlike the first one of their stream to its size, format, matrix and range."""

    def __init__(self, info: StreamInfo, tags: Color, on_change: Callable[[str], None]) -> None:
        """``tags``: what the first frame itself says of its colours; ``on_change`` gets a part of a sentence."""
        self._info, self._tags = info, tags
        self._on_change = on_change
        self._changes = 0
        self._last: object = (info.width, info.height, info.format, info.color)

    def __call__(self, frame: av.VideoFrame) -> tuple[av.VideoFrame, Color, bool]:
        """(the frame, the colours that it now has, whether this is the first one of another kind)"""
        info, layout, color = self._info, target_format(frame.format.name), self._color(frame)
        kind = (frame.width, frame.height, layout, color)
        changed, self._last = kind != self._last, kind
        if changed:
            self._report(frame, layout, color)
        if (frame.width, frame.height, layout) == (info.width, info.height, info.format) and (
            (color.matrix, color.full_range) == (info.color.matrix, info.color.full_range)
        ):
            return frame, color, changed
        width, height = self._inner_size(frame)
        fitted = rescaled(frame, width, height, info.format.name, color, info.color)
        if (width, height) != (info.width, info.height):
            fitted = padded(fitted, info.width, info.height, info.format, info.color)
        return fitted, info.color, changed

    def _color(self, frame: av.VideoFrame) -> Color:
        tags, stated = color_of(frame), self._info.color
        if tags == self._tags:
            return stated
        # What a later frame leaves open is as before.
        merged = Color(
            tags.matrix if tags.matrix != 2 else stated.matrix,
            tags.primaries if tags.primaries != 2 else stated.primaries,
            tags.transfer if tags.transfer != 2 else stated.transfer,
            tags.full_range if tags.full_range is not None else stated.full_range,
            tags.chroma_location or stated.chroma_location,
        )
        if merged.matrix == RGB != stated.matrix:
            merged = replace(merged, matrix=stated.matrix)
        return resolve_color(merged, frame.width, frame.height)

    def _inner_size(self, frame: av.VideoFrame) -> tuple[int, int]:
        """The largest size of the frame's own shape inside the first one's; the same where they are alike."""
        info = self._info
        # Where the pixels are not square, they are taken to have the first frame's shape, which is all that is known.
        ratio = Fraction(frame.width * info.height, frame.height * info.width)
        if abs(ratio - 1) < SAME_SHAPE:
            return info.width, info.height
        whole_x, whole_y = 1 << info.format.log2_chroma_w, 1 << info.format.log2_chroma_h
        width = min(info.width, round(info.width * ratio / whole_x) * whole_x)
        height = min(info.height, round(info.height / ratio / whole_y) * whole_y)
        return max(whole_x, width), max(whole_y, height)

    def _report(self, frame: av.VideoFrame, layout: PixelFormat, color: Color) -> None:
        self._changes += 1
        if self._changes > MAX_REPORTED_CHANGES:
            return
        info = self._info
        more = "; further changes are not reported" if self._changes == MAX_REPORTED_CHANGES else ""
        if (frame.width, frame.height, layout) != (info.width, info.height, info.format):
            self._on_change(
                f"the video changes to {frame.width}x{frame.height} {frame.format.name}: "
                f"brought to {info.width}x{info.height} {info.format.name}, as it began{more}"
            )
        elif color == info.color:
            self._on_change(f"the video is {info.width}x{info.height} {info.format.name} again{more}")
        elif (color.primaries, color.transfer) != (info.color.primaries, info.color.transfer):
            self._on_change(f"primaries or transfer of the colours change: shown as those it began with{more}")
        else:
            self._on_change(f"matrix or range of the colours change: converted to those it began with{more}")
