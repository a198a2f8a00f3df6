"""The text of an option's value to the value: times, rates, sizes and bit rates as ffmpeg writes them.

Every parser takes the text and raises ``ValueError`` with what was expected; the caller adds the option's name.
Numbers are exact: a time of ``0.1`` is the fraction 1/10.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from streamvsr.options import MAX_INTEGER, Kind

_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")
_SECONDS = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?P<unit>s|ms|us)?")
_CLOCK = re.compile(r"(?:(?P<hours>[0-9]+):)?(?P<minutes>[0-9]+):(?P<seconds>[0-9]{1,2}(?:\.[0-9]*)?)")
_UNITS = {None: Fraction(1), "s": Fraction(1), "ms": Fraction(1, 1000), "us": Fraction(1, 1_000_000)}
_BIT_RATE = re.compile(r"([0-9]+(\.[0-9]*)?|\.[0-9]+)([kKMG]i?)?")

RATES: Mapping[str, Fraction] = {
    "ntsc": Fraction(30000, 1001),
    "pal": Fraction(25),
    "qntsc": Fraction(30000, 1001),
    "qpal": Fraction(25),
    "sntsc": Fraction(30000, 1001),
    "spal": Fraction(25),
    "film": Fraction(24),
    "ntsc-film": Fraction(24000, 1001),
}
"""FFmpeg's names of frame rates."""

MAX_RATE_DENOMINATOR = 1_001_000
"""Where a rate has to be rounded; as in FFmpeg."""

_SIZE_TABLE = """
ntsc=720x480 pal=720x576 qntsc=352x240 qpal=352x288 sntsc=640x480 spal=768x576 film=352x240 ntsc-film=352x240
sqcif=128x96 qcif=176x144 cif=352x288 4cif=704x576 16cif=1408x1152 qqvga=160x120 qvga=320x240 vga=640x480
svga=800x600 xga=1024x768 uxga=1600x1200 qxga=2048x1536 sxga=1280x1024 qsxga=2560x2048 hsxga=5120x4096
wvga=852x480 wxga=1366x768 wsxga=1600x1024 wuxga=1920x1200 woxga=2560x1600 wqsxga=3200x2048 wquxga=3840x2400
whsxga=6400x4096 whuxga=7680x4800 cga=320x200 ega=640x350 hd480=852x480 hd720=1280x720 hd1080=1920x1080
2k=2048x1080 2kdci=2048x1080 2kflat=1998x1080 2kscope=2048x858 4k=4096x2160 4kdci=4096x2160 4kflat=3996x2160
4kscope=4096x1716 nhd=640x360 hqvga=240x160 wqvga=400x240 fwqvga=432x240 hvga=480x320 qhd=960x540
uhd2160=3840x2160 uhd4320=7680x4320
"""


def _sizes(table: str) -> dict[str, tuple[int, int]]:
    sizes = {}
    for entry in table.split():
        name, _, size = entry.partition("=")
        width, _, height = size.partition("x")
        sizes[name] = (int(width), int(height))
    return sizes


SIZES: Mapping[str, tuple[int, int]] = _sizes(_SIZE_TABLE)
"""FFmpeg's names of picture sizes, (width, height)."""


def parse_time(text: str) -> Fraction:
    """Seconds from ``12.5``, ``90ms``, ``500us``, ``01:30`` or ``01:02:03.5``."""
    if text.startswith("-"):
        raise ValueError("a time before the beginning is not possible")
    if match := _SECONDS.fullmatch(text):
        return Fraction(match["number"]) * _UNITS[match["unit"]]
    if match := _CLOCK.fullmatch(text):
        hours, minutes, seconds = int(match["hours"] or 0), int(match["minutes"]), Fraction(match["seconds"])
        # Minutes may exceed 59 only where they lead: 90:00 is an hour and a half, 1:90:00 a mistake.
        if seconds < 60 and (minutes < 60 or match["hours"] is None):
            return hours * 3600 + minutes * 60 + seconds
    raise ValueError("expected a time such as 12.5, 01:02:03.5, 90ms or 500us")


def parse_rate(text: str) -> Fraction:
    """Frames per second from ``25``, ``29.97``, ``30000/1001`` or a name such as ``ntsc``."""
    if text in RATES:
        return RATES[text]
    parts = re.split("[/:]", text)
    if 1 <= len(parts) <= 2 and all(_NUMBER.fullmatch(part) for part in parts):
        numerator, denominator = Fraction(parts[0]), Fraction(parts[1]) if len(parts) == 2 else Fraction(1)
        if numerator > 0 and denominator > 0:
            rate = numerator / denominator
            # 23.976023976 does not fit FFmpeg's numbers, and means 24000/1001.
            return rate if rate.numerator <= MAX_INTEGER else rate.limit_denominator(MAX_RATE_DENOMINATOR)
    raise ValueError("expected frames per second such as 25, 30000/1001, ntsc, pal or film")


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) from ``1280x720`` or a name such as ``hd720``."""
    if text in SIZES:
        return SIZES[text]
    if match := re.fullmatch(r"([0-9]+)x([0-9]+)", text):
        width, height = int(match[1]), int(match[2])
        if width > 0 and height > 0:
            return width, height
    raise ValueError("expected WIDTHxHEIGHT such as 1280x720, or a name such as hd720")


def parse_target(text: str) -> float | tuple[int, int]:
    """A factor such as ``2``, a size such as ``1920x1080`` or ``hd720``, or a height: ``1080p`` is (0, 1080), and its
    width follows from the input."""
    if match := re.fullmatch(r"([1-9][0-9]{0,4})p", text):
        return 0, int(match[1])
    try:
        return parse_number(text) if _NUMBER.fullmatch(text) else parse_size(text)
    except ValueError:
        raise ValueError("expected a factor such as 2, WIDTHxHEIGHT, or a height such as 1080p") from None


def parse_bit_rate(text: str) -> str:
    """The text itself, once it is sure to be one that FFmpeg reads: ``800k``, ``2.5M``, ``1000000``."""
    if not _BIT_RATE.fullmatch(text):
        raise ValueError("expected bits per second such as 800k, 2M or 1000000")
    return text


def parse_integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError("expected a whole number")
    return int(text)


def parse_number(text: str) -> float:
    if not re.fullmatch(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]{1,2})?", text):
        raise ValueError("expected a number")
    return float(text)


def parse_text(text: str) -> str:
    if not text:
        raise ValueError("expected a value, got nothing")
    return text


def parse_pair(text: str) -> str:
    """The text itself, once it is sure to be ``KEY=VALUE``; an empty value is one."""
    if text.find("=") < 1:
        raise ValueError("expected KEY=VALUE")
    return text


PARSERS: Mapping[Kind, Callable[[str], Any]] = {
    "text": parse_text,
    "integer": parse_integer,
    "number": parse_number,
    "time": parse_time,
    "rate": parse_rate,
    "size": parse_size,
    "target": parse_target,
    "bit_rate": parse_bit_rate,
    "list": parse_text,
    "pairs": parse_pair,
}
"""A parser for each kind of option that takes a value; ``list`` and ``pairs`` parse one item."""
