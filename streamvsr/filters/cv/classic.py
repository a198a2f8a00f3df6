"""Sharpening and smoothing with OpenCV: what was done before there were networks.

The books: R. C. Gonzalez, R. E. Woods, "Digital Image Processing", 4th ed., 2018, chapter 3 (spatial filtering) and
chapter 5 (order statistics).
"""

from __future__ import annotations

import cv2
import numpy as np

from streamvsr.errors import FilterError
from streamvsr.filters.cv.frame_filter import EDGE, PlaneFilter, Planes, capped, codes
from streamvsr.frames import PixelFormat, Plane, StreamInfo


class Laplacian(PlaneFilter):
    """Sharpens by taking the second derivative off::

        g = f - amount * L(f)

        L:  0  1  0      or with neighbours=8:  1  1  1
            1 -4  1                             1 -8  1
            0  1  0                             1  1  1

    Gonzalez and Woods, 3.6, "Using the second derivative for image sharpening". Noise is sharpened as well.
    """

    name = "laplacian"

    def __init__(self, amount: float = 1.0, neighbours: str = "4", planes: Planes = "luma") -> None:
        super().__init__(planes)
        around = np.ones((3, 3)) if neighbours == "8" else np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], float)
        around[1, 1] -= around.sum()
        self._kernel = -amount * around
        self._kernel[1, 1] += 1

    def plane(self, samples: Plane, format: PixelFormat) -> Plane:
        return codes(cv2.filter2D(samples.astype(np.float32), -1, self._kernel, borderType=EDGE), format)


class UnsharpMask(PlaneFilter):
    """Sharpens by adding what a Gaussian blur G takes away::

        g = f + amount * (f - G(f))      where |f - G(f)| >= threshold, elsewhere f

    Gonzalez and Woods, 3.6, "Unsharp masking and highboost filtering". The threshold keeps faint noise as it is.
    """

    name = "unsharp_mask"

    def __init__(
        self, sigma: float = 1.0, amount: float = 1.0, threshold: float = 0.0, planes: Planes = "luma"
    ) -> None:
        super().__init__(planes)
        self._sigma, self._amount, self._threshold = sigma, amount, threshold

    def plane(self, samples: Plane, format: PixelFormat) -> Plane:
        f = samples.astype(np.float32)
        # Four sigma to each side: OpenCV itself would take three for 8 bits and four for floats.
        side = 2 * int(4 * self._sigma + 0.5) + 1
        detail = f - cv2.GaussianBlur(f, (side, side), self._sigma, borderType=EDGE)
        if self._threshold:
            detail[np.abs(detail) < self._threshold * 2 ** (format.bits - 8)] = 0
        return codes(f + self._amount * detail, format)


class Mean(PlaneFilter):
    """Smooths: every pixel becomes the mean of the size x size pixels around it.

    Gonzalez and Woods, 3.5, "Box filter kernels".
    """

    name = "mean"

    def __init__(self, size: int = 3, planes: Planes = "all") -> None:
        super().__init__(planes)
        self._size = size

    def plane(self, samples: Plane, format: PixelFormat) -> Plane:
        means = cv2.blur(samples.astype(np.float32), (self._size, self._size), borderType=EDGE)
        return codes(means, format)


class Gaussian(PlaneFilter):
    """Smooths with a Gaussian window::

        w(x, y) = exp(-(x**2 + y**2) / (2 * sigma**2)) / sum of all w,     x, y in -(size - 1) / 2 ... (size - 1) / 2

    With sigma = 0 it follows from the size as OpenCV's ``getGaussianKernel`` has it: 0.3 * ((size - 1) / 2 - 1) + 0.8.
    Gonzalez and Woods, 3.5, "Lowpass Gaussian filter kernels".
    """

    name = "gaussian"

    def __init__(self, size: int = 5, sigma: float = 0.0, planes: Planes = "all") -> None:
        super().__init__(planes)
        self._size = size
        self._sigma = sigma or 0.3 * ((size - 1) / 2 - 1) + 0.8

    def plane(self, samples: Plane, format: PixelFormat) -> Plane:
        side = (self._size, self._size)
        return codes(cv2.GaussianBlur(samples.astype(np.float32), side, self._sigma, borderType=EDGE), format)


class Median(PlaneFilter):
    """Removes specks: every pixel becomes the median of the size x size pixels around it.

    Gonzalez and Woods, 5.3, "Order-statistic filters". Above 8 bits the size is 3 or 5.
    """

    name = "median"
    DEEP_SIZE = 5
    """What OpenCV can do above 8 bits."""

    def __init__(self, size: int = 3, planes: Planes = "all") -> None:
        super().__init__(planes)
        self._size = size

    def configure(self, info: StreamInfo) -> StreamInfo:
        if info.format.bits > 8 and self._size > self.DEEP_SIZE:
            raise FilterError(f"median of more than 8 bits takes a size of 3 or 5, not {self._size}")
        return super().configure(info)

    def plane(self, samples: Plane, format: PixelFormat) -> Plane:
        return capped(cv2.medianBlur(np.ascontiguousarray(samples), self._size), format)
