"""The options of a command of its own (``streamvsr compare``), which lie in a dataclass like those of a run."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Any

from streamvsr.cli.help import WIDTH
from streamvsr.cli.values import PARSERS
from streamvsr.errors import UsageError
from streamvsr.options import Option, options_of

_COLUMN = 26


def take(words: Sequence[str], group: type) -> tuple[dict[str, Any], list[str]]:
    """(field -> value for the options of ``group``, all other words). Raises ``UsageError``."""
    flags = {flag: (name, face) for name, face in options_of(group) for flag in face.flags}
    values: dict[str, Any] = {}
    others: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return values, [*others, word, *rest]
        flag, equals, text = word.partition("=")
        flag = flag.replace("_", "-")
        if flag not in flags:
            others.append(word)
            continue
        name, face = flags[flag]
        if face.kind == "flag":
            if equals:
                raise UsageError(f"{flag} takes no value")
            values[name] = True
            continue
        if not equals:
            # A value that looks like an option is given as --label=-x.
            if not rest or re.match("--?[A-Za-z]", rest[0]):
                raise UsageError(f"{flag} needs a value" + (f", not the option {rest[0]}" if rest else ""))
            text = rest.pop(0)
        values[name] = _value(face, flag, text, values.get(name, ()))
    return values, others


def _value(face: Option, flag: str, text: str, before: tuple[Any, ...]) -> Any:
    try:
        value = PARSERS[face.kind](text)
    except ValueError as error:
        raise UsageError(f"{flag} {text}: {error}") from None
    return (*before, value) if face.kind in ("list", "pairs") else value


def options_help(group: type) -> str:
    """The options, one a line."""
    lines = []
    for _, face in options_of(group):
        call = f"{face.flags[0]} {face.metavar}".rstrip()
        lines += textwrap.wrap(
            f"{call:<{_COLUMN}}{face.help}", WIDTH, initial_indent="  ", subsequent_indent=" " * (_COLUMN + 2)
        )
    return "\n".join(lines)
