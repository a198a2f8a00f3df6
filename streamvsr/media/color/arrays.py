"""Frames to and from arrays as OpenCV and most of Python hold images: (height, width, 3), red first. No torch."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from streamvsr.frames import PIXEL_FORMATS, Frame, Plane
from streamvsr.media.av_frames import to_av

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
"""(height, width, 3) of R'G'B', full range: uint8 up to 255, or uint16 up to 65535."""


def rgb_array(frame: Frame, *, deep: bool | None = None) -> Pixels:
    """A new array of the frame's colours, converted as its tags say; alpha is left out.

    ``deep``: uint16; unless given, for frames of more than 8 bits.
    """
    deep = frame.format.bits > 8 if deep is None else deep
    if frame.format.name.startswith(("gbrp", "gbrap")) and frame.format.bits == (16 if deep else 8):
        return cast(Pixels, np.stack(frame.planes[:3], axis=-1))
    return cast(Pixels, to_av(frame, av_format="rgb48le" if deep else "rgb24").to_ndarray())


def with_rgb(frame: Frame, pixels: Pixels) -> Frame:
    """The moment of ``frame`` with other colours; the frame's matrix stays the one to make YUV with again."""
    layout = PIXEL_FORMATS["gbrp" if pixels.dtype == np.uint8 else "gbrp16le"]
    planes = tuple(cast(Plane, np.ascontiguousarray(pixels[..., channel])) for channel in range(3))
    return replace(frame, planes=planes, format=layout)
