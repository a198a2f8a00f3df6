"""The network of AnimeSR (Wu et al., NeurIPS 2022, sec. 3.4): recurrent in one direction, without optical flow.

One step sees three neighbouring low-resolution frames, what the step before gave out, and what it remembered::

    previous, current, next ────┐
    the output before, folded ──┼── three scales, right-aligned ── fusion ──┬── leaky ReLU ── hidden state
    hidden state ───────────────┘                                           └── pixel shuffle ── + ── output
                                                                        current ── bilinear x4 ──┘

"Folded" is a pixel unshuffle: sixteen neighbouring pixels become channels. "Right-aligned": the coarser scales have
fewer blocks than the finest and start later, so that all end together; each block of a finer scale takes in what the
coarser ones have by then. State-dict keys are those of the published checkpoints.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

LEAK = 0.1
STRIDE = 4
"""Height and width have to be multiples of this: the coarsest of the three scales is a quarter of the finest."""
FRAMES = 3
"""Frames that one step sees."""


class Shape(NamedTuple):
    """The numbers that tell one such network from another."""

    channels: int = 64
    blocks: tuple[int, int, int] = (5, 3, 2)
    """Residual blocks at the full, the half and the quarter size; not increasing."""
    scale: int = 4

    @property
    def output_channels(self) -> int:
        """Channels of an output frame, folded to the input's size."""
        return 3 * self.scale * self.scale


class _Block(nn.Module):
    """``x + conv(relu(conv(x)))``, both 3x3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2(self.conv1(x).relu_())
        return y.add_(x)


def _entry(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, padding=1), nn.LeakyReLU(LEAK, inplace=True))


def _larger(x: Tensor, factor: int) -> Tensor:
    return functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


class _Cell(nn.Module):
    """(N, inputs, H, W) -> (N, outputs, H, W) through three scales; H and W multiples of ``STRIDE``."""

    def __init__(self, inputs: int, outputs: int, shape: Shape) -> None:
        super().__init__()
        c = shape.channels
        self.conv_s1_first = _entry(inputs, c, 1)
        self.conv_s2_first = _entry(c, c, 2)
        self.conv_s4_first = _entry(c, c, 2)
        full, half, quarter = (nn.ModuleList(_Block(c) for _ in range(count)) for count in shape.blocks)
        self.body_s1_first, self.body_s2_first, self.body_s4_first = full, half, quarter
        self.fusion = nn.Sequential(
            nn.Conv2d(3 * c, 2 * outputs, 3, padding=1),
            nn.LeakyReLU(LEAK, inplace=True),
            nn.Conv2d(2 * outputs, outputs, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        full = self.conv_s1_first(x)
        half = self.conv_s2_first(full)
        quarter = self.conv_s4_first(half)
        length, length2, length4 = (len(b) for b in (self.body_s1_first, self.body_s2_first, self.body_s4_first))
        for n, block in enumerate(self.body_s1_first):
            # How far the coarser scales have come before this round; none of them is looked at before it has begun.
            done2, done4 = n - (length - length2), n - (length - length4)
            if done2 > 0:
                full = full + _larger(half, 2)
            if done4 > 0:
                full = full + _larger(quarter, 4)
            full = block(full)
            if done2 >= 0:
                half = self.body_s2_first[done2](half + _larger(quarter, 2) if done4 > 0 else half)
            if done4 >= 0:
                quarter = self.body_s4_first[done4](quarter)
        y: Tensor = self.fusion(torch.cat((full, _larger(half, 2), _larger(quarter, 4)), dim=1))
        return y


class AnimeSRNet(nn.Module):
    """One step of the recurrent network; see the module's text for the drawing."""

    def __init__(self, shape: Shape | None = None) -> None:
        super().__init__()
        self.shape = shape = shape or Shape()
        c = shape.channels
        self.recurrent_cell = _Cell(3 * FRAMES + shape.output_channels + c, shape.output_channels + c, shape)

    def initial_state(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """What stands for the step before the first: zeros (N, 3 * scale**2, H, W) and (N, channels, H, W)."""
        count, _, height, width = like.shape
        return like.new_zeros(count, self.shape.output_channels, height, width), like.new_zeros(
            count, self.shape.channels, height, width
        )

    def forward(self, frames: Tensor, folded: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One frame.

        ``frames``: (N, 9, H, W), R'G'B' 0..1 of the previous, the current and the next frame; the first frame of a
        scene stands for its own previous one, the last for its own next one. H and W multiples of ``STRIDE``.
        ``folded``, ``hidden``: from the step before, or ``initial_state``. All in float32, whatever the weights are.
        Returns the output (N, 3, H * scale, W * scale), not clamped, the same folded, and the next hidden state.
        """
        scale = self.shape.scale
        seen = torch.cat((frames, folded, hidden), dim=1)
        weight = next(self.parameters())
        result = self.recurrent_cell(seen.to(weight.dtype)).to(seen.dtype)
        output = functional.pixel_shuffle(result[:, : self.shape.output_channels], scale)
        output = output + _larger(frames[:, 3:6], scale)
        hidden = functional.leaky_relu(result[:, self.shape.output_channels :], LEAK)
        return output, functional.pixel_unshuffle(output, scale), hidden
