"""A still background holds still: how far the result may move where the input does not.

A network that sharpens makes more of every fluctuation of its input: on static scenes results changed 1.2 to 1.8 times
as much from frame to frame as plain enlargement does, which the eye sees as boiling. Here, where the input stands
still, the result may move away from the result before by at most what the input moves there. Elsewhere it is left
alone.

Whether a place stands still is seen against a mean of the last frames, not against the frame before: a pan of a
twentieth of a pixel a frame hides in the noise of two frames, but not in that of eight.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

MEMORY_FRAMES = 8
"""Over how many frames the input's mean goes, weighted by their age."""
BLOCK_PX = 4
"""Changes are averaged over blocks of the input of this side and their neighbours."""
STILL, MOVING = 0.6 / 255, 1.2 / 255
"""Mean change, signs kept, below which a place stands still, and above which it moves: noise has both signs."""
CALM, WILD = 2.0 / 255, 4.0 / 255
"""The same for the change without signs: fine texture in motion changes both ways, like noise, but by more."""
SLACK = 0.02
"""Room besides, half way between still and moving."""
APPROACH = 1 / 32
"""The part of what is held back that goes through with each frame: what changes for good arrives in a second."""
SETTLING_FRAMES = 4
"""Frames of a scene that are left alone: a carried state takes so many to settle."""
CONTEXT_SETTLING_FRAMES = 16
"""The same where a segment's context begins inside a scene. What is held before the state has settled fades with
``APPROACH`` alone: on a test pattern the mean difference behind 40 frames of context was 4 to 20 times as large."""


class Steady:
    """Of one stream. Holds a mean of the input, the last input and the last result, on the network's device."""

    def __init__(self) -> None:
        self.restart()

    def restart(self, *, inside_scene: bool = False) -> None:
        """Nothing is compared with what was before: a scene begins, or the context of a segment inside of one."""
        self._settling = CONTEXT_SETTLING_FRAMES if inside_scene else SETTLING_FRAMES
        self._mean: Tensor | None = None
        self._before: Tensor | None = None
        self._shown: Tensor | None = None
        self._frames = 0

    def __call__(self, result: Tensor, source: Tensor) -> Tensor:
        """``result`` (C, H * s, W * s), what the network made of ``source`` (C, H, W), nominally 0..1: what is shown.

        Both of any floating type, on one device; float32 comes back. Neither is changed.
        """
        result, source = result.to(torch.float32), source.to(torch.float32)
        mean, before, shown = self._mean, self._before, self._shown
        self._before, self._shown = source, result
        self._frames += 1
        if mean is None or before is None or shown is None:
            self._mean = source
            return result
        self._mean = mean + (source - mean) / min(self._frames, MEMORY_FRAMES)
        if self._frames <= self._settling:
            return result
        still = _still(source - mean)
        if still.device.type == "cpu" and not bool(still.any()):
            return result
        room = _averaged((source - before).mean(0, keepdim=True).abs()) + SLACK * (1 - still) / (still + 1e-6)
        room = functional.interpolate(room[None], source.shape[1:], mode="bilinear", align_corners=False)
        # Whole pixels of the input: interpolating at the result's size costs twice as much as all the rest.
        room = functional.interpolate(room, result.shape[1:], mode="nearest")[0]
        self._shown = torch.clamp(result, shown - room, shown + room).lerp_(result, APPROACH)
        return self._shown


def _still(change: Tensor) -> Tensor:
    """(C, H, W) to (1, rows, columns) of blocks: 1 where the input stands still, 0 where it moves."""
    change = change.mean(0, keepdim=True)
    drift, size = _averaged(change).abs(), _averaged(change.abs())
    return ((MOVING - drift) / (MOVING - STILL)).clamp_(0, 1) * ((WILD - size) / (WILD - CALM)).clamp_(0, 1)


def _averaged(x: Tensor) -> Tensor:
    """(1, H, W) to the means of its blocks and their neighbours."""
    rows, columns = (-(-side // BLOCK_PX) for side in x.shape[1:])
    blocks = functional.adaptive_avg_pool2d(x[None], (rows, columns))
    return functional.avg_pool2d(functional.pad(blocks, (1, 1, 1, 1), mode="replicate"), 3, 1)[0]
