"""What the tests of training and of its networks share."""

from __future__ import annotations

from torch import Tensor

from streamvsr.media.color.shrink import antialiased


def low_resolution(truth: Tensor) -> Tensor:
    """(N, C, 4h, 4w) 0..1 -> (N, C, h, w), shrunk and rounded to the 8 bits that a video would carry."""
    small = antialiased(truth, truth.shape[-2] // 4, truth.shape[-1] // 4)
    return (small * 255).round_().clamp_(0, 255).div_(255)
