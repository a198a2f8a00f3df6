"""Which degradations are applied, in which order and how strongly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streamvsr.degrade.base import Degradation, Frame, Walk
from streamvsr.degrade.blur import Blur, Shape, Sharpen
from streamvsr.degrade.codec import VideoCompression
from streamvsr.degrade.fields import Interlace
from streamvsr.degrade.noise import ChromaNoise, Jpeg, Noise
from streamvsr.degrade.resize import ANTIALIASED, Resize, Shrink


@dataclass(frozen=True, slots=True)
class Recipe:
    """Degradations in their order."""

    stages: tuple[Degradation, ...]

    def degrade(self, frames: Sequence[Frame], rng: np.random.Generator) -> list[Frame]:
        """Clean frames of one size (4h, 4w, C) -> low-resolution ones (h, w, C), clipped and rounded to 8 bits."""
        spoilt = list(frames)
        for stage in self.stages:
            spoilt = stage.apply(spoilt, rng)
        return [((frame * 255).round() / 255).clip(0, 1).astype(np.float32) for frame in spoilt]


SHAPES: Mapping[Shape, float] = {
    "iso": 0.405, "aniso": 0.225, "generalized_iso": 0.108, "generalized_aniso": 0.027,
    "plateau_iso": 0.108, "plateau_aniso": 0.027, "sinc": 0.1,
}  # fmt: skip
CODECS_OLD_AND_NEW: Mapping[str, float] = {"h264": 0.6, "mpeg4": 0.15, "mpeg2": 0.1, "vp9": 0.15}

CLEAN = Recipe((Shrink(methods={ANTIALIASED: 1.0}),))
"""Only shrunk."""

LIGHT = Recipe(
    (
        Blur(0.1, SHAPES, sigma=Walk(0.2, 1.0, 0.02), largest_px=7),
        Shrink(methods={ANTIALIASED: 1.0}),
        Noise(0.75, sigma=Walk(0.0, 8.0, 0.2), scale=Walk(0.0, 0.6, 0.02)),
        VideoCompression(0.9, {"h264": 0.7, "mpeg4": 0.1, "mpeg2": 0.1, "vp9": 0.1}, strength=(0.0, 0.8)),
    )
)
"""Hardly more than noise and compression: what an upload does to a good recording."""

REAL = Recipe(
    (
        Blur(0.3, SHAPES, sigma=Walk(0.2, 1.5, 0.02), largest_px=9),
        Shrink(methods={ANTIALIASED: 0.8, "area": 0.1, "bicubic": 0.1}),
        Resize(0.05, Walk(0.7, 1.3, 0.01)),
        Noise(0.75, sigma=Walk(0.0, 10.0, 0.2), scale=Walk(0.0, 0.8, 0.02)),
        Jpeg(0.05, quality=Walk(50, 95, 3)),
        VideoCompression(0.9, CODECS_OLD_AND_NEW),
    )
)
"""What a phone, a camera and an upload do: one round, of moderate strength."""

PAPER = Recipe(
    (
        Blur(1.0, SHAPES),
        Resize(0.9, Walk(0.15, 1.5, 0.015), inside=(
            Noise(1.0, sigma=Walk(1, 30, 0.1), scale=Walk(0.05, 3.0, 0.005)), Jpeg(1.0, quality=Walk(30, 95, 3)))),
        Blur(0.8, SHAPES, sigma=Walk(0.2, 1.5, 0.02)),
        Shrink(methods={"area": 1.0, "bilinear": 1.0, "bicubic": 1.0}),
        Resize(0.7, Walk(0.3, 1.2, 0.03), inside=(
            Noise(1.0, sigma=Walk(1, 25, 0.1), scale=Walk(0.05, 2.5, 0.005)), Jpeg(1.0, quality=Walk(30, 95, 3)))),
        VideoCompression(1.0, {"h264": 1, "mpeg4": 1, "vp9": 1}),
        Blur(0.8, {"sinc": 1.0}),
    )
)  # fmt: skip
"""Two rounds, as strong as those that RealBasicVSR was trained with, and compression between them and the end."""

WEB = Recipe(
    (
        Blur(0.25, SHAPES, sigma=Walk(0.2, 1.3, 0.02), largest_px=9),
        Shrink(methods={ANTIALIASED: 0.6, "area": 0.2, "bicubic": 0.1, "bilinear": 0.1}),
        Resize(0.2, Walk(0.5, 0.9, 0.0)),
        Sharpen(0.15, Walk(0.2, 1.5, 0.02)),
        Interlace(0.03),
        Noise(0.5, sigma=Walk(0.0, 12.0, 0.2), scale=Walk(0.0, 0.9, 0.02)),
        ChromaNoise(0.15, sigma=Walk(2.0, 10.0, 0.2)),
        Jpeg(0.03, quality=Walk(40, 95, 3)),
        VideoCompression(0.1, {"h264": 1.0}, strength=(0.0, 0.6)),
        VideoCompression(
            0.85, {"h264": 0.66, "mpeg4": 0.12, "mpeg2": 0.11, "vp9": 0.11}, strength=(0.15, 0.95)
        ),
    )
)  # fmt: skip
"""What people have: phones, the web, cameras, old files. One sequence in ten or so comes out nearly clean."""

RECIPES: Mapping[str, Recipe] = {"clean": CLEAN, "light": LIGHT, "real": REAL, "web": WEB, "paper": PAPER}
