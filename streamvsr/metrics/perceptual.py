"""How like its reference an image looks: SSIMULACRA 2, which needs no weights, and LPIPS, whose the user names."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from streamvsr.errors import CheckpointError, MissingExtraError
from streamvsr.media.color.samples import PEAK, Values, codes

LEAST_PX = 64
"""AlexNet's last features of a smaller image are none, or a point; SSIMULACRA 2 has six scales."""


class Ssimulacra2:
    """Sneyers, "SSIMULACRA 2", Cloudinary, 2022: multi-scale structure and edges in the XYB space, by the package
    ``ssimulacra2``. 100 is identical, 90 hard to tell, 50 medium, below 0 far away. Images are rounded to 8 bits."""

    def __init__(self) -> None:
        try:
            from PIL import Image
            from ssimulacra2 import compute_ssimulacra2
        except ImportError as error:
            raise MissingExtraError("ssimulacra2: is not installed; pip install 'streamvsr[metrics]'") from error
        self._score, self._image = compute_ssimulacra2, Image

    def __call__(self, result: Values, reference: Values) -> float:
        """(H, W, 3) of 0..255; NaN for tiny images."""
        if min(result.shape[:2]) < LEAST_PX:
            return math.nan
        return float(self._score(self._file(reference), self._file(result)))

    def _file(self, values: Values) -> io.BytesIO:
        # The package reads files alone.
        file = io.BytesIO()
        self._image.fromarray(codes(values)).save(file, "BMP")
        file.seek(0)
        return file


class AlexNetFeatures(nn.Module):
    """The convolutions of AlexNet (Krizhevsky, 2014), by torchvision's names; ReLU after each."""

    TAPS = (0, 3, 6, 8, 10)
    POOLED_BEFORE = (3, 6)

    def __init__(self) -> None:
        super().__init__()
        sizes = ((3, 64, 11, 4, 2), (64, 192, 5, 1, 2), (192, 384, 3, 1, 1), (384, 256, 3, 1, 1), (256, 256, 3, 1, 1))
        self.layers = nn.ModuleList(nn.Conv2d(i, o, k, stride=s, padding=p) for i, o, k, s, p in sizes)

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for tap, layer in zip(self.TAPS, self.layers, strict=True):
            if tap in self.POOLED_BEFORE:
                x = functional.max_pool2d(x, 3, 2)
            x = functional.relu(layer(x))
            found.append(x)
        return found


class Lpips:
    """Zhang, Isola, Efros, Shechtman and Wang, "The unreasonable effectiveness of deep features as a perceptual
    metric", CVPR 2018: LPIPS 0.1 with AlexNet. 0 is identical, 1 far away."""

    SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
    """Brings -1..1 to what AlexNet was trained on."""

    def __init__(self, backbone: str | Path, linear: str | Path) -> None:
        """``backbone``: torchvision's AlexNet (``alexnet-owt-7be5be79.pth``); ``linear``: LPIPS' own weights
        (``weights/v0.1/alex.pth`` of its release). Both are read as weights alone."""
        self._network = AlexNetFeatures()
        weights = read_state(backbone, "--lpips-backbone")
        names = [f"features.{tap}" for tap in AlexNetFeatures.TAPS]
        try:
            for name, layer in zip(names, self._network.layers, strict=True):
                layer.load_state_dict({key: weights[f"{name}.{key}"] for key in ("weight", "bias")})
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"{backbone}: is not torchvision's AlexNet ({one_line(error)})") from error
        found = read_state(linear, "--lpips-linear")
        try:
            self._linear = [found[f"lin{n}.model.1.weight"].reshape(-1).float() for n in range(len(names))]
            for layer, weight in zip(self._network.layers, self._linear, strict=True):
                if weight.numel() != layer.out_channels:
                    raise KeyError(f"{weight.numel()} weights for {layer.out_channels} features")
        except KeyError as error:
            raise CheckpointError(f"{linear}: holds no weights of LPIPS with AlexNet ({one_line(error)})") from error
        self._network.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, result: Values, reference: Values) -> float:
        """(H, W, 3) of 0..255; NaN for tiny images."""
        if min(result.shape[:2]) < LEAST_PX:
            return math.nan
        pair = torch.from_numpy(np.stack((result, reference))).permute(0, 3, 1, 2).div(PEAK / 2).sub(1)
        shift, scale = (torch.tensor(values).view(1, 3, 1, 1) for values in (self.SHIFT, self.SCALE))
        distance = 0.0
        for features, weights in zip(self._network((pair - shift) / scale), self._linear, strict=True):
            unit = features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)
            distance += float(((unit[0] - unit[1]).square() * weights[:, None, None]).sum(0).mean())
        return distance


def read_state(path: str | Path, flag: str) -> dict[str, Any]:
    """The tensors of a file; no code in it is run. ``flag`` is named in errors. Raises ``CheckpointError``."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{flag} {path}: no such file") from None
    except Exception as error:  # torch.load raises whatever unpickling does
        raise CheckpointError(f"{flag} {path}: cannot be read as weights ({type(error).__name__})") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{flag} {path}: holds no table of weights")
    return state


def one_line(error: BaseException) -> str:
    """What an exception says, without line breaks."""
    return " ".join(str(error).split())
