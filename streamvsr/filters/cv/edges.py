"""Edges, drawn in white on black in the frame's own format."""

from __future__ import annotations

import cv2
import numpy as np

from streamvsr.filters.cv.frame_filter import EDGE, Array, FrameFilter, black_and_white, drawing, luma_of
from streamvsr.frames import Frame


class Sobel(FrameFilter):
    """The magnitude of luma's gradient::

        g = scale * sqrt(gx**2 + gy**2)      gx:  -1  0  1      gy: its transpose
                                                  -2  0  2
                                                  -1  0  1

    cut off at white. I. Sobel, G. Feldman, 1968; Gonzalez and Woods, 3.6, "Using first-order derivatives". (FFmpeg's
    ``sobel`` does the same to the codes of all planes; here black is black in limited range too.)
    """

    name = "sobel"

    def __init__(self, scale: float = 1.0) -> None:
        self._scale = scale

    def apply(self, frame: Frame) -> Frame:
        black, white = black_and_white(frame.format, frame.color)
        gx, gy = _gradient(luma_of(frame).astype(np.float32))
        return drawing(frame, np.minimum(self._scale / (white - black) * np.sqrt(gx * gx + gy * gy), 1))


class Canny(FrameFilter):
    """Thin lines where luma's gradient has a ridge.

    1. Blur with a Gaussian of ``sigma``. 2. Gradient as in ``sobel``. 3. Keep a pixel where its magnitude is the
    largest along the gradient's direction. 4. Of these, keep those above ``high``, and those above ``low`` that hang
    together with one of them.

    J. Canny, "A computational approach to edge detection", IEEE Trans. PAMI 8(6), 1986. The thresholds are magnitudes
    of Sobel's gradient in 8-bit levels, whatever the depth is; all bits up to 12 are looked at.
    """

    name = "canny"
    MOST_BITS = 12
    """The gradient of more would not fit into OpenCV's 16 bits."""

    def __init__(self, low: float = 50.0, high: float = 150.0, sigma: float = 1.4) -> None:
        self._low, self._high = min(low, high), max(low, high)
        self._sigma = sigma

    def apply(self, frame: Frame) -> Frame:
        # 8 bits are looked at with 4 more, which the blur fills.
        luma: Array = luma_of(frame).astype(np.float32) * 2.0 ** (self.MOST_BITS - frame.format.bits)
        if self._sigma:
            luma = cv2.GaussianBlur(luma, (0, 0), self._sigma, borderType=EDGE)
        gx, gy = (np.rint(g).astype(np.int16) for g in _gradient(luma))
        level = 2.0 ** (self.MOST_BITS - 8)
        lines = cv2.Canny(gx, gy, self._low * level, self._high * level, L2gradient=True)
        return drawing(frame, lines.astype(np.float32) / 255)


def _gradient(luma: Array) -> tuple[Array, Array]:
    return (
        cv2.Sobel(luma, cv2.CV_32F, 1, 0, ksize=3, borderType=EDGE),
        cv2.Sobel(luma, cv2.CV_32F, 0, 1, ksize=3, borderType=EDGE),
    )
