"""Optical flow by a spatial pyramid (SPyNet, CVPR 2017, sec. 3), six levels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from streamvsr.models.basicvsr.layers import flow_warp
from streamvsr.models.fused import convolve, convolve_to_few, weights
from streamvsr.models.tiling import tiled

LEVELS = 6
LEVEL_REACH_PX = 15
"""Pixels around it that a level's output depends on: five convolutions of 7x7."""
STEP = 2 ** (LEVELS - 1)
"""Height and width are resized to a multiple of this, so that every level halves evenly."""


class _Convolution(nn.Module):
    def __init__(self, inputs: int, outputs: int, activate: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 7, padding=3)
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        return convolve(x, *weights(self.conv), 0.0) if self.activate else convolve_to_few(x, *weights(self.conv))


class _Level(nn.Module):
    """Refines a flow: (N, 8, h, w), the image, the other image moved by the flow, the flow -> (N, 2, h, w)."""

    WIDTHS = (8, 32, 64, 32, 16, 2)

    def __init__(self) -> None:
        super().__init__()
        pairs = list(zip(self.WIDTHS, self.WIDTHS[1:], strict=False))
        self.basic_module = nn.Sequential(*(_Convolution(a, b, b != 2) for a, b in pairs))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.basic_module(x)
        return y


class SPyNet(nn.Module):
    """Flow between two images; the state-dict keys are those of the published BasicVSR checkpoints.

    The convolutions run in the type of the weights; flows, positions and warping in float32 at least.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.basic_module = nn.ModuleList(_Level() for _ in range(LEVELS))
        # The statistics of ImageNet, which the flow network was trained with.
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, reference: Tensor, other: Tensor, tile_px: int = 0) -> Tensor:
        """Where each pixel of ``reference`` lies in ``other``.

        Both (N, 3, H, W), R'G'B', nominal range 0..1, any height and width. Returns (N, 2, H, W) in pixels, float32
        (float64 for float64 images), channel 0 to the right: ``flow_warp(other, flow)`` resembles ``reference``.
        ``tile_px``: the convolutions run in tiles of that size, to the same result; 0: at once.
        """
        height, width = reference.shape[-2:]
        full_height, full_width = -(-height // STEP) * STEP, -(-width // STEP) * STEP
        pyramids = [self._pyramid(image, full_height, full_width) for image in (reference, other)]
        flow = self._refine(pyramids[0], pyramids[1], tile_px)
        if (full_height, full_width) != (height, width):
            flow = functional.interpolate(flow, size=(height, width), mode="bilinear", align_corners=False)
            flow = torch.cat((flow[:, :1] * (width / full_width), flow[:, 1:] * (height / full_height)), dim=1)
        return flow

    def _pyramid(self, image: Tensor, height: int, width: int) -> list[Tensor]:
        """Normalised images from the smallest to the full size."""
        exact = torch.promote_types(image.dtype, torch.float32)
        image = image.to(exact)
        if image.shape[-2:] != (height, width):
            image = functional.interpolate(image, size=(height, width), mode="bilinear", align_corners=False)
        levels = [(image - self.mean.to(exact)) / self.std.to(exact)]
        for _ in range(LEVELS - 1):
            levels.append(functional.avg_pool2d(levels[-1], 2))
        return levels[::-1]

    def _refine(self, reference: list[Tensor], other: list[Tensor], tile_px: int) -> Tensor:
        smallest = reference[0]
        dtype = self.basic_module[0].basic_module[0].conv.weight.dtype  # type: ignore[union-attr, index]
        flow = smallest.new_zeros((smallest.shape[0], 2, *smallest.shape[-2:]))
        for level, (here, there) in enumerate(zip(reference, other, strict=True)):
            if level:
                flow = functional.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=True) * 2.0
            seen = torch.cat((here, flow_warp(there, flow, border=True), flow), dim=1)
            flow = flow + tiled(self.basic_module[level], seen.to(dtype), tile_px, LEVEL_REACH_PX)
        return flow
