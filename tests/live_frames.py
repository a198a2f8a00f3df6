"""Frames, a clock and a camera for the tests of live inputs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from streamvsr.frames import PIXEL_FORMATS, Frame, MediaInfo, Packet, StreamInfo
from streamvsr.media.demux.base import Source
from streamvsr.pipeline import ring as ring_module

TICK = Fraction(1, 25)
GRAY = PIXEL_FORMATS["gray"]


def frame(pts: int, *, discontinuity: bool = False) -> Frame:
    return Frame((np.zeros((4, 4), np.uint8),), GRAY, pts, TICK, discontinuity=discontinuity)


# ---- the ring


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.real = 1000.0, ring_module.time.monotonic
        monkeypatch.setattr(ring_module.time, "monotonic", lambda: self.now)


class Camera(Source):
    """Gives what it is told to, when it is told to."""

    def __init__(self, count: int, *, gate: threading.Event | None = None, error: BaseException | None = None) -> None:
        super().__init__()
        self.info = MediaInfo(StreamInfo(4, 4, GRAY, TICK, Fraction(25)))
        self.count, self.gate, self.error = count, gate, error
        self.stopped = threading.Event()
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[Frame | Packet]:
        for pts in range(self.count):
            yield frame(pts)
        if self.gate is not None:
            self.gate.wait(60)
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        self.stopped.set()
        if self.gate is not None:
            self.gate.set()

    def close(self) -> None:
        self.closed.set()
