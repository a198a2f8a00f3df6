"""Contrast from the histogram of luma, at any depth and range; colour differences stay as they are."""

from __future__ import annotations

import cv2
import numpy as np

from streamvsr.filters.cv.frame_filter import Array, FrameFilter, black_and_white, codes, luma_of
from streamvsr.frames import Frame

_BINS = 256


class Equalize(FrameFilter):
    """Spreads luma over all levels: its codes become their own rank::

        g(v) = black + (white - black) * (cdf(v) - cdf(first)) / (cdf(last) - cdf(first))

    with cdf(v) the number of pixels of code v or less. Gonzalez and Woods, "Digital Image Processing", 3.3.

    With ``clahe=1`` every one of tiles x tiles parts of the frame has a histogram of its own, of 256 bins, cut off at
    ``clip`` times its mean height (what is cut off goes evenly to all bins), and a pixel takes the value between those
    of the four tiles around it. K. Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV,
    1994.

    Of RGB the difference in luma is added to red, green and blue. Each frame has a histogram of its own: where it
    changes, brightness does; a ``strength`` of less than 1 takes the mean with the input.
    """

    name = "equalize"

    def __init__(self, clahe: bool = False, clip: float = 2.0, tiles: int = 8, strength: float = 1.0) -> None:
        self._clahe, self._clip, self._tiles, self._strength = clahe, clip, tiles, strength

    def apply(self, frame: Frame) -> Frame:
        black, white = black_and_white(frame.format, frame.color)
        luma = luma_of(frame)
        inside = np.clip(np.floor(luma.astype(np.float32) + 0.5), black, white).astype(np.int64) - black
        span = white - black
        if not self._clahe:
            made = _ranks(inside, span)
        elif frame.format.bits == 8 and min(luma.shape) >= self._tiles:
            # OpenCV's is fifty times as fast; of more than 8 bits it would make histograms of 65536 bins.
            whole = np.rint(inside * (255 / span)).astype(np.uint8)
            made = cv2.createCLAHE(self._clip, (self._tiles, self._tiles)).apply(whole).astype(np.float32) * (
                span / 255
            )
        else:
            made = _clahe(inside, span, self._clip, self._tiles)
        change = self._strength * (made + black - luma)
        count = 3 if frame.format.family == "rgb" else 1
        planes = tuple(codes(plane + change, frame.format) for plane in frame.planes[:count])
        return frame.with_planes((*planes, *frame.planes[count:]))


def _ranks(values: Array, span: int) -> Array:
    """Values 0..span to what equalization makes of them, as floats."""
    below = np.cumsum(np.bincount(values.ravel(), minlength=span + 1))
    first = below[values.min()]
    spread = below[-1] - first
    # A flat frame has nothing to spread.
    table = (below - first) * (span / spread) if spread else np.arange(span + 1, dtype=np.float64)
    ranks: Array = table.astype(np.float32)[values]
    return ranks


def _clahe(values: Array, span: int, clip: float, tiles: int) -> Array:
    """Values 0..span, equalized tile by tile, as floats. Between two bins and between tiles it is linear."""
    height, width = values.shape
    tall, wide = -(-height // tiles), -(-width // tiles)
    padded = np.pad(values, ((0, tall * tiles - height), (0, wide * tiles - width)), mode="reflect")
    bins = (padded * (_BINS - 1) + span // 2) // span
    numbers = np.arange(tiles).repeat(tall)[:, None] * tiles + np.arange(tiles).repeat(wide)
    counts = np.bincount((numbers * _BINS + bins).ravel(), minlength=tiles * tiles * _BINS).reshape(-1, _BINS)
    tables = np.cumsum(_clipped(counts, max(1, int(clip * tall * wide / _BINS))), axis=1) * (span / (tall * wide))
    tables = np.minimum(tables, span).astype(np.float32).reshape(tiles, tiles, _BINS)
    place = (values * (np.float32(_BINS - 1) / span)).astype(np.float32)
    low = np.minimum(place.astype(np.int64), _BINS - 2)
    part = place - low
    top, bottom, down = _between(height, tall, tiles)
    left, right, across = _between(width, wide, tiles)

    def looked_up(rows: Array, columns: Array) -> Array:
        index = (rows[:, None] * tiles + columns) * _BINS + low
        flat = tables.ravel()
        found: Array = flat[index] * (1 - part) + flat[index + 1] * part
        return found

    upper = looked_up(top, left) * (1 - across) + looked_up(top, right) * across
    lower = looked_up(bottom, left) * (1 - across) + looked_up(bottom, right) * across
    made: Array = upper * (1 - down[:, None]) + lower * down[:, None]
    return made


def _clipped(counts: Array, limit: int) -> Array:
    """Histograms (n, bins) with nothing above ``limit`` but what the evenly given back excess adds."""
    excess = np.maximum(counts - limit, 0).sum(axis=1)
    even, rest = excess // _BINS, excess % _BINS
    given: Array = np.minimum(counts, limit) + even[:, None]
    # The remainder goes to bins at equal distances, one each.
    step = np.maximum(_BINS // np.maximum(rest, 1), 1)
    order = np.arange(_BINS)
    given += (order % step[:, None] == 0) & (order // step[:, None] < rest[:, None])
    return given


def _between(length: int, tile: int, tiles: int) -> tuple[Array, Array, Array]:
    """For each row or column the tiles before and behind it, and how near it is to the latter (0..1)."""
    place = (np.arange(length, dtype=np.float32) / tile) - 0.5
    first = np.floor(place).astype(np.int64)
    share = place - first
    return np.clip(first, 0, tiles - 1), np.clip(first + 1, 0, tiles - 1), share.astype(np.float32)
