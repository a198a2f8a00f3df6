"""How a download shows how far it is: a bar on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from streamvsr.cli.console import Console

LINE_INTERVAL_SECONDS = 5.0
REPAINT_SECONDS = 0.1
"""Between two paintings of the bar; a fast connection brings pieces far more often."""


class Download:
    """A context that shows the bytes: ``with Download("name", console) as shown: shown.update(done, total)``."""

    def __init__(self, name: str, console: Console) -> None:
        self._name, self._console = name, console
        self._last = time.monotonic()
        self._bars = None
        on_screen = console.stream is not None and console.stream.isatty() and os.environ.get("TERM") != "dumb"
        if not console.quiet and on_screen:
            from rich import progress
            from rich.console import Console as RichConsole

            self._bars = progress.Progress(
                progress.TextColumn("{task.description}", markup=False),
                progress.BarColumn(bar_width=None),
                progress.DownloadColumn(),
                progress.TransferSpeedColumn(),
                progress.TimeRemainingColumn(),
                console=RichConsole(file=console.stream, highlight=False),
                auto_refresh=False,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._task = self._bars.add_task(name, total=None)

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bars is not None:
            with suppress(OSError):
                self._bars.refresh()
                self._bars.stop()

    def update(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        if self._bars is not None:
            # A terminal that went away is no reason to lose the download.
            with suppress(OSError):
                self._bars.update(self._task, completed=done, total=total)
                if now - self._last >= REPAINT_SECONDS or done == total:
                    self._last = now
                    self._bars.refresh()
        elif now - self._last >= LINE_INTERVAL_SECONDS:
            self._last = now
            of = f" of {total / 1e6:.1f}" if total else ""
            self._console.note(f"{self._name}: {done / 1e6:.1f}{of} MB")
