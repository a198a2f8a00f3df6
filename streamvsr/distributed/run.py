"""A run whose segments are computed by workers: the same face as a ``Run``."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from fractions import Fraction

from streamvsr.build import OpenedJob, open_job
from streamvsr.config import Config
from streamvsr.distributed.cluster import Cluster
from streamvsr.distributed.driver import Driver
from streamvsr.errors import StageError, StreamvsrError
from streamvsr.pipeline.stats import Progress, RateMeter, StageStats


def build_distributed(
    config: Config, *, warn: Callable[[str], None], announce: Callable[[str], None]
) -> DistributedRun:
    """Open and plan everything; no worker is started before ``DistributedRun.start``. ``warn``, ``announce``: see
    ``build.build``. Raises ``StreamvsrError``."""
    return DistributedRun(open_job(config, warn=warn, announce=announce))


class DistributedRun:
    """See ``pipeline.runner.Run``, whose methods it has. Progress comes segment by segment."""

    def __init__(self, opened: OpenedJob) -> None:
        self.notes = list(opened.notes)
        self.writes = opened.writes
        self.memory_bytes = 0
        """Of this process it is next to nothing; what workers take is taken on their machines."""
        self.stopped = self.complete = False
        self._opened = opened
        self._ending = threading.Event()
        self._dropped = threading.Event()
        self._finished = threading.Event()
        self._error: StreamvsrError | None = None
        self._begin: float | None = None
        self._rate = RateMeter()
        self._thread = threading.Thread(target=self._work, name="streamvsr-driver", daemon=True)

    def start(self) -> None:
        self._begin = time.perf_counter()
        self._thread.start()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all is over; False when ``timeout`` seconds passed first."""
        return self._finished.wait(timeout)

    def stop(self) -> None:
        """End soon: what is finished becomes a playable output, and the job stays."""
        self.stopped = True
        self._ending.set()

    def abort(self) -> None:
        """End at once; the job stays."""
        self.stopped = True
        self._dropped.set()
        self._ending.set()
        self._opened.sink.request_stop()

    def result(self) -> None:
        """Raise the run's error, if it failed."""
        if self._error is not None:
            raise self._error

    def progress(self) -> Progress:
        records = dict(self._opened.job.store.records)
        frames = sum(record.frames for record in records.values())
        ends = [record.end for record in records.values() if record.end is not None]
        self._rate.tick(frames)
        return Progress(
            frames_in=frames,
            frames_out=frames,
            frames_total=self._opened.frames_total,
            seconds_total=self._opened.media.duration,
            position_seconds=max(ends, default=Fraction(0)),
            dropped=0,
            rings=(),
            elapsed_seconds=0.0 if self._begin is None else time.perf_counter() - self._begin,
            fps=self._rate.rate(frames),
            stopping=self._ending.is_set(),
        )

    def stats(self) -> list[StageStats]:
        """Workers keep none."""
        return []

    def _work(self) -> None:
        opened, sink = self._opened, self._opened.sink
        try:
            self._compute()
            if self._dropped.is_set() or (self._ending.is_set() and not opened.job.store.finished):
                sink.abort()
                return
            if self._ending.is_set():
                sink.request_stop()
            sink.finish()
            self.complete = True
        except BaseException as error:
            sink.abort()
            if isinstance(error, StreamvsrError):
                self._error = error
            else:
                self._error = StageError(f"{type(error).__name__} in the driver: {error}")
                self._error.__cause__ = error
        finally:
            self._finished.set()

    def _compute(self) -> None:
        opened, options = self._opened, self._opened.config.run
        assert opened.job.plan is not None
        if opened.job.store.finished == len(opened.job.plan.segments):
            return
        with Cluster(options.ray, options.workers, opened.config.model.threads) as cluster:
            Driver(opened, cluster, note=self.notes.append, stopping=self._ending.is_set).run()
