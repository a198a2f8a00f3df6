"""Moments of an input beside each other, and what else its file holds."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, cast

import cv2
import numpy as np

from streamvsr.config import Config, OutputOptions
from streamvsr.errors import SourceError
from streamvsr.footage.sample import Footage
from streamvsr.look.crops import Moment
from streamvsr.media.color.arrays import Pixels
from streamvsr.media.demux import open_source
from streamvsr.reading import UNTOUCHED

MOMENTS = 6
HEIGHT_PX = 120
MOST_TAGS, MOST_TAG_CHARS = 50, 500
"""Of a file's tags no more is handed on: there may be any number, of any length."""


def strip(config: Config, footage: Footage, *, warn: Callable[[str], None]) -> Pixels:
    """(``HEIGHT_PX``, columns, 3) uint8 R'G'B': frames evenly over the length. Raises what reading the input raises."""
    cells: list[Pixels] = []
    for moment in range(MOMENTS if footage.seconds else 1):
        start = Fraction(int(1000 * (footage.seconds or 0) * (2 * moment + 1) / (2 * MOMENTS)), 1000)
        try:
            pixels = Moment(config, start, warn).frame(None, UNTOUCHED)
        except SourceError:
            # The container exaggerates its length, or there is a single frame.
            if cells:
                break
            pixels = Moment(config, Fraction(0), warn).frame(None, UNTOUCHED)
        width = max(1, round(pixels.shape[1] * HEIGHT_PX / pixels.shape[0]))
        cells.append(cast(Pixels, cv2.resize(pixels, (width, HEIGHT_PX), interpolation=cv2.INTER_AREA)))
    return cast(Pixels, np.hstack(cells))


def contents_of(config: Config) -> dict[str, Any]:
    """Plain data on the input's tracks, chapters and tags. Raises what opening the input raises."""
    source = open_source(config.input, OutputOptions())
    try:
        info = source.info
        tags = list(info.metadata.items())[:MOST_TAGS]
        return {
            "tracks": [
                {
                    "kind": track.kind,
                    "codec": track.codec,
                    "language": track.metadata.get("language", ""),
                    "channels": track.channels,
                }
                for track in info.tracks
            ],
            "chapters": len(info.chapters),
            "tags": {name[:MOST_TAG_CHARS]: value[:MOST_TAG_CHARS] for name, value in tags},
            "color": info.video.format.name,
        }
    finally:
        source.stop()
        source.close()
