"""argv -> Config, in the grammar of ffmpeg::

    [options of the input] INPUT [options of the output] OUTPUT [options of the output]

``-i INPUT`` and a bare ``INPUT`` are the same. Options with two dashes are ours and may stand anywhere. With
``-o FOLDER`` all paths are inputs, and those options are the output's that stand after the first of them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal

from streamvsr import presets
from streamvsr.cli import legacy
from streamvsr.cli.layers import Layers, Origins
from streamvsr.cli.tokens import FLAGS, Token, tokenize
from streamvsr.config import GROUPS, VIDEOS, CallOptions, Config, check
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
    call: CallOptions = field(default_factory=CallOptions)
    inputs: tuple[str, ...] = ()
    """With ``-o``, all inputs; ``config`` is then that of the first, with the folder as its output."""
    origins: Origins = field(default_factory=dict)
    """Where each setting of ``config`` comes from."""


def asks_for_help(words: Sequence[str]) -> bool:
    return not _HELP.isdisjoint(_before_end(words))


def _before_end(words: Sequence[str]) -> Sequence[str]:
    """The words of which one may be an option: what follows ``--`` is a path."""
    return words[: words.index("--")] if "--" in words else words


def parse(words: Sequence[str]) -> Invocation:
    """Read a command line (without the program's name). Raises ``UsageError``."""
    # Help is given whatever else is wrong with the line.
    if asks_for_help(words):
        return Invocation(show="help")
    if _VERSION.intersection(_before_end(words)):
        return Invocation(show="version")
    tokens, notes = legacy.translate(_one_output(tokenize(words)))
    collector = _Collector(batch=any(token.flag == "-o" for token in tokens))
    for token in tokens:
        collector.add(token)
    call, config = collector.call(), collector.config()
    notes += collector.layers.notes
    for side, options in (("input", config.input), ("output", config.output)):
        if options.duration is not None and options.end is not None:
            notes.append(f"-t and -to of the {side}: -t counts")
    inputs = tuple(collector.inputs) if call.output_folder is not None else ()
    return Invocation(config, None, tuple(notes), call, inputs, collector.layers.origins)


def _one_output(tokens: list[Token]) -> list[Token]:
    """``IN.mp4 -o OUT.mp4``, as other programs have it, means the file and not a folder of that name."""
    places = [place for place, token in enumerate(tokens) if token.flag == "-o"]
    for place in places:
        path = tokens[place].value or ""
        if PurePath(path).suffix.lower() not in VIDEOS or path.endswith(("/", os.sep)) or os.path.isdir(path):
            return tokens
    paths = [token for token in tokens if token.flag in (None, "-i")]
    if len(places) != 1 or len(paths) != 1:
        if places:
            raise UsageError(f"-o {tokens[places[0]].value}: several files go into a folder, and this names a video")
        return tokens
    # An output stands behind its input.
    rest = [token for place, token in enumerate(tokens) if place not in places]
    return [*rest, Token(None, tokens[places[0]].value)]


def parse_paths(words: Sequence[str]) -> tuple[Config, tuple[str, ...]]:
    """Read the command line of a command of its own: (options, all paths). Raises ``UsageError``.

    The input's options stand before the first path, the output's behind it; the ``Config`` names the first path as its
    input, and no output.
    """
    collector = _Collector(batch=True)
    for token in tokenize(words):
        collector.add(token)
    call, config = collector.call(), collector.config()
    if call != CallOptions(preset=call.preset):
        raise UsageError("--print-config and -o go with streamvsr INPUTS... alone")
    return config, tuple(collector.inputs)


class _Collector:
    """Takes tokens in order and knows on which side of the input it is."""

    def __init__(self, *, batch: bool) -> None:
        """``batch``: there may be many inputs, and the output is a folder."""
        self.layers = Layers()
        self.inputs: list[str] = []
        self._batch = batch
        self._output: str | None = None
        self._last_unknown: Token | None = None

    def add(self, token: Token) -> None:
        if token.flag is None or token.flag == "-i":
            self._add_path(token)
        elif token.known:
            self._add_known(token.flag, token.value)
        else:
            assert token.value is not None
            self.layers.pass_through(self._side, token.flag[1:], token.value)
            self._last_unknown = token

    def call(self) -> CallOptions:
        call = CallOptions(**self.layers.values("call"))
        given = {"--suffix": call.suffix, "--skip-existing": call.skip_existing, "--recursive": call.recursive}
        if call.output_folder is None and (alone := next((flag for flag, value in given.items() if value), None)):
            raise UsageError(f"{alone} goes with -o FOLDER")
        return call

    def config(self) -> Config:
        call = self.call()
        for name in call.preset:
            self.layers.under(presets.load(name))
        if not call.print_config:
            if not self.inputs:
                raise UsageError(f"no input{self._swallowed()}; --help shows how to call streamvsr")
            if self._output is None and not self._batch:
                raise UsageError(f"no output for '{self.inputs[0]}'{self._swallowed() or _example(self.inputs[0])}")
        paths = {"input": (self.inputs or [""])[0], "output": call.output_folder or self._output or ""}
        # Each class takes the fields of its own options, by construction of FLAGS.
        groups: dict[str, Any] = {}
        for group, cls in GROUPS.items():
            more = {"path": paths[group], "options": self.layers.options(group)} if group in paths else {}
            groups[group] = cls(**self.layers.values(group), **more)
        config = Config(**groups)
        check(config)
        return config

    @property
    def _side(self) -> str:
        return "output" if self.inputs else "input"

    def _add_path(self, token: Token) -> None:
        path = token.value or ""
        if not path:
            raise UsageError("a path is empty")
        if self._batch:
            self.inputs.append(path)
        elif not self.inputs:
            self.inputs.append("-" if path in _STDIN else path)
        elif token.flag == "-i":
            raise UsageError(
                f"two inputs, '{self.inputs[0]}' and '{path}': a run takes one, and the output is named after it"
            )
        elif self._output is not None:
            raise UsageError(
                f"two outputs, '{self._output}' and '{path}': a run writes one; many inputs go into a folder: -o out/"
            )
        else:
            self._output = "-" if path in _STDOUT else path

    def _add_known(self, flag: str, text: str | None) -> None:
        groups = FLAGS[flag]
        group = self._side if self._side in groups else next(iter(groups))
        name, face = groups[group]
        if group in ("input", "output") and group != self._side and not face.anywhere:
            where = "after" if group == "output" else "before"
            raise UsageError(f"{flag} is an option of the {group}: write it {where} the input")
        self.layers.over(group, name, face, flag, text)

    def _swallowed(self) -> str:
        """An unknown option takes the next word as its value: say so where that may be the path that is missing."""
        if self._last_unknown is None:
            return ""
        return f" ('{self._last_unknown.value}' was read as the value of {self._last_unknown.flag})"


def _example(path: str) -> str:
    """The shortest call that would work."""
    if path == "-" or "://" in path or not PurePath(path).suffix:
        return ""
    return f": streamvsr {path} {PurePath(path).stem}_x4{PurePath(path).suffix}"
