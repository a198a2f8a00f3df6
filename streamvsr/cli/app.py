"""The program: a command line in, an exit code out. The only place that runs, prints and takes signals.

Exit codes: 0 done, 1 failed, 2 usage, 130 interrupted, 141 the reader of our pipe left.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, cast

from streamvsr.cli.console import Console, encodable, forget_secrets, hide, hides, redact
from streamvsr.cli.interrupts import INTERRUPTED, Interrupts, loading
from streamvsr.cli.output_check import settle_output
from streamvsr.cli.parser import parse
from streamvsr.cli.progress import (
    Display,
    NoDisplay,
    counted,
    done_fraction,
    duration,
    eta_seconds,
    make_display,
    size,
    summary,
)
from streamvsr.cli.secret_words import config_secrets, typed_secrets
from streamvsr.cli.texts import help_texts
from streamvsr.cli.tokens import tokenize
from streamvsr.config import Config
from streamvsr.errors import ReaderLeftError, StreamvsrError, UsageError, missing_package
from streamvsr.threads import wait_asleep

if TYPE_CHECKING:
    from streamvsr.pipeline.runner import Run

LOOK_SECONDS = 0.15
"""How often the main thread looks up from waiting: for progress, and for signals, which do not wake it on Windows."""
FORECAST_SECONDS, FORECAST_FRAMES, FORECAST_SIZE_FRAMES = 5.0, 5, 100
"""What an estimate of time, and of size, is based on at least."""
LONG_SECONDS = 60.0
"""Shorter runs print no estimate."""
ABORT_SECONDS = 15.0
"""How long a run that is being dropped may take to close its files."""

COMMANDS: Mapping[str, str] = {
    "models": "streamvsr.cli.models_command:models_command",
    "look": "streamvsr.cli.look_command:look_command",
    "preview": "streamvsr.cli.preview_command:preview_command",
    "ab": "streamvsr.cli.ab_command:ab_command",
    "compare": "streamvsr.cli.compare_command:compare_command",
    "split": "streamvsr.cli.split_merge_command:split_command",
    "merge": "streamvsr.cli.split_merge_command:merge_command",
    "filters": "streamvsr.cli.filters_command:filters_command",
    "metrics": "streamvsr.cli.metrics_command:metrics_command",
    "train": "streamvsr.cli.train_command:train_command",
    "evaluate": "streamvsr.cli.evaluate_command:evaluate_command",
    "ui": "streamvsr.cli.ui_command:ui_command",
    "submit": "streamvsr.cli.submit_command:submit_command",
    "completion": "streamvsr.cli.completion_command:completion_command",
}
"""First word -> ``module:function`` that takes the other words and returns the exit code."""
_OTHER_NAMES = {
    "info": "look",
    "probe": "look",
    "analyze": "look",
    "list": "models",
    "help": "--help",
    "version": "--version",
    "fetch": "models fetch",
    "download": "models fetch",
}
"""What people call commands elsewhere."""
_PATH_LIKE = re.compile(r"^-|[./\\:%]")


def main(argv: Sequence[str] | None = None) -> int:
    """Run streamvsr with ``argv`` (``sys.argv[1:]`` unless given) and return the exit code. Never raises."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    console = Console(as_json=_asks_for_json(words))
    forget_secrets()
    wait_asleep()
    try:
        hide(typed_secrets(words))
        code = _command(words)
        # Here, not when the interpreter ends: there a reader that left would be reported as an ignored exception.
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return ReaderLeftError.exit_code
    except StreamvsrError as error:
        if debug:
            console.traceback(error)
        if not isinstance(error, ReaderLeftError):
            console.error(error)
        return error.exit_code
    except OSError as error:
        if debug:
            console.traceback(error)
        # Of what is written here only standard output can fail like this; all files have errors of their own.
        _forget_stdout()
        console.error(f"standard output cannot be written: {error.strerror or error}")
        return 1
    except Exception as error:
        if debug:
            console.traceback(error)
        if isinstance(error, ImportError) and (missing := missing_package(error)) is not None:
            console.error(missing)
            return missing.exit_code
        hint = "please report" if debug else "please report; --debug shows the traceback"
        console.error(f"internal: {type(error).__name__}: {error} ({hint})")
        return 1


def _asks_for_json(words: Sequence[str]) -> bool:
    """Whether errors are for a program, too; those in the command line itself come before it is understood."""
    return "--progress=json" in words or any(pair == ("--progress", "json") for pair in pairwise(words))


def _command(words: Sequence[str]) -> int:
    if not words:
        from streamvsr.cli.help import short_usage

        print(short_usage(help_texts(sys.stderr)), file=sys.stderr)
        return 2
    # A file of that name is what the user means: it was there before the command was.
    if words[0] in COMMANDS and not os.path.exists(words[0]):
        module, _, function = COMMANDS[words[0]].partition(":")
        with loading():
            command = cast(Callable[[Sequence[str]], int], getattr(import_module(module), function))
        return command(words[1:])
    _check_command(words)
    invocation = parse(words)
    if invocation.config is not None:
        hide(config_secrets(invocation.config))
    if invocation.show == "help":
        from streamvsr.cli.help import full_help

        print(full_help(help_texts(sys.stdout)))
        return 0
    if invocation.config is None:
        print(f"streamvsr {import_module('streamvsr').__version__}")
        return 0
    if invocation.call.print_config:
        from streamvsr.cli.config_text import config_text

        print(encodable(redact(config_text(invocation.config, invocation.origins)), sys.stdout))
        return 0
    if invocation.inputs:
        from streamvsr.cli.batch import run_batch

        return run_batch(invocation, run_config)
    return run_config(invocation.config, invocation.notes)


def _check_command(words: Sequence[str]) -> None:
    """Raise ``UsageError`` for a first word that is neither a command nor a file, and no path of one to be, and for a
    command behind options."""
    name = words[0]
    if name.startswith("-"):
        _check_order(words)
        return
    if not name or _PATH_LIKE.search(name) or os.path.exists(name):
        return
    import difflib

    close = difflib.get_close_matches(name.lower(), [*COMMANDS, *_OTHER_NAMES], n=1, cutoff=0.7)
    if close:
        meant = _OTHER_NAMES.get(close[0], close[0])
        raise UsageError(f"there is no file '{name}'; did you mean streamvsr {meant}?")
    paths = _paths(words)
    # As in `upscale in.mp4 out.mp4`: else two outputs would be found, or the input taken for the output.
    if "-o" not in words and (len(paths) > 2 or (len(paths) == 2 and os.path.exists(paths[1]))):
        raise UsageError(f"there is no file or command '{name}'; streamvsr --help lists the commands")


def _check_order(words: Sequence[str]) -> None:
    first = next(iter(_paths(words)), None)
    if first is not None and first in COMMANDS and not os.path.exists(first):
        rest = list(words)
        rest.remove(first)
        raise UsageError(
            f"'{first}' is a command, and a command comes first: {shlex.join(['streamvsr', first, *rest])}"
        )


def _paths(words: Sequence[str]) -> list[str]:
    """The words that are no options and no values of any; none where the parser has to tell what is wrong first."""
    try:
        return [token.value for token in tokenize(words) if token.flag is None and token.value is not None]
    except UsageError:
        return []


def run_config(
    config: Config,
    notes: Sequence[str] = (),
    *,
    console: Console | None = None,
    show: Callable[[Console], Display] | None = None,
    make: Callable[..., Run] | None = None,
) -> int:
    """Build and run ``config``; ``notes`` are printed first. Raises ``StreamvsrError`` and whatever else went wrong.

    ``make`` builds the run instead of ``build.build``, and gets ``config`` and ``warn`` as that does.
    """
    console = console or Console(quiet=config.run.quiet, as_json=config.run.progress == "json")
    for note in notes:
        console.note(note)
    if config.run.dry_run:
        from streamvsr.cli.dry_run import dry_run

        return dry_run(config, console)
    config = settle_output(config, console)
    with loading():
        from streamvsr.build import build
    with Interrupts() as interrupts:
        if config.run.debug and hides():
            console.note("FFmpeg's own messages are left out: they would show the passwords of this call")
        elif config.run.debug:
            _show_ffmpeg_messages()
        try:
            if make is not None:
                run = make(config, warn=console.warning)
            elif config.run.workers is not None or config.run.ray is not None:
                from streamvsr.distributed.run import build_distributed

                run = cast("Run", build_distributed(config, warn=console.warning, announce=console.note))
            else:
                run = build(config, warn=console.warning, announce=console.note)
        except Exception as error:
            if interrupts.count:
                # Inside an import (torch takes seconds) it may come out as any error.
                raise KeyboardInterrupt from error
            raise
        if config.run.live_pair is not None:
            from streamvsr.look.live_pair import LivePair

            pair = LivePair(Path(config.run.live_pair))
            run.tap(pair.written, pair.read)
        interrupts.arm()
        display: Display = NoDisplay()
        run.start()
        try:
            if run.writes:
                total = run.progress().frames_total
                memory = f", about {size(run.memory_bytes)} of memory" if run.memory_bytes else ""
                console.note((run.writes if total is None else f"{run.writes}, {counted(total)}") + memory)
            shown = _show_notes(run, console, 0)
            display = show(console) if show is not None else make_display(console, config.run.progress)
            ending = _watch(run, display, interrupts, console)
            display.close(run.progress())
            _show_notes(run, console, shown)
        except BaseException:
            # Also a failing screen is no reason to leave half an output behind.
            display.close(None)
            run.abort()
            run.wait(ABORT_SECONDS)
            raise
        if config.run.stats:
            console.block(_stats(run))
        if ending == "aborted" and not run.complete:
            console.note("aborted")
            return INTERRUPTED
        run.result()
        if ending:
            done = run.progress().frames_out
            what = f"{counted(done)} {'is' if done == 1 else 'are'} in {config.output.path}"
            what = what if done else "nothing was written"
            console.note(f"interrupted: {what}")
            return INTERRUPTED
        if show is None:
            console.note(summary(config.output.path, run.progress()))
        return 0


def _watch(run: Run, display: Display, interrupts: Interrupts, console: Console) -> str:
    """Wait for the run and hand signals on to it; how it was told to end: "", "stopped" or "aborted"."""
    ending, forecast = "", False
    while not run.wait(LOOK_SECONDS):
        if interrupts.count >= 1 and not ending:
            ending = "stopped"
            console.note("stopping: the output is being finished; interrupt again to drop it")
            run.stop()
        if interrupts.count >= 2 and ending == "stopped":
            ending = "aborted"
            run.abort()
        progress = run.progress()
        display.update(progress)
        if not forecast and progress.elapsed_seconds >= FORECAST_SECONDS and progress.frames_out >= FORECAST_FRAMES:
            forecast = True
            eta = eta_seconds(progress)
            if eta is not None and eta > LONG_SECONDS:
                said = f"about {duration(eta)} to go at {progress.fps:.2g} frames a second"
                done = done_fraction(progress)
                # Behind the first key frames of an encoder that looks ahead, the mean is no forecast yet.
                if done and progress.encoded_bytes and progress.frames_out >= FORECAST_SIZE_FRAMES:
                    said += f", {size(progress.encoded_bytes / done)} of video"
                console.note(said)
    return ending


def _show_notes(run: Run, console: Console, first: int) -> int:
    """Print the run's notes from number ``first`` on; how many there are by now."""
    notes = list(run.notes)
    for note in notes[first:]:
        console.note(note)
    return len(notes)


def _stats(run: Run) -> str:
    from streamvsr.cli.stats_table import stats_table

    return stats_table(run.stats())


def _show_ffmpeg_messages() -> None:
    """Let FFmpeg print for itself; without this PyAV drops its messages.

    Not through Python's logging: its callback needs the interpreter's lock inside FFmpeg's threads, and can deadlock.
    """
    import av.logging

    av.logging.restore_default_callback()
    av.logging.set_libav_level(av.logging.VERBOSE)


def _forget_stdout() -> None:
    """Keep the interpreter from flushing, and failing, into a pipe that nobody reads any more."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError, AttributeError):
        pass
