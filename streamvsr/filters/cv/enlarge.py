"""Upscaling by interpolation, with OpenCV.

Luma keeps its rectangle: output pixel x is taken at ``(x + 1/2) / s - 1/2`` of the input, s times larger. Chroma
samples of 4:2:0 and 4:2:2 lie elsewhere (MPEG: on the left luma pixel of each pair) and have to lie there again in the
output: with the phase p of a sample in its cell (1/4 for left, 1/2 for centre), output sample k is taken at
``(k + p) / s - p``. OpenCV's own ``resize`` takes p = 1/2 always, which moves chroma by ``(s - 1) / 2`` output pixels.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np

from streamvsr.errors import FilterError
from streamvsr.filters.cv.frame_filter import EDGE, FrameFilter, capped
from streamvsr.frames import Frame, PixelFormat, Plane, StreamInfo
from streamvsr.media.av_frames import resolve_color

MAX_SIDE_PX = 32767
"""OpenCV's limit for frames that are moved by fractions of a pixel."""

_LEFT, _TOP_LEFT, _TOP, _BOTTOM_LEFT, _BOTTOM = 1, 3, 4, 5, 6


class _Enlarge(FrameFilter):
    """``size``: how many times larger (both ways), or (width, height), each at least the input's."""

    method: int

    def __init__(self, size: float | tuple[int, int] = 4.0) -> None:
        self._wanted = size
        self._size = (0, 0)

    def configure(self, info: StreamInfo) -> StreamInfo:
        if isinstance(self._wanted, tuple):
            self._size = self._wanted
        else:
            self._size = round(info.width * self._wanted), round(info.height * self._wanted)
        width, height = self._size
        if width < info.width or height < info.height:
            raise FilterError(
                f"{self.name} makes frames larger: {info.width}x{info.height} cannot become {width}x{height};"
                " scale makes them smaller"
            )
        if max(width, height) > MAX_SIDE_PX:
            raise FilterError(f"{self.name} cannot make {width}x{height}: a side has at most {MAX_SIDE_PX} pixels")
        shape = info.sample_aspect_ratio * Fraction(height * info.width, width * info.height)
        color = resolve_color(info.color, info.width, info.height) if info.format.family == "yuv" else info.color
        return replace(info, width=width, height=height, sample_aspect_ratio=shape, color=color)

    def apply(self, frame: Frame) -> Frame:
        format, color = frame.format, frame.color
        if format.family == "yuv":
            # Players would read an untagged frame of the larger size with another matrix.
            color = resolve_color(color, frame.width, frame.height)
        width, height = self._size
        factors = width / frame.width, height / frame.height
        phases = _chroma_phases(format, color.chroma_location)
        planes = tuple(
            self._plane(plane, shape, format, factors, phases if plane_number in (1, 2) else (0.5, 0.5))
            for plane_number, (plane, shape) in enumerate(
                zip(frame.planes, format.plane_shapes(width, height), strict=True)
            )
        )
        return replace(frame, planes=planes, color=color)

    def _plane(
        self,
        samples: Plane,
        shape: tuple[int, int],
        format: PixelFormat,
        factors: tuple[float, float],
        phases: tuple[float, float],
    ) -> Plane:
        rows, columns = shape
        exact = (samples.shape[1] * factors[0], samples.shape[0] * factors[1]) == (columns, rows)
        if (exact and phases == (0.5, 0.5)) or self.method == cv2.INTER_NEAREST_EXACT:
            return capped(cv2.resize(samples, (columns, rows), interpolation=self.method), format)
        (fx, fy), (px, py) = factors, phases
        back = np.array([[1 / fx, 0, px / fx - px], [0, 1 / fy, py / fy - py]])
        flags = self.method | cv2.WARP_INVERSE_MAP
        return capped(cv2.warpAffine(samples, back, (columns, rows), flags=flags, borderMode=EDGE), format)


class Nearest(_Enlarge):
    """Larger: every pixel takes the value of the nearest one; by a whole factor, pixels become blocks.

    Gonzalez and Woods, 2.4, "Image interpolation".
    """

    name = "nearest"
    method = cv2.INTER_NEAREST_EXACT


class Bilinear(_Enlarge):
    """Larger, with the kernel ``h(x) = 1 - |x|`` for |x| < 1 in both directions.

    Gonzalez and Woods, 2.4, "Image interpolation".
    """

    name = "bilinear"
    method = cv2.INTER_LINEAR


class Bicubic(_Enlarge):
    """Larger, with the cubic kernel and a = -0.75, as OpenCV has it::

        h(x) = (a + 2) |x|**3 - (a + 3) |x|**2 + 1             for |x| <= 1
        h(x) = a |x|**3 - 5 a |x|**2 + 8 a |x| - 4 a           for 1 < |x| < 2

    R. Keys, "Cubic convolution interpolation for digital image processing", IEEE Trans. ASSP 29(6), 1981. (The model
    ``bicubic`` of vsr takes a = -0.5.)
    """

    name = "bicubic"
    method = cv2.INTER_CUBIC


class Lanczos(_Enlarge):
    """Larger, with Lanczos' kernel over 8 pixels, its weights scaled to add up to 1::

        h(x) = sinc(x) * sinc(x / 4)     for |x| < 4,     sinc(x) = sin(pi x) / (pi x)

    C. Duchon, "Lanczos filtering in one and two dimensions", J. Applied Meteorology 18(8), 1979.
    """

    name = "lanczos"
    method = cv2.INTER_LANCZOS4


def _chroma_phases(format: PixelFormat, location: int) -> tuple[float, float]:
    """Where a chroma sample lies in its cell, (horizontal, vertical); not stated means left."""
    where = location or _LEFT
    x = 0.25 if format.log2_chroma_w and where in (_LEFT, _TOP_LEFT, _BOTTOM_LEFT) else 0.5
    if not format.log2_chroma_h or where not in (_TOP_LEFT, _TOP, _BOTTOM_LEFT, _BOTTOM):
        return x, 0.5
    return x, 0.75 if where in (_BOTTOM_LEFT, _BOTTOM) else 0.25
