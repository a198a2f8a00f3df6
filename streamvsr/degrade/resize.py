"""Resizing by a random kernel, as cameras, players and editors do it: well, badly, twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch

from streamvsr.degrade.base import Degradation, Frame, Walk, as_frame, choose
from streamvsr.media.color.shrink import antialiased

FLAGS: Mapping[str, int] = {"area": cv2.INTER_AREA, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
"""OpenCV's. The last two read few pixels and so alias when they shrink, as much real footage does."""
ANTIALIASED = "antialiased"
"""What the literature calls bicubic: ``streamvsr.media.color.shrink``."""


def resize(frame: Frame, height: int, width: int, method: str) -> Frame:
    if frame.shape[:2] == (height, width):
        return frame
    if method != ANTIALIASED:
        return as_frame(cv2.resize(frame, (width, height), interpolation=FLAGS[method]))
    planes = torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1)))[None]
    result: Frame = np.ascontiguousarray(antialiased(planes, height, width)[0].numpy().transpose(1, 2, 0))
    return result


@dataclass(frozen=True, slots=True)
class Resize:
    """To a walking share of the size that the frames have and back, so that all frames of a sequence keep one size.

    ``inside`` is applied at the size between; it may hold only what treats each frame for itself.
    """

    probability: float
    scale: Walk
    methods: Mapping[str, float] = field(default_factory=lambda: {"area": 1.0, "bilinear": 1.0, "bicubic": 1.0})
    """Method -> weight."""
    inside: tuple[Degradation, ...] = ()

    def apply(self, frames: list[Frame], rng: np.random.Generator) -> list[Frame]:
        height, width = frames[0].shape[:2]
        active = rng.random() < self.probability
        if active:
            scale, method = self.scale.values(rng), choose(self.methods, rng)
            shares = [next(scale) for _ in frames]
            sizes = [(max(1, round(height * share)), max(1, round(width * share))) for share in shares]
            frames = [resize(frame, *size, method) for frame, size in zip(frames, sizes, strict=True)]
        for degradation in self.inside:
            frames = degradation.apply(frames, rng)
        if active:
            method = choose(self.methods, rng)
            frames = [resize(frame, height, width, method) for frame in frames]
        return frames


@dataclass(frozen=True, slots=True)
class Shrink:
    """To 1/``factor`` of the height and width, by one method for the whole sequence."""

    factor: int = 4
    methods: Mapping[str, float] = field(default_factory=lambda: {ANTIALIASED: 0.7, "area": 0.2, "bicubic": 0.1})
    """Method -> weight."""

    def apply(self, frames: list[Frame], rng: np.random.Generator) -> list[Frame]:
        method = choose(self.methods, rng)
        height, width = (size // self.factor for size in frames[0].shape[:2])
        return [resize(frame, height, width, method) for frame in frames]
