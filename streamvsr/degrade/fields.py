"""What is left of interlacing where nobody took it out: the two fields of a frame from two moments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamvsr.degrade.base import Frame


@dataclass(frozen=True, slots=True)
class Interlace:
    """The odd lines of each frame come from the frame after it: combs wherever something moves."""

    probability: float

    def apply(self, frames: list[Frame], rng: np.random.Generator) -> list[Frame]:
        if rng.random() >= self.probability:
            return frames
        combed = []
        for number, frame in enumerate(frames):
            woven = frame.copy()
            woven[1::2] = frames[min(number + 1, len(frames) - 1)][1::2]
            combed.append(woven)
        return combed
