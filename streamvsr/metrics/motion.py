"""How a video changes over time, along its motion.

::

    before ──┐                        where a pixel of `now` was in `before`: optical flow of the guide (the reference,
             ├── flow, visible ──►    the input, or the result itself), by OpenCV's dense inverse search
    now ─────┘

    warping error   mean of (now - W(before))²      over what is visible in both, of the result
    flicker         mean of |e(now) - W(e(before))| over the same, e = result - reference

W takes each pixel back to where it was. What moves out of the image, is hidden, or lies on an edge of the motion is
left out. A fault that sticks to its object is no flicker; one that comes, goes or stands still before a moving object
is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from streamvsr.media.color.samples import Values, codes

LEAST_PX = 16
"""Smaller images have no patches that their motion could be found with."""
LEAST_VISIBLE = 0.1
"""With less of the image visible in both frames (a cut), there is nothing to measure."""


@dataclass(frozen=True, slots=True)
class Motion:
    """From one frame to the one before it."""

    positions: NDArray[np.float32]
    """(H, W, 2): where (x, y) each pixel was."""
    visible: NDArray[np.bool_]
    """(H, W): what is there in both frames."""

    def warp(self, before: Values) -> Values:
        """(H, W) values of the frame before, brought to where they are now; bilinear."""
        return _sampled(before, self.positions)


def find_motion(now: Values, before: Values) -> Motion | None:
    """Motion between two (H, W) luma planes; None where it cannot be found: tiny images, cuts.

    Dense inverse search: Kroeger, Timofte, Dai and Van Gool, "Fast optical flow using dense inverse search", ECCV 2016.
    What is hidden and where motion has edges: Sundaram, Brox and Keutzer, ECCV 2010, with the numbers of Ruder,
    Dosovitskiy and Brox, "Artistic style transfer for videos", GCPR 2016, as in Lai et al. (below).
    """
    if min(now.shape) < LEAST_PX:
        return None
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    a, b = codes(now), codes(before)
    nothing = np.zeros((*now.shape, 2), np.float32)
    back = np.asarray(search.calc(a, b, nothing.copy()), np.float32)
    forth = np.asarray(search.calc(b, a, nothing), np.float32)
    height, width = now.shape
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    positions = np.stack((columns, rows), -1) + back
    x, y = positions[..., 0], positions[..., 1]
    inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    there = _sampled(forth, positions)
    size = _squared(back)
    hidden = _squared(back + there) > 0.01 * (_squared(there) + size) + 0.5
    slope = sum(_squared(np.gradient(back, axis=axis)) for axis in (0, 1))
    visible = inside & ~hidden & (slope <= 0.01 * size + 0.002)
    return Motion(positions, visible) if visible.mean() >= LEAST_VISIBLE else None


def warping_error(now: Values, before: Values, motion: Motion | None) -> float:
    """Mean squared change along the motion, in luma codes; NaN without motion.

    Lai, Huang, Wang, Shechtman, Yumer and Yang, "Learning blind video temporal consistency", ECCV 2018, on luma.
    """
    if motion is None:
        return math.nan
    return float(np.mean(np.square(now - motion.warp(before))[motion.visible], dtype=np.float64))


def flicker(error_now: Values, error_before: Values, motion: Motion | None) -> float:
    """Mean absolute change of the error (result - reference) along the motion, in luma codes; NaN without motion."""
    if motion is None:
        return math.nan
    return float(np.mean(np.abs(error_now - motion.warp(error_before))[motion.visible], dtype=np.float64))


def _sampled(values: NDArray[np.float32], positions: NDArray[np.float32]) -> NDArray[np.float32]:
    x, y = (np.ascontiguousarray(positions[..., axis]) for axis in (0, 1))
    found = cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float32)


def _squared(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = np.square(vectors).sum(-1)
    return found
