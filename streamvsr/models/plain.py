"""Models without a network, through the same interface: ``bicubic`` (x4) and ``identity`` (x1).

They cost next to nothing, so they show what everything around the network costs, and carry long runs and tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from streamvsr.errors import ModelError
from streamvsr.models.base import Model, ModelInfo, Session

KEYS_A = -0.5
"""The cubic of Keys (1981): Catmull-Rom, as MATLAB's imresize and Pillow use; OpenCV and torch's default have -0.75."""
SCALE = 4
_REACH = 2
"""Source pixels on either side that an output pixel may read."""


def _cubic(distance: float) -> float:
    x = abs(distance)
    if x <= 1:
        return (KEYS_A + 2) * x**3 - (KEYS_A + 3) * x**2 + 1
    if x < 2:
        return KEYS_A * (x**3 - 5 * x**2 + 8 * x - 4)
    return 0.0


@cache
def _phases(device: torch.device, dtype: torch.dtype) -> Tensor:
    """(4, 5): for each of the four output positions within a source pixel, the weights of source pixels -2..2."""
    rows = []
    for phase in range(SCALE):
        centre = (phase + 0.5) / SCALE - 0.5
        rows.append([_cubic(tap - centre) for tap in range(-_REACH, _REACH + 1)])
    return torch.tensor(rows, dtype=dtype, device=device)


def bicubic_x4(planes: Tensor) -> Tensor:
    """Enlarge (N, 1, H, W), floating point, any range, to (N, 1, 4H, 4W).

    Half-pixel centres, edges replicated, no clamping (a sharp edge overshoots by up to 13 % of its height). One
    convolution a direction, each giving the four positions within a source pixel.
    """
    weights = _phases(planes.device, planes.dtype)
    count, _, height, width = planes.shape
    padded = functional.pad(planes, (_REACH,) * 4, mode="replicate")
    tall = functional.conv2d(padded, weights.view(SCALE, 1, -1, 1))
    tall = tall.permute(0, 2, 1, 3).reshape(count, 1, SCALE * height, width + 2 * _REACH)
    wide = functional.conv2d(tall, weights.view(SCALE, 1, 1, -1))
    return wide.permute(0, 2, 3, 1).reshape(count, 1, SCALE * height, SCALE * width)


class PlainSession(Session):
    """Each frame by itself; nothing to remember."""

    def __init__(self, scale: int) -> None:
        self._scale = scale

    def reset(self) -> None:
        pass

    def window(self, frames: Tensor, new: int, keep: range) -> Iterator[Tensor]:  # noqa: ARG002
        if frames.ndim != 4 or frames.shape[1] != 1:
            raise ModelError(f"a window has to be (T, 1, H, W), but {tuple(frames.shape) = }")
        return (self._run(frames[i : i + 1]) for i in keep)

    @torch.no_grad()
    def _run(self, frame: Tensor) -> Tensor:
        return frame[0] if self._scale == 1 else bicubic_x4(frame)[0]


class PlainModel(Model):
    """Takes luma: (T, 1, H, W). ``identity`` gives the frame itself, not a copy."""

    def __init__(self, name: str, scale: int) -> None:
        self.info = ModelInfo(name, scale, "luma", max_seq_len=1, overlap=0, temporal=False, causal_after=0)

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:  # noqa: ARG002
        return self

    def session(self) -> PlainSession:
        return PlainSession(self.info.scale)


def load_bicubic(state: Mapping[str, Tensor], config: Mapping[str, str]) -> PlainModel:  # noqa: ARG001
    return PlainModel("bicubic", SCALE)


def load_identity(state: Mapping[str, Tensor], config: Mapping[str, str]) -> PlainModel:  # noqa: ARG001
    return PlainModel("identity", 1)
