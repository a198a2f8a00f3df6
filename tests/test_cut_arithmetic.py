"""Where a cut falls between two frames: stamps that lie on it, a tick or half a tick beside it, and any others."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamvsr.filters.cut import Cut
from streamvsr.frames import PIXEL_FORMATS, Frame, StreamInfo
from streamvsr.media.decode.clock import ConstantClock, Shift

pytestmark = pytest.mark.io

TIME_BASES = [Fraction(1, 25), Fraction(1001, 30000), Fraction(1, 1000), Fraction(1, 90000), Fraction(1, 12800)]
BESIDE = [Fraction(n, d) for n, d in ((0, 1), (1, 1), (-1, 1), (1, 2), (-1, 2), (1, 3), (-1, 3), (1, 1000), (-1, 1000))]
PLANE = np.zeros((2, 2), np.uint8)

cuts = given(
    time_base=st.sampled_from(TIME_BASES),
    stamp=st.integers(2, 10**6),
    beside=st.sampled_from(BESIDE) | st.fractions(-1, 1),
)
"""The cut lies ``beside`` ticks behind the frame with this stamp."""
a_seventh = example(time_base=Fraction(1, 25), stamp=3, beside=Fraction(25, 7) - 3)
"""-ss 1/7: no time base of a container divides it."""


@cuts
@a_seventh
def test_what_a_seek_keeps(time_base: Fraction, stamp: int, beside: Fraction) -> None:
    start = (stamp + beside) * time_base
    for begin in (Fraction(0), 7 * time_base):
        shift = Shift(time_base, begin, start)
        for near in (stamp - 1, stamp, stamp + 1):
            seconds, moved = near * time_base - start, shift(near + begin / time_base) * shift.time_base
            assert (moved >= 0) == (seconds >= 0), "a frame before the cut is kept, or one behind it is not"
            assert moved <= seconds < moved + shift.time_base, "no frame is shown later than its sound"


@cuts
@a_seventh
def test_what_numbered_frames_keep(time_base: Fraction, stamp: int, beside: Fraction) -> None:
    start = (stamp % 50 + 2 + beside) * time_base
    clock = ConstantClock(1 / time_base, start)
    for number in range(int(start / time_base) + 3):
        seconds, moved = number * time_base - start, clock(None, None, 0) * clock.time_base
        assert (moved >= 0) == (seconds >= 0), "a frame before the cut is kept, or one behind it is not"
        assert moved <= seconds < moved + clock.time_base


@cuts
@a_seventh
def test_what_a_cut_behind_filters_keeps(time_base: Fraction, stamp: int, beside: Fraction) -> None:
    start = (stamp + beside) * time_base
    info = StreamInfo(2, 2, PIXEL_FORMATS["gray"], time_base, None)
    cut = Cut(start, start + 2 * time_base)
    moved_base = cut.configure(info).time_base
    for near in range(stamp - 2, stamp + 5):
        frame = Frame((PLANE,), info.format, near, time_base, 1)
        kept = list(cut.push(frame))
        assert len(kept) == (start <= frame.seconds < start + 2 * time_base)
        for one in kept:
            assert one.pts >= 0
            assert one.seconds <= frame.seconds - start < one.seconds + moved_base
