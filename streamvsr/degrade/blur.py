"""Blur: Gaussian kernels and their generalised and plateau shapes (Real-ESRGAN, ICCVW 2021, sec. 3.1), and ringing.

And its opposite, the sharpening that cameras and televisions apply.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from streamvsr.degrade.base import Frame, Walk, as_frame, choose

Shape = Literal["iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso", "sinc"]
Kernel = NDArray[np.float32]

REACH_SIGMAS = 3.0
"""A kernel is cut off so many standard deviations from its centre: 1 % of a Gaussian's peak."""


def gaussian(
    size: int, sigma_x: float, sigma_y: float, angle: float, beta: float = 1.0, plateau: bool = False
) -> Kernel:
    """(size, size), sum 1. d: squared Mahalanobis distance of a tap, the ellipse turned by ``angle`` radians.

    exp(-d^beta / 2): Gaussian for ``beta`` 1, pointed below, flat-topped above. ``plateau``: 1 / (1 + d^beta).
    """
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    cos, sin = np.cos(angle), np.sin(angle)
    distance = ((x * cos + y * sin) / sigma_x) ** 2 + ((y * cos - x * sin) / sigma_y) ** 2
    kernel = 1 / (1 + distance**beta) if plateau else np.exp(-(distance**beta) / 2)
    return np.asarray(kernel / kernel.sum(), np.float32)


def ringing(size: int, cutoff: float) -> Kernel:
    """(size, size), sum 1: the ideal low-pass at ``cutoff`` radians a pixel along each axis; its edges ring."""
    row = np.sinc((np.arange(size) - (size - 1) / 2) * cutoff / np.pi)
    kernel = np.outer(row, row)
    return np.asarray(kernel / kernel.sum(), np.float32)


@dataclass(frozen=True, slots=True)
class Blur:
    """One shape for the whole sequence; its width, direction and form walk."""

    probability: float
    shapes: Mapping[Shape, float]
    """Shape -> weight."""
    sigma: Walk = field(default_factory=lambda: Walk(0.2, 3.0, 0.02))
    """Pixels, along each axis of the ellipse."""
    angle: Walk = field(default_factory=lambda: Walk(-np.pi, np.pi, 0.1 * np.pi))
    beta: Walk = field(default_factory=lambda: Walk(0.5, 4.0, 0.05))
    beta_plateau: Walk = field(default_factory=lambda: Walk(1.0, 2.0, 0.1))
    cutoff: Walk = field(default_factory=lambda: Walk(np.pi / 3, np.pi, 0.02 * np.pi))
    largest_px: int = 21

    def apply(self, frames: list[Frame], rng: np.random.Generator) -> list[Frame]:
        if rng.random() >= self.probability:
            return frames
        shape = choose(self.shapes, rng)
        across, along, angle = self.sigma.values(rng), self.sigma.values(rng), self.angle.values(rng)
        beta = (self.beta_plateau if shape.startswith("plateau") else self.beta).values(rng)
        cutoff = self.cutoff.values(rng)
        spoilt = []
        for frame in frames:
            if shape == "sinc":
                kernel = ringing(self.largest_px, next(cutoff))
            else:
                sigma_x = next(across)
                sigma_y = sigma_x if shape.endswith("iso") and not shape.endswith("aniso") else next(along)
                power = next(beta) if "_" in shape else 1.0
                size = min(self.largest_px, 2 * int(np.ceil(REACH_SIGMAS * max(sigma_x, sigma_y))) + 1)
                kernel = gaussian(size, sigma_x, sigma_y, next(angle), power, shape.startswith("plateau"))
            spoilt.append(as_frame(cv2.filter2D(frame, -1, kernel, borderType=cv2.BORDER_REFLECT)))
        return spoilt


@dataclass(frozen=True, slots=True)
class Sharpen:
    """Unsharp masking, of one width for the sequence, with bright and dark seams along edges where it is strong."""

    probability: float
    amount: Walk
    """Factor on what the blur takes away."""
    sigma: tuple[float, float] = (0.6, 1.6)
    """Bounds of the blur's standard deviation, in pixels."""

    def apply(self, frames: list[Frame], rng: np.random.Generator) -> list[Frame]:
        if rng.random() >= self.probability:
            return frames
        sigma, amount = rng.uniform(*self.sigma), self.amount.values(rng)
        spoilt = []
        for frame in frames:
            blurred = as_frame(cv2.GaussianBlur(frame, (0, 0), sigma, borderType=cv2.BORDER_REFLECT))
            spoilt.append((frame + np.float32(next(amount)) * (frame - blurred)).clip(0, 1))
        return spoilt
