"""Single moments of an input, with a few frames before them for networks that carry a state."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np

from streamvsr.config import Config, ModelOptions, OutputOptions
from streamvsr.errors import NoVideoError
from streamvsr.footage.sample import Footage
from streamvsr.media.color.arrays import Pixels, rgb_array
from streamvsr.reading import UNTOUCHED, open_reader

WARM_UP_FRAMES = 5
"""Frames before the one that is shown: a carried state has settled by then."""


def frame_at(
    config: Config, start: Fraction, chain: str | None, model: ModelOptions, warn: Callable[[str], None]
) -> Pixels:
    """(rows, columns, 3) uint8 R'G'B' of the frame ``WARM_UP_FRAMES`` behind ``start`` seconds, or the last one before.

    ``chain``: as ``-vf``. Raises what reading the input raises, and ``NoVideoError`` where there is no frame.
    """
    output = OutputOptions(frames=WARM_UP_FRAMES + 1, filters=chain)
    begin = (config.input.start or Fraction(0)) + start
    one = replace(config, input=replace(config.input, start=begin or None), output=output, model=model)
    with closing(open_reader(one, warn)) as reader:
        last = deque(reader, maxlen=1)
    if not last:
        raise NoVideoError(f"{config.input.path}: there is no frame at {float(begin):.2f} s")
    return rgb_array(last[0], deep=False)


def liveliest(
    config: Config, footage: Footage, start: Fraction, size: tuple[int, int], warn: Callable[[str], None]
) -> tuple[int, int]:
    """The left upper corner of the part (width, height) of a frame in which most is to be seen, good or bad."""
    pixels = frame_at(config, start, None, UNTOUCHED, warn)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    energy = cv2.boxFilter(np.abs(cv2.Laplacian(grey, cv2.CV_32F)), -1, size, normalize=True)
    height, width = grey.shape
    free = energy[size[1] // 2 : height - size[1] // 2 + 1, size[0] // 2 : width - size[0] // 2 + 1]
    y, x = np.unravel_index(int(np.argmax(free)), free.shape) if free.size else (0, 0)
    # Codecs' blocks and chroma samples stay whole.
    return min(int(x), max(0, footage.width - size[0])) & ~1, min(int(y), max(0, footage.height - size[1])) & ~1


def png(pixels: Pixels) -> bytes:
    _, data = cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]))
    return bytes(data)
