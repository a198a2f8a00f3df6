"""The adversary: a U-Net that judges every pixel, with spectral normalisation (Real-ESRGAN, ICCVW 2021, sec. 3.3)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

LEAK = 0.2


class Discriminator(nn.Module):
    """(N, 3, H, W), R'G'B' 0..1, multiples of eight -> (N, 1, H, W): above 0 where it takes the pixel for real."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()

        def normalised(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Module:
            convolution = nn.Conv2d(inputs, outputs, size, stride, padding=1, bias=False)
            return spectral_norm(convolution)

        widths = [width, width * 2, width * 4, width * 8]
        self.enter = nn.Conv2d(3, width, 3, padding=1)
        self.down = nn.ModuleList(normalised(a, b, 4, 2) for a, b in pairwise(widths))
        self.up = nn.ModuleList(normalised(b, a) for a, b in reversed(list(pairwise(widths))))
        self.smooth = nn.ModuleList(normalised(width, width) for _ in range(2))
        self.leave = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        x = F.leaky_relu(self.enter(images), LEAK)
        skips = []
        for down in self.down:
            skips.append(x)
            x = F.leaky_relu(down(x), LEAK)
        for up in self.up:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = F.leaky_relu(up(x), LEAK) + skips.pop()
        for smooth in self.smooth:
            x = F.leaky_relu(smooth(x), LEAK)
        judged: Tensor = self.leave(x)
        return judged


def judged_as(scores: Tensor, real: bool) -> Tensor:
    """The cross entropy of the judgement with what is true, or with what the generator wants to be taken for true."""
    return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, float(real)))
