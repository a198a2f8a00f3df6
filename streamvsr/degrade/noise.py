"""Noise of sensors, and JPEG's artefacts: what spoils each frame for itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np

from streamvsr.degrade.base import Frame, Walk, as_frame, choose

PHOTONS_AT_WHITE = 256
"""Of which Poisson noise of scale 1 is the statistics; its strength at white is then 16 steps of 8 bits."""


@dataclass(frozen=True, slots=True)
class Noise:
    """Gaussian, or Poisson, which grows with the root of the brightness; one kind a sequence, its strength walks."""

    probability: float
    sigma: Walk
    """Standard deviation of the Gaussian noise in steps of 8 bits."""
    scale: Walk
    """Factor on the Poisson noise; see ``PHOTONS_AT_WHITE``."""
    kinds: Mapping[Literal["gaussian", "poisson"], float] = field(
        default_factory=lambda: {"gaussian": 1.0, "poisson": 1.0}
    )
    gray_probability: float = 0.4
    """How often the noise is the same in all channels."""

    def apply(self, frames: list[Frame], rng: np.random.Generator) -> list[Frame]:
        if rng.random() >= self.probability:
            return frames
        kind, gray = choose(self.kinds, rng), rng.random() < self.gray_probability
        strength = (self.sigma if kind == "gaussian" else self.scale).values(rng)
        return [frame + self._noise(frame, kind, gray, next(strength), rng) for frame in frames]

    @staticmethod
    def _noise(frame: Frame, kind: str, gray: bool, strength: float, rng: np.random.Generator) -> Frame:
        seen = frame.mean(2, keepdims=True) if gray else frame
        if kind == "gaussian":
            return rng.standard_normal(seen.shape, np.float32) * np.float32(strength / 255)
        expected = seen.clip(0, 1) * PHOTONS_AT_WHITE
        arrived = rng.poisson(expected).astype(np.float32)
        return np.asarray((arrived - expected) * (strength / PHOTONS_AT_WHITE), np.float32)


@dataclass(frozen=True, slots=True)
class ChromaNoise:
    """Coarse noise of the colours alone, as cameras leave it in the dark: blotches of a few pixels.

    Made at a random part of the size and enlarged; luma (BT.601) stays as it is. Grey frames are left alone.
    """

    probability: float
    sigma: Walk
    """Standard deviation in steps of 8 bits, of B'-Y' and R'-Y'."""
    coarseness: tuple[float, float] = (1.0, 4.0)
    """Bounds of the blotches' size in pixels, drawn once a sequence."""

    def apply(self, frames: list[Frame], rng: np.random.Generator) -> list[Frame]:
        if rng.random() >= self.probability or frames[0].shape[2] == 1:
            return frames
        coarse, sigma = rng.uniform(*self.coarseness), self.sigma.values(rng)
        return [frame + self._noise(frame, coarse, next(sigma), rng) for frame in frames]

    @staticmethod
    def _noise(frame: Frame, coarse: float, sigma: float, rng: np.random.Generator) -> Frame:
        height, width = frame.shape[:2]
        small = (max(1, round(height / coarse)), max(1, round(width / coarse)), 2)
        blotches = cv2.resize(rng.standard_normal(small, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        blue, red = np.moveaxis(blotches * np.float32(sigma / 255), 2, 0)
        # The green that keeps 0.299 R' + 0.587 G' + 0.114 B' as it was.
        return np.stack((red, -(0.299 * red + 0.114 * blue) / 0.587, blue), 2)


@dataclass(frozen=True, slots=True)
class Jpeg:
    """Through JPEG and back; the quality walks."""

    probability: float
    quality: Walk

    def apply(self, frames: list[Frame], rng: np.random.Generator) -> list[Frame]:
        if rng.random() >= self.probability:
            return frames
        quality = self.quality.values(rng)
        return [self._through(frame, round(next(quality))) for frame in frames]

    @staticmethod
    def _through(frame: Frame, quality: int) -> Frame:
        eight_bits = (frame * 255).round().clip(0, 255).astype(np.uint8)
        gray = frame.shape[2] == 1
        encodable = eight_bits if gray else cv2.cvtColor(eight_bits, cv2.COLOR_RGB2BGR)
        done, data = cv2.imencode(".jpg", encodable, (cv2.IMWRITE_JPEG_QUALITY, quality))
        decoded = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR_RGB)
        assert done
        assert decoded is not None
        return as_frame(decoded.astype(np.float32) / np.float32(255))
