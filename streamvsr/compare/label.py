"""A line of text on a frame, white on a shade of what is below it."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from streamvsr.media.color.arrays import Pixels

HEIGHT_SHARE = 18
"""Capital letters are one part in so many of the frame's height."""

LEAST_LETTER_PX = 9
SHADE = 0.45
"""How much of the frame is left under the text."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_LETTER_PX = 22
"""Height of the font's capital letters at scale 1."""


def fitting_scale(text: str, width: int, height: int, room: float) -> float:
    """The size of letters for frames of this size, of whose width the text may take the part ``room``."""
    letter = max(LEAST_LETTER_PX, height // HEIGHT_SHARE)
    scale = letter / _FONT_LETTER_PX
    (wide, _), _ = cv2.getTextSize(_shown(text), _FONT, scale, 1)
    if wide > width * room:
        scale = max(LEAST_LETTER_PX / _FONT_LETTER_PX, scale * width * room / wide)
    return scale


class Label:
    """Drawn once, blended into every frame. What does not fit the frame is cut off."""

    def __init__(self, text: str, width: int, height: int, scale: float) -> None:
        """``width``, ``height``: of the frames."""
        text = _shown(text)
        thickness = max(1, round(scale * 1.6))
        (wide, tall), below = cv2.getTextSize(text, _FONT, scale, thickness)
        pad = max(2, tall // 3)
        mask: NDArray[np.uint8] = np.zeros((tall + below + 2 * pad, wide + 2 * pad), np.uint8)
        cv2.putText(mask, text, (pad, pad + tall), _FONT, scale, 255, thickness, cv2.LINE_AA)
        self._ink = (mask[:height, :width, None] / np.float32(255)).astype(np.float32)
        self._margin = min(pad, max(0, height - mask.shape[0]), max(0, width - mask.shape[1]))

    def draw(self, pixels: Pixels, *, at_right: bool) -> None:
        """Into the upper left or the upper right corner, in place."""
        tall, wide = self._ink.shape[:2]
        x = pixels.shape[1] - wide - self._margin if at_right else self._margin
        below = pixels[self._margin : self._margin + tall, x : x + wide]
        shaded = below * np.float32(SHADE)
        blended = shaded + (np.iinfo(pixels.dtype).max - shaded) * self._ink
        below[:] = cast(Pixels, np.rint(blended).astype(pixels.dtype))


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
