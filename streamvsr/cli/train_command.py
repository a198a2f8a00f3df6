"""``streamvsr train MODEL DATA... --out FILE``: train a network from videos and folders of pictures."""

from __future__ import annotations

from collections.abc import Sequence

from streamvsr.cli.console import Console
from streamvsr.cli.interrupts import INTERRUPTED, Interrupts
from streamvsr.cli.own_options import options_help, take
from streamvsr.cli.parser import asks_for_help
from streamvsr.errors import UsageError
from streamvsr.training.options import TrainOptions, merged

USAGE = """\
usage: streamvsr train MODEL DATA... --out FILE.safetensors [options]
       streamvsr train --config FILE.toml [options]

Train rt, basicvsr or realbasicvsr to enlarge by four. DATA are videos, folders
of frames, or folders of such, read as they are; PATH@2 is halved first. The
low resolution is made on the way (--degrade). A run that was interrupted goes
on with --resume, to the same weights. A TOML file has the options' names as
keys, and model and data; options given here go before it.

"""
_REST = """

examples:
  streamvsr train rt clips --photos pictures --degrade real --out small.safetensors
  streamvsr train realbasicvsr REDS/train_sharp --degrade paper --frames 30 --mirror
      --patch 256 --batch 2 --lr 1e-4 --sharpen --device cuda --out stage1.safetensors"""


def train_command(words: Sequence[str]) -> int:
    """Train; the exit code. Raises ``StreamvsrError``."""
    if not words or asks_for_help(words):
        print(USAGE + options_help(TrainOptions) + _REST)
        return 0 if words else 2
    rest, config = _config(words)
    given, paths = take(rest, TrainOptions)
    if wrong := [word for word in paths if word.startswith("-")]:
        raise UsageError(f"unknown option {wrong[0]}; see 'streamvsr train --help'")
    if paths:
        given["model"] = paths[0]
    if paths[1:]:
        given["data"] = tuple(paths[1:])
    options = merged(given, config)
    # Not above: --help and wrong options need no torch.
    from streamvsr.training.trainer import train

    console = Console()
    with Interrupts() as interrupts:
        interrupts.arm()
        trainer = train(options, console.note, lambda: interrupts.count > 0)
    if interrupts.count:
        console.note(f"interrupted at step {trainer.step} of {options.steps}; the same command with --resume goes on")
        return INTERRUPTED
    console.note(f"{options.out}: step {trainer.step} of {options.steps}")
    return 0


def _config(words: Sequence[str]) -> tuple[list[str], str | None]:
    rest = list(words)
    for i, word in enumerate(rest):
        if word == "--config":
            if i + 1 == len(rest):
                raise UsageError("--config needs a TOML file")
            return rest[:i] + rest[i + 2 :], rest[i + 1]
        if word.startswith("--config="):
            return rest[:i] + rest[i + 1 :], word.partition("=")[2]
    return rest, None
