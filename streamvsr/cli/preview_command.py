"""``streamvsr preview INPUT OUT.png``: one moment before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from streamvsr.cli.console import Console
from streamvsr.cli.interrupts import Interrupts
from streamvsr.cli.metrics_command import refuse, write
from streamvsr.cli.own_options import options_help, take
from streamvsr.cli.parser import asks_for_help, parse_paths
from streamvsr.errors import UsageError

USAGE = """\
usage: streamvsr preview [options] INPUT OUT.png

Writes what a moment looks like before and after: left enlarged by bicubic
interpolation, right through the network that a run would take (or --model, or
-vf behind the input), at full size, of the part of the frame in which most is to
be seen.

"""
_REST = """

Options of a run that concern the input, before it, and the model hold too; -y
overwrites the image.

examples:
  streamvsr preview film.mkv preview.png
  streamvsr preview film.mkv --at 12:30 --model realbasicvsr preview.png"""


def preview_command(words: Sequence[str]) -> int:
    """Write the image; the exit code. Raises ``StreamvsrError``."""
    from streamvsr.look.options import PreviewOptions

    if not words or asks_for_help(words):
        print(USAGE + options_help(PreviewOptions) + _REST)
        return 0 if words else 2
    own, rest = take(words, PreviewOptions)
    config, paths = parse_paths(rest)
    if len(paths) != 2 or not paths[1].lower().endswith(".png"):
        raise UsageError("preview takes an input and a PNG: streamvsr preview INPUT OUT.png")
    config = replace(config, input=replace(config.input, path=paths[0]))
    options = PreviewOptions(**own)
    stem = paths[1][: -len(".png")]
    targets = [f"{stem}.before.png", f"{stem}.after.png"] if options.apart else [paths[1]]
    for target in targets:
        refuse("preview", target, config.output.overwrite)
    console = Console(quiet=config.run.quiet)
    with Interrupts():
        from streamvsr.look.crops import png
        from streamvsr.look.preview import preview

        # The input is opened more than once.
        made = preview(config, options, warn=cache(console.warning))
    for target, pixels in zip(targets, [made.before, made.after] if options.apart else [made.pixels], strict=True):
        write(target, png(pixels), config.output.overwrite)
    console.note(f"{' and '.join(targets)}: {made.line}")
    return 0
