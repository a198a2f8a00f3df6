"""Hardware that decodes and encodes. What FFmpeg lists says nothing of the machine, so it is tried by opening it."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
from av.codec.hwaccel import HWAccel, hwdevices_available

from streamvsr.media.av_errors import FOREIGN
from streamvsr.media.encode.options import HARDWARE, SOFTWARE_TWIN, is_encoder
from streamvsr.media.encode.pixel_formats import encoder_formats

NO_DECODERS = frozenset({"drm", "opencl"})
"""Devices that FFmpeg lists and that only hold pictures."""

_REFUSALS: tuple[type[BaseException], ...] = (*FOREIGN, RuntimeError)

TRIED_WITH = "h264"
"""A device belongs to a decoder in PyAV; every device that decodes has this one."""


def accelerator(wanted: str, on_warning: Callable[[str], None]) -> HWAccel | None:
    """The device of ``-hwaccel``, to be handed to ``av.open``; None for ``none``, and, with a line, where none opens.

    Decoded pictures come back to main memory. A video that the device cannot decode is decoded in software.
    """
    if wanted == "none":
        return None
    built = [name for name in hwdevices_available() if name not in NO_DECODERS]
    for name in built if wanted == "auto" else [wanted]:
        try:
            HWAccel(name).create(av.Codec(TRIED_WITH, "r"))
        except _REFUSALS:
            continue
        return HWAccel(name)
    tried = f"none of {', '.join(built)}" if wanted == "auto" else "no such device"
    on_warning(f"-hwaccel {wanted}: {tried} can be opened on this machine; decoding in software")
    return None


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
