"""Building blocks of the BasicVSR family; attribute names are those of the published checkpoints."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from streamvsr.models.fused import convolve, convolve_onto, weights

SCALE = 4
"""Output pixels per input pixel, in both directions."""
LEAK = 0.1
"""Negative slope of every leaky ReLU in the family."""


class ResidualBlock(nn.Module):
    """``x + conv2(relu(conv1(x)))``, 3x3 convolutions without normalisation (BasicVSR, CVPR 2021, sec. 3).

    (N, C, H, W) -> (N, C, H, W), any floating point type, any range. Without gradients ``x`` is overwritten.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return convolve_onto(x, convolve(x, *weights(self.conv1), 0.0), *weights(self.conv2))


class ResidualTrunk(nn.Module):
    """A convolution to ``channels``, a leaky ReLU, then ``blocks`` residual blocks: one branch of the propagation.

    (N, inputs, H, W) -> (N, channels, H, W).
    """

    def __init__(self, inputs: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(inputs, channels, 3, padding=1),
            nn.LeakyReLU(LEAK, inplace=True),
            nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks))),
        )

    def forward(self, x: Tensor) -> Tensor:
        first, _, blocks = self.main
        assert isinstance(first, nn.Conv2d)
        y: Tensor = blocks(convolve(x, *weights(first), LEAK))
        return y


class PixelShuffle(nn.Module):
    """A 3x3 convolution to four times ``outputs`` channels, laid out as twice the height and width.

    (N, inputs, H, W) -> (N, outputs, 2H, 2W).
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.upsample_conv = nn.Conv2d(inputs, outputs * 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.pixel_shuffle(self.upsample_conv(x), 2)


def flow_warp(x: Tensor, flow: Tensor, border: bool = False) -> Tensor:
    """Fetch, for every position, the value of ``x`` that ``flow`` points at, bilinearly.

    ``x``: (N, C, H, W). ``flow``: (N, 2, H, W), in pixels: channel 0 to the right, channel 1 down.
    ``border``: what lies outside is the nearest edge value, else 0. Returns (N, C, H, W) in the type of ``x``.

    Positions and interpolation are computed in float32 at least: half precision cannot tell neighbouring pixels apart
    past column 2048 and places samples a quarter of a pixel off past column 512.
    """
    height, width = x.shape[-2:]
    if flow.shape[-2:] != (height, width):
        raise ValueError(f"the flow has another size than what it moves: {flow.shape = }, {x.shape = }")
    exact = torch.promote_types(x.dtype, torch.float32)
    flow = flow.to(exact)
    columns = torch.arange(width, device=x.device, dtype=exact)
    rows = torch.arange(height, device=x.device, dtype=exact).unsqueeze(1)
    # grid_sample counts from -1 at the centre of the first pixel to 1 at the centre of the last.
    across = (flow[:, 0] + columns) * (2.0 / max(width - 1, 1)) - 1.0
    down = (flow[:, 1] + rows) * (2.0 / max(height - 1, 1)) - 1.0
    grid = torch.stack((across, down), dim=-1)
    moved = functional.grid_sample(x.to(exact), grid, "bilinear", "border" if border else "zeros", align_corners=True)
    return moved.to(x.dtype)
