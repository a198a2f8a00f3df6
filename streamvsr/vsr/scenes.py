"""Where a new scene begins: decided on the fly, one frame behind.

Each frame is shrunk to a small grey image. Its *change* is what is left of it, in grey levels of 255, when every
block is fetched from the best place nearby in the image before: a pan leaves little, another scene leaves a lot. A
scene begins with a frame

- whose change is at least the threshold,
- which could nearly as well have been painted without the image before it (the change is a large part of what
  flat blocks would leave; x264 decides in the same way where to put a key frame), and
- which stands out from its neighbours: a flash changes twice, a whip pan goes on changing, a cut happens once.

The last point is why one more frame has to be seen. Figures, also for PySceneDetect's detectors on the same clips,
are in ``docs/engine.md``; ``benchmarks/bench_scenes.py`` makes them.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from streamvsr.frames import Frame

WIDTH, HEIGHT = 64, 36
"""Size of the small images."""
BLOCKS = 4
"""Blocks in each direction: large enough that noise and small things do not find a match by chance."""
REACH_X, REACH_Y = 6, 4
"""How far a block is looked for, in small pixels: a tenth of the image a frame."""
FLAT_SHARE = 0.6
"""Change divided by what flat blocks would leave, from which the image before is of no use."""
STANDS_OUT = 1.5
"""How many times the change of either neighbour."""

Small = NDArray[np.int16]


class SceneDetector:
    """Tells for each frame whether a scene begins with it, when the next frame (or the end) is known.

    ``threshold``: grey levels of 255, more than 0. Holds three small images.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.restart()

    def restart(self) -> None:
        """What comes next is not compared with what was before."""
        self._images: list[Small] = []
        self._changes: dict[int, tuple[float, float]] = {}

    def push(self, frame: Frame) -> bool:
        """Take a frame; True where a scene begins with the frame *before* it."""
        self._images.append(shrink(frame))
        found = self._begins(len(self._images) - 2)
        if len(self._images) > 3:
            del self._images[0]
            self._changes = {at - 1: change for at, change in self._changes.items() if at > 1}
        return found

    def last(self) -> bool:
        """No frame follows: True where a scene begins with the last frame."""
        return self._begins(len(self._images) - 1)

    def _begins(self, at: int) -> bool:
        if at < 1:
            return False
        images = self._images
        # The change is never more than the plain difference, which is twenty times cheaper and nearly always small.
        if np.abs(images[at] - images[at - 1]).mean() < self.threshold:
            return False
        change, flat = self._change(at)
        if change < self.threshold or change < FLAT_SHARE * (flat + 1):
            return False
        return all(change >= STANDS_OUT * self._change(n)[0] for n in (at - 1, at + 1) if 1 <= n < len(images))

    def _change(self, at: int) -> tuple[float, float]:
        if at not in self._changes:
            self._changes[at] = change(self._images[at], self._images[at - 1])
        return self._changes[at]


def shrink(frame: Frame) -> Small:
    """(36, 64) grey levels 0..255 of Y', or of G'."""
    plane = frame.planes[1 if frame.format.family == "rgb" else 0]
    resized = cv2.resize(plane, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    small: Small = np.rint(resized * np.float32(255 / frame.format.peak)).astype(np.int16)
    return small


def change(now: Small, before: Small) -> tuple[float, float]:
    """(mean change of the blocks against their best match, mean deviation of the blocks from their own mean)."""
    height, width = HEIGHT // BLOCKS, WIDTH // BLOCKS
    around = np.pad(before, ((REACH_Y, REACH_Y), (REACH_X, REACH_X)), mode="edge")
    moved = sliding_window_view(around, (HEIGHT, WIDTH))
    apart = np.abs(moved - now).reshape(*moved.shape[:2], BLOCKS, height, BLOCKS, width)
    best = apart.sum(axis=(3, 5), dtype=np.int32).min(axis=(0, 1))
    blocks = now.reshape(BLOCKS, height, BLOCKS, width)
    flat = np.abs(blocks - blocks.mean(axis=(1, 3), keepdims=True)).mean()
    return float(best.mean()) / (height * width), float(flat)
