"""How a run shows how far it is: a bar on a terminal, plain lines elsewhere, nothing when quiet.

A display is fed by the main loop (``update``) and has no thread of its own.
"""

from __future__ import annotations

import math
import os
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING

from streamvsr.cli.console import Console

if TYPE_CHECKING:
    from streamvsr.pipeline.stats import Progress

LINE_INTERVAL_SECONDS = 5.0
"""Between two plain lines: often enough to see it live, seldom enough for a log of a night."""
JSON_INTERVAL_SECONDS = 0.5
LEAST_BAR_COLUMNS = 8


def clock(seconds: float, *, hundredths: bool = False) -> str:
    """``00:01:02`` or ``00:01:02.50``."""
    ticks = max(0, round(seconds * 100)) if hundredths else max(0, round(seconds)) * 100
    whole, rest = divmod(ticks, 100)
    text = f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{text}.{rest:02}" if hundredths else text


def duration(seconds: float) -> str:
    """``4.2 s``, ``3 min 10 s`` or ``2 h 04 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.3g} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {whole % 60:02} s"


def size(count: float) -> str:
    """``950 bytes``, ``3.1 MB``, ``12 GB``."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.2g} {name}" if count < 99.5 * unit else f"{count / unit:.0f} {name}"
    return f"{count:.0f} bytes"


def counted(frames: int) -> str:
    """``1 frame``, ``312 frames``."""
    return f"{frames} frame{'' if frames == 1 else 's'}"


def summary(path: str, progress: Progress) -> str:
    """What a run has done, in a line."""
    parts = [f"{counted(progress.frames_out)} in {duration(progress.elapsed_seconds)}"]
    if os.path.isfile(path):
        parts.append(size(os.path.getsize(path)))
    return f"{'standard output' if path == '-' else path}: {', '.join(parts)}"


def done_fraction(progress: Progress) -> float | None:
    """How much is done, 0 to 1; None where the length is not known. Containers exaggerate: never more than 1."""
    if progress.frames_total:
        return min(1.0, progress.frames_out / progress.frames_total)
    if progress.seconds_total and progress.position_seconds is not None:
        return max(0.0, min(1.0, float(progress.position_seconds / progress.seconds_total)))
    return None


def eta_seconds(progress: Progress) -> float | None:
    """Seconds until the end at the present pace; None while nobody can know, and where the end was asked for."""
    done = done_fraction(progress)
    if not done or not progress.frames_out or progress.stopping:
        return None
    if progress.frames_total and progress.fps > 0:
        return max(0.0, (progress.frames_total - progress.frames_out) / progress.fps)
    return progress.elapsed_seconds * (1 - done) / done


def finishing(progress: Progress) -> bool:
    """Whether all frames are with the encoder, which may keep some dozens back, or the run was asked to stop."""
    return progress.stopping or done_fraction(progress) == 1.0


def average_fps(progress: Progress) -> float:
    """Frames per second over the whole run, which is what counts at its end."""
    return progress.frames_out / progress.elapsed_seconds if progress.elapsed_seconds > 0 else 0.0


def plain_line(progress: Progress, *, final: bool = False) -> str:
    """``frame=  120/312  fps=8.1  time=00:00:04.80  eta=00:00:24  dropped=0``"""
    total = "" if progress.frames_total is None else f"/{progress.frames_total}"
    eta = None if final or finishing(progress) else eta_seconds(progress)
    position = progress.position_seconds
    parts = [
        f"frame={progress.frames_out:5}{total}",
        f"fps={average_fps(progress) if final else progress.fps:.1f}",
        f"time={clock(0.0 if position is None else float(position), hundredths=True)}",
    ]
    if eta is not None:
        parts.append(f"eta={clock(eta)}")
    elif finishing(progress) and not final:
        parts.append("finishing")
    parts.append(f"dropped={progress.dropped}")
    if final and progress.longest_latency_seconds is not None:
        parts.append(f"latency<={progress.longest_latency_seconds:.2f}s")
    elif progress.latency_seconds is not None:
        parts.append(f"latency={progress.latency_seconds:.2f}s")
    return "  ".join(parts)


class Display(ABC):
    @abstractmethod
    def update(self, progress: Progress) -> None:
        """Called a few times a second."""

    @abstractmethod
    def close(self, progress: Progress | None) -> None:
        """Show the last state, if there is one, and release the screen. Safe to call twice."""


class NoDisplay(Display):
    def update(self, progress: Progress) -> None:
        pass

    def close(self, progress: Progress | None) -> None:
        pass


class PlainLines(Display):
    """A line now and then, and one at the end."""

    def __init__(self, console: Console, interval_seconds: float = LINE_INTERVAL_SECONDS) -> None:
        self._console, self._interval = console, interval_seconds
        self._last = time.monotonic()
        self._closed = False

    def update(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last >= self._interval:
            self._last = now
            self._console.note(plain_line(progress))

    def close(self, progress: Progress | None) -> None:
        if not self._closed and progress is not None:
            self._console.note(plain_line(progress, final=True))
        self._closed = True


class Bar(Display):
    """rich's progress bar, repainted by ``update``; what ``console`` says meanwhile goes above it."""

    def __init__(self, console: Console) -> None:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bars

        self._console = console
        rich_console = RichConsole(file=console.stream, highlight=False)
        self._bars = Bars(
            TextColumn("{task.fields[frames]}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[state]}", markup=False),
            console=rich_console,
            auto_refresh=False,
            # Standard output may carry the video: rich must not put itself in between.
            redirect_stdout=False,
            redirect_stderr=False,
            expand=True,
        )
        self._task = self._bars.add_task("", total=None, frames="", state="")
        self._bars.start()
        console.write_through(lambda text: rich_console.print(text, markup=False, soft_wrap=True))
        self._open = True

    def update(self, progress: Progress) -> None:
        eta = eta_seconds(progress)
        left = "finishing" if finishing(progress) else f"eta {'--:--:--' if eta is None else clock(eta)}"
        self._paint(progress, [(f"{progress.fps:.1f} fps", 2), (clock(progress.elapsed_seconds), 4), (left, 1)])

    def close(self, progress: Progress | None) -> None:
        if not self._open:
            return
        self._open = False
        if progress is not None:
            self._paint(
                progress, [(f"{average_fps(progress):.1f} fps", 2), (f"in {clock(progress.elapsed_seconds)}", 1)]
            )
        self._console.write_through(None)
        with suppress(OSError):
            self._bars.stop()

    def _paint(self, progress: Progress, state: list[tuple[str, int]]) -> None:
        """``state``: texts with their rank; where the line is too short the last ones go first."""
        done = done_fraction(progress)
        frames = str(progress.frames_out) + ("" if progress.frames_total is None else f"/{progress.frames_total}")
        if done is not None:
            state = [(f"{math.floor(100 * done)}%", 0), *state]
        if progress.encoded_bytes:
            state.append((size(progress.encoded_bytes), 4))
        if progress.dropped:
            state.append((f"dropped {progress.dropped}", 3))
        if progress.latency_seconds is not None:
            state.append((f"latency {progress.latency_seconds:.1f} s", 3))
        room = self._bars.console.width - len(frames) - LEAST_BAR_COLUMNS - 2
        for rank in range(4, -1, -1):
            if len("  ".join(text for text, _ in state)) > room:
                state = [one for one in state if one[1] < rank]
        # A terminal that went away is no reason to lose the run.
        with suppress(OSError):
            self._bars.update(
                self._task,
                total=None if done is None else 1.0,
                completed=done or 0.0,
                frames=frames,
                state="  ".join(text for text, _ in state),
                refresh=True,
            )


class JsonLines(Display):
    """Objects for programs, a line each; docs/progress.md lists the fields."""

    def __init__(self, console: Console, interval_seconds: float = JSON_INTERVAL_SECONDS) -> None:
        self._console, self._interval = console, interval_seconds
        self._last = -math.inf
        self._closed = False

    def update(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last >= self._interval:
            self._last = now
            self._write(progress, "finishing" if finishing(progress) else "running")

    def close(self, progress: Progress | None) -> None:
        if progress is not None and not self._closed:
            self._write(progress, "ended")
        self._closed = True

    def _write(self, progress: Progress, state: str) -> None:
        position = progress.position_seconds
        self._console.object(
            type="progress",
            state=state,
            frames=progress.frames_out,
            frames_total=progress.frames_total,
            done=done_fraction(progress),
            fps=round(progress.fps if state == "running" else average_fps(progress), 3),
            eta_seconds=eta_seconds(progress) if state == "running" else None,
            elapsed_seconds=round(progress.elapsed_seconds, 3),
            position_seconds=None if position is None else float(position),
            encoded_bytes=progress.encoded_bytes,
            dropped=progress.dropped,
            latency_seconds=progress.latency_seconds,
            stages={name: round(seconds, 3) for name, seconds in progress.stage_seconds},
        )


def make_display(console: Console, how: str = "auto") -> Display:
    """The display that ``--progress`` asks for, or that suits ``console`` and where it writes."""
    if console.quiet or console.stream is None or how == "none":
        return NoDisplay()
    if how == "json":
        return JsonLines(console)
    if how == "bar" or (how == "auto" and console.stream.isatty() and os.environ.get("TERM") != "dumb"):
        # Without rich, as in a cut-down image, lines do.
        with suppress(ImportError):
            return Bar(console)
    return PlainLines(console)
