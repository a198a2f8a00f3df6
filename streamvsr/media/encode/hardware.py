"""Hardware encoders. What FFmpeg lists says nothing of the machine, so each is tried by opening it."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av

from streamvsr.media.av_errors import FOREIGN
from streamvsr.media.encode.options import HARDWARE, SOFTWARE_TWIN, is_encoder
from streamvsr.media.encode.pixel_formats import encoder_formats

_REFUSALS: tuple[type[BaseException], ...] = (*FOREIGN, RuntimeError)


def usable_encoder(codec: str, on_warning: Callable[[str], None]) -> str:
    """``codec``; or, with a line, what does it in software where that hardware does not open."""
    twin = SOFTWARE_TWIN.get(codec.split("_")[0])
    if not HARDWARE.search(codec) or twin is None or (is_encoder(codec, "video") and _opens(codec)):
        return codec
    on_warning(f"-c:v {codec}: cannot be used on this machine (no such device, or no driver); {twin} encodes instead")
    return twin


def _opens(codec: str) -> bool:
    context: Any = av.VideoCodecContext.create(codec, "w")
    # More than the least size of any of them.
    context.width, context.height, context.pix_fmt = 640, 480, encoder_formats(codec)[0]
    context.framerate, context.time_base = Fraction(25), Fraction(1, 25)
    try:
        context.open()
    except _REFUSALS:
        return False
    return True
