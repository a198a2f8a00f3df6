"""Shrinking as the super-resolution literature does it, and how a path asks for it: ``clip.mp4@2``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from streamvsr.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

LARGEST = 16


def split_shrink(spec: str) -> tuple[str, int]:
    """``"clip.mp4@2"`` -> ("clip.mp4", 2): shrink by two before use. Without ``@N``, or where a file of just that name
    is there, the factor is 1. Raises ``UsageError`` for a factor that is not 1 to 16."""
    match = re.fullmatch(r"(.+)@(\d+)", spec)
    if match is None or Path(spec).exists():
        return spec, 1
    factor = int(match[2])
    if not 1 <= factor <= LARGEST:
        raise UsageError(f"{spec}: the factor after '@' must be 1 to {LARGEST}")
    return match[1], factor


def antialiased(planes: Tensor, height: int, width: int) -> Tensor:
    """(N, C, H, W) float -> (N, C, height, width), bicubic (a = -0.5), its kernel as wide as the shrinking asks."""
    from torch.nn import functional as F

    return F.interpolate(planes, size=(height, width), mode="bicubic", antialias=True, align_corners=False)
