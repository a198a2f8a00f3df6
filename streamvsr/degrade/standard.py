"""Inputs made from truths, in ways that anybody can repeat.

==============  ======================================================================================================
``bicubic``     x1/4, cubic of Keys (a = -0.5) stretched by four, as MATLAB's ``imresize``; edges renormalised
``bd``          Gaussian blur, sigma 1.6, 13x13, then every fourth pixel from the first on (Vid4, UDM10: "BD")
``noise=N``     white Gaussian noise of N codes (10), the same for each run and each frame number
``h264=CRF``    libx264, preset medium, 4:2:0, constant quality CRF (35), cpu-independent, decoded again
==============  ======================================================================================================

Joined with ``+`` and done in that order: ``noise=8+h264=32``; without one of the first two, ``bicubic`` comes first.
Frames are R'G'B' rounded to 8 bits before they are compressed. ``@N`` behind a path shrinks the truth by N first, as
``bicubic`` does, which hides the compression of clips that are no clean truth.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from streamvsr.build import build
from streamvsr.config import Config, InputOptions, OutputOptions
from streamvsr.errors import SinkError, SourceError, UsageError
from streamvsr.media.color.samples import Values, codes, rgb
from streamvsr.media.color.shrink import antialiased
from streamvsr.reading import UNTOUCHED, open_reader

SCALE = 4
BLUR_SIGMA, BLUR_PX = 1.6, 13
NOISE_SEED = 4
_DEFAULTS = {"bicubic": None, "bd": None, "noise": 10.0, "h264": 35.0}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an input is made from a truth."""

    text: str
    blurred: bool = False
    noise: float = 0.0
    """Standard deviation in codes of 0..255."""
    crf: float | None = None
    """None: not compressed."""


def parse_recipe(text: str) -> Recipe:
    """``bicubic``, ``bd``, ``noise=10+h264=35``... Raises ``UsageError``."""
    found: dict[str, float | None] = {}
    for part in text.split("+"):
        name, equals, value = part.partition("=")
        if name not in _DEFAULTS or (equals and _DEFAULTS[name] is None) or name in found:
            raise UsageError(f"--degrade {text}: expected bicubic, bd, noise=N, h264=CRF, joined with +")
        if equals and not re.fullmatch(r"\d+(\.\d+)?", value):
            raise UsageError(f"--degrade {text}: {name} takes a number, not '{value}'")
        found[name] = float(value) if equals else _DEFAULTS[name]
    if {"bicubic", "bd"} <= found.keys() or list(found) != [name for name in _DEFAULTS if name in found]:
        raise UsageError(f"--degrade {text}: one of bicubic and bd, then noise, then h264")
    if (found.get("h264") or 0) > 51:
        raise UsageError(f"--degrade {text}: h264 takes 0 to 51")
    return Recipe(text, "bd" in found, found.get("noise") or 0.0, found.get("h264"))


def make_clip(
    truth: str, recipe: Recipe, shrink: int, frames: int | None, folder: Path, warn: Callable[[str], None]
) -> tuple[str, str]:
    """Write the input into ``folder``; (path of the input, path of the truth that fits it).

    The truth is a copy in ``folder`` where it has to be shrunk, or cut to whole multiples of what the scale and 4:2:0
    ask for. Streamed: one frame is held.
    """
    unit = SCALE * (1 if recipe.crf is None else 2)
    low, high = folder / "low", folder / "truth"
    low.mkdir(parents=True)
    config = Config(InputOptions(path=truth), OutputOptions(frames=frames), UNTOUCHED)
    with closing(open_reader(config, warn)) as reader:
        video = reader.media.video
        width, height = (side // shrink // unit * unit for side in (video.width, video.height))
        if not width or not height:
            raise SourceError(f"'{truth}': {video.width}x{video.height} is too small to be shrunk by {shrink * SCALE}")
        copied = (width, height) != (video.width, video.height)
        if copied:
            high.mkdir()
        for number, frame in enumerate(reader):
            values = rgb(frame)
            if shrink > 1:
                values = _shrunk(values, shrink)
            values = codes(values[:height, :width]).astype(np.float32)
            if copied:
                _write(high / f"{number:08}.png", values)
            _write(low / f"{number:08}.png", degraded(values, recipe, number))
        rate = video.frame_rate
    if recipe.crf is None:
        return str(low), str(high) if copied else truth
    target = folder / "low.mp4"
    output = OutputOptions(
        path=str(target), video_codec="libx264", crf=recipe.crf, preset="medium", pixel_format="yuv420p",
        # Without it the look-ahead of x264 differs from run to run on small frames.
        options={"x264-params": "cpu-independent=1"},
    )  # fmt: skip
    run = build(Config(InputOptions(path=str(low), rate=rate), output, UNTOUCHED), warn=warn)
    run.start()
    run.wait()
    run.result()
    return str(target), str(high) if copied else truth


def degraded(truth: Values, recipe: Recipe, number: int) -> Values:
    """(4h, 4w, 3) of 0..255 to (h, w, 3), rounded; ``number``: of the frame, for its noise."""
    if recipe.blurred:
        wide = cv2.GaussianBlur(truth, (BLUR_PX, BLUR_PX), BLUR_SIGMA, borderType=cv2.BORDER_REFLECT)
        small = np.asarray(wide, np.float32)[::SCALE, ::SCALE]
    else:
        small = _shrunk(truth, SCALE)
    if recipe.noise:
        random = np.random.default_rng((NOISE_SEED, number))
        small = small + random.normal(0, recipe.noise, small.shape).astype(np.float32)
    return codes(small).astype(np.float32)


def _shrunk(values: Values, factor: int) -> Values:
    import torch

    height, width = values.shape[0] // factor, values.shape[1] // factor
    cut = np.ascontiguousarray(values[: height * factor, : width * factor])
    planes = torch.from_numpy(cut).permute(2, 0, 1)[None]
    return np.ascontiguousarray(antialiased(planes, height, width)[0].permute(1, 2, 0).numpy())


def _write(path: Path, values: Values) -> None:
    if not cv2.imwrite(str(path), codes(values)[..., ::-1]):
        raise SinkError(f"{path}: cannot be written")
