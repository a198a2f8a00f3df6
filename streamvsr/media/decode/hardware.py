"""Hardware that decodes. What FFmpeg lists says nothing of the machine, so it is tried by opening it."""

from __future__ import annotations

from collections.abc import Callable

import av
from av.codec.hwaccel import HWAccel, hwdevices_available

from streamvsr.media.av_errors import FOREIGN

NO_DECODERS = frozenset({"drm", "opencl"})
"""Devices that FFmpeg lists and that only hold frames."""

_REFUSALS: tuple[type[BaseException], ...] = (*FOREIGN, RuntimeError)

TRIED_WITH = "h264"
"""A device belongs to a decoder in PyAV; every device that decodes has this one."""


def accelerator(wanted: str, on_warning: Callable[[str], None]) -> HWAccel | None:
    """The device of ``-hwaccel``, to be handed to ``av.open``; None for ``none``, and, with a line, where none opens.

    Decoded frames come back to main memory. A video that the device cannot decode is decoded in software.
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
