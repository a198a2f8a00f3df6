"""SMPTE time codes (ST 12-1): what stands on the first frame that is left when a beginning is cut off."""

from __future__ import annotations

import re
from fractions import Fraction

_FORM = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.])(\d\d)")


def moved(timecode: str, seconds: Fraction, rate: Fraction) -> str | None:
    """The time code of the first frame at or after ``seconds``; None for a text that is no time code.

    Drop-frame codes (``;`` before the frames) leave out the first two numbers of a minute (30 frames a second; four at
    60), except of each tenth, so that they keep step with the clock.
    """
    match = _FORM.fullmatch(timecode.strip())
    if match is None:
        return None
    hours, minutes, whole, frames = (int(match[n]) for n in (1, 2, 3, 5))
    nominal = round(rate)
    dropped = nominal // 15 if match[4] in ";." else 0
    passed = 60 * hours + minutes
    number = (60 * passed + whole) * nominal + frames - dropped * (passed - passed // 10)
    number += -(-seconds * rate // 1)
    if dropped:
        tens, rest = divmod(number, 600 * nominal - 9 * dropped)
        number += 9 * dropped * tens + dropped * max(0, (rest - dropped) // (60 * nominal - dropped))
    whole, frames = divmod(number, nominal)
    return f"{whole // 3600 % 24:02}:{whole // 60 % 60:02}:{whole % 60:02}{match[4]}{frames:02}"
