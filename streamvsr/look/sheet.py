"""A contact sheet: the same places of three moments, enlarged in every way that is at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import cast

import numpy as np

from streamvsr.compare.label import Label, fitting_scale
from streamvsr.config import Config
from streamvsr.footage.choose import Choice
from streamvsr.footage.sample import Footage
from streamvsr.look.crops import Moment
from streamvsr.media.color.arrays import Pixels
from streamvsr.models import registry

MOMENTS = 3
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
        frames = Moment(config, start, warn)
        place = frames.liveliest(footage, size)
        row = []
        for name, text in zip(names, texts, strict=True):
            model = replace(config.model, model=name)
            if name == choice.model and model.strength is None:
                model = replace(model, strength=choice.strength)
            crop = f"crop={size[0]}:{size[1]}:{place[0]}:{place[1]}"
            pixels = frames.frame(f"{crop},vsr", model, alone=name == "bicubic")
            cell = cast(Pixels, np.zeros((height, width, 3), np.uint8))
            cell[: pixels.shape[0], : pixels.shape[1]] = pixels[:height, :width]
            Label(text, width, height, scale).draw(cell, at_right=False)
            row.append(cell)
        rows.append(np.hstack(row))
    return cast(Pixels, np.vstack(rows))
