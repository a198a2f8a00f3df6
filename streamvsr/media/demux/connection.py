"""One connection to an input that may fall silent: opened and read by a thread of its own.

FFmpeg cannot be interrupted while it waits for the network. So the waiting is done here, where a time limit, a ``stop``
or a signal ends it at once; the thread is asked to leave and does so as soon as FFmpeg lets it, within its own time
limits at the latest. Whoever waits no longer has nothing to do with it any more.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from streamvsr.errors import SourceError
from streamvsr.frames import Frame, Packet
from streamvsr.media.demux.base import Source

HELD_FRAMES, HELD_BYTES = 64, 256 << 20
"""Decoded frames that wait for the reader: opening a stream reads a second or two of it ahead."""

NEWEST_FRAMES = 16
"""Of these, while the reader is being built: what is older would only be late."""

LEAVE_SECONDS = 0.7
"""How long a connection that is given up may take to say goodbye to its server, while something still comes."""

AnySource = TypeVar("AnySource", bound=Source)


class StallError(SourceError):
    """Nothing came in the time that was set."""


class Connection(Generic[AnySource]):
    """Opens ``make()`` at once; then ``opened``, ``items`` and ``leave`` are called by the one thread that reads.

    At most ``HELD_FRAMES`` frames of ``HELD_BYTES`` wait for that reader. Once they are there the thread waits too,
    except between ``request_stop`` and ``items``, when the newest ``NEWEST_FRAMES`` are kept.
    """

    def __init__(self, make: Callable[[], AnySource]) -> None:
        self._make = make
        self._source: AnySource | None = None
        self._error: BaseException | None = None
        self.let_go = 0
        """Frames that came before anybody read."""
        self._items: deque[Frame | Packet] = deque()
        self._frames = self._bytes = 0
        self._hurries = self._left = self._ended = self._woken = False
        # Guards the fields above; notified at each change.
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="streamvsr-connection", daemon=True)
        self._thread.start()

    def opened(self, seconds: float | None) -> AnySource:
        """The source, once it is open. Raises its error, and ``StallError`` after ``seconds``."""
        until = None if seconds is None else time.monotonic() + seconds
        with self._changed:
            while self._source is None and self._error is None and not self._woken:
                if not self._wait(until):
                    raise StallError("no answer in time")
            if self._error is not None and self._source is None:
                raise self._error
            if self._source is None:
                raise StallError("stopped")
            return self._source

    def request_stop(self) -> None:
        """Until ``items`` is called keep the newest frames and drop what comes before them."""
        with self._changed:
            self._hurries = True
            while self._frames > NEWEST_FRAMES:
                self._let_one_go()
            self._changed.notify_all()

    def items(self, seconds: float, until: float) -> Iterator[Frame | Packet]:
        """What the source gives, up to its end, ``wake``, or the moment ``until`` of the monotonic clock.

        Raises the source's error, and ``StallError`` where no frame has come for ``seconds``.
        """
        with self._changed:
            self._hurries = False
            self._changed.notify_all()
        last = time.monotonic()
        while True:
            with self._changed:
                while not (self._items or self._ended or self._woken):
                    if self._wait(min(until, last + seconds)):
                        continue
                    if time.monotonic() >= until:
                        return
                    raise StallError(f"no frame for {seconds:g} s")
                if self._woken or time.monotonic() >= until:
                    return
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._items.popleft()
                self._count(item, -1)
                self._changed.notify_all()
            if isinstance(item, Frame):
                last = time.monotonic()
            elif time.monotonic() - last > seconds:
                raise StallError(f"no frame for {seconds:g} s")
            yield item

    def wake(self) -> None:
        """End ``opened`` and ``items`` now; from any thread."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()
        if self._source is not None:
            self._source.stop()

    def leave(self) -> None:
        """Let go of the source, also while it is being opened; also twice."""
        with self._changed:
            self._left = self._woken = True
            self._items.clear()
            self._frames = self._bytes = 0
            self._changed.notify_all()
        if self._source is not None:
            self._source.stop()
        self._thread.join(LEAVE_SECONDS)

    def _run(self) -> None:
        try:
            source = self._make()
            with self._changed:
                self._source = source
                self._changed.notify_all()
            for item in source:
                if not self._put(item):
                    break
        except BaseException as error:  # a thread has no caller to raise to: whatever it is, it is kept
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            # Closed only when the owner has left: the output copies its streams until then.
            while not self._left:
                self._changed.wait()
        if self._source is not None:
            self._source.close()

    def _put(self, item: Frame | Packet) -> bool:
        with self._changed:
            while not self._left and isinstance(item, Frame) and self._full(item.nbytes):
                if self._hurries:
                    self._let_one_go()
                else:
                    self._changed.wait()
            self._items.append(item)
            self._count(item, 1)
            self._changed.notify_all()
            return not self._left

    def _let_one_go(self) -> None:
        gone = self._items.popleft()
        self._count(gone, -1)
        self.let_go += isinstance(gone, Frame)

    def _full(self, nbytes: int) -> bool:
        most = NEWEST_FRAMES if self._hurries else HELD_FRAMES
        return self._frames > 0 and (self._frames >= most or self._bytes + nbytes > HELD_BYTES)

    def _count(self, item: Frame | Packet, sign: int) -> None:
        if isinstance(item, Frame):
            self._frames += sign
            self._bytes += sign * item.nbytes

    def _wait(self, until: float | None) -> bool:
        """Wait for a change, at most up to ``until``; False where that is over."""
        left = None if until is None else min(until - time.monotonic(), threading.TIMEOUT_MAX)
        if left is not None and left <= 0:
            return False
        self._changed.wait(left)
        return True


def open_patiently(make: Callable[[], AnySource]) -> AnySource:
    """``make()``, but such that Ctrl-C ends the waiting for an input that never comes."""
    made: list[AnySource] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            made.append(make())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="streamvsr-open", daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]
