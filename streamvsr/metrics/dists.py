"""DISTS: how like its reference an image looks, in structure and in texture. 0 is identical, 1 far away.

Ding, Ma, Wang and Simoncelli, "Image quality assessment: unifying structure and texture similarity", IEEE TPAMI 44(5),
2022. Means (texture) and covariances (structure) of the features of a VGG-16 whose pooling is smooth, and of the
image itself, are compared channel by channel; learned weights alpha and beta add them up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from streamvsr.errors import CheckpointError
from streamvsr.media.color.samples import PEAK, Values
from streamvsr.metrics.perceptual import LEAST_PX, one_line, read_state

STAGES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
"""Convolutions by torchvision's numbers within ``features``; a stage begins with pooling, but for the first."""
CHANNELS = (3, 64, 128, 256, 512, 512)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
C = 1e-6
"""Keeps both ratios finite."""


class Dists:
    """Weights are named by the user: torchvision's VGG-16, and alpha and beta of the authors' release."""

    def __init__(self, backbone: str | Path, weights: str | Path) -> None:
        """``backbone``: ``vgg16-397923af.pth``; ``weights``: ``weights.pt``, as the package ``DISTS-pytorch`` has it.
        Both are read as weights alone. Raises ``CheckpointError``."""
        state = read_state(backbone, "--dists-backbone")
        try:
            self._stages = [[_convolution(state, number) for number in stage] for stage in STAGES]
        except (KeyError, AttributeError, RuntimeError) as error:
            raise CheckpointError(f"{backbone}: is not torchvision's VGG-16 ({one_line(error)})") from error
        found = read_state(weights, "--dists-weights")
        try:
            alpha, beta = (found[name].detach().float().reshape(-1) for name in ("alpha", "beta"))
        except (KeyError, AttributeError) as error:
            raise CheckpointError(f"{weights}: holds no weights of DISTS ({one_line(error)})") from error
        if alpha.numel() != sum(CHANNELS) or beta.numel() != sum(CHANNELS):
            raise CheckpointError(f"{weights}: holds no weights of DISTS: they are for {sum(CHANNELS)} channels")
        whole = alpha.sum() + beta.sum()
        self._alpha, self._beta = (alpha / whole).split(CHANNELS), (beta / whole).split(CHANNELS)

    @torch.no_grad()
    def __call__(self, result: Values, reference: Values) -> float:
        """(H, W, 3) of 0..255, at their own size; NaN for tiny images."""
        if min(result.shape[:2]) < LEAST_PX:
            return math.nan
        pair = torch.from_numpy(np.stack((result, reference))).permute(0, 3, 1, 2).float().div(PEAK)
        like = 0.0
        for features, alpha, beta in zip(self._features(pair), self._alpha, self._beta, strict=True):
            one, two = features.flatten(2)
            mean_one, mean_two = one.mean(1), two.mean(1)
            texture = (2 * mean_one * mean_two + C) / (mean_one.square() + mean_two.square() + C)
            spread = one.var(1, unbiased=False) + two.var(1, unbiased=False)
            shared = ((one - mean_one[:, None]) * (two - mean_two[:, None])).mean(1)
            like += float((alpha * texture).sum() + (beta * (2 * shared + C) / (spread + C)).sum())
        return 1 - like

    def _features(self, pair: Tensor) -> list[Tensor]:
        mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
        x = (pair - mean) / deviation
        found = [pair]
        for number, stage in enumerate(self._stages):
            if number:
                x = _pooled(x)
            for convolution in stage:
                x = functional.relu(convolution(x))
            found.append(x)
        return found


def _pooled(x: Tensor) -> Tensor:
    """Half the size: the root of the weighted mean of squares, with a Hann window of three."""
    window = torch.tensor([0.25, 0.5, 0.25])
    kernel = torch.outer(window, window).expand(x.shape[1], 1, 3, 3)
    return (functional.conv2d(x.square(), kernel, stride=2, padding=1, groups=x.shape[1]) + 1e-12).sqrt()


def _convolution(state: Mapping[str, Tensor], number: int) -> nn.Conv2d:
    weight, bias = state[f"features.{number}.weight"].float(), state[f"features.{number}.bias"].float()
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer.eval().requires_grad_(False)
