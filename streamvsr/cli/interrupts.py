"""SIGINT, SIGTERM and SIGHUP: an exception while a run is being built, a count once it goes."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class Interrupts:
    """Takes these signals for the length of a ``with`` block, and gives them back.

    Before ``arm`` a signal raises ``KeyboardInterrupt``. Afterwards it only counts, and who waits for the run looks
    at ``count``: nothing happens inside a signal handler. After the second one SIGINT is the system's own again, so
    that a third ends the process even where ending well hangs.

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
        if not self._armed:
            raise KeyboardInterrupt
        self.count += 1
        if self.count >= 2:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
