"""A still background holds still: how far the result may move where the input does not.

A network that sharpens makes more of every fluctuation of its input: on static scenes results changed 1.2 to 1.8 times
as much from frame to frame as plain enlargement does, which the eye sees as boiling. Here the result may move away from
the result before by at most what the input itself moves in that place, where the input stands still. Elsewhere it is
left alone.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

REACH_PX = 7
"""Side of the square of input pixels over which its change is averaged."""
STILL, MOVING = 0.4 / 255, 0.9 / 255
"""Mean change, signs kept, below which a place stands still, and above which it moves: noise has both signs."""
CALM, WILD = 2.0 / 255, 4.0 / 255
"""The same for the change without signs: fine texture in motion changes both ways, like noise, but by more."""
APPROACH = 1 / 32
"""The part of what is held back that is let through with each frame: what changes for good arrives in a second."""
SETTLING_FRAMES = 4
"""Frames of a scene that are left alone: a carried state takes so many to settle."""


class Steady:
    """Of one stream. Holds the last input and the last result, on the network's device, in float32."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """A scene begins: nothing is compared with what was before."""
        self._given: Tensor | None = None
        self._result: Tensor | None = None
        self._frames = 0

    def __call__(self, result: Tensor, given: Tensor) -> Tensor:
        """``result`` (C, H * s, W * s) of the network for ``given`` (C, H, W), nominally 0..1; what is shown of it."""
        result, given = result.float(), given.float()
        before, shown = self._given, self._result
        self._given, self._result = given, result
        self._frames += 1
        if before is None or shown is None or self._frames <= SETTLING_FRAMES:
            return result
        change = (given - before).mean(0, keepdim=True)[None]
        size = functional.avg_pool2d(_padded(change.abs()), REACH_PX, 1)
        drift = functional.avg_pool2d(_padded(change), REACH_PX, 1).abs()
        still = ((MOVING - drift) / (MOVING - STILL)).clamp_(0, 1).mul_(((WILD - size) / (WILD - CALM)).clamp_(0, 1))
        if result.device.type == "cpu" and not bool(still.any()):
            return result
        room, weight = (
            functional.interpolate(x, result.shape[1:], mode="bilinear", align_corners=False)[0]
            for x in (size, still.mul_(1 - APPROACH))
        )
        away = result - shown
        held = away - torch.minimum(torch.maximum(away, -room), room)
        self._result = result.addcmul(held.mul_(weight), torch.ones((), device=result.device), value=-1)
        return self._result


def _padded(x: Tensor) -> Tensor:
    reach = REACH_PX // 2
    return functional.pad(x, (reach, reach, reach, reach), mode="replicate")
