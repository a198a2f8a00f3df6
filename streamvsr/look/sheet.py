"""A contact sheet: the same places of three moments, enlarged in every way that is at hand."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from typing import cast

import cv2
import numpy as np

from streamvsr.build import build
from streamvsr.compare.label import Label, fitting_scale
from streamvsr.config import Config, ModelOptions, OutputOptions
from streamvsr.errors import SourceError
from streamvsr.footage.choose import Choice
from streamvsr.footage.sample import Footage
from streamvsr.media.color.arrays import Pixels, rgb_array
from streamvsr.models import registry
from streamvsr.pipeline.frame_sink import FrameReader, FrameSink

MOMENTS = 3
WARM_UP_FRAMES = 5
"""Frames before the one that is shown: a carried state has settled by then."""
CELL = (400, 300)
"""Width and height of a cell, in pixels of the result: 1 to 1, never scaled."""
SCALE = 4
CANDIDATES = ("bicubic", "rt", "rt-real", "realesr-general-x4v3", "animesr_v2", "realbasicvsr_x4")
"""Those whose weights are at hand are shown."""
MARK = "* "
"""Before the name of the one that was chosen."""


def candidates(choice: Choice) -> list[str]:
    """Names for ``--model``, the chosen one among them."""
    known = {known.name for known in registry.known_checkpoints()}
    there = [name for name in CANDIDATES if name not in known or registry.is_here(name)]
    return there if choice.model in there else [*there, choice.model]


def sheet(config: Config, footage: Footage, choice: Choice, *, warn: Callable[[str], None]) -> Pixels:
    """(rows, columns, 3) uint8 R'G'B': a row a moment, a column a candidate. Raises what reading the input raises."""
    width, height = (min(side, SCALE * own) for side, own in zip(CELL, (footage.width, footage.height), strict=True))
    size = (width // SCALE, height // SCALE)
    names = candidates(choice)
    texts = [f"{MARK if name == choice.model else ''}{name}" for name in names]
    scale = min(fitting_scale(text, width, height, 0.9) for text in texts)
    rows = []
    for moment in range(MOMENTS):
        start = Fraction(int(1000 * (footage.seconds or 0) * (2 * moment + 1) / (2 * MOMENTS)), 1000)
        place = _place(config, footage, start, size, warn)
        row = []
        for name, text in zip(names, texts, strict=True):
            model = replace(config.model, model=name)
            if name == choice.model and model.strength is None:
                model = replace(model, strength=choice.strength)
            crop = f"crop={size[0]}:{size[1]}:{place[0]}:{place[1]}"
            pixels = _last(config, start, f"{crop},vsr", model, warn)
            cell = cast(Pixels, np.zeros((height, width, 3), np.uint8))
            cell[: pixels.shape[0], : pixels.shape[1]] = pixels[:height, :width]
            Label(text, width, height, scale).draw(cell, at_right=False)
            row.append(cell)
        rows.append(np.hstack(row))
    return cast(Pixels, np.vstack(rows))


def _place(
    config: Config, footage: Footage, start: Fraction, size: tuple[int, int], warn: Callable[[str], None]
) -> tuple[int, int]:
    """The left upper corner of the liveliest part of a frame: where most is to be seen, good or bad."""
    pixels = _last(config, start, None, ModelOptions(model="identity"), warn)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    energy = cv2.boxFilter(np.abs(cv2.Laplacian(grey, cv2.CV_32F)), -1, size, normalize=True)
    height, width = grey.shape
    free = energy[size[1] // 2 : height - size[1] // 2 + 1, size[0] // 2 : width - size[0] // 2 + 1]
    y, x = np.unravel_index(int(np.argmax(free)), free.shape) if free.size else (0, 0)
    # Codecs' blocks and chroma samples stay whole.
    return min(int(x), max(0, footage.width - size[0])) & ~1, min(int(y), max(0, footage.height - size[1])) & ~1


def _last(
    config: Config, start: Fraction, chain: str | None, model: ModelOptions, warn: Callable[[str], None]
) -> Pixels:
    """The frame at ``start``, or the last one before it."""
    output = OutputOptions(frames=WARM_UP_FRAMES + 1, filters=chain, no_audio=True, no_subtitles=True, no_data=True)
    begin = (config.input.start or Fraction(0)) + start
    one = replace(config, input=replace(config.input, start=begin or None), output=output, model=model)
    frame_sink = FrameSink()
    with closing(FrameReader(build(one, warn=warn, frame_sink=frame_sink), frame_sink)) as reader:
        last = deque(reader, maxlen=1)
    if not last:
        raise SourceError(f"{config.input.path}: there is no frame at {float(begin):.2f} s")
    return rgb_array(last[0], deep=False)


def png(pixels: Pixels) -> bytes:
    _, data = cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]))
    return bytes(data)


__all__: Sequence[str] = ["candidates", "png", "sheet"]
