"""SIGINT, SIGTERM and SIGHUP: the end while modules load, an exception while a run is built, a count once it goes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

INTERRUPTED = 130


@contextmanager
def loading() -> Iterator[None]:
    """Around imports: Ctrl-C ends the process at once and without a word.

    Nothing is there to be tidied up yet, and an exception in the middle of numpy or PyAV is printed, turned into
    another one, or lost.
    """
    own = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if own:
        signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(INTERRUPTED))
    try:
        yield
    finally:
        if own:
            signal.signal(signal.SIGINT, signal.default_int_handler)


class Interrupts:
    """Takes these signals for the length of a ``with`` block, and gives them back.

    Signals are counted in ``count``. Before ``arm`` one raises ``KeyboardInterrupt`` too; afterwards who waits for the
    run looks at the count: nothing happens inside a signal handler. After the second one SIGINT is the system's own
    again, so that a third ends the process even where ending well hangs.

    A signal that was ignored before stays ignored (``nohup``), and outside the main thread, which alone may take
    signals, this does nothing.
    """

    def __init__(self) -> None:
        self.count = 0
        self._armed = False
        self._before: dict[signal.Signals, Any] = {}

    def arm(self) -> None:
        self._armed = True

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            wanted = [signal.SIGINT]
            if sys.platform != "win32":
                # A closed terminal is no reason to lose what is done either.
                wanted += [signal.SIGTERM, signal.SIGHUP]
            for number in wanted:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            # None: the handler was not Python's, and cannot be put back by it.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self.count >= 2:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        if not self._armed:
            raise KeyboardInterrupt
