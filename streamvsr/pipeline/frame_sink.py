"""The last ring of a run that is read by its caller: frames come out of Python instead of into a file.

::

    source ──► ring ──► ... ──► ring ──► FrameSink ──► ring ──► Reader, in the caller's thread

A caller that is slow makes the whole run wait; one that leaves ends it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from fractions import Fraction
from typing import Any

from streamvsr.frames import Frame, MediaInfo, Packet, StreamInfo
from streamvsr.pipeline.interleave import Interleaver
from streamvsr.pipeline.ring import Aborted, PacketSpool, Ring
from streamvsr.pipeline.runner import Run

WAITING_FRAMES = 4
"""Finished frames that wait for the caller."""

LEAVE_SECONDS = 30.0
"""How long a caller that leaves early waits for the threads: at most one call of the network and of the decoder."""


class FrameSink:
    """Stands where a sink would: takes frames, and packets where these are wanted."""

    frames_before = 0
    encoded_bytes = 0

    def __init__(self, *, packets: bool = False) -> None:
        """``packets``: keep the copied packets for the reader; else they are dropped."""
        self.media: MediaInfo | None = None
        self.streams: Mapping[int, Any] = {}
        self.ring = Ring("delivered", WAITING_FRAMES)
        self.spool = PacketSpool() if packets else None
        self.end: Fraction | None = None
        """Packets that begin later are not wanted; None where all are."""

    def wanted_format(self, info: StreamInfo) -> str:
        """What the network had best make: RGB of 8 bits, or of 16 for anything deeper."""
        return "gbrp" if info.format.bits <= 8 else "gbrp16le"

    def open(self, media: MediaInfo, streams: Mapping[int, Any]) -> None:
        """``media`` describes the frames that will come; ``streams``: see ``Source.streams``."""
        self.media, self.streams = media, streams

    def write_frame(self, frame: Frame) -> None:
        if not self.ring.put(frame):
            raise Aborted

    def request_stop(self) -> None:
        """The ring never waits once it is aborted, which is how a caller leaves."""

    def break_off(self) -> None:
        """The reader gets the error behind the last frame."""

    kept = ""

    def finish(self, until: Fraction | None = None) -> None:
        self.end = until
        self.ring.finish()

    def abort(self) -> None:
        self.ring.abort()


class FrameReader(Iterator[Frame]):
    """The caller's end: an iterator over a run's frames that starts the run and ends it.

    The run ends with the last frame, with an error (raised where the frame would have come), or with ``close``; its
    threads are joined in all three cases. ``stop`` may be called from any thread, everything else belongs to one.
    """

    def __init__(self, run: Run, frame_sink: FrameSink) -> None:
        self.run, self.frame_sink = run, frame_sink
        assert frame_sink.media is not None, "the delivery was given to build()"
        self.media = frame_sink.media
        spool = frame_sink.spool
        self._interleaver = Interleaver(spool.pop if spool is not None else lambda: None)
        self._started = self._over = False
        self._stopped = threading.Event()

    @property
    def over(self) -> bool:
        """Whether there are no more frames."""
        return self._over

    def __next__(self) -> Frame:
        if self._over:
            raise StopIteration
        if not self._started:
            self._started = True
            self.run.start()
        try:
            frame = self.frame_sink.ring.get()
        except Aborted:
            frame = None
        except BaseException:
            # Ctrl-C while waiting: threads that go on would be nobody's.
            self.close()
            raise
        if frame is None:
            self._over = True
            self.run.wait(LEAVE_SECONDS if self._stopped.is_set() else None)
            if not self._stopped.is_set():
                self.run.result()
            raise StopIteration
        return frame

    def packets(self, until: Fraction | None = None) -> Iterator[Packet]:
        """The copied packets that are here and begin before ``until`` seconds, in the order of their times.

        None: all that belong to the run, once its frames have ended.
        """
        limits = [limit for limit in (until, self.frame_sink.end) if limit is not None]
        with suppress(Aborted):
            yield from self._interleaver.rest(min(limits, default=None))

    def stop(self) -> None:
        """Let the iteration end soon, without an error."""
        self._stopped.set()
        self.run.abort()
        self.frame_sink.abort()

    def close(self) -> None:
        """End the run and join its threads; also twice. What was not read is dropped."""
        if not self._over:
            self._over = True
            self.stop()
            if not self._started:
                # Nothing has flowed: the stages close what they own all the same, in threads that end at once.
                self._started = True
                self.run.start()
            self.run.wait(LEAVE_SECONDS)
        if self.frame_sink.spool is not None:
            self.frame_sink.spool.close()
