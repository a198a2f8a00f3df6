"""``streamvsr INPUTS... -o FOLDER``: one run after the other, each input into the folder under its own name.

A failure does not end the others; failures are listed at the end, and the exit code is 1 if there was one. After Ctrl-C
the current output is finished as it is, under a name that says so, and the rest is left for another time.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from streamvsr.cli.console import Console, encodable
from streamvsr.cli.interrupts import INTERRUPTED, loading
from streamvsr.cli.parser import Invocation
from streamvsr.cli.progress import Display, average_fps, clock, done_fraction, eta_seconds, make_display
from streamvsr.config import IMAGES, VIDEOS, Config
from streamvsr.errors import StreamvsrError, UsageError

if TYPE_CHECKING:
    from streamvsr.pipeline.stats import Progress

PARTIAL = ".partial"
"""Put into the name of an output that an interrupt cut short, so that ``--skip-existing`` does it again."""


NAMED_FILES = 20
"""Of those that are left out; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Job:
    source: str
    target: str


def run_batch(invocation: Invocation, run: Callable[..., int]) -> int:
    """All inputs of the call; the exit code. ``run`` is ``app.run_config``. Raises ``UsageError`` for a call that could
    not work for all."""
    config, call = invocation.config, invocation.call
    assert config is not None
    assert call.output_folder is not None
    console = BatchConsole(quiet=config.run.quiet, as_json=config.run.progress == "json")
    for note in invocation.notes:
        console.note(note)
    jobs = plan(
        invocation.inputs,
        call.output_folder,
        call.suffix,
        recursive=call.recursive,
        note=console.note,
        renames=config.output.format is None,
    )
    with loading():
        from streamvsr.build import check_chain
    check_chain(config)
    _make_folder(call.output_folder)
    failures: list[tuple[Job, str]] = []
    done = skipped = 0
    for number, job in enumerate(jobs, start=1):
        label = f"[{number}/{len(jobs)}] {os.path.basename(job.source.rstrip('/'))}"
        if call.skip_existing and _is_there(job.target):
            skipped += 1
            console.note(f"{label}: is there already")
            continue
        before = _stamp(job.target)
        try:
            _make_folder(os.path.dirname(job.target.rstrip("/" + os.sep)))
            code = run(_config_of(config, job), console=console, show=partial(_display, label, config.run.progress))
        except KeyboardInterrupt:
            code = INTERRUPTED
        except StreamvsrError as error:
            if config.run.debug:
                console.traceback(error)
            console.error(f"{label}: {error}")
            failures.append((job, str(error)))
            continue
        if code == INTERRUPTED:
            if _stamp(job.target) != before:
                _set_aside(job.target, console)
            _sum_up(console, done, skipped, failures, len(jobs) - number + 1)
            return INTERRUPTED
        done += 1
    _sum_up(console, done, skipped, failures, 0)
    return 1 if failures else 0


def _display(label: str, how: str, console: Console) -> Display:
    if how in ("json", "none"):
        return make_display(console, how)
    return Line(console, label)


def plan(
    inputs: Sequence[str],
    folder: str,
    suffix: str | None,
    *,
    recursive: bool = False,
    note: Callable[[str], None] = lambda _: None,
    renames: bool = True,
) -> list[Job]:
    """What goes where. Folders of videos stand for what is in them, folders of pictures for themselves.

    ``recursive``: for what is in the folders in them too, each in a folder of that name. ``note`` gets what is left
    out of a folder. ``renames``: what nobody writes (``UNWRITTEN``) becomes ``.mkv``. Raises ``UsageError`` where there
    is nothing to do, and where an output would be an input or another's output.
    """
    if suffix is not None and (not suffix.startswith(".") or len(suffix) < 2 or "/" in suffix):
        raise UsageError(f"--suffix {suffix}: expected a kind of file with its dot, such as .mkv")
    sources = [
        (source, os.path.join(folder, below))
        for path in inputs
        for source, below in _expanded(path, os.path.realpath(folder), recursive, note)
    ]
    jobs, taken = [], dict[str, str]()
    for source, into in sources:
        target = _target(source, into, suffix, renames=renames)
        if target in taken:
            if os.path.abspath(source) == os.path.abspath(taken[target]):
                raise UsageError(f"'{source}' is given twice")
            raise UsageError(f"'{taken[target]}' and '{source}' would both become '{target}': use two folders")
        if os.path.exists(target) and os.path.samefile(source, target):
            raise UsageError(f"the output of '{source}' would be the input itself: name another folder after -o")
        taken[target] = source
        jobs.append(Job(source, target))
    if not jobs:
        raise UsageError(f"nothing to do: no video and no picture in {', '.join(inputs)}")
    return jobs


def _expanded(
    path: str, out: str, recursive: bool, note: Callable[[str], None], below: str = ""
) -> Iterator[tuple[str, str]]:
    """(input, the folder below the output folder that its output goes into) of all that ``path`` stands for."""
    if path == "-" or "://" in path:
        raise UsageError(f"'{path}': with -o, inputs are files and folders, which have a name to give to the output")
    if not os.path.isdir(path):
        yield path, below
        return
    try:
        with os.scandir(path) as entries:
            found = sorted((e for e in entries if e.name[0] != "."), key=lambda entry: entry.name)
    except OSError as error:
        raise UsageError(f"'{path}' cannot be listed: {error.strerror}") from error
    folders = [e for e in found if e.is_dir() and os.path.realpath(e.path) != out]
    files = [e for e in found if not e.is_dir()]
    videos = [e for e in files if Path(e.name).suffix.lower() in VIDEOS]
    others = [e.name for e in files if e not in videos]
    if videos:
        yield from ((e.path, below) for e in videos)
    elif any(Path(name).suffix.lower() in IMAGES for name in others):
        yield path, os.path.dirname(below)  # the pictures go into a folder of that name by themselves
        others = []
    if others:
        note(f"'{path}': not known as videos, and left out: {_some(others)}; named one by one they are tried")
    if folders and not recursive:
        note(f"'{path}': folders in it are left out: {_some([e.name for e in folders])}; --recursive takes them too")
    for entry in folders if recursive else ():
        # A link may lead back up.
        if not entry.is_symlink():
            yield from _expanded(entry.path, out, recursive, note, os.path.join(below, entry.name))


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMED_FILES
    return ", ".join(names[:NAMED_FILES]) + (f" and {more} more" if more > 0 else "")


UNWRITTEN = frozenset(
    (
        *(".amv", ".bik", ".dav", ".divx", ".dv", ".dvr-ms", ".evo", ".flc", ".fli", ".gxf", ".mk3d", ".mod", ".mpe"),
        *(".mpv", ".nsv", ".ogm", ".qt", ".rmvb", ".tod", ".tp", ".trp", ".vro", ".xvid"),
    )
)
"""Kinds of video that are read, and that FFmpeg does not write, or not in any size."""


def _target(source: str, folder: str, suffix: str | None, *, renames: bool) -> str:
    name = os.path.basename(source.rstrip("/" + os.sep))
    if renames and suffix is None and Path(name).suffix.lower() in UNWRITTEN and not os.path.isdir(source):
        suffix = ".mkv"
    if os.path.isdir(source):
        return os.path.join(folder, f"{name}{suffix}" if suffix else f"{name}/")
    return os.path.join(folder, f"{Path(name).stem}{suffix}" if suffix else name)


def _config_of(config: Config, job: Job) -> Config:
    # Nobody sits before a batch to answer questions.
    run = replace(config.run, no_stdin=True)
    return replace(
        config, input=replace(config.input, path=job.source), output=replace(config.output, path=job.target), run=run
    )


def _make_folder(folder: str) -> None:
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise UsageError(f"-o {folder}: this is a file, and outputs go into a folder")
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise UsageError(f"-o {folder}: {error.strerror}") from error


def _is_there(target: str) -> bool:
    return bool(os.listdir(target)) if os.path.isdir(target) else os.path.exists(target)


def _stamp(target: str) -> tuple[int, int] | None:
    """Changes when an output appears or is replaced; a folder that was there before stays what it was."""
    try:
        found = os.stat(target)
    except OSError:
        return None
    return found.st_ino, 0 if os.path.isdir(target) else found.st_mtime_ns


def _set_aside(target: str, console: Console) -> None:
    path = Path(target)
    partial = path.with_name(f"{path.stem}{PARTIAL}{path.suffix}")
    try:
        path.replace(partial)
    except OSError as error:
        console.warning(f"'{path}' is cut short, and could not be renamed: {error.strerror}")
    else:
        console.note(f"it is called {partial} now: cut short, not done")


def _sum_up(console: Console, done: int, skipped: int, failures: Sequence[tuple[Job, str]], left: int) -> None:
    parts = [f"{done} done", *([f"{skipped} were there already"] if skipped else [])]
    parts += [f"{len(failures)} failed"] if failures else []
    parts += [f"{left} left undone"] if left else []
    console.note(", ".join(parts))
    for job, reason in failures:
        console.error(f"{job.source}: {reason}")


class BatchConsole(Console):
    """Says what runs repeat, such as the choice of the network, once; errors and warnings always."""

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None, as_json: bool = False) -> None:
        super().__init__(quiet=quiet, stream=stream, as_json=as_json)
        self._said: set[str] = set()

    def note(self, text: object) -> None:
        if str(text) not in self._said:
            self._said.add(str(text))
            super().note(text)


class Line(Display):
    """One line for a run: repainted on a terminal, printed at the end elsewhere."""

    def __init__(self, console: Console, label: str) -> None:
        self._console, self._label = console, label
        stream = console.stream
        self._stream = stream if stream is not None and stream.isatty() and not console.quiet else None
        self._width = 0
        if self._stream is not None:
            console.write_through(self._above)

    def update(self, progress: Progress) -> None:
        if self._stream is not None:
            done, eta = done_fraction(progress), eta_seconds(progress)
            parts = [f"{progress.frames_out} frames", f"{progress.fps:.1f} a second"]
            parts = parts if done is None else [f"{done:4.0%}", *parts]
            parts = parts if eta is None else [*parts, f"{clock(eta)} left"]
            self._paint(f"{self._label}: {', '.join(parts)}")

    def close(self, progress: Progress | None) -> None:
        if self._stream is not None:
            self._paint("")
            self._console.write_through(None)
            self._stream = None
        if progress is not None:
            took = clock(progress.elapsed_seconds)
            self._console.note(
                f"{self._label}: {progress.frames_out} frames in {took}, {average_fps(progress):.1f} frames a second"
            )

    def _above(self, text: str) -> None:
        self._paint("")
        print(text, file=self._stream, flush=True)

    def _paint(self, text: str) -> None:
        assert self._stream is not None
        # A line that wraps could not be painted over.
        text = encodable(text, self._stream)[: shutil.get_terminal_size().columns - 1]
        print(f"\r{text:<{self._width}}" + ("" if text else "\r"), end="", file=self._stream, flush=True)
        self._width = len(text)
