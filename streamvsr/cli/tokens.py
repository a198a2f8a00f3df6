"""The words of a command line to tokens: which word is an option, and which word is its value.

Whose option it is (the input's or the output's) and what the value means is not decided here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamvsr.cli import ffmpeg_compat as habits
from streamvsr.config import GROUPS, CallOptions
from streamvsr.errors import UsageError
from streamvsr.options import Option, options_of

LEGACY_FLAGS = ("--is-save-as-png", "--fps")
"""Options of the original script that only its own form of call has; each takes a value."""

_SAME_NAME_IN_FFMPEG = frozenset({"-threads", "-preset"})
"""Options of FFmpeg that are called as one of ours, yet mean another thing."""

_NAME = re.compile(r"-[A-Za-z][\w:.-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Token:
    flag: str | None
    """The option as ``FLAGS`` spells it, or as it was typed where it is not known; None for a path."""
    value: str | None
    """The path, or the option's value; None for an option that takes none."""

    @property
    def known(self) -> bool:
        return self.flag in FLAGS


def _flags() -> dict[str, dict[str, tuple[str, Option]]]:
    table: dict[str, dict[str, tuple[str, Option]]] = {}
    for group, cls in {**GROUPS, "call": CallOptions}.items():
        for name, face in options_of(cls):
            for flag in face.flags:
                table.setdefault(flag, {})[group] = (name, face)
    return table


FLAGS: Mapping[str, Mapping[str, tuple[str, Option]]] = _flags()
"""Flag -> group of ``Config``, or ``call`` -> (field, option). ``-ss`` is an option of the input and of the output."""


def tokenize(words: Sequence[str]) -> list[Token]:
    """All words as tokens, in order. Raises ``UsageError``."""
    tokens: list[Token] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            tokens += [Token(None, path) for path in rest]
            break
        if word == "-" or not word.startswith("-"):
            tokens.append(Token(None, word))
        elif word.startswith("--"):
            tokens.append(_long(word, rest))
        else:
            tokens += _short(word, rest)
    return tokens


def _long(word: str, rest: list[str]) -> Token:
    """One of our own options: ``--name value`` or ``--name=value``, underscores and dashes alike."""
    name, equals, value = word.partition("=")
    flag = name.replace("_", "-")
    if flag not in FLAGS and flag not in LEGACY_FLAGS:
        raise UsageError(f"unknown option {name}{_suggestion(flag)}")
    if flag in FLAGS and not _takes_value(flag):
        if equals:
            raise UsageError(f"{name} takes no value")
        return Token(flag, None)
    return Token(flag, value if equals else _take_value(name, rest))


def _short(word: str, rest: list[str]) -> list[Token]:
    """An option as ffmpeg writes it: no token where it is passed over."""
    if word in habits.IGNORED:
        return []
    if word in habits.LOG_LEVEL_FLAGS:
        value = _take_value(word, rest)
        try:
            ours = habits.log_level(value)
        except ValueError as error:
            raise UsageError(f"{word} {value}: {error}") from None
        return [] if ours is None else [Token(ours, None)]
    if word in habits.REFUSED:
        raise UsageError(f"{word}: {habits.REFUSED[word]}")
    if word == "-i":
        return [Token(word, _take_value(word, rest))]
    flag = _without_video_specifier(word)
    if flag in FLAGS:
        return [Token(flag, _take_value(word, rest) if _takes_value(flag) else None)]
    doubled = "-" + word.replace("_", "-")
    if doubled in FLAGS and word not in _SAME_NAME_IN_FFMPEG:
        raise UsageError(f"unknown option {word}: did you mean {doubled}?")
    if not _NAME.fullmatch(word):
        raise UsageError(f"{word}: not an option; a path that begins with a dash is written ./{word}")
    return [Token(word, _take_value(word, rest))]


def _without_video_specifier(word: str) -> str:
    """The spelling in ``FLAGS`` of an option for the one video stream that there is: ``-crf:v:0`` is ``-crf``."""
    for suffix in ("", ":0", ":v", ":v:0"):
        flag = word.removesuffix(suffix)
        # `-c:a:0` is for one of several audio streams, and stays what it is.
        if word.endswith(suffix) and flag in FLAGS and (suffix != ":0" or flag.endswith(":v")):
            return flag
    return word


def _takes_value(flag: str) -> bool:
    return all(face.kind not in ("flag", "yes_no") for _, face in FLAGS[flag].values())


def _take_value(flag: str, rest: list[str]) -> str:
    following = rest[0].partition("=")[0].replace("_", "-") if rest and rest[0].startswith("--") else "".join(rest[:1])
    # A value may well begin with a dash (-map -0:a); one that is an option means that the value was forgotten.
    if not rest or following in FLAGS or following in ("-i", *LEGACY_FLAGS):
        raise UsageError(f"{flag} needs a value" + (f", not the option {rest[0]}" if rest else ""))
    return rest.pop(0)


def _suggestion(flag: str) -> str:
    bodies = {known.lstrip("-"): known for known in FLAGS}
    close = difflib.get_close_matches(flag.lstrip("-"), bodies, n=3, cutoff=0.65)
    return f": did you mean {' or '.join(bodies[body] for body in close)}?" if close else "; --help lists them"
