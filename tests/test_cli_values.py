"""Times, rates, sizes and bit rates as ffmpeg's users write them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamvsr.cli import values

pytestmark = pytest.mark.io


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("12.5", Fraction(25, 2)),
        (".5", Fraction(1, 2)),
        ("7.", 7),
        ("90ms", Fraction(9, 100)),
        ("500us", Fraction(1, 2000)),
        ("3s", 3),
        ("1.5ms", Fraction(3, 2000)),
        ("01:30", 90),
        ("90:00", 5400),
        ("01:02:03.5", Fraction(7447, 2)),
        ("100:00:00", 360000),
        ("0.1", Fraction(1, 10)),
    ],
)
def test_time(text: str, seconds: Fraction) -> None:
    assert values.parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "-5", "-00:01", "abc", "1:60", "1:90:00", "1::2", "5m", "1e3", "1/2", "٣", "nan"])
def test_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"time"):
        values.parse_time(text)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_clock_times_are_exact(hours: int, minutes: int, seconds: int, millis: int) -> None:
    expected = hours * 3600 + minutes * 60 + seconds + Fraction(millis, 1000)
    assert values.parse_time(f"{hours}:{minutes:02}:{seconds:02}.{millis:03}") == expected
    assert values.parse_time(f"{hours * 3600 + minutes * 60 + seconds}.{millis:03}") == expected


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("25", 25),
        ("29.97", Fraction(2997, 100)),
        ("30000/1001", Fraction(30000, 1001)),
        ("30000:1001", Fraction(30000, 1001)),
        ("ntsc", Fraction(30000, 1001)),
        ("pal", 25),
        ("film", 24),
        ("ntsc-film", Fraction(24000, 1001)),
    ],
)
def test_rate(text: str, rate: Fraction) -> None:
    assert values.parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "0", "-25", "25/0", "0/1", "1/2/3", "NTSCx", "/", "25 fps"])
def test_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match=r"frames per second"):
        values.parse_rate(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1280x720", (1280, 720)),
        ("hd720", (1280, 720)),
        ("vga", (640, 480)),
        ("qxga", (2048, 1536)),
        ("4k", (4096, 2160)),
        ("uhd2160", (3840, 2160)),
        ("ntsc", (720, 480)),
    ],
)
def test_size(text: str, size: tuple[int, int]) -> None:
    assert values.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "720", "0x720", "1280x", "1280X720", "-2x720", "1280*720", "hd721"])
def test_no_size(text: str) -> None:
    with pytest.raises(ValueError, match=r"WIDTHxHEIGHT"):
        values.parse_size(text)


@pytest.mark.parametrize("text", ["2M", "800k", "128K", "1000000", "2.5M", "1G", "512Ki"])
def test_bit_rate_stays_the_text(text: str) -> None:
    assert values.parse_bit_rate(text) == text


@pytest.mark.parametrize("text", ["", "2Mbit", "M", "-2M", "2 M", "fast"])
def test_no_bit_rate(text: str) -> None:
    with pytest.raises(ValueError, match=r"bits per second"):
        values.parse_bit_rate(text)


def test_every_kind_that_takes_a_value_has_a_parser() -> None:
    from typing import get_args

    from streamvsr.options import Kind

    assert set(values.PARSERS) == set(get_args(Kind)) - {"flag", "yes_no"}
