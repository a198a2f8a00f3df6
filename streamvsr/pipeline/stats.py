"""What a run tells about itself while it goes and when it is over."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class RingLevel:
    name: str
    frames: int
    capacity: int


@dataclass(frozen=True, slots=True)
class Progress:
    """A snapshot, cheap to take from any thread at any time."""

    frames_in: int
    frames_out: int
    frames_total: int | None
    """How many frames are expected to come out; a hint of the container's, not a promise."""
    seconds_total: Fraction | None
    position_seconds: Fraction | None
    """Presentation time of the newest frame written."""
    dropped: int
    rings: tuple[RingLevel, ...]
    elapsed_seconds: float
    fps: float
    """Frames written per second over the last few seconds."""
    latency_seconds: float | None = None
    """From the decoder to the encoder, of the newest frame written; None where the input is not live."""
    longest_latency_seconds: float | None = None
    encoded_bytes: int = 0
    """Of video packets by now; 0 where there are none."""
    stage_seconds: tuple[tuple[str, float], ...] = ()
    """Name of each stage, and how long it worked."""
    stopping: bool = False
    """A stop was requested: frames in flight are being finished."""


@dataclass(frozen=True, slots=True)
class StageStats:
    """Where a stage's time went. busy + wait_in + wait_out is the stage's whole life."""

    name: str
    frames: int
    busy_seconds: float
    wait_in_seconds: float
    """Waiting for the stage before: it is slower."""
    wait_out_seconds: float
    """Waiting for room in the ring behind: the next stage is slower."""
    parts: tuple[tuple[str, int, float], ...] = ()
    """Of what a filter stage consists: the name of each filter, the frames it took, and the seconds it worked."""


class StageClock:
    """Counts one stage's frames and waits. Written by the stage's thread alone; others only read."""

    def __init__(self) -> None:
        self.frames = 0
        self.wait_in_seconds = 0.0
        self.wait_out_seconds = 0.0
        self.parts: Callable[[], Sequence[tuple[str, int, float]]] = tuple
        """Where the stage's work can be told apart; see ``StageStats.parts``."""
        self._started: float | None = None
        self._ended: float | None = None

    def start(self) -> None:
        self._started = time.perf_counter()

    def end(self) -> None:
        self._ended = time.perf_counter()

    def stats(self, name: str) -> StageStats:
        if self._started is None:
            return StageStats(name, 0, 0.0, 0.0, 0.0)
        life = (self._ended or time.perf_counter()) - self._started
        busy = max(0.0, life - self.wait_in_seconds - self.wait_out_seconds)
        waits = self.wait_in_seconds, self.wait_out_seconds
        return StageStats(name, self.frames, busy, *waits, tuple(self.parts()))


class LatencyMeter:
    """How long frames are on their way. One thread says what came, another what left; anyone may look."""

    MOST_FRAMES = 1 << 14
    """Remembered at a time; what is on its way is bounded by the rings."""

    def __init__(self) -> None:
        self.seconds: float | None = None
        self.most_seconds: float | None = None
        self._came: deque[tuple[Fraction, float]] = deque(maxlen=self.MOST_FRAMES)

    def arrived(self, seconds: Fraction) -> None:
        """A frame with this time stamp arrived."""
        self._came.append((seconds, time.monotonic()))

    def departed(self, seconds: Fraction) -> None:
        """A frame with this time stamp went out; those before it that did not were dropped."""
        while self._came and self._came[0][0] <= seconds:
            self.seconds = time.monotonic() - self._came.popleft()[1]
        if self.seconds is not None:
            self.most_seconds = max(self.seconds, self.most_seconds or 0.0)


class RateMeter:
    """Frames per second over the last ``SPAN_SECONDS``. Used under its owner's care: one writer, many readers."""

    SPAN_SECONDS = 5.0

    def __init__(self) -> None:
        self._ticks: deque[tuple[float, int]] = deque(maxlen=512)

    def tick(self, frames: int) -> None:
        now = time.perf_counter()
        # A few marks a second are enough, and 512 of them always span more than SPAN_SECONDS.
        if not self._ticks or now - self._ticks[-1][0] >= 0.05:
            self._ticks.append((now, frames))

    def rate(self, frames: int) -> float:
        now = time.perf_counter()
        for moment, count in tuple(self._ticks):
            if now - moment <= self.SPAN_SECONDS and frames > count:
                return (frames - count) / (now - moment)
        return 0.0
