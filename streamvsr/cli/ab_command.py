"""``streamvsr ab A B PAGE.html``: a page on which viewers choose between two results, blind."""

from __future__ import annotations

from collections.abc import Sequence

from streamvsr.cli.console import Console
from streamvsr.cli.interrupts import Interrupts
from streamvsr.cli.metrics_command import refuse, write
from streamvsr.cli.own_options import options_help, take
from streamvsr.cli.parser import asks_for_help, parse_paths
from streamvsr.compare.options import AbOptions
from streamvsr.errors import UsageError

USAGE = """\
usage: streamvsr ab [options] A B PAGE.html

A page that shows A and B beside each other at some moments, in random order and
on random sides, and takes votes: left, right, no difference. It is one file,
works without a network, and saves the votes as CSV. A and B are videos or
folders of images; the smaller one is enlarged by bicubic interpolation.

"""
_REST = """

-ss and -r before the first path hold for both; -y overwrites the page.

examples:
  streamvsr ab rt.mp4 rt-real.mp4 vote.html
  streamvsr ab old.mp4 new.mp4 vote.html --pairs 20 --zoom 200:100:320:240"""


def ab_command(words: Sequence[str]) -> int:
    """Write the page; the exit code. Raises ``StreamvsrError``."""
    if not words or asks_for_help(words):
        print(USAGE + options_help(AbOptions) + _REST)
        return 0 if words else 2
    own, rest = take(words, AbOptions)
    options = AbOptions(**own)
    config, paths = parse_paths(rest)
    if len(paths) != 3:
        raise UsageError("ab takes two results and a page: streamvsr ab A B PAGE.html")
    refuse("ab", paths[2], config.output.overwrite)
    console = Console(quiet=config.run.quiet)
    with Interrupts():
        from streamvsr.compare.ab_page import ab_page

        page = ab_page(paths[:2], options, config, warn=console.warning)
    write(paths[2], page, config.output.overwrite)
    console.note(f"{paths[2]}: {options.pairs} pairs; open it in a browser")
    return 0
