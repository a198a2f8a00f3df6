"""What a network is trained for: closeness in pixels, in time, and in the features of VGG-19; sharpened targets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamvsr.errors import CheckpointError

VGG_WEIGHTS: Mapping[int, float] = {2: 0.1, 7: 0.1, 16: 1.0, 25: 1.0, 34: 1.0}
"""Index in torchvision's ``vgg19().features`` -> weight: the last convolution before each pooling, as Real-ESRGAN and
RealBasicVSR take them (conv1_2, conv2_2, conv3_4, conv4_4, conv5_4, before their ReLU)."""
ENERGY_PX = 8
USM_KERNEL_PX = 51
USM_AMOUNT, USM_THRESHOLD = 0.5, 10.0 / 255


def charbonnier(difference: Tensor) -> Tensor:
    """Mean of sqrt(d^2 + 0.001^2): the absolute error, rounded off at zero."""
    return (difference * difference + 1e-6).sqrt().mean()


def pixel_loss(outputs: Sequence[Tensor], truth: Tensor) -> Tensor:
    """Mean over the frames of the Charbonnier loss; ``truth`` (T, ...) may have frames beyond the outputs."""
    return torch.stack([charbonnier(output - target) for output, target in zip(outputs, truth, strict=False)]).mean()


def temporal_loss(outputs: Sequence[Tensor], truth: Tensor) -> Tensor:
    """As ``pixel_loss``, of the changes from frame to frame: what flickers in the output, and not in the truth."""
    changes = [after - before for before, after in pairwise(outputs)]
    return pixel_loss(changes, truth[1:] - truth[:-1])


def gradient_loss(outputs: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute difference of the steps from pixel to pixel, across and down: edges as sharp; (N, C, H, W) each."""
    difference = outputs - wanted
    return (difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()) / 2


def energy_loss(outputs: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute difference of how strong the steps from pixel to pixel are in squares of 8x8; (N, C, H, W) each.

    The mean of all images that may be meant is a blurred one, and nearest to them all pixel by pixel. This asks for
    edges as steep and texture as strong as in ``wanted``, wherever exactly they lie.
    """

    def strength(images: Tensor) -> Tensor:
        across, down = images.diff(dim=-1)[..., :-1, :], images.diff(dim=-2)[..., :-1]
        return (F.avg_pool2d(across * across + down * down, ENERGY_PX) + 1e-5).sqrt()

    return (strength(outputs) - strength(wanted)).abs().mean()


def sharpened(images: Tensor) -> Tensor:
    """Unsharp masking where it does not amplify noise (Real-ESRGAN, sec. 3.4): (N, C, H, W) 0..1 -> the same."""
    sigma = 0.3 * ((USM_KERNEL_PX - 1) * 0.5 - 1) + 0.8
    x = torch.arange(USM_KERNEL_PX, dtype=images.dtype, device=images.device) - USM_KERNEL_PX // 2
    row = torch.exp(-(x * x) / (2 * sigma * sigma))
    row /= row.sum()

    def blurred(planes: Tensor) -> Tensor:
        channels, half = planes.shape[1], USM_KERNEL_PX // 2
        padded = F.pad(planes, (half, half, half, half), mode="reflect")
        across = F.conv2d(padded, row.expand(channels, 1, 1, -1), groups=channels)
        return F.conv2d(across, row[:, None].expand(channels, 1, -1, 1), groups=channels)

    residue = images - blurred(images)
    # The mask is soft, or its own edge would show.
    mask = blurred((residue.abs() > USM_THRESHOLD).to(images.dtype))
    return mask * (images + USM_AMOUNT * residue).clamp(0, 1) + (1 - mask) * images


class PerceptualLoss(nn.Module):
    """Weighted L1 distance of VGG features (Johnson et al., ECCV 2016; layers as in ``VGG_WEIGHTS``)."""

    mean: Tensor
    std: Tensor

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        """``state``: torchvision's VGG-19, keys ``features.N.weight``; its widths are read off the weights."""
        super().__init__()
        found = (re.fullmatch(r"features\.(\d+)\.weight", key) for key in state)
        numbers = sorted(int(match[1]) for match in found if match)
        if missing := [n for n in VGG_WEIGHTS if n not in numbers]:
            raise CheckpointError(f"is not VGG-19 of torchvision: features.{missing[0]}.weight is missing")
        self.convolutions = nn.ModuleDict()
        for n in numbers:
            weight, bias = state[f"features.{n}.weight"].float(), state[f"features.{n}.bias"].float()
            convolution = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
            convolution.load_state_dict({"weight": weight, "bias": bias})
            self.convolutions[str(n)] = convolution
        # Between two convolutions lies a ReLU, or a ReLU and a pooling where their numbers differ by three.
        self.pooled = {after for before, after in pairwise(numbers) if after - before == 3}
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        self.requires_grad_(False)

    @classmethod
    def read(cls, path: Path) -> PerceptualLoss:
        """From torchvision's file (a state dict; read as weights alone) or its safetensors."""
        from safetensors.torch import load_file

        try:
            state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
            return cls(state)
        except FileNotFoundError:
            raise CheckpointError(f"{path}: no such file") from None
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from None
        except Exception as error:
            raise CheckpointError(f"{path}: cannot be read as weights ({type(error).__name__})") from error

    def features(self, images: Tensor) -> dict[int, Tensor]:
        x = (images - self.mean) / self.std
        found: dict[int, Tensor] = {}
        for name, convolution in self.convolutions.items():
            if found or int(name):
                x = F.relu(x)
            if int(name) in self.pooled:
                x = F.max_pool2d(x, 2)
            x = convolution(x)
            if int(name) in VGG_WEIGHTS:
                found[int(name)] = x
        return found

    def forward(self, output: Tensor, truth: Tensor) -> Tensor:
        """(N, 3, H, W) each, R'G'B' 0..1, 16 pixels at least -> the loss, whose gradient goes into ``output``."""
        with torch.no_grad():
            wanted = self.features(truth)
        have = self.features(output)
        return torch.stack([weight * F.l1_loss(have[n], wanted[n]) for n, weight in VGG_WEIGHTS.items()]).sum()
