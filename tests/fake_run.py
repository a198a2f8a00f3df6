"""A run that only pretends."""

from __future__ import annotations

import sys
import threading
import time
import types
from collections.abc import Callable
from fractions import Fraction

from streamvsr.errors import StreamvsrError
from streamvsr.pipeline.stats import Progress, RingLevel, StageStats


class FakeRun:
    """Takes ``seconds``, then is done or failed; writes what happens to it into ``log``."""

    def __init__(
        self,
        seconds: float = 0.0,
        error: StreamvsrError | None = None,
        *,
        deaf: bool = False,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.notes = list(notes)
        self.complete, self.writes = False, ""
        self.log: list[str] = []
        self._seconds, self._error, self._deaf = seconds, error, deaf
        self._over = threading.Event()
        self._until = float("inf")

    def start(self) -> None:
        self.log.append("start")
        self._until = time.monotonic() + self._seconds

    def wait(self, timeout: float | None = None) -> bool:
        left = self._until - time.monotonic()
        if self._over.wait(max(0.0, left if timeout is None else min(timeout, left))):
            return True
        return time.monotonic() >= self._until

    def stop(self) -> None:
        self.log.append("stop")
        if not self._deaf:
            self._over.set()

    def abort(self) -> None:
        self.log.append("abort")
        self._over.set()

    def result(self) -> None:
        if self._error:
            raise self._error

    def progress(self) -> Progress:
        return Progress(12, 10, 20, None, Fraction(2, 5), 1, (RingLevel("decode", 1, 16),), 2.0, 5.0)

    def stats(self) -> list[StageStats]:
        return [StageStats("vsr", 10, 1.0, 0.5, 0.5)]


def install(build: Callable[..., FakeRun]) -> None:
    """Put ``build`` in the place of the real one, without importing that."""
    module = types.ModuleType("streamvsr.build")
    module.build = build  # type: ignore[attr-defined]
    sys.modules["streamvsr.build"] = module
