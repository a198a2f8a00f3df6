"""What all degradations share: the frame, the random walk, and the interface."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.float32]
"""One frame: (H, W, C) float32, nominal range 0..1. C is 3, R'G'B', or 1, luma with black at 0 and white at 1."""

Name = TypeVar("Name", bound=str)


class Degradation(Protocol):
    """Spoils a sequence. ``frames`` are not changed; as many come back, possibly of another size, not clamped."""

    def apply(self, frames: list[Frame], rng: np.random.Generator) -> list[Frame]: ...


@dataclass(frozen=True, slots=True)
class Walk:
    """A parameter: uniform within its bounds at the first frame, then ``p[i+1] = p[i] + r[i]``, |r| <= ``step``.

    At a bound it turns round: clipping there would make the extremes the most common values.
    """

    low: float
    high: float
    step: float

    def __post_init__(self) -> None:
        if not self.low <= self.high or not 0 <= self.step <= self.high - self.low:
            raise ValueError(f"a walk needs low <= high, and a step of no more than what lies between, {self}")

    def values(self, rng: np.random.Generator) -> Iterator[float]:
        """Endless, one for each frame."""
        value = rng.uniform(self.low, self.high)
        while True:
            yield float(value)
            value += rng.uniform(-self.step, self.step)
            value = self._reflected(value)

    def _reflected(self, value: float) -> float:
        if value > self.high:
            return 2 * self.high - value
        return 2 * self.low - value if value < self.low else value


def as_frame(image: NDArray[Any]) -> Frame:
    """(H, W) or (H, W, C) -> (H, W, C) float32: OpenCV drops the axis of a single channel."""
    frame = np.asarray(image, np.float32)
    return frame if frame.ndim == 3 else frame[:, :, None]


def choose(weights: Mapping[Name, float], rng: np.random.Generator) -> Name:
    """One of the keys, as often as its weight says beside the others."""
    names, shares = list(weights), np.array(list(weights.values()))
    return names[int(rng.choice(len(names), p=shares / shares.sum()))]
