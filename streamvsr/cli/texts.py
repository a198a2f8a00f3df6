"""Help and main errors in the language of the user: English stands in the source, other languages have tables.

A table has whole texts of the help, and errors with ``{}`` for what is filled in. What a table lacks stays English.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TextIO

VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
"""The first that is set counts, as everywhere."""
Translate = Callable[[str], str]


def same(text: str) -> str:
    """English."""
    return text


def help_texts(stream: TextIO | None) -> Translate:
    """What makes a text of the help one in the user's language, for ``stream``."""
    if not _chinese(stream):
        return same
    from streamvsr.cli.zh_cn import HELP

    return lambda text: HELP.get(text, text)


def error_texts(stream: TextIO | None) -> Translate:
    """The same for the text of an error, without its level."""
    if not _chinese(stream):
        return same
    from streamvsr.cli.zh_cn import ERRORS

    def translate(text: str) -> str:
        for english, chinese in ERRORS.items():
            found = re.fullmatch("(.*?)".join(map(re.escape, english.split("{}"))), text, re.DOTALL)
            if found is not None:
                return chinese.format(*found.groups())
        return text

    return translate


def _chinese(stream: TextIO | None) -> bool:
    """Whether the environment asks for simplified Chinese, and ``stream`` can show it."""
    wanted = next((os.environ[name] for name in VARIABLES if os.environ.get(name)), "")
    if not re.match(r"zh(?:_(?:CN|SG|Hans)|-Hans)?(?:[.@]|$)", wanted):
        return False
    try:
        "中".encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
