"""How FFmpeg takes texts of options apart: a backslash or single quotes keep characters from being special, and white
space around a part is dropped unless it is so protected (``av_get_token``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WHITE = " \n\t\r"


class UnclosedQuoteError(ValueError):
    """``place``: where the quote stands in the text."""

    def __init__(self, place: int) -> None:
        super().__init__("this quote is never closed")
        self.place = place


@dataclass(frozen=True, slots=True)
class Token:
    value: str
    """Unescaped."""
    places: tuple[int, ...]
    """Where each character of it stands in the text."""
    start: int
    """Where it begins, behind white space."""
    end: int
    """Where it ended: at a special character, or the end of the text."""


def token(text: str, at: int, ends: Sequence[str]) -> Token:
    """What stands from ``at`` to an unescaped character of ``ends``. Raises ``UnclosedQuoteError``."""
    start = n = after_white(text, at)
    out: list[str] = []
    places: list[int] = []
    kept = 0  # white space is dropped behind this many characters
    while n < len(text) and text[n] not in ends:
        c = text[n]
        if c == "\\" and n + 1 < len(text):
            out.append(text[n + 1])
            places.append(n)
            kept, n = len(out), n + 2
        elif c == "'":
            close = text.find("'", n + 1)
            if close < 0:
                raise UnclosedQuoteError(n)
            out += text[n + 1 : close]
            places += range(n + 1, close)
            kept, n = len(out), close + 1
        else:
            out.append(c)
            places.append(n)
            n += 1
    while len(out) > kept and out[-1] in WHITE:
        out.pop()
        places.pop()
    return Token("".join(out), tuple(places), start, n)


def after_white(text: str, at: int) -> int:
    """The first place from ``at`` on that is no white space."""
    while at < len(text) and text[at] in WHITE:
        at += 1
    return at
