"""Recordings that stand behind each other in one input, on one time line.

A transport stream of a restarted encoder, a playlist with an advertisement, files that were put together with ``cat``:
the clock jumps, back or ahead, in all streams, but at different packets of each. FFmpeg's command line closes jumps
stream by stream; here each recording gets one offset for all its streams, and sound and video keep their distance.

Where a packet begins more than ``JUMP_SECONDS`` before the end of its stream, or more than ``MAX_GAP_SECONDS`` behind
it (where clocks may jump: MPEG streams, HLS; other gaps are real), in this order:

==================================================  ===================================================================
another stream is there already                     no jump: this one alone has paused
another stream has jumped, and this one has not     it follows to the same recording
an earlier clock would be there                     it is taken up again, as behind an advertisement (shorter gaps, too)
anything else                                       a new recording, moved to the end of all that came before
==================================================  ===================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

JUMP_SECONDS = 1
"""Backward steps up to this are disorder, longer ones are another recording. So near is also what belongs together."""

MAX_GAP_SECONDS = 10
"""A longer gap in a format whose clocks may jump is no gap. That of ffmpeg's ``-dts_delta_threshold``."""

FOLLOW_SECONDS = 10
"""How far apart the streams of one recording may begin."""

MAX_REORDERING_SECONDS = 600
"""From the decoding of a frame to its presentation, at any frame rate."""

CLOCKS = 8
"""So many clocks are remembered for those that come back."""


@dataclass(eq=False, slots=True)
class _Clock:
    """One recording's."""

    offset: Fraction
    """To be added to its stamps, in seconds."""
    streams: set[int] = field(default_factory=set)
    """Those that have come to it."""
    reached: dict[int, Fraction] = field(default_factory=dict)
    """Where each stream stopped, in its own stamps."""


class TimestampConcat:
    """Puts recordings that stand behind each other in one file on one time line, all their streams together."""

    def __init__(self, *, clocks_jump: bool = False, now: Callable[[], float] | None = None) -> None:
        """``clocks_jump``: a long gap is a clock that was set, as in formats that have FFmpeg's ``ts_discont``.

        ``now``: the clock on the wall, for packets that come as they are sent: what nothing came for is no jump."""
        self.count = 0
        """Joins, in which frames have nothing to do with those before them."""
        self.last: Fraction | None = None
        """Where the last join is, in seconds on the common line."""
        self._clocks_jump, self._now = clocks_jump, now
        self._came: dict[int, float] = {}
        """When the last packet of each stream came, by ``now``."""
        self._silent = Fraction(0)
        """Seconds for which nothing of the present packet's stream has come."""
        self._clocks = [_Clock(Fraction(0))]
        self._of: dict[int, _Clock] = {}
        """The clock that each stream follows."""
        self._ends: dict[int, Fraction] = {}
        """Where the last packet of each stream ends."""
        self._back = self._ahead = 0

    def damaged_stamp(
        self, stream: int, pts: int | None, dts: int | None, time_base: Fraction
    ) -> Literal["pts", "dts"] | None:
        """Which of a packet's stamps cannot be: where a clock was set anew, both have moved.

        Only in formats whose clocks jump; others have an index, or steps too small to go far astray."""
        if not self._clocks_jump or pts is None or dts is None or stream not in self._ends:
            return None
        clock = self._of[stream]
        shown, decoded = pts * time_base, dts * time_base
        goes_on = abs(shown + clock.offset - self._ends[stream]) <= JUMP_SECONDS
        if goes_on and abs(shown - decoded) > JUMP_SECONDS and self._jumps(stream, decoded, clock):
            return "dts"
        return None if -JUMP_SECONDS <= shown - decoded <= MAX_REORDERING_SECONDS else "pts"

    def ticks(self, stream: int, dts: int | None, duration: int, time_base: Fraction) -> int:
        """What to add to the stamps of a packet of an audio or video stream."""
        clock = self._of.get(stream, self._clocks[-1])
        if self._now is not None:
            now = self._now()
            self._silent = Fraction(now - self._came.get(stream, now)).limit_denominator(1000)
            self._came[stream] = now
        if dts is not None:
            raw = dts * time_base
            if stream in self._ends and self._jumps(stream, raw, clock):
                clock = self._other_clock(stream, raw, clock)
            clock.reached[stream] = raw + duration * time_base
            self._ends[stream] = clock.reached[stream] + clock.offset
        self._of[stream] = clock
        clock.streams.add(stream)
        return round(clock.offset / time_base)

    def sparse_ticks(self, stamp: int | None, time_base: Fraction) -> int:
        """The same for a stream whose packets are few: subtitles belong to the clock by which they are nearest."""
        if stamp is None or not self._ends:
            return round(self._clocks[-1].offset / time_base)
        now = max(self._ends.values())
        nearest = min(reversed(self._clocks), key=lambda clock: abs(stamp * time_base + clock.offset - now))
        return round(nearest.offset / time_base)

    def _jumps(self, stream: int, raw: Fraction, clock: _Clock) -> bool:
        begin = raw + clock.offset
        ahead = begin - self._ends[stream]
        if abs(ahead) <= JUMP_SECONDS:
            return False
        long = self._clocks_jump and ahead > MAX_GAP_SECONDS + self._silent
        if ahead > 0 and not long:
            # A short gap is one, unless a clock of before goes on: where it would be (behind a stray packet, or what
            # stood in place of something), or where it stopped (behind what was put in between).
            stopped = (c.reached.get(stream) for c in self._clocks if c is not clock)
            paused = any(at is not None and abs(raw - at) <= JUMP_SECONDS for at in stopped)
            if not paused and self._earlier(stream, raw) is None:
                return False
        others = (end for other, end in self._ends.items() if other != stream)
        return all(abs(begin - end) > JUMP_SECONDS for end in others)

    def _earlier(self, stream: int, raw: Fraction) -> _Clock | None:
        """A clock of before by which ``raw`` follows what there is of the stream."""
        end = self._ends[stream]
        return next((c for c in reversed(self._clocks) if abs(raw + c.offset - end) <= JUMP_SECONDS), None)

    def _other_clock(self, stream: int, raw: Fraction, before: _Clock) -> _Clock:
        end, newest = self._ends[stream], self._clocks[-1]
        if stream not in newest.streams and abs(raw + newest.offset - end) <= FOLLOW_SECONDS:
            return newest
        self.last = max(self._ends.values())
        self.count += 1
        if raw + before.offset < end:
            self._back += 1
        else:
            self._ahead += 1
        if (earlier := self._earlier(stream, raw)) is not None:
            earlier.streams = {stream}
            self._clocks.remove(earlier)
            self._clocks.append(earlier)
            return earlier
        clock = _Clock(self.last - raw)
        self._clocks = [*self._clocks[1 - CLOCKS :], clock]
        return clock

    def report(self) -> Iterator[str]:
        """At the end: what there is to say of it."""
        if self._back:
            yield (
                f": time stamps jump back {self._back} times, as where recordings were put behind each other; each was "
                "moved behind the one before"
            )
        if self._ahead:
            yield (
                f": time stamps jump ahead {self._ahead} times, as where a sender was restarted or another recording "
                "put in between; the gaps are closed"
            )
