"""Options of our own filters: what there is, and how settings of a chain become values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from streamvsr.filters.language import Link, settings, wrong

Kind = Literal["integer", "odd", "number", "text", "flag", "choice", "size", "target"]
"""``odd``: a whole, odd number; ``size``: a factor (2, 1.5) or WIDTHxHEIGHT, as a float or a pair;
``target``: the same, or a height with its width left open, as 1080p."""
MANY = 12
"""More options than this are not listed in an error."""
TIMELINE = "enable"
"""The option by which FFmpeg switches some of its filters on and off in time."""
REQUIRED = object()
"""The default of an option that has none."""


@dataclass(frozen=True, slots=True)
class Param:
    """One option of one of our filters, in the order in which it may be given without its name."""

    name: str
    kind: Kind
    default: Any
    help: str
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def wants(self) -> str:
        """What a value looks like, in words."""
        bounds = ""
        if self.least is not None and self.most is not None:
            bounds = f" from {self.least:g} to {self.most:g}"
        elif self.least is not None:
            bounds = f" of at least {self.least:g}"
        return {
            "integer": "a whole number",
            "odd": "an odd whole number",
            "number": "a number",
            "text": "a text",
            "flag": "0 or 1",
            "choice": f"one of {', '.join(self.choices)}",
            "size": "WIDTHxHEIGHT, or a factor",
            "target": "WIDTHxHEIGHT, a height such as 1080p, or a factor",
        }[self.kind] + bounds


def bind(params: Sequence[Param], link: Link) -> dict[str, Any]:
    """The values of a link's options by name; those that are not given and have a default are left out.

    Raises ``UsageError``, pointing at the place in the chain.
    """
    by_name = {param.name: param for param in params}
    values: dict[str, Any] = {}
    named = False
    for place, given in enumerate(settings(link)):
        if given.key is not None:
            named = True
            if given.key == TIMELINE:
                raise wrong(given.column, f"{link.name} takes no 'enable': only some filters of FFmpeg's can be timed")
            if given.key not in by_name:
                raise wrong(given.column, unknown_option(link.name, given.key, list(by_name)))
            param = by_name[given.key]
        elif named:
            raise wrong(given.column, f"{given.value!r} of {link.name} needs its name, as the options before it have")
        elif place >= len(params):
            most = f"{len(params)} options" if len(params) != 1 else "1 option"
            raise wrong(
                given.column, f"{link.name} has {most if params else 'no options'}: {given.value!r} is too much"
            )
        else:
            param = params[place]
            if not given.value:
                continue
        try:
            values[param.name] = value_of(param, given.value)
        except ValueError:
            text = f"{param.name} of {link.name} wants {param.wants}, not {given.value!r}"
            raise wrong(given.column, text) from None
    for param in params:
        if param.default is REQUIRED and param.name not in values:
            raise wrong(link.column, f"{link.name} needs {param.name} ({param.help})")
    return values


def value_of(param: Param, text: str) -> Any:
    """The value of a text; ``ValueError`` where it is none of this option's."""
    value = _PARSERS[param.kind](text)
    if param.kind == "choice" and value not in param.choices:
        raise ValueError(text)
    if isinstance(value, (int, float)):
        if param.least is not None and value < param.least:
            raise ValueError(text)
        if param.most is not None and value > param.most:
            raise ValueError(text)
    return value


def unknown_option(filter_name: str, key: str, there: Sequence[str]) -> str:
    """The complaint about an option that a filter does not have."""
    if not there:
        return f"{filter_name} has no options, and so no {key!r}"
    has = f"it has {', '.join(there)}" if len(there) <= MANY else f"'streamvsr filters {filter_name}' lists what it has"
    return f"{filter_name} has no option {key!r}; {near(key, there) or has}"


def near(word: str, words: Sequence[str], count: int = 4) -> str:
    """``near names: ...``, or nothing where none is near."""
    found = get_close_matches(word, words, count, 0.6)
    found += [w for w in words if len(word) > 2 and (w.startswith(word) or (word.startswith(w) and len(w) > 2))]
    close = list(dict.fromkeys(found))[:count]
    return f"near names: {', '.join(close)}" if close else ""


def _integer(text: str) -> int:
    # int() alone takes 1_000 and the digits of all scripts.
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError(text)
    return int(text)


def _odd(text: str) -> int:
    value = _integer(text)
    if value % 2 == 0:
        raise ValueError(text)
    return value


def _number(text: str) -> float:
    if not re.fullmatch(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?", text):
        raise ValueError(text)
    return float(text)


def _flag(text: str) -> bool:
    return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text]


def _target(text: str) -> float | tuple[int, int]:
    """A pair with width 0 where the width follows from the height."""
    if match := re.fullmatch(r"([1-9][0-9]{0,4})p", text):
        return 0, int(match[1])
    return _size(text)


def _size(text: str) -> float | tuple[int, int]:
    if match := re.fullmatch(r"([0-9]+)x([0-9]+)", text):
        size = int(match[1]), int(match[2])
        if min(size) < 1:
            raise ValueError(text)
        return size
    return _number(text)


def _parsed(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def parser(text: str) -> Any:
        try:
            return parse(text)
        except KeyError:
            raise ValueError(text) from None

    return parser


_PARSERS: Mapping[Kind, Callable[[str], Any]] = {
    "integer": _integer,
    "odd": _odd,
    "number": _number,
    "text": str,
    "flag": _parsed(_flag),
    "choice": str,
    "size": _size,
    "target": _target,
}

__all__ = ["REQUIRED", "Param", "bind", "near", "unknown_option", "value_of"]
