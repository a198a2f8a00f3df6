"""Models without a network, through the same interface: ``bicubic`` (x4) and ``identity`` (x1).

They cost next to nothing, so they show what everything around the network costs, and carry long runs and tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Self

import torch
from torch import Tensor

from streamvsr.media.color.resample import resample
from streamvsr.models.base import Model, ModelInfo, Session
from streamvsr.models.checks import check_window

SCALE = 4


def bicubic_x4(planes: Tensor) -> Tensor:
    """Enlarge (N, 1, H, W), floating point, any range, to (N, 1, 4H, 4W).

    Keys's cubic with a = -0.5 (see ``resample``), half-pixel centres, edges replicated, no clamping (a sharp edge
    overshoots by up to 13 % of its height).
    """
    size = planes.shape[2] * SCALE, planes.shape[3] * SCALE
    return resample(planes[:, 0], size, (SCALE, SCALE))[:, None]


class PlainSession(Session):
    """Each frame by itself; nothing to remember."""

    def __init__(self, scale: int) -> None:
        self._scale = scale

    def reset(self, number: int = 0) -> None:
        pass

    def window(self, frames: Tensor, new: int, keep: range) -> Iterator[Tensor]:
        check_window(frames, new, keep, None, channels=1)
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
