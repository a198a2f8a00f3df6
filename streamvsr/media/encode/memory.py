"""What an encoder takes of main memory: the frames that it looks ahead at, and its own copies of them.

Measured on 1280x720 to 7680x4320, 8-bit 4:2:0 (``benchmarks/RESULTS.md``): good to a third.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from streamvsr.frames import StreamInfo
from streamvsr.threads import processors, x264_threads

LOOKAHEAD = {
    "libx264": {
        "ultrafast": 0, "superfast": 0, "veryfast": 10, "faster": 20, "fast": 30, "medium": 40, "slow": 50,
        "slower": 60, "veryslow": 60, "placebo": 60,
    },
    "libx265": {
        "ultrafast": 5, "superfast": 10, "veryfast": 15, "faster": 15, "fast": 15, "medium": 20, "slow": 25,
        "slower": 40, "veryslow": 40, "placebo": 60,
    },
}  # fmt: skip
"""Frames, by encoder and preset."""
B_FRAMES = 3
REFERENCES = 5
"""With one that is being written: frames that are kept with their half-pixel planes."""


class Held(NamedTuple):
    """How an encoder holds frames."""

    frames: int
    """In it before the first packet leaves."""
    frame_bytes: float
    """For each of these, and each pixel of 8-bit 4:2:0."""
    own_bytes: float
    """For each pixel, however many frames there are."""


def held(codec: str, preset: str | None, options: Mapping[str, str], usable: int, height: int) -> Held:
    """``options``: as FFmpeg names them. ``usable``: processors that the encoder may use. ``height``: of the frames."""
    stated = options.get("threads", "")
    if codec in LOOKAHEAD:
        parameters = options.get("x264-params", "") + ":" + options.get("x265-params", "")
        written = options.get("rc-lookahead") or (re.findall(r"rc-lookahead=(\d+)", parameters) or [None])[-1]
        ahead = LOOKAHEAD[codec].get(preset or "medium", LOOKAHEAD[codec]["medium"])
        if written is not None and written.isdigit():
            ahead = int(written)
        if codec == "libx265":
            return Held(ahead + B_FRAMES + 4, 8.0, 10.0)
        workers = int(stated) if stated.isdigit() and int(stated) else x264_threads(usable, height)
        if options.get("tune") == "zerolatency":
            return Held(1, 3.5, 6.0 * REFERENCES)
        return Held(ahead + B_FRAMES * (ahead > 0) + workers + 1, 3.5, 6.0 * (workers + REFERENCES))
    if codec == "libsvtav1":
        return Held(75, 4.0, 100.0)
    if codec in ("libvpx", "libvpx-vp9"):
        return Held(25, 1.5, 140.0)
    return Held(4, 1.5, 6.0)


def encoder_bytes(
    codec: str, preset: str | None, options: Mapping[str, str], info: StreamInfo, frames: int | None
) -> int:
    """For frames like ``info``, of which ``frames`` come; None: any number."""
    one = held(codec, preset, options, processors(), info.height)
    pixels = info.width * info.height
    deep = info.format.frame_bytes(info.width, info.height) / (1.5 * pixels)
    count = one.frames if frames is None else min(frames, one.frames)
    return int(pixels * deep * (count * one.frame_bytes + one.own_bytes))
