"""Time stamps as they are found, made to rise, shifted and cut."""

from __future__ import annotations

import itertools
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from streamvsr.media.decode.clock import Clock, ConstantClock, Shift

STAMPS = st.lists(st.one_of(st.none(), st.integers(-(2**40), 2**40)), min_size=1, max_size=50)


SECONDS = st.fractions(0, 100, max_denominator=1000)


@given(stamps=STAMPS, begin=SECONDS, start=SECONDS)
def test_stamps_always_rise(stamps: list[int | None], begin: Fraction, start: Fraction) -> None:
    clock = Clock(Shift(Fraction(1, 90000), begin, start), Fraction(25))
    got = [clock(stamp, None, 0) for stamp in stamps]
    assert all(a < b for a, b in itertools.pairwise(got))


@given(
    steps=st.lists(st.integers(1, 10**6), max_size=50),
    first=st.integers(0, 10**6),
    ticks=st.sampled_from([24, 25, 1000, 90000]),
    begin=SECONDS,
    start=SECONDS,
)
def test_good_stamps_are_only_shifted_and_a_cut_is_exact(
    steps: list[int], first: int, ticks: int, begin: Fraction, start: Fraction
) -> None:
    stamps = list(itertools.accumulate(steps, initial=first))
    clock = Clock(Shift(Fraction(1, ticks), begin, start), None)
    uncut = Shift(Fraction(1, ticks), begin, Fraction(0))
    got = [clock(stamp, None, 0) for stamp in stamps]
    assert [g - got[0] for g in got] == [(s - stamps[0]) * clock.parts for s in stamps]
    for stamp, pts in zip(stamps, got, strict=True):
        expected = uncut(stamp) * uncut.time_base - start
        assert (pts < 0) == (expected < 0)
        assert abs(pts * clock.time_base - expected) <= Fraction(1, 1000)


def test_clock_rules() -> None:
    clock = Clock(Shift(Fraction(1, 1000), Fraction(0), Fraction(0)), Fraction(25))
    # Missing first, dts instead of pts, missing with and without duration, a repeated one (no drift), a jump back.
    raw = [(None, None, 0), (None, 40, 0), (None, None, 0), (None, None, 50), (130, 0, 0), (170, 0, 0), (210, 0, 0)]
    assert [clock(*r) for r in raw] == [0, 40, 80, 130, 131, 170, 210]
    late = [clock(9000, None, 0), clock(20, None, 0), clock(60, None, 0)]
    assert late == [9000, 9040, 9080]
    assert clock.jumps == 1
    constant = ConstantClock(Fraction(30000, 1001), Fraction(0))
    assert [constant(5, 5, 5) * constant.time_base for _ in range(3)] == [
        0,
        Fraction(1001, 30000),
        Fraction(2002, 30000),
    ]
