"""One frame out of several: brought to one size, labelled, put together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import cast

import cv2
import numpy as np

from streamvsr.compare.label import Label, fitting_scale
from streamvsr.compare.options import CompareOptions, parse_zoom
from streamvsr.errors import UsageError
from streamvsr.frames import Frame, StreamInfo
from streamvsr.media.color.arrays import Pixels, rgb_array

FILTERS = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
    "area": cv2.INTER_AREA,
}

ONE_ROW = 3
"""Up to so many inputs stand in one row; more make a grid."""

SAME_SHAPE = Fraction(1, 50)
"""Shapes that differ by less (176x144 against 704x574) fill the same rectangle; others get black bars."""


def turned(info: StreamInfo) -> StreamInfo:
    """``info`` as a player shows it: a quarter turn swaps the sides."""
    if info.rotation % 180:
        ratio = 1 / info.sample_aspect_ratio
        info = replace(info, width=info.height, height=info.width, sample_aspect_ratio=ratio)
    return replace(info, rotation=0)


@dataclass(frozen=True, slots=True)
class Fit:
    """Where one input goes in the common frame: a rectangle of it, the rest is black."""

    quarter_turns: int
    x: int
    y: int
    width: int
    height: int


class Painter:
    """Made for inputs of fixed sizes. ``paint`` holds nothing between two calls."""

    def __init__(self, infos: Sequence[StreamInfo], options: CompareOptions, mode: str, labels: Sequence[str]) -> None:
        """``mode``: of ``options.MODES``. ``labels``: one for each input, "" for none."""
        shown = [turned(info) for info in infos]
        largest = max(shown, key=lambda info: info.width * info.height)
        self.deep = any(info.format.bits > 8 for info in infos)
        self.sample_aspect_ratio = largest.sample_aspect_ratio
        self._mode = mode
        self._filter = FILTERS[options.scale_filter]
        self._common = (largest.width, largest.height)
        self._fits = [_fit(one, info, largest) for one, info in zip(shown, infos, strict=True)]
        self._zoom = parse_zoom(options.zoom)
        self.cell = self._common
        if self._zoom is not None:
            x, y, width, height = self._zoom
            if x + width > largest.width or y + height > largest.height:
                raise UsageError(
                    f"--zoom {options.zoom} reaches out of the frame, which is {largest.width}x{largest.height}"
                )
            # A whole number of times, so that every pixel of the region becomes a square.
            factor = max(1, min(largest.width // width, largest.height // height))
            self.cell = (width * factor, height * factor)
        self.columns, self.rows = _grid(len(infos), mode)
        # Even: the usual pixel formats have one colour for two by two pixels.
        self.width = self.cell[0] * self.columns + self.cell[0] * self.columns % 2
        self.height = self.cell[1] * self.rows + self.cell[1] * self.rows % 2
        room = 0.42 if mode in ("wipe", "split") else 0.9
        scale = min((fitting_scale(text, *self.cell, room) for text in labels if text), default=1.0)
        self._labels = [Label(text, *self.cell, scale) if text else None for text in labels]

    def cells(self, frames: Sequence[Frame]) -> list[Pixels]:
        """The inputs' frames in the size of a cell, labelled."""
        return [self._cell(number, frame) for number, frame in enumerate(frames)]

    def compose(self, cells: Sequence[Pixels], position: int | None, line_width: int) -> Pixels:
        """``position``: for wipe and split, the line's left edge; None: left alone, -1: right alone."""
        canvas = cast(Pixels, np.zeros((self.height, self.width, 3), cells[0].dtype))
        width, height = self.cell
        if self._mode in ("wipe", "split"):
            edge = width if position is None else max(0, position)
            canvas[:height, :edge] = cells[0][:, :edge]
            canvas[:height, edge:width] = cells[1][:, edge:]
            if position is not None and position >= 0:
                canvas[:height, edge : min(width, edge + line_width)] = np.iinfo(canvas.dtype).max
            return canvas
        for number, cell in enumerate(cells):
            row, column = divmod(number, self.columns)
            canvas[row * height : (row + 1) * height, column * width : (column + 1) * width] = cell
        return canvas

    def _cell(self, number: int, frame: Frame) -> Pixels:
        fit, (width, height) = self._fits[number], self._common
        pixels = rgb_array(frame, deep=self.deep)
        if fit.quarter_turns:
            pixels = cast(Pixels, np.ascontiguousarray(np.rot90(pixels, fit.quarter_turns)))
        if (fit.width, fit.height) != (width, height):
            whole = cast(Pixels, np.zeros((height, width, 3), pixels.dtype))
            whole[fit.y : fit.y + fit.height, fit.x : fit.x + fit.width] = self._scaled(pixels, fit.width, fit.height)
            pixels = whole
        else:
            pixels = self._scaled(pixels, width, height)
        if self._zoom is not None:
            x, y, w, h = self._zoom
            pixels = _resized(pixels[y : y + h, x : x + w], *self.cell, cv2.INTER_NEAREST)
        label = self._labels[number]
        if label is not None:
            at_right = self._mode in ("wipe", "split") and number == 1
            label.draw(pixels, at_right=at_right)
        return pixels

    def _scaled(self, pixels: Pixels, width: int, height: int) -> Pixels:
        return pixels if pixels.shape[:2] == (height, width) else _resized(pixels, width, height, self._filter)


def _resized(pixels: Pixels, width: int, height: int, how: int) -> Pixels:
    return cast(Pixels, cv2.resize(np.ascontiguousarray(pixels), (width, height), interpolation=how))


def _fit(shown: StreamInfo, info: StreamInfo, largest: StreamInfo) -> Fit:
    """The largest rectangle of the shape of ``shown`` in the middle of ``largest``."""
    width, height = largest.width, largest.height
    shape = Fraction(shown.width, shown.height) * shown.sample_aspect_ratio / largest.sample_aspect_ratio
    whole = Fraction(width, height)
    if abs(shape / whole - 1) >= SAME_SHAPE:
        width, height = (width, round(width / shape)) if shape > whole else (round(height * shape), height)
    width, height = max(1, width), max(1, height)
    x, y = (largest.width - width) // 2, (largest.height - height) // 2
    return Fit(info.rotation // 90 % 4, x, y, width, height)


def _grid(count: int, mode: str) -> tuple[int, int]:
    """(columns, rows)"""
    if mode in ("wipe", "split"):
        return 1, 1
    if mode == "stacked":
        return 1, count
    columns = count if count <= ONE_ROW else math.ceil(math.sqrt(count))
    return columns, -(-count // columns)
