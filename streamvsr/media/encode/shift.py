"""How far an output of one frame rate shows frames from their times, and the line that says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Any

from av.format import ContainerFormat
from av.format import Flags as FormatFlags

AVI = "avi"
"""Has time stamps in steps of the frame rate: it fills every tick between two frames with an empty packet, so a finer
time base makes it enormous or is refused."""

COUNTED = frozenset({"mxf", "yuv4mpegpipe"})
"""Containers that show each frame for as long as any other, though FFmpeg does not flag them as without time stamps."""

SLACK_SECONDS = Fraction(5, 1000)
"""Nobody sees or hears less."""


@dataclass(slots=True)
class Shift:
    """Seconds by which some frames are shown late; below zero, early."""

    least: Fraction | None = None
    most: Fraction | None = None

    def add(self, late: Fraction) -> None:
        """A frame is shown so much after its time."""
        if self.least is None or self.most is None:
            self.least = self.most = late
        else:
            self.least, self.most = min(self.least, late), max(self.most, late)

    def join(self, behind: Shift, later: Fraction = Fraction(0)) -> None:
        """Take in that of frames which follow, each ``later`` than it says."""
        for late in (behind.least, behind.most):
            if late is not None:
                self.add(late + later)


@dataclass(slots=True)
class Shifts:
    """How far the frames of one encoder are shown from their times."""

    stamped: Shift = field(default_factory=Shift)
    """By the encoder's stamps, where its unit is coarser than the input's."""
    counted: Shift = field(default_factory=Shift)
    """Where only their number counts, against the time of the first."""
    frames: int = 0
    first: Fraction | None = None
    """Seconds of the first."""

    def add(self, seconds: Fraction, stamp: Fraction | None, step: Fraction) -> None:
        """The next frame is due at ``seconds``; ``stamp``: its time in a coarser unit; ``step``: from one to the next,
        where they are counted."""
        if stamp is not None:
            self.stamped.add(stamp - seconds)
        self.first = seconds if self.first is None else self.first
        self.counted.add(self.frames * step - (seconds - self.first))
        self.frames += 1

    def join(self, behind: Shifts, step: Fraction) -> None:
        """Take in those of the segment that follows."""
        self.stamped.join(behind.stamped)
        if behind.first is not None:
            self.first = behind.first if self.first is None else self.first
            self.counted.join(behind.counted, self.frames * step - (behind.first - self.first))
            self.frames += behind.frames

    def line(self, container: str, codec: str, rate: Fraction, tick: Fraction) -> str | None:
        """What to tell of frames that come in ``container`` not at their times; None where they do, but for rounding.

        ``rate``: frames a second of what has one rate; ``tick``: the unit of the input's stamps, in seconds."""
        counted = is_counted(container)
        shift = self.counted if counted else self.stamped
        return shift_line(shift, container if counted or container == AVI else codec, rate, tick)


@lru_cache
def is_counted(container: str) -> bool:
    """Whether nothing but a frame's number says when it is shown."""
    if container == "null":
        return False
    flags: Any = ContainerFormat(container, "w").flags
    return container in COUNTED or bool(flags & FormatFlags.no_timestamps.value)


def is_grid(container: str, codec: str) -> bool:
    """Whether frames can only be shown in steps of the frame rate."""
    return container == AVI or is_counted(container) or codec.startswith(("mpeg1", "mpeg2"))


def shift_line(shift: Shift, name: str, rate: Fraction, tick: Fraction) -> str | None:
    """What to tell of frames that do not lie ``1 / rate`` apart; None where they do, but for the unit ``tick`` of their
    stamps. ``name``: the container, or what else knows one rate only."""
    if shift.least is None or shift.most is None:
        return None
    rounding = tick if 2 * tick * rate < 1 else 0
    if shift.most - shift.least <= rounding + SLACK_SECONDS:
        return None
    moved = [f"{float(-shift.least):.3f} s early"] if shift.least < -SLACK_SECONDS else []
    moved += [f"{float(shift.most):.3f} s late"] if shift.most > SLACK_SECONDS else []
    return (
        f"{name} shows {float(rate):g} frames a second, the input's come at uneven times: they are up to "
        f"{' and '.join(moved)} against the sound; .mkv and .mp4 keep their times, and -r {float(rate):g} repeats and "
        "leaves out frames instead"
    )
