"""``streamvsr split`` and ``streamvsr merge``: a video to pictures, and pictures to a video, without a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from streamvsr.cli.own_options import options_help, take
from streamvsr.cli.parser import asks_for_help, parse_paths
from streamvsr.config import VIDEOS, Config, ModelOptions
from streamvsr.errors import UsageError
from streamvsr.options import option

if TYPE_CHECKING:
    from streamvsr.pipeline.runner import Run

SPLIT_USAGE = """\
usage: streamvsr split [options] VIDEO FOLDER
       streamvsr split [options] VIDEO FOLDER/%05d.png

Writes every frame as a picture. merge --audio-from VIDEO puts them together
again, with the sound and the time stamps of the video."""

MERGE_USAGE = """\
usage: streamvsr merge [options] FOLDER VIDEO [options]

Makes a video of pictures, at -r frames a second (25).

"""


@dataclass(frozen=True, slots=True)
class MergeOptions:
    audio_from: str | None = option(
        None, "--audio-from", help="sound, other tracks and tags of this video; without -r its time stamps too",
        metavar="VIDEO",
    )  # fmt: skip


def split_command(words: Sequence[str]) -> int:
    """Write the pictures; the exit code. Raises ``StreamvsrError``."""
    from streamvsr.cli.app import run_config

    if not words or asks_for_help(words):
        print(SPLIT_USAGE)
        return 0 if words else 2
    config = _one_to_one(words, "split VIDEO FOLDER")
    if PurePath(config.output.path).suffix.lower() in VIDEOS:
        raise UsageError(f"split writes pictures, and '{config.output.path}' is a video: name a folder")
    return run_config(config, make=_maker(None))


def merge_command(words: Sequence[str]) -> int:
    """Write the video; the exit code. Raises ``StreamvsrError``."""
    from streamvsr.cli.app import run_config

    if not words or asks_for_help(words):
        print(MERGE_USAGE + options_help(MergeOptions))
        return 0 if words else 2
    own, rest = take(words, MergeOptions)
    config = _one_to_one(rest, "merge FOLDER VIDEO")
    if config.input.rate is None:
        # Wherever it stands: pictures have no rate that it could be a change of.
        config = replace(config, input=replace(config.input, rate=config.output.rate))
    config = replace(config, output=replace(config.output, rate=None))
    audio_from = MergeOptions(**own).audio_from
    return run_config(config, make=_maker(audio_from))


def _one_to_one(words: Sequence[str], form: str) -> Config:
    config, paths = parse_paths(words)
    if len(paths) != 2:
        raise UsageError(f"{form.split()[0]} takes an input and an output: streamvsr {form}")
    output = replace(config.output, path=paths[1])
    if config.model != ModelOptions():
        raise UsageError(f"{form.split()[0]} runs no network; streamvsr IN OUT does")
    return replace(config, output=output, model=ModelOptions(model="identity"))


def _maker(audio_from: str | None) -> Callable[..., Run]:
    def make(config: Config, *, warn: Callable[[str], None]) -> Run:
        from streamvsr.build import build
        from streamvsr.merge import build_merge

        run = build(config, warn=warn) if audio_from is None else build_merge(config, audio_from, warn=warn)
        # Nobody asked for a network.
        run.notes = [note for note in run.notes if note != "model identity"]
        return run

    return make
