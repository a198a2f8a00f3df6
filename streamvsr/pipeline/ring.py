"""The only things that stand between two threads: a bounded ring of frames, and a spool of copied packets.

Both have three ends, which are never mixed up:

========== ================ ===========================================================================
call       made by          effect
========== ================ ===========================================================================
finish()   the writer       no more will come: the reader drains what is there, then its iteration ends
close()    the reader       it has had enough: what is there is dropped, and ``put`` answers False
abort()    anyone           the run has failed: both sides get ``Aborted`` at once
========== ================ ===========================================================================
"""

from __future__ import annotations

import pickle
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import IO

from streamvsr.frames import Frame, Packet
from streamvsr.pipeline.stats import RingLevel, StageClock


class Aborted(Exception):  # noqa: N818 - a message between threads, not an error of its own
    """The run has failed elsewhere; the thread that gets this just ends."""


SHORT_DROP_SECONDS = 1
"""A network's state survives the loss of so much of a live stream; after a longer one it begins anew."""


class Ring:
    """A queue of frames, bounded in frames and in bytes; one writer, one reader.

    A frame that is alone larger than the byte bound is let in when the ring is empty, or nothing would ever move.
    """

    def __init__(
        self,
        name: str,
        frames: int = 16,
        nbytes: int = 256 << 20,
        *,
        drop_oldest: bool = False,
        max_age_seconds: float | None = None,
    ) -> None:
        """``drop_oldest``: instead of waiting for room, drop the oldest frame and count it (live inputs).

        The frame after a drop has ``discontinuity`` set where more than ``SHORT_DROP_SECONDS`` are missing before it,
        or where a frame that had it set is among those that are gone. ``max_age_seconds``: with ``drop_oldest``, drop
        frames that have waited longer as well, except the newest.
        """
        self.name = name
        self.capacity_frames = frames
        self.capacity_bytes = nbytes
        self.dropped = 0
        self._drop_oldest = drop_oldest
        self._max_age = max_age_seconds
        self._frames: deque[Frame] = deque()
        self._came: deque[float] = deque()
        """When each of ``_frames`` was put in."""
        self._has_dropped = False
        """Since a frame was last taken."""
        self._lost_discontinuity = False
        self._last_seconds: Fraction | None = None
        """Of the frame that was last taken."""
        self._bytes = 0
        self._finished = self._closed = self._aborted = False
        # Guards every field above; notified at each change.
        self._changed = threading.Condition()

    def put(self, frame: Frame, clock: StageClock | None = None) -> bool:
        """Hand over one frame.

        Returns True when it is in; False when the reader has left or the ring was finished, and the writer has to end
        as if its own input had ended. Raises ``Aborted``. Waits while the ring is full, unless it drops the oldest.
        """
        with self._changed:
            while not (self._aborted or self._closed or self._finished) and self._full(frame.nbytes):
                if self._drop_oldest:
                    self._drop()
                else:
                    self._wait(clock, "wait_out_seconds")
            if self._aborted:
                raise Aborted
            if self._closed or self._finished:
                return False
            self._frames.append(frame)
            self._came.append(time.monotonic())
            self._bytes += frame.nbytes
            self._changed.notify_all()
            return True

    def get(self, clock: StageClock | None = None) -> Frame | None:
        """Take the oldest frame; None once the ring is finished and empty. Raises ``Aborted``. Waits while empty."""
        with self._changed:
            while not (self._aborted or self._finished or self._frames):
                self._wait(clock, "wait_in_seconds")
            if self._aborted:
                raise Aborted
            if not self._frames:
                return None
            if self._max_age is not None:
                latest = time.monotonic() - self._max_age
                while len(self._frames) > 1 and self._came[0] < latest:
                    self._drop()
            frame = self._take()
            if self._has_dropped:
                gap = self._last_seconds is not None and frame.seconds - self._last_seconds > SHORT_DROP_SECONDS
                if gap or self._lost_discontinuity:
                    frame = replace(frame, discontinuity=True)
                self._has_dropped = self._lost_discontinuity = False
            self._last_seconds = frame.seconds
            self._changed.notify_all()
            return frame

    def wait(self, seconds: float, clock: StageClock | None = None) -> bool:
        """Wait until ``get`` need not; False where it still would after ``seconds``."""
        until = time.monotonic() + seconds
        with self._changed:
            while not (self._aborted or self._finished or self._frames):
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._wait(clock, "wait_in_seconds", left)
            return True

    def finish(self) -> None:
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._clear()

    def abort(self) -> None:
        with self._changed:
            self._aborted = True
            self._clear()

    @property
    def aborted(self) -> bool:
        return self._aborted

    @property
    def level(self) -> RingLevel:
        return RingLevel(self.name, len(self._frames), self.capacity_frames)

    def _full(self, incoming_bytes: int) -> bool:
        if not self._frames:
            return False
        return len(self._frames) >= self.capacity_frames or self._bytes + incoming_bytes > self.capacity_bytes

    def _take(self) -> Frame:
        frame = self._frames.popleft()
        self._came.popleft()
        self._bytes -= frame.nbytes
        return frame

    def _drop(self) -> None:
        self._lost_discontinuity |= self._take().discontinuity
        self.dropped += 1
        self._has_dropped = True

    def _clear(self) -> None:
        self._frames.clear()
        self._came.clear()
        self._bytes = 0
        self._changed.notify_all()

    def _wait(self, clock: StageClock | None, field: str, seconds: float | None = None) -> None:
        begin = time.perf_counter()
        self._changed.wait(seconds)
        if clock is not None:
            setattr(clock, field, getattr(clock, field) + time.perf_counter() - begin)


MEMORY_BYTES = 64 << 20
"""How much of the copied packets of an input waits in memory; the rest waits on the disk."""


class PacketSpool:
    """A first-in first-out queue of copied packets that never makes its writer wait.

    Waiting would deadlock: the demuxer must go on reading packets to find the frames that a window still needs. So up
    to ``memory_bytes`` are kept in memory and the rest goes to an unnamed temporary file, which is emptied whenever
    the reader has caught up.
    """

    def __init__(self, memory_bytes: int | None = None) -> None:
        """``memory_bytes``: ``MEMORY_BYTES`` where it is not given."""
        self.memory_bytes = MEMORY_BYTES if memory_bytes is None else memory_bytes
        self.spilled_packets = 0
        self._memory: deque[Packet] = deque()
        self._bytes = 0
        self._file: IO[bytes] | None = None
        self._read_at = self._write_at = 0
        self._aborted = self._closed = False
        # Guards every field above.
        self._lock = threading.Lock()

    def put(self, packet: Packet) -> None:
        """Take one packet. Raises ``Aborted``, and ``OSError`` when the temporary file cannot be written."""
        with self._lock:
            if self._aborted:
                raise Aborted
            if self._closed:
                return
            # Once there is something in the file, all that follows goes there, or the order would be lost.
            if self._read_at == self._write_at and self._bytes + len(packet.data) <= self.memory_bytes:
                self._memory.append(packet)
                self._bytes += len(packet.data)
                return
            if self._file is None:
                import tempfile  # here: it brings in half a dozen modules, and hardly a run comes so far

                self._file = tempfile.TemporaryFile(prefix="streamvsr-packets-")  # noqa: SIM115 - lives as long as self
            self._file.seek(self._write_at)
            pickle.dump(packet, self._file, protocol=pickle.HIGHEST_PROTOCOL)
            self._write_at = self._file.tell()
            self.spilled_packets += 1

    def drain(self) -> Iterator[Packet]:
        """Take the packets that are here now, in order; never waits. Raises ``Aborted``."""
        while (packet := self.pop()) is not None:
            yield packet

    def abort(self) -> None:
        with self._lock:
            self._aborted = True
            self._memory.clear()

    def close(self) -> None:
        """The reader has enough: what is there is discarded, and so is what still comes."""
        with self._lock:
            self._closed = True
            self._memory.clear()
            if self._file is not None:
                self._file.close()
                self._file = None
            self._read_at = self._write_at = 0

    def pop(self) -> Packet | None:
        """Take the next packet, None where there is none at the moment; never waits. Raises ``Aborted``."""
        with self._lock:
            if self._aborted:
                raise Aborted
            if self._memory:
                packet = self._memory.popleft()
                self._bytes -= len(packet.data)
                return packet
            if self._file is None or self._read_at == self._write_at:
                return None
            self._file.seek(self._read_at)
            packet = pickle.load(self._file)  # noqa: S301 - an unnamed file that only this object writes
            assert isinstance(packet, Packet)
            self._read_at = self._file.tell()
            if self._read_at == self._write_at:
                self._read_at = self._write_at = 0
                self._file.seek(0)
                self._file.truncate()
            return packet
