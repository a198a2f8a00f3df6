"""``streamvsr compare LEFT RIGHT OUT``: videos, folders, or several chains' results of one input, beside each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from streamvsr.cli.own_options import options_help, take
from streamvsr.cli.parser import asks_for_help, parse_paths
from streamvsr.compare.options import CompareOptions, check
from streamvsr.config import Config
from streamvsr.errors import UsageError

if TYPE_CHECKING:
    from streamvsr.pipeline.runner import Run

USAGE = """\
usage: streamvsr compare [options] LEFT RIGHT [MORE...] OUT [options]
       streamvsr compare [options] INPUT --with CHAIN [--with CHAIN] OUT

A video with a line that slides over two inputs, or with any number of them
beside each other. Inputs are videos or folders of pictures, of any size and
rate: smaller ones are scaled up, and each frame of the first is shown with
what the others show at its time, until the shortest ends. The sound is that
of the first. OUT may be a picture, with --still.

"""
_REST = """

All options of streamvsr hold too: those of the inputs before the first path,
those of the output behind it.

examples:
  streamvsr compare in.mp4 in_x4.mp4 wipe.mp4
  streamvsr compare in.mp4 --with traditional --with vsr --mode split out.mp4
  streamvsr compare in.mp4 in_x4.mp4 --still 40 --zoom 300:200:88:72 look.png"""


def compare_command(words: Sequence[str]) -> int:
    """Make the comparison; the exit code. Raises ``StreamvsrError``."""
    from streamvsr.cli.app import run_config

    if not words or asks_for_help(words):
        print(USAGE + options_help(CompareOptions) + _REST)
        return 0 if words else 2
    own, rest = take(words, CompareOptions)
    options = CompareOptions(**own)
    config, paths = parse_paths(rest)
    if len(paths) < 2:
        raise UsageError("compare takes inputs and an output: streamvsr compare LEFT RIGHT OUT")
    *inputs, target = paths
    check(options, len(inputs) if not options.chains else max(2, len(options.chains)))
    config = replace(config, output=replace(config.output, path=target))
    for path in inputs:
        if os.path.isfile(path) and os.path.isfile(target) and os.path.samefile(path, target):
            raise UsageError(f"the output '{target}' is one of the inputs: write it behind them, under a new name")
    return run_config(config, make=_maker(inputs, options))


def _maker(inputs: Sequence[str], options: CompareOptions) -> Callable[..., Run]:
    def make(config: Config, *, warn: Callable[[str], None]) -> Run:
        from streamvsr.compare.run import build_compare

        return build_compare(inputs, options, config, warn=warn)

    return make
