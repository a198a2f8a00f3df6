"""A frame cut into boxes that are worked on one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt

Box = tuple[int, int, int, int]
"""Left, top, right, bottom."""


def boxes(width: int, height: int, most_pixels: int) -> Iterator[Box]:
    """Boxes of about ``most_pixels`` at most that cover a frame: about square, and about equal."""
    if width * height <= most_pixels:
        yield 0, 0, width, height
        return
    across = -(-width // -(-width // isqrt(most_pixels)))
    down = -(-height // -(-height // max(1, most_pixels // across)))
    for top in range(0, height, down):
        for left in range(0, width, across):
            yield left, top, min(left + across, width), min(top + down, height)
