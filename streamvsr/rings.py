"""The rings of a run: how much each may hold, and what all of them can take."""

from __future__ import annotations

from collections.abc import Sequence

from streamvsr.frames import StreamInfo
from streamvsr.pipeline.ring import Ring
from streamvsr.vsr.windows import LATENCY_PARTS

DECODED_FRAMES = 16
"""Frames that wait between decoder and network: enough to smooth a decoder's bursts, small beside a window."""
FINISHED_FRAMES = 8
"""Frames that wait between two later stages; they are large, and the ring's byte bound often comes first."""
LIVE_DECODED_FRAMES = 64
"""Frames of a live input that may wait while they are young enough: what opening it has read ahead comes at once."""
LIVE_FINISHED_FRAMES = 2
"""The same for a live input, where waiting is latency."""


def decoded_ring(latency: float, info: StreamInfo) -> Ring:
    """Behind the source. That of a live input holds what has come in one part of the latency, and drops the oldest."""
    if not info.live:
        return Ring("decoded", DECODED_FRAMES)
    seconds = latency / LATENCY_PARTS
    frames = max(LIVE_DECODED_FRAMES, int(seconds * (info.frame_rate or 0)) + 1)
    return Ring("decoded", frames, drop_oldest=True, max_age_seconds=seconds)


def finished_ring(name: str, *, live: bool) -> Ring:
    """Behind a segment of filters."""
    return Ring(name, LIVE_FINISHED_FRAMES if live else FINISHED_FRAMES)


def most_bytes(rings: Sequence[Ring], decoded: StreamInfo, finished: StreamInfo) -> int:
    """What the rings hold when they are full; frames behind the first are taken to be as the last ones are."""
    total = 0
    for ring, info in zip(rings, [decoded, *[finished] * (len(rings) - 1)], strict=True):
        size = info.format.frame_bytes(info.width, info.height)
        total += size * max(1, min(ring.capacity_frames, ring.capacity_bytes // size))
    return total
