"""Every command with a line on what it does, and its options: what shell completions and the manual are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

from streamvsr.config import CallOptions, InputOptions, LiveOptions, ModelOptions, OutputOptions, RunOptions
from streamvsr.options import Option, options_of

RUN_GROUPS: Mapping[str, type] = {
    "options of the input": InputOptions,
    "options of the output": OutputOptions,
    "the network": ModelOptions,
    "live input": LiveOptions,
    "the run": RunOptions,
    "presets and many inputs": CallOptions,
}
"""Title -> the options of a run, in the order in which help shows them."""


@dataclass(frozen=True, slots=True)
class Command:
    summary: str
    options: str = ""
    """``module:class`` of its own options; imported when they are asked for."""
    of_a_run: bool = True
    """Whether it takes the options of a run too."""
    words: tuple[str, ...] = ()
    """What its first word may be, where that is no path."""
    switches: tuple[str, ...] = ()
    """Options that it reads by itself."""

    def own(self) -> list[Option]:
        if not self.options:
            return []
        module, _, name = self.options.partition(":")
        return [face for _, face in options_of(getattr(import_module(module), name))]


COMMANDS: Mapping[str, Command] = {
    "look": Command(
        "what a video is like, what suits it, what that takes", "streamvsr.look.options:LookOptions"
    ),
    "preview": Command("one moment before and after, as an image", "streamvsr.look.options:PreviewOptions"),
    "models": Command(
        "list, fetch, convert, export and verify networks",
        of_a_run=False,
        words=("fetch", "convert", "export", "verify"),
        switches=("--quiet", "--debug", "--list", "--measure", "--fp16", "--licence", "-y"),
    ),
    "filters": Command("list the filters of -vf, or explain one", of_a_run=False),
    "compare": Command("several videos or results beside each other", "streamvsr.compare.options:CompareOptions"),
    "ab": Command("a page on which viewers vote, blind", "streamvsr.compare.options:AbOptions"),
    "split": Command("a video to images"),
    "merge": Command("images to a video", "streamvsr.cli.split_merge_command:MergeOptions"),
    "metrics": Command("measure a result", "streamvsr.metrics.options:MetricsOptions"),
    "evaluate": Command("measure models on a data set", "streamvsr.metrics.options:EvaluateOptions"),
    "train": Command("train a network", "streamvsr.training.options:TrainOptions", of_a_run=False),
    "ui": Command("the page in the browser", "streamvsr.ui.options:UiOptions", of_a_run=False),
    "submit": Command("hand a run to the page's queue", "streamvsr.ui.options:SubmitOptions"),
    "completion": Command("print the completion of a shell", of_a_run=False, words=("bash", "zsh", "fish")),
}  # fmt: skip


def run_options() -> list[Option]:
    """The options of a run, one of each spelling: ``-ss`` of the input and of the output count once."""
    found: dict[str, Option] = {}
    for group in RUN_GROUPS.values():
        for _, face in options_of(group):
            found.setdefault(face.flags[0], face)
    return list(found.values())


def choices(face: Option) -> list[str]:
    """The values to offer for an option: its own, or the names of models or presets. None: it takes anything."""
    if face.flags[0] == "--model":
        return sorted(model_names())
    if face.flags[0] == "--preset":
        from streamvsr import presets

        return presets.names()
    return list(face.choices)


def takes_a_path(face: Option) -> bool:
    return face.metavar.split("[")[0] in ("FILE", "FOLDER", "DIR", "PATH", "VIDEO")


def takes_a_value(face: Option) -> bool:
    return face.kind not in ("flag", "yes_no")


def model_names() -> set[str]:
    """What ``--model`` takes: the models, and the checkpoints that are known by a name."""
    from streamvsr.models.registry import AUTO, ENTRIES, known_checkpoints

    return {AUTO, *ENTRIES, *(known.name for known in known_checkpoints())}


def fetchable_names() -> list[str]:
    from streamvsr.models.registry import known_checkpoints

    return sorted(known.name for known in known_checkpoints() if known.fetchable)
