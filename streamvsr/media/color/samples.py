"""From frames to the values that are measured.

Luma is measured in the codes of 8-bit video: 16 black, 235 white, whatever the depth and range of the file, not rounded
and not clamped. Red, green and blue are 0..255, clamped, not rounded; chroma is brought to full size as everywhere in
streamvsr. So a PNG gives just its codes, and its luma is that of MATLAB's ``rgb2ycbcr`` before rounding.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from streamvsr.errors import StreamvsrError
from streamvsr.frames import Color, Frame, StreamInfo

Values = NDArray[np.float32]

BLACK, STEPS, PEAK = 16.0, 219.0, 255.0
"""Luma code of black, codes from black to white, and the peak that PSNR is taken of."""
CHROMA_STEPS, NEUTRAL = 224.0, 128.0
BT601 = 6
_SAME = {5: 6}
"""BT.601 for 625 and for 525 lines is one matrix."""


def matrix_of(reference: StreamInfo, result: StreamInfo | None = None) -> int:
    """The matrix (H.273) whose luma is measured: the reference's own, the result's beside a grey one, which has none;
    BT.601 for still images, as in the literature."""
    info = result if result is not None and reference.format.family == "gray" else reference
    return BT601 if info.format.family in ("rgb", "gray") else info.color.matrix


def luma(frame: Frame, matrix: int) -> Values:
    """(H, W) codes of Y' with ``matrix``; a frame that was made with another one is converted by way of R'G'B'."""
    from streamvsr.media.color.yuv import forward_matrix, luma_values, to_rgb

    own = frame.color.matrix
    if frame.format.family == "rgb":
        values = luma_values(_with_matrix(frame, matrix))
    elif frame.format.family == "gray" or _SAME.get(own, own) == _SAME.get(matrix, matrix):
        values = luma_values(frame)
    else:
        weights = forward_matrix(matrix)[0].float()
        values = (to_rgb(frame)[0] * weights[:, None, None]).sum(0)
    found: Values = values.mul_(STEPS).add_(BLACK).numpy()
    return found


def chroma(rgb_values: Values, matrix: int) -> Values:
    """(H, W, 2) codes of Cb and Cr (16 to 240, 128 neutral) of what ``rgb`` gives, with ``matrix``."""
    from streamvsr.media.color.yuv import forward_matrix

    weights = forward_matrix(matrix)[1:].float().numpy()
    found: Values = (rgb_values @ weights.T) * np.float32(CHROMA_STEPS / PEAK) + np.float32(NEUTRAL)
    return found


def rgb(frame: Frame) -> Values:
    """(H, W, 3) of R', G', B'."""
    from streamvsr.media.color.yuv import to_rgb

    found: Values = np.ascontiguousarray(to_rgb(frame)[0].permute(1, 2, 0).mul_(PEAK).numpy())
    return found


def cropped(values: Values, border: int) -> Values:
    """Without ``border`` pixels on each side. Raises ``StreamvsrError`` where nothing would be left."""
    if not border:
        return values
    height, width = values.shape[:2]
    if min(height, width) <= 2 * border:
        raise StreamvsrError(f"--crop-border {border}: nothing is left of frames of {width}x{height}")
    return np.ascontiguousarray(values[border:-border, border:-border])


def resized(values: Values, height: int, width: int) -> Values:
    """(h, w) values at another size, bicubic: a guide for motion need not have the size of what it guides."""
    if values.shape == (height, width):
        return values
    import cv2

    return np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def codes(values: Values) -> NDArray[np.uint8]:
    """Rounded to 8 bits."""
    return values.round().clip(0, 255).astype(np.uint8)


def _with_matrix(frame: Frame, matrix: int) -> Frame:
    color: Color = replace(frame.color, matrix=matrix)
    return replace(frame, color=color)
