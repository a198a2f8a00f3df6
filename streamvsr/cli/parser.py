"""argv -> Config, in the grammar of ffmpeg::

    [options of the input] INPUT [options of the output] OUTPUT [options of the output]

``-i INPUT`` and a bare ``INPUT`` are the same. Options with two dashes are ours and may stand anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from streamvsr.cli import legacy
from streamvsr.cli.tokens import FLAGS, Token, tokenize
from streamvsr.cli.values import PARSERS
from streamvsr.config import GROUPS, Config, Option, check
from streamvsr.errors import UsageError

_HELP = frozenset({"-h", "-help", "--help", "-?"})
_VERSION = frozenset({"-version", "--version"})
_STDIN = frozenset({"-", "pipe:", "pipe:0"})
_STDOUT = frozenset({"-", "pipe:", "pipe:1"})


@dataclass(frozen=True, slots=True)
class Invocation:
    """What a command line asks for: a run, or a text."""

    config: Config | None = None
    """None exactly where ``show`` says what is wanted instead."""
    show: Literal["help", "version"] | None = None
    notes: tuple[str, ...] = ()
    """Lines that the user should read before the run starts."""


def parse(words: Sequence[str]) -> Invocation:
    """Read a command line (without the program's name). Raises ``UsageError``."""
    # Help is given whatever else is wrong with the line.
    before_end = set(words[: words.index("--")] if "--" in words else words)
    if before_end & _HELP:
        return Invocation(show="help")
    if before_end & _VERSION:
        return Invocation(show="version")
    tokens, notes = legacy.translate(tokenize(words))
    collector = _Collector()
    for token in tokens:
        collector.add(token)
    config = collector.config()
    for side, options in (("input", config.input), ("output", config.output)):
        if options.duration is not None and options.end is not None:
            notes.append(f"-t and -to of the {side}: -t counts")
    return Invocation(config, notes=tuple(notes))


class _Collector:
    """Takes tokens in order and knows on which side of the input it is."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
        self._options: dict[str, dict[str, str]] = {"input": {}, "output": {}}
        self._last_unknown: Token | None = None

    def add(self, token: Token) -> None:
        if token.flag is None or token.flag == "-i":
            self._add_path(token)
        elif token.known:
            self._add_known(token.flag, token.value)
        else:
            assert token.value is not None
            self._options[self._side][token.flag[1:]] = token.value
            self._last_unknown = token

    def config(self) -> Config:
        if "path" not in self._values["input"]:
            raise UsageError(f"no input{self._swallowed()}; --help shows how to call streamvsr")
        if "path" not in self._values["output"]:
            raise UsageError(f"no output for '{self._values['input']['path']}'{self._swallowed()}")
        for side, options in self._options.items():
            self._values[side]["options"] = options
        # Each class takes the fields of its own options, by construction of FLAGS.
        config = Config(**{group: cls(**self._values[group]) for group, cls in GROUPS.items()})
        check(config)
        return config

    @property
    def _side(self) -> str:
        return "output" if "path" in self._values["input"] else "input"

    def _add_path(self, token: Token) -> None:
        path = token.value or ""
        if not path:
            raise UsageError("a path is empty")
        there = self._values[self._side].get("path")
        if token.flag == "-i" and self._side == "output":
            first = self._values["input"]["path"]
            raise UsageError(f"two inputs, '{first}' and '{path}': a run takes one, and the output is named after it")
        if there is not None:
            raise UsageError(f"two outputs, '{there}' and '{path}': a run writes one")
        standard = _STDIN if self._side == "input" else _STDOUT
        self._values[self._side]["path"] = "-" if path in standard else path

    def _add_known(self, flag: str, text: str | None) -> None:
        groups = FLAGS[flag]
        group = self._side if self._side in groups else next(iter(groups))
        name, face = groups[group]
        if group in ("input", "output") and group != self._side and not face.anywhere:
            where = "after" if group == "output" else "before"
            raise UsageError(f"{flag} is an option of the {group}: write it {where} the input")
        self._set(self._values[group], name, face, flag, text)

    @staticmethod
    def _set(values: dict[str, Any], name: str, face: Option, flag: str, text: str | None) -> None:
        if text is None:
            values[name] = flag == face.flags[0] if face.kind == "yes_no" else True
            return
        try:
            value = PARSERS[face.kind](text)
        except ValueError as error:
            raise UsageError(f"{flag} {text}: {error}") from None
        values[name] = (*values.get(name, ()), value) if face.kind in ("list", "pairs") else value

    def _swallowed(self) -> str:
        """An unknown option takes the next word as its value: say so where that may be the path that is missing."""
        if self._last_unknown is None:
            return ""
        return f" ('{self._last_unknown.value}' was read as the value of {self._last_unknown.flag})"
