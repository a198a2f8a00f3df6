"""What a checkpoint says of itself: licence, author, origin. Nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping

LICENCE = ("licence", "license", "modelspec.license")
AUTHOR = ("author", "modelspec.author")
SOURCE = ("source", "url", "modelspec.source", "homepage")
MOST_CHARACTERS = 120
"""Of what a file says that are shown."""
_NOT_FOR_SALE = re.compile(r"\bnc\b|non-?\s?commercial|research only|academic", re.IGNORECASE)


def stated(config: Mapping[str, str]) -> str:
    """A few words for the user: the licence, or that none is stated; whether it bars commercial use; author, origin."""
    known = {key.lower(): _line(value) for key, value in config.items()}
    licence, author, source = (next((known[k] for k in keys if known.get(k)), "") for keys in (LICENCE, AUTHOR, SOURCE))
    licence = "" if licence == "unknown" else licence
    words = [f"licence {licence}" if licence else "its licence is not stated in the file"]
    if licence and _NOT_FOR_SALE.search(licence):
        words.append("not for commercial use")
    words += [f"by {author}"] if author else []
    words += [f"from {source}"] if source else []
    return ", ".join(words)


def _line(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MOST_CHARACTERS else line[: MOST_CHARACTERS - 3] + "..."
