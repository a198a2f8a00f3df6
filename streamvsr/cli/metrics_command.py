"""``streamvsr metrics OUT [REF]``: how near a result is to its reference, and how it looks without one."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from streamvsr.cli.console import Console, encodable
from streamvsr.cli.interrupts import Interrupts
from streamvsr.cli.own_options import options_help, take
from streamvsr.cli.parser import asks_for_help, parse_paths
from streamvsr.config import Config, ModelOptions, OutputOptions
from streamvsr.errors import SinkError, UsageError
from streamvsr.metrics.options import MetricsOptions, check
from streamvsr.metrics.table import METRICS
from streamvsr.part_file import PartFile

USAGE = """\
usage: streamvsr metrics [options] RESULT REFERENCE
       streamvsr metrics [options] RESULT

Measures a video, a folder of pictures or a picture against its reference,
frame by frame in their order, or by itself. docs/metrics.md has the
definitions.

"""
_REST = """

-ss, -t, -to and -r before the first path hold for both, -frames:v behind it
too; -y overwrites files.

examples:
  streamvsr metrics out.mp4 truth.mp4
  streamvsr metrics out/ truth/ --crop-border 4 --csv scores.csv --plot scores.png
  streamvsr metrics out.mp4 --metric brisque --at 0,50,99

metrics:
"""
LINE_SECONDS = 5.0
"""Between two lines on how far it is."""


def metrics_command(words: Sequence[str]) -> int:
    """Measure and print; the exit code. Raises ``StreamvsrError``."""
    if not words or asks_for_help(words):
        print(USAGE + options_help(MetricsOptions) + _REST + _metrics_help())
        return 0 if words else 2
    own, rest = take(words, MetricsOptions)
    options = MetricsOptions(**own)
    check(options)
    config, paths = parse_paths(rest)
    _check_config(config)
    if not 1 <= len(paths) <= 2:
        raise UsageError("metrics takes a result and its reference: streamvsr metrics OUT REF")
    files = {"--csv": options.csv, "--json": options.json, "--plot": options.plot}
    targets = [path for path in files.values() if path is not None]
    for flag, path in files.items():
        refuse(flag, path, config.output.overwrite)
        if path is not None and targets.count(path) > 1:
            raise UsageError(f"{flag} {path}: two files under one name")
    console = Console(quiet=config.run.quiet)

    from streamvsr.metrics import plot, report
    from streamvsr.metrics.compare import compare

    if options.plot is not None:
        plot.check()
    with Interrupts():
        scores = compare(
            paths[0], paths[1] if len(paths) == 2 else None, config, options, shortest=options.shortest,
            warn=console.warning, note=console.note, on_progress=Line(console),
        )  # fmt: skip
    overwrite = config.output.overwrite
    if options.csv is not None:
        write(options.csv, report.csv_text(scores), overwrite)
    if options.json is not None:
        named = {"result": paths[0], "reference": paths[1] if len(paths) == 2 else None}
        write(options.json, report.json_text({**named, **report.scores_json(scores)}, list(scores.columns)), overwrite)
    if options.plot is not None:
        write(options.plot, plot.over_time({paths[0]: scores}, list(scores.columns)), overwrite)
    width, height = scores.size
    heads = ("metric", f"mean of {len(scores)} frames, {width}x{height}", "worst", "")
    print_table(heads, report.rows(scores))
    return 0


class Line:
    """Says now and then how many frames have been measured."""

    def __init__(self, console: Console, what: str = "") -> None:
        self._console, self._what, self._last = console, what, time.monotonic()

    def __call__(self, frames: int, expected: int | None) -> None:
        now = time.monotonic()
        if now - self._last >= LINE_SECONDS:
            self._last = now
            self._console.note(f"{self._what}frame={frames}{'' if expected is None else f'/{expected}'} measured")


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """On standard output, where there is one; as wide as the terminal, and as wide as needed elsewhere."""
    if sys.stdout is None:
        return
    from rich import box
    from rich.console import Console as RichConsole
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, head in enumerate(heads):
        table.add_column(encodable(head, sys.stdout), justify="left" if number == 0 else "default")
    for row in rows:
        table.add_row(*(encodable(cell, sys.stdout) for cell in row))
    wide = None if sys.stdout.isatty() else 10_000

    class Printer(RichConsole):
        def on_broken_pipe(self) -> None:
            raise  # called while the error is handled; rich would end the process with code 1

    Printer(file=sys.stdout, width=wide, highlight=False, markup=False).print(table)


def refuse(flag: str, path: str | None, overwrite: bool | None) -> None:
    """Before anything is measured: raise ``UsageError`` for a file that is there, or has no folder to lie in."""
    if path is None:
        return
    if os.path.isdir(path):
        raise UsageError(f"{flag} {path}: is a folder; name a file")
    if overwrite is not True and os.path.lexists(path):
        raise UsageError(f"{flag} {path}: exists already; -y overwrites it")
    if not os.path.isdir(os.path.dirname(path) or "."):
        raise UsageError(f"{flag} {path}: there is no folder {os.path.dirname(path)}")


def write(path: str, content: bytes | str, overwrite: bool | None) -> None:
    """A file that is whole or not there. Bytes of a file's name that are not UTF-8 become ``\\udcXX``, which
    is JSON's way and Python's. Raises ``SinkError``."""
    if isinstance(content, str):
        content = content.encode(errors="backslashreplace")
    part = None
    try:
        part = PartFile(Path(os.path.realpath(path)), replace=overwrite is True)
        part.path.write_bytes(content)
        place = part.commit()
    except OSError as error:
        if part is not None:
            part.discard()
        raise SinkError(f"{path}: cannot be written ({error.strerror})") from error
    if place != part.final:
        raise SinkError(f"another file has appeared as {path} meanwhile, and stays: the result is {place}")


def _check_config(config: Config) -> None:
    """Of the options of a run only those that say what is read."""
    output = replace(config.output, frames=None, overwrite=None, path="")
    if output != OutputOptions() or config.model != ModelOptions() or config.input.size or config.input.pixel_format:
        raise UsageError("metrics takes -ss, -t, -to and -r of the input, -frames:v and -y; it changes no frame")


def _metrics_help() -> str:
    return "\n".join(f"  {m.name:15} {m.about}" for m in METRICS.values())
