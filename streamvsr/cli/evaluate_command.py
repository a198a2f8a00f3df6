"""``streamvsr evaluate MODEL DATASET``: models measured on the clips of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamvsr.cli.console import Console
from streamvsr.cli.interrupts import Interrupts
from streamvsr.cli.metrics_command import Line, print_table, write
from streamvsr.cli.own_options import options_help, take
from streamvsr.cli.parser import asks_for_help, parse_paths
from streamvsr.config import Config, InputOptions, OutputOptions
from streamvsr.errors import UsageError
from streamvsr.metrics.options import EvaluateOptions, check

if TYPE_CHECKING:
    from streamvsr.metrics.evaluate import Evaluation, Result

USAGE = """\
usage: streamvsr evaluate [options] MODEL[,MODEL...] DATASET

MODEL is a name from 'streamvsr models', an mm-style config or a checkpoint.
DATASET is a folder of clips (videos, folders of pictures), with truths (GT)
and inputs (LR, BIx4, ...) below it as Vid4, REDS4 and UDM10 have them, or
without truths, as VideoLQ; or a single clip. docs/metrics.md has the layouts.

"""
_REST = """

All options on models hold too, and -frames:v N (of each clip), -y.

--degrade makes the input from the truth: bicubic, bd, noise=N, h264=CRF, or
some of them joined with +. CLIP@2 shrinks the truth by two before.

examples:
  streamvsr evaluate rt,bicubic Vid4 --lr BIx4
  streamvsr evaluate configs/realbasicvsr_x4.py VideoLQ --checkpoint x.pth -o out
  streamvsr evaluate rt clip.mp4@2 --degrade noise=8+h264=32"""
FILES = ("frames.csv", "means.csv", "scores.json", "means.png")
ALL = "all clips"


def evaluate_command(words: Sequence[str]) -> int:
    """Measure and print; the exit code. Raises ``StreamvsrError``."""
    if not words or asks_for_help(words):
        print(USAGE + options_help(EvaluateOptions) + _REST)
        return 0 if words else 2
    own, rest = take(words, EvaluateOptions)
    options = EvaluateOptions(**own)
    check(options)
    config, paths = parse_paths(rest)
    _check_config(config)
    if len(paths) != 2:
        raise UsageError("evaluate takes models and a data set: streamvsr evaluate MODEL DATASET")
    if options.pictures and options.folder is None:
        raise UsageError("--pictures needs -o FOLDER to write them to")
    folder = None if options.folder is None else _folder(Path(options.folder), config.output.overwrite, options)
    console = Console(quiet=config.run.quiet)

    from streamvsr.metrics import plot
    from streamvsr.metrics.evaluate import evaluate, methods, prepare

    if folder is not None:
        plot.check()
    plan = prepare(methods(paths[0], config.model, options.chains), paths[1], options, config.output.frames)
    for line in plan.tools.notes:
        console.note(line)
    if plan.at is not None:
        console.note(f"no-reference metrics at frames {', '.join(map(str, sorted(plan.at)))} alone")
    results = []
    pictures = folder if options.pictures else None
    # A signal that ends the process at once would leave the inputs that were made behind.
    with Interrupts():
        for result in evaluate(
            plan, warn=console.warning, note=console.note, progress_of=lambda what: Line(console, what), folder=pictures
        ):
            results.append(result)
            if folder is not None:
                # What is done is not lost when a later clip fails.
                _write_files(folder, plan, results, paths[1], config.output.overwrite or len(results) > 1)
    print_table(*_table(plan, results))
    return 0


def _table(plan: Evaluation, results: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    from streamvsr.metrics.report import shown

    names = list(plan.tools.wanted)
    heads = ["clip", "method", "frames", *names, "ms/frame"]
    rows = [
        [
            r.clip,
            r.method,
            str(len(r.scores)),
            *(shown(n, r.scores.mean(n)) for n in names),
            f"{r.frame_milliseconds:.1f}",
        ]
        for r in results
    ]
    if len(plan.clips) > 1:
        for method, means in _overall(plan, results).items():
            frames = sum(len(r.scores) for r in results if r.method == method)
            speed = f"{means['frame_milliseconds']:.1f}"
            rows.append([ALL, method, str(frames), *(shown(n, means[n]) for n in names), speed])
    return heads, rows


def _overall(plan: Evaluation, results: Sequence[Result]) -> dict[str, dict[str, Any]]:
    """Method -> metric -> mean over the clips, each counting once, as in the literature."""
    found = {}
    for way in plan.ways:
        of_way = [r for r in results if r.method == way.name]
        if not of_way:
            continue
        means: dict[str, Any] = {"frame_milliseconds": sum(r.frame_milliseconds for r in of_way) / len(of_way)}
        for name in plan.tools.wanted:
            values = [value for r in of_way if (value := r.scores.mean(name)) is not None]
            means[name] = sum(values) / len(values) if values else None
        found[way.name] = means
    return found


def _write_files(
    folder: Path, plan: Evaluation, results: Sequence[Result], dataset: str, overwrite: bool | None
) -> None:
    from streamvsr.metrics import plot, report

    names = list(plan.tools.wanted)
    lines = [[r.method, r.clip, *line] for r in results for line in report.frame_lines(r.scores)]
    overall = _overall(plan, results)
    means: list[list[Any]] = [
        [
            r.method,
            r.clip,
            len(r.scores),
            *(report.exact(r.scores.mean(n)) for n in names),
            round(r.frame_milliseconds, 2),
        ]
        for r in results
    ]
    content = {
        "dataset": dataset,
        "degrade": plan.options.degrade,
        "crop_border": plan.options.crop_border,
        "results": [
            {"method": r.method, "clip": r.clip, "frame_milliseconds": round(r.frame_milliseconds, 2)}
            | report.scores_json(r.scores)
            for r in results
        ],
        "mean_of_clips": {
            method: {name: report.exact(value) for name, value in values.items()} for method, values in overall.items()
        },
    }
    made: tuple[str | bytes, ...] = (
        report.table_text(["method", "clip", "frame", "seconds", *names], lines),
        report.table_text(["method", "clip", "frames", *names, "frame_milliseconds"], means),
        report.json_text(content, names),
        plot.bars(overall, names),
    )
    for name, text in zip(FILES, made, strict=True):
        write(str(folder / name), text, overwrite)


def _folder(folder: Path, overwrite: bool | None, options: EvaluateOptions) -> Path:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"-o {folder}: is a file; name a folder")
    if overwrite is not True and folder.is_dir():
        there = [name for name in FILES if (folder / name).exists()]
        there = there or ([e.name for e in folder.iterdir()] if options.pictures else [])
        if there:
            raise UsageError(f"-o {folder}: has {there[0]} already; -y overwrites it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"-o {folder}: cannot be made ({error.strerror})") from error
    return folder


def _check_config(config: Config) -> None:
    """Of the options of a run those of the model, and how many frames."""
    output = replace(config.output, frames=None, overwrite=None, path="")
    if output != OutputOptions() or replace(config.input, path="") != InputOptions():
        raise UsageError("evaluate takes the options of models, -frames:v and -y; --with CHAIN measures filters")
