"""What has to be clear about the output before anything is opened: may it be overwritten, is it the input?"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import PurePath

from streamvsr.cli.console import Console
from streamvsr.config import VIDEOS, Config
from streamvsr.errors import SinkError, UsageError


def settle_output(config: Config, console: Console) -> Config:
    """``config``, with ``overwrite`` set where the user has agreed to it.

    Raises ``UsageError`` where the output can never work, ``SinkError`` where the file exists and is to be kept.
    """
    source, target = config.input.path, config.output.path
    if target == "-" and sys.stdout is not None and sys.stdout.isatty():
        raise UsageError("standard output is a terminal: pipe it into a program or name a file")
    if source == "-" and sys.stdin is not None and sys.stdin.isatty():
        raise UsageError("standard input is a terminal: pipe a video into it or name a file")
    _check_extension(config)
    # Only regular files are ever replaced: what a folder, a FIFO or a URL does is up to its sink.
    if target == "-" or not os.path.isfile(target):
        return config
    if os.path.isfile(source) and os.path.samefile(source, target):
        raise UsageError(f"the output '{target}' is the input itself: name another file")
    if config.output.overwrite:
        return config
    if _is_partial_output(target):
        # Ours, from a run of this job that was interrupted.
        return replace(config, output=replace(config.output, overwrite=True))
    if config.output.overwrite is None and _can_ask(config):
        if console.ask(f"File '{target}' already exists. Overwrite?"):
            return replace(config, output=replace(config.output, overwrite=True))
        raise SinkError(f"'{target}' is kept, nothing was done")
    raise SinkError(f"'{target}' already exists; -y overwrites it")


def _check_extension(config: Config) -> None:
    """A name without an extension is a folder of images to whoever writes it, and an oversight to whoever typed it."""
    source, output = config.input.path, config.output
    forgotten = not PurePath(output.path).suffix and not output.path.endswith(("/", os.sep))
    if output.format is None and forgotten and "://" not in output.path and not os.path.exists(output.path):
        kind = PurePath(source).suffix.lower()
        if kind in VIDEOS and os.path.isfile(source):
            raise UsageError(
                f"the output '{output.path}' has no extension: {output.path}{kind} is a video, {output.path}/ a folder"
                " of images"
            )


def _can_ask(config: Config) -> bool:
    if config.run.no_stdin or config.input.path == "-" or sys.stdin is None or sys.stderr is None:
        return False
    return sys.stdin.isatty() and sys.stderr.isatty()


def _is_partial_output(target: str) -> bool:
    from streamvsr.jobs.store import is_partial_output  # here: --help needs none of what it brings in

    return is_partial_output(target)
