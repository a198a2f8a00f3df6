"""The one file that owns threads, errors and shutdown.

::

    source ──► ring ──► segment ──► ring ──► ... ──► ring ──► sink
       └───────────────────── spool of copied packets ─────────┘

Every stage runs in a thread of its own, inside one wrapper (``Run._work``):

- it ends well: its output ring is *finished*, the next stage drains it and ends well in turn;
- its input is lost for good, or breaks off: as if it had ended, but what is written gets a name that says so (a live
  recording, whose end nobody knew, keeps its own), and ``result`` raises the error once that is done;
- it raises: the first error is kept with the stage's name, every ring is *aborted*, all other stages get ``Aborted``
  at their next call on a ring and end silently;
- the reader of its ring has left (it had all it wanted): ``put`` answers False, and the stage ends well.

Ways to end early, from any thread: ``stop`` finishes the first ring, so that the end of the stream travels through
all stages as if the input ended here, and the output is finalised; ``abort`` drops everything.

Threads are joined. The one exception is a thread inside a libav call that cannot be interrupted: it is left behind
``STUCK_SECONDS`` after the run was over for all others, and a note says so; as a daemon it does not hold the process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from fractions import Fraction

from streamvsr.errors import NoVideoError, StageError, StreamLostError, StreamvsrError, missing_package
from streamvsr.frames import Frame
from streamvsr.pipeline.ring import Aborted, Ring
from streamvsr.pipeline.stages import FilterStage, SinkStage, SourceStage, Stage
from streamvsr.pipeline.stats import LatencyMeter, Progress, StageStats

STUCK_SECONDS = 10.0


class Run:
    """One run of a pipeline: start it, watch it, end it, ask how it went. Any thread may call anything."""

    def __init__(
        self,
        source: SourceStage,
        segments: Sequence[FilterStage],
        sink: SinkStage,
        rings: Sequence[Ring],
        *,
        frames_total: int | None = None,
        seconds_total: Fraction | None = None,
        notes: Sequence[str] = (),
        writes: str = "",
        live: bool = False,
        memory_bytes: int = 0,
    ) -> None:
        """``rings`` in the order of the flow; ``notes`` are lines worth telling the user before the run starts;
        ``writes`` says what comes out.

        ``live``: measure the latency of frames. ``memory_bytes``: the most that it is expected to take.
        """
        self.notes = list(notes)
        self.writes = writes
        self.memory_bytes = memory_bytes
        self._source, self._sink = source, sink
        self._stages: list[Stage] = [source, *segments, sink]
        self._rings = rings
        self._live = live
        self._latency = source.latency = sink.latency = LatencyMeter() if live else None
        self._frames_total, self._seconds_total = frames_total, seconds_total
        self._threads: list[threading.Thread] = []
        self._begin: float | None = None
        # Guards the fields below.
        self._lock = threading.Lock()
        self._error: StreamvsrError | None = None
        self._lost: StreamLostError | None = None
        self._ending_since: float | None = None
        self._stopped = False
        self._complete = False
        self._finished = threading.Event()

    def start(self) -> None:
        self._begin = time.perf_counter()
        # All threads exist before one runs: the first error may come before the last stage has started.
        self._threads = [
            threading.Thread(target=self._work, args=(stage,), name=f"streamvsr-{stage.name}", daemon=True)
            for stage in self._stages
        ]
        for thread in self._threads:
            thread.start()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all threads have ended or were left behind; False when ``timeout`` seconds passed first."""
        until = None if timeout is None else time.monotonic() + timeout
        while not self._finished.is_set():
            alive = [t for t in self._threads if t.is_alive()]
            if not alive:
                self._finished.set()
                break
            patience = self._patience(alive)
            if patience is not None and patience <= 0:
                names = ", ".join(t.name.removeprefix("streamvsr-") for t in alive)
                self.notes.append(f"left behind, stuck in a call that cannot be interrupted: {names}")
                self._finished.set()
                break
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                return False
            # Woken by the thread's end; the bounds are the caller's time-out, our patience with a stuck thread, and
            # half a second in which a newly set deadline or a signal has to be noticed.
            alive[-1].join(min(x for x in (left, patience, 0.5) if x is not None))
        return True

    def stop(self) -> None:
        """End soon, but well: frames that have not been through the network are dropped, the output is finalised."""
        self._begin_ending(stopped=True)
        for stage in self._stages:
            stage.stopping.set()
        self._source.interrupt()
        self._sink.request_stop()
        # Not left to the source's thread: it may be stuck in a read, and the rest must end without it.
        self._rings[0].finish()

    def abort(self) -> None:
        """End at once; nothing stays under the output's final name."""
        self._begin_ending(stopped=True)
        for stage in self._stages:
            stage.stopping.set()
        self._source.interrupt()
        self._sink.request_stop()
        self._abort_rings()

    def result(self) -> None:
        """Raise the run's error, if it failed. Call it after ``wait`` has returned True."""
        if self._lost is not None and isinstance(self._error, NoVideoError | None):
            kept = f"; what came before it is in '{self._sink.kept}'" if self._sink.kept else ""
            raise StreamLostError(f"{self._lost}{kept}") from self._lost
        if self._error is not None:
            raise self._error

    @property
    def stopped(self) -> bool:
        """Whether ``stop`` or ``abort`` ended the run."""
        return self._stopped

    @property
    def failed(self) -> bool:
        """Whether ``result`` will raise, as far as is known by now."""
        return self._error is not None or self._lost is not None

    @property
    def complete(self) -> bool:
        """Whether the output stands under its final name. An ``abort`` may come too late to prevent it."""
        return self._complete

    def progress(self) -> Progress:
        written = self._sink.clock.frames
        return Progress(
            frames_in=self._source.clock.frames,
            frames_out=written,
            frames_total=self._frames_total,
            seconds_total=self._seconds_total,
            position_seconds=self._sink.position_seconds,
            dropped=sum(ring.dropped for ring in self._rings),
            rings=tuple(ring.level for ring in self._rings),
            elapsed_seconds=0.0 if self._begin is None else time.perf_counter() - self._begin,
            fps=self._sink.rate.rate(written),
            latency_seconds=None if self._latency is None else self._latency.seconds,
            longest_latency_seconds=None if self._latency is None else self._latency.most_seconds,
            encoded_bytes=self._sink.encoded_bytes,
            stage_seconds=tuple((one.name, one.busy_seconds) for one in self.stats()),
            stopping=self._stopped,
        )

    def stats(self) -> list[StageStats]:
        """One entry a stage, in the order of the flow."""
        return [stage.clock.stats(stage.name) for stage in self._stages]

    def tap(
        self, on_frame: Callable[[Frame], None] | None, on_input: Callable[[Frame], None] | None = None
    ) -> None:  # fmt: skip
        """Show every written frame to ``on_frame``, in the writing thread, and every frame that was read to
        ``on_input``, in the reading one: be quick, change nothing."""
        self._sink.on_frame, self._source.on_frame = on_frame, on_input

    def _work(self, stage: Stage) -> None:
        """The one wrapper around every stage."""
        stage.clock.start()
        failed = False
        try:
            stage.run()
        except StreamLostError as error:
            # What came before is written, and then the error is reported.
            with self._lock:
                self._lost = error
            if not self._live:
                self._sink.broken_off.set()
        except Aborted:
            failed = True
        except BaseException as error:  # a thread has no caller to raise to: whatever it is, it is kept
            failed = True
            self._fail(stage, error)
        try:
            stage.close()
        except BaseException as error:
            failed = True
            self._fail(stage, error)
        stage.clock.end()
        if stage.output is not None and not failed:
            stage.output.finish()
        if stage is self._sink:
            self._complete = not failed
            # The output is complete, or lost: whatever a slow input still holds is not wanted.
            self._begin_ending(stopped=False)
            self._source.interrupt()

    def _fail(self, stage: Stage, error: BaseException) -> None:
        with self._lock:
            if self._error is None:
                if isinstance(error, StreamvsrError):
                    self._error = error
                else:
                    missing = missing_package(error) if isinstance(error, ImportError) else None
                    self._error = missing or StageError(f"{type(error).__name__} in stage '{stage.name}': {error}")
                    self._error.__cause__ = error
        self._begin_ending(stopped=False)
        for other in self._stages:
            other.stopping.set()
        self._source.interrupt()
        self._sink.request_stop()
        self._abort_rings()

    def _begin_ending(self, *, stopped: bool) -> None:
        with self._lock:
            self._stopped = self._stopped or stopped
            if self._ending_since is None:
                self._ending_since = time.monotonic()

    def _abort_rings(self) -> None:
        for ring in self._rings:
            ring.abort()
        if (spool := self._sink.spool) is not None:
            spool.abort()

    def _patience(self, alive: Sequence[threading.Thread]) -> float | None:
        """Seconds until the threads that are left count as stuck; None while they are expected to work.

        After a stop the network and the encoder may rightly need long; a reader that is still there when all others
        have ended, or anything that outlives a failure, is stuck.
        """
        if self._ending_since is None:
            return None
        only_reader = len(alive) == 1 and alive[0] is self._threads[0]
        if self._error is None and not only_reader and not any(ring.aborted for ring in self._rings):
            return None
        return self._ending_since + STUCK_SECONDS - time.monotonic()
