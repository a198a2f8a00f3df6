"""What the classical filters have in common: each frame for itself, at any depth, alpha and colours kept.

``samples`` are codes as they lie in a plane. Where a filter speaks of levels, they are those of 8 bits: a level is
``2**(bits - 8)`` codes. Edges of the frame are continued by their outermost pixel.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from streamvsr.filters.base import Filter
from streamvsr.frames import Color, Frame, PixelFormat, Plane, StreamInfo

Array = NDArray[Any]
EDGE = cv2.BORDER_REPLICATE
Planes = Literal["luma", "all"]


class FrameFilter(Filter):
    """One frame in, one frame out, at once: no frame waits, so live streams are not delayed."""

    def configure(self, info: StreamInfo) -> StreamInfo:
        return info

    def push(self, frame: Frame) -> Iterator[Frame]:
        yield self.apply(frame)

    @abstractmethod
    def apply(self, frame: Frame) -> Frame:
        """The filtered frame, with the same time stamp. Writes into no plane of ``frame``."""


class PlaneFilter(FrameFilter):
    """Does the same to each plane that it is meant for: luma, or chroma too; all of RGB; never alpha.

    Chroma planes are filtered in their own samples: in 4:2:0 a window covers twice as many pixels there.
    """

    def __init__(self, planes: Planes) -> None:
        self._planes = planes

    def apply(self, frame: Frame) -> Frame:
        colours = len(frame.planes) - frame.format.alpha
        count = 1 if self._planes == "luma" and frame.format.family == "yuv" else colours
        made = tuple(self.plane(plane, frame.format) for plane in frame.planes[:count])
        return frame.with_planes((*made, *frame.planes[count:]))

    @abstractmethod
    def plane(self, samples: Plane, format: PixelFormat) -> Plane:
        """A new plane of the same shape and type."""


def black_and_white(format: PixelFormat, color: Color) -> tuple[int, int]:
    """The codes of black and white in luma, or in R, G and B. Grey is full range unless it is tagged as limited."""
    full = color.full_range if format.family != "gray" or color.full_range is not None else True
    if format.family == "rgb" or full:
        return 0, format.peak
    unit = 1 << (format.bits - 8)
    return 16 * unit, 235 * unit


def codes(values: Array, format: PixelFormat) -> Plane:
    """Float values of codes to samples: rounded half up, clamped to what there is."""
    return cast(Plane, np.clip(np.floor(values + 0.5), 0, format.peak).astype(format.dtype))


def capped(samples: Array, format: PixelFormat) -> Plane:
    """Samples that OpenCV made, which knows 8 and 16 bits: no more than the format's peak."""
    return cast(Plane, samples if format.bits in (8, 16) else np.minimum(samples, np.uint16(format.peak)))


def drawing(frame: Frame, lines: Array) -> Frame:
    """``lines`` (0..1, float) in white on black in the frame's own format and range; alpha is kept."""
    black, white = black_and_white(frame.format, frame.color)
    first = codes(black + (white - black) * lines, frame.format)
    if frame.format.family == "yuv":
        shape = frame.planes[1].shape
        neutral = cast(Plane, np.full(shape, 1 << (frame.format.bits - 1), frame.format.dtype))
        made: tuple[Plane, ...] = (first, neutral, neutral)
    else:
        made = (first,) * (3 if frame.format.family == "rgb" else 1)
    return frame.with_planes((*made, *frame.planes[len(made) :]))


def luma_of(frame: Frame) -> Array:
    """Luma's codes; of RGB Y' = 0.2126 R' + 0.7152 G' + 0.0722 B' in float (BT.709, which has sRGB's primaries)."""
    if frame.format.family != "rgb":
        return frame.planes[0]
    red, green, blue = (plane.astype(np.float32) for plane in frame.planes[:3])
    luma: Array = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return luma
