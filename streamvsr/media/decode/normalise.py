"""Decoded frames to the frames of a run: de-interlaced, upright, of one size and format, with time stamps that grow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import av

from streamvsr.config import OutputOptions
from streamvsr.frames import Color, Frame, StreamInfo
from streamvsr.media.av_frames import from_av
from streamvsr.media.decode.clock import MAX_FRAME_RATE, Clock, ConstantClock
from streamvsr.media.decode.concat import TimestampConcat
from streamvsr.media.decode.conform import Deinterlacer, Fitter, Orientation, Rotator


class _Stamp(NamedTuple):
    """When a frame is shown, and for how long, in ticks of the clock."""

    pts: int
    duration: int
    cut: bool
    """Another recording begins here."""


class Normaliser:
    """Set up by the first frame of a stream; ``push`` each frame, the first one included, then ``flush``."""

    def __init__(
        self,
        info: StreamInfo,
        orientation: Orientation,
        colors: Color,
        clock: Clock | ConstantClock,
        joins: TimestampConcat,
        output: OutputOptions,
        on_warning: Callable[[str], None],
    ) -> None:
        """``info`` describes the frames that are to come out; ``orientation`` and ``colors`` are what the first one
        says of itself; ``on_warning`` gets a sentence without the input's name.

        ``joins`` are those of the packets that the frames were decoded from.
        """
        self._clock, self._concat, self._on_warning = clock, joins, on_warning
        self._joined = 0
        self._at = 0
        self._rotator = Rotator(orientation if output.autorotate else Orientation())
        self._fitter = Fitter(info, colors, self._size_changed)
        self._deinterlacer: Deinterlacer[_Stamp] | None = None
        if output.deinterlace == "auto":
            self._deinterlacer = Deinterlacer(self._interlaced)

    def push(self, frame: av.VideoFrame) -> Iterator[Frame]:
        stamp = self._stamped(frame)
        if self._deinterlacer is None:
            yield self._frame(frame, stamp)
            return
        for progressive, its_stamp in self._deinterlacer.push(frame, stamp, cut=stamp.cut):
            yield self._frame(progressive, its_stamp)

    def flush(self) -> Iterator[Frame]:
        if self._deinterlacer is not None:
            for frame, stamp in self._deinterlacer.flush():
                yield self._frame(frame, stamp)

    def restart(self) -> None:
        """What is pushed next does not follow what was pushed before."""
        if self._deinterlacer is not None:
            self._deinterlacer.restart()

    def report(self) -> Iterator[str]:
        """At the end: what there is to say of the time stamps."""
        if self._clock.jumps:
            yield f": time stamps jump back {self._clock.jumps} times; sound may be off"

    def _stamped(self, frame: av.VideoFrame) -> _Stamp:
        pts = self._clock(frame.pts, frame.dts, frame.duration or 0)
        ticks = 1 if isinstance(self._clock, ConstantClock) else frame.duration or 0
        duration = ticks * self._clock.parts
        if duration * self._clock.time_base * MAX_FRAME_RATE < 1:
            duration = 0  # One tick of a container that claims 1000 frames a second.
        cut = False
        if self._concat.last is not None and frame.pts is not None and frame.time_base is not None:
            cut = self._joined != self._concat.count and frame.pts * frame.time_base >= self._concat.last
            self._joined = self._concat.count if cut else self._joined
        return _Stamp(pts, duration, cut)

    def _frame(self, frame: av.VideoFrame, stamp: _Stamp) -> Frame:
        self._at = stamp.pts
        fitted, color, another = self._fitter(self._rotator(frame))
        return from_av(
            fitted,
            pts=stamp.pts,
            time_base=self._clock.time_base,
            duration=stamp.duration,
            color=color,
            discontinuity=another or stamp.cut,
        )

    def _interlaced(self) -> None:
        self._on_warning(": interlaced frames are de-interlaced first (bwdif); -deinterlace off leaves them")

    def _size_changed(self, what: str) -> None:
        self._on_warning(f", at {float(self._at * self._clock.time_base):.2f} s: {what}")
