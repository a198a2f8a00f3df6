"""What is measured in the luma of one frame. Arrays are (H, W) float32 in 8-bit codes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.float32]

BLOCK_PX = 16
FLATTEST = 0.2
"""The part of a frame's blocks in which noise is measured: the flattest of those that are neither black nor white."""
DARKEST, BRIGHTEST = 24.0, 228.0
GRID_PX = 8
"""Side of the blocks that MPEG codecs, JPEG and most of H.264 transform."""


class Measures(NamedTuple):
    """Of one frame."""

    noise: float
    """Standard deviation of white noise, in codes; NaN for frames that show no flat places."""
    color_noise: float
    """The larger one of both chroma planes, in their own pixels; 0 without chroma. It is rarely white, so that texture
    counts as well."""
    blockiness: float
    """How many times larger steps are on the edges of 8x8 blocks than between them; 1: as large."""
    detail: float
    """Of the energy of its steps, the part that a Gaussian of one pixel takes away: sharp frames lose most of it. NaN
    for frames without steps."""
    combing: float
    """The part of the pixels in the middle of five lines that go up and down by turns, beyond what fine texture does by
    chance: the fields of two moments, or horizontal lines of the scene."""


TEXTURE = 1.2
"""Averaging 2x2 pixels halves white noise. Texture that fills a frame loses less, and grows against the pixel."""


def measure(luma: Luma, chroma: Sequence[Luma] = ()) -> Measures:
    of_chroma = [value for plane in chroma if math.isfinite(value := _white(plane))]
    return Measures(noise(luma), max(of_chroma, default=0.0), blockiness(luma), detail(luma), combing(luma))


def noise(plane: Luma) -> float:
    """See ``Measures.noise``; 0 where what looks like noise is texture."""
    found = _white(plane)
    half = np.asarray(cv2.resize(plane, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.float32)
    return 0.0 if _white(half) > max(TEXTURE * found, 1.0) else found


def _white(luma: Luma) -> float:
    """J. Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 64(2), 1996, in the
    flattest blocks. NaN for frames without any."""
    rows, columns = (side // BLOCK_PX for side in luma.shape)
    if rows * columns < 1:
        return float("nan")
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = np.abs(cv2.filter2D(luma, -1, kernel, borderType=cv2.BORDER_REFLECT))
    blocks = _blocks(response, rows, columns).mean((1, 3)).ravel()
    light = _blocks(luma, rows, columns).mean((1, 3)).ravel()
    usable = np.sort(blocks[(light > DARKEST) & (light < BRIGHTEST)])
    if not usable.size:
        return float("nan")
    flat = usable[: max(1, int(usable.size * FLATTEST))]
    return float(np.median(flat) * np.sqrt(np.pi / 2) / 6)


def blockiness(luma: Luma) -> float:
    """The larger of both directions; the grid may begin at any pixel, as after cropping."""
    found = []
    for steps in (np.abs(np.diff(luma, axis=1)), np.abs(np.diff(luma, axis=0)).T):
        if steps.shape[1] < 4 * GRID_PX:
            continue
        # Strong edges are the scene's: they would hide the grid, and imitate one.
        means = np.minimum(steps, 12).mean(0)
        by_phase = [float(means[phase::GRID_PX].mean()) for phase in range(GRID_PX)]
        others = float(np.median(by_phase))
        found.append(max(by_phase) / others if others > 0.02 else 1.0)
    return max(found, default=1.0)


def detail(luma: Luma) -> float:
    """See ``Measures.detail``."""
    whole, left = _steps(luma), _steps(np.asarray(cv2.GaussianBlur(luma, (0, 0), 1.0), np.float32))
    return 1 - left / whole if whole > 0 else float("nan")


def _steps(values: Luma) -> float:
    return float(np.square(np.diff(values, axis=1)).sum() + np.square(np.diff(values, axis=0)).sum())


def combing(luma: Luma) -> float:
    """See ``Measures.combing``."""
    # Small frames with fine texture have such lines too, but then across as often as down.
    return max(0.0, _combs(luma) - 2 * _combs(luma.T))


def _combs(luma: Luma) -> float:
    above, here, below = luma[:-2], luma[1:-1], luma[2:]
    # Lines of one field agree with each other and not with the line between them.
    comb = ((above - here) * (below - here) > 100) & (np.abs(above - below) < 8)
    runs = comb[:-2] & comb[1:-1] & comb[2:]
    return float(runs.mean()) if runs.size else 0.0


def _blocks(values: Luma, rows: int, columns: int) -> Luma:
    return values[: rows * BLOCK_PX, : columns * BLOCK_PX].reshape(rows, BLOCK_PX, columns, BLOCK_PX)
