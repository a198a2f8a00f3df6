"""The three kinds of work that have a thread: reading, filtering, writing. The runner owns the threads.

Each stage's ``run`` returns when its work is done (the input has ended, the reader has left, a stop was asked for) and
raises when it failed; it never marks a ring finished itself, because only the runner knows whether it ended well.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from fractions import Fraction
from typing import Protocol

from streamvsr.errors import NoVideoError
from streamvsr.frames import Frame, Packet
from streamvsr.pipeline.ring import PacketSpool, Ring
from streamvsr.pipeline.stats import LatencyMeter, RateMeter, StageClock


class SourceLike(Protocol):
    def __iter__(self) -> Iterator[Frame | Packet]: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...


class ChainLike(Protocol):
    def push(self, frame: Frame) -> Iterator[Frame]: ...
    def flush(self) -> Iterator[Frame]: ...
    def idle(self) -> Iterator[Frame]: ...
    def close(self) -> None: ...


class SinkLike(Protocol):
    @property
    def spool(self) -> PacketSpool | None: ...
    def write_frame(self, frame: Frame) -> None: ...
    def request_stop(self) -> None: ...
    @property
    def frames_before(self) -> int: ...
    @property
    def encoded_bytes(self) -> int: ...
    def break_off(self) -> None: ...
    @property
    def kept(self) -> str: ...
    def finish(self, until: Fraction | None = None) -> None: ...
    def abort(self) -> None: ...


class Stage(ABC):
    """One thread's work. ``stopping`` is set by the runner when the run shall end early but well."""

    name: str
    output: Ring | None = None

    def __init__(self) -> None:
        self.clock = StageClock()
        self.stopping = threading.Event()

    @abstractmethod
    def run(self) -> None: ...

    @abstractmethod
    def close(self) -> None:
        """Let go of what the stage owns; called once in the stage's thread after ``run``, however that ended."""


class SourceStage(Stage):
    """Frames go into the ring, which may make it wait; packets go into the sink's spool, which never does."""

    def __init__(
        self, source: SourceLike, output: Ring, spool: PacketSpool | None, name: str = "decode", *,
        realtime: bool = False,
    ) -> None:  # fmt: skip
        """``spool``: None where the sink takes no packets; they are discarded. ``realtime``: hold each frame back until
        its time has come, counted from the first one's."""
        super().__init__()
        self.name = name
        self.output: Ring = output
        self._source = source
        self._spool = spool
        self._realtime = realtime
        self._begin: float | None = None
        self.latency: LatencyMeter | None = None
        """Gets every frame, where the input is live."""
        self.on_frame: Callable[[Frame], None] | None = None

    def run(self) -> None:
        for item in self._source:
            if isinstance(item, Packet):
                if self._spool is not None:
                    self._spool.put(item)
                continue
            if self._realtime:
                self._hold(float(item.seconds))
            if self.latency is not None:
                self.latency.arrived(item.seconds)
            if self.on_frame is not None:
                self.on_frame(item)
            if not self.output.put(item, self.clock):
                return
            self.clock.frames += 1

    def _hold(self, seconds: float) -> None:
        now = time.monotonic()
        if self._begin is None:
            self._begin = now - seconds
        self.stopping.wait(max(0.0, self._begin + seconds - now))

    def interrupt(self) -> None:
        """Called by the runner's ``stop``, from another thread."""
        self._source.stop()

    def close(self) -> None:
        self._source.close()


class FilterStage(Stage):
    """A segment of the filter chain between two rings.

    ``discard_on_stop``: whether frames that have not been through this segment are dropped when the run is stopped
    (true up to the last network, which may need minutes for them), or still worked off (behind it).
    """

    def __init__(
        self,
        name: str,
        chain: ChainLike,
        source: Ring,
        output: Ring,
        *,
        discard_on_stop: bool,
        idle_seconds: float | None = None,
    ) -> None:
        """``idle_seconds``: after so long without a frame the chain is asked for what it holds back (live inputs)."""
        super().__init__()
        self.name = name
        self.output: Ring = output
        self._chain = chain
        self.clock.parts = getattr(chain, "parts", tuple)
        self._source = source
        self._discard_on_stop = discard_on_stop
        self._idle_seconds = idle_seconds
        self.enough = threading.Event()
        """No more frames are wanted. The input is still taken in, and dropped: sound may stand behind it."""

    def run(self) -> None:
        while True:
            idle = self._idle_seconds is not None and not self._source.wait(self._idle_seconds, self.clock)
            if idle and not self._emit(self._chain.idle()):
                self._source.close()
                return
            frame = self._source.get(self.clock)
            if frame is None:
                break
            if not self._emit(self._chain.push(frame)):
                self._source.close()
                return
        if not self._discarding():
            self._emit(self._chain.flush())

    def close(self) -> None:
        self._chain.close()

    def _emit(self, frames: Iterator[Frame]) -> bool:
        """Pass frames on as they are made; False when no more are wanted."""
        # The generator is closed here and now: one left suspended would keep a window's tensors alive.
        with closing(_closable(frames)) as lazy:
            while not self._discarding():
                frame = next(lazy, None)
                if frame is None:
                    return True
                if not self.output.put(frame, self.clock):
                    return False
                self.clock.frames += 1
        return self.enough.is_set()

    def _discarding(self) -> bool:
        return self.enough.is_set() or (self._discard_on_stop and self.stopping.is_set())


class SinkStage(Stage):
    """Writes frames as they come; copied packets reach the sink through its spool.

    At the end all packets go out; after a stop only those that begin before the last frame ends.
    """

    def __init__(self, sink: SinkLike, source: Ring, *, max_frames: int | None = None, name: str = "encode") -> None:
        """``max_frames``: drop frames after this many, and packets that begin after the last one's end.

        The sound of the last frames may stand behind them in the input, so frames are taken and dropped until it ends.
        ``on_enough`` is called with that end, in seconds, when the last frame has been written.
        """
        super().__init__()
        self.name = name
        self.rate = RateMeter()
        self.position_seconds: Fraction | None = None
        self.broken_off = threading.Event()
        """The input did not end: what is written must not look complete."""
        self.kept = ""
        """Where that is."""
        self.on_frame: Callable[[Frame], None] | None = None
        self.on_enough: Callable[[Fraction], None] | None = None
        self.latency: LatencyMeter | None = None
        self._sink = sink
        self._source = source
        self._max_frames = max_frames
        self._done = False

    def run(self) -> None:
        last: Frame | None = None
        while (frame := self._source.get(self.clock)) is not None:
            if self.clock.frames == self._max_frames:
                continue
            seconds = frame.seconds
            self._sink.write_frame(frame)
            self.clock.frames += 1
            self.rate.tick(self.clock.frames)
            self.position_seconds = seconds
            if self.latency is not None:
                self.latency.departed(seconds)
            last = frame
            if self.on_frame is not None:
                self.on_frame(frame)
            if self.clock.frames == self._max_frames and self.on_enough is not None:
                self.on_enough(_end(frame))
        if last is None and not self._sink.frames_before:
            if self.stopping.is_set():
                return  # close() releases the output: there is nothing to finalise
            raise NoVideoError("there was no frame to write: the input has none in the chosen range")
        cut_short = self.stopping.is_set() or self.clock.frames == self._max_frames
        if self.broken_off.is_set():
            self._sink.break_off()
        self._sink.finish(_end(last) if cut_short and last is not None else None)
        self._done = True
        self.kept = self._sink.kept if self.broken_off.is_set() else ""

    @property
    def encoded_bytes(self) -> int:
        """Of the video, by now; an encoder is some dozen frames behind."""
        return self._sink.encoded_bytes

    @property
    def spool(self) -> PacketSpool | None:
        """Where the copied packets of the input go."""
        return self._sink.spool

    def request_stop(self) -> None:
        """Called by the runner's ``stop``, from another thread."""
        self._sink.request_stop()

    def close(self) -> None:
        if not self._done:
            self._sink.abort()


def _closable(frames: Iterator[Frame]) -> Generator[Frame, None, None]:
    """A generator over any iterator, so that it can be closed."""
    yield from frames


def _end(frame: Frame) -> Fraction:
    return frame.seconds + frame.duration * frame.time_base
