"""The upsampler (3x3 convolutions and two pixel shuffles), tile by tile.

Its maps are by far the largest of the network: 64 channels at 16 times the input's pixels, 4 kB a pixel and map in
float32 (9 GB each for 1920x1080). So tiles of the input go through the whole of it, each with as much beside it as its
result depends on: nothing changes. On a CPU that is also much faster, since a tile's maps stay in the cache and in
memory that the process already has: 160x90 on one core, 0.24 s at once, 0.18 s in tiles.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from streamvsr.models.basicvsr.layers import LEAK, SCALE, PixelShuffle
from streamvsr.models.boxes import boxes
from streamvsr.models.fused import convolve, convolve_to_few, weights

HALO_PX = 2
"""Around a tile: 3x3 convolutions at 1x, 2x, 4x and 4x reach 2 input pixels."""


def add_upsampled(
    base: Tensor,
    x: Tensor,
    first: PixelShuffle,
    second: PixelShuffle,
    high_res: nn.Conv2d,
    last: nn.Conv2d,
    most_pixels: int,
) -> None:
    """Add the upsampled ``x`` (N, C, H, W) to ``base`` (N, 3, 4H, 4W), at most about ``most_pixels`` of ``x`` at once.

    ``base`` keeps its type, float32 where ``x`` is half precision. Without gradients only.
    """
    height, width = x.shape[-2:]
    shuffles = [_by_position(p.upsample_conv) for p in (first, second)]
    for left, top, right, bottom in boxes(width, height, most_pixels):
        # The halo of the tile. Where the frame ends, the zeros of a convolution's own padding are right.
        halo = [min(HALO_PX, n) for n in (left, top, width - right, height - bottom)]
        a, b, c, d = halo
        y = x[..., top - b : bottom + d, left - a : right + c].contiguous(memory_format=torch.channels_last)
        # The first convolution spoils the second pixel beside the tile; the others spoil the rest, and no more.
        y = _shuffled(_cropped(convolve(y, *shuffles[0], LEAK), [max(0, n - 1) for n in halo]))
        y = _shuffled(convolve(y, *shuffles[1], LEAK))
        y = convolve(y, *weights(high_res), LEAK)
        y = _cropped(convolve_to_few(y, *weights(last)), [SCALE * min(1, n) for n in halo])
        base[..., SCALE * top : SCALE * bottom, SCALE * left : SCALE * right] += y


def _cropped(x: Tensor, pixels: Sequence[int]) -> Tensor:
    left, top, right, bottom = pixels
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


def _by_position(conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weight and bias with the outputs of one of the four positions side by side, so that a shuffle moves long runs."""

    weight, bias = weights(conv)
    outputs = len(bias) // 4
    weight = weight.view(outputs, 4, *weight.shape[1:]).transpose(0, 1).reshape(weight.shape)
    return weight.contiguous(memory_format=torch.channels_last), bias.view(outputs, 4).t().reshape(-1)


def _shuffled(x: Tensor) -> Tensor:
    """(N, 4 C, H, W), the four positions one after the other -> (N, C, 2H, 2W), channels last."""
    count, channels, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(count, height, width, 2, channels // 2).transpose(2, 3)
    return rows.reshape(count, 2 * height, 2 * width, channels // 4).permute(0, 3, 1, 2)
