"""Network outputs: the connection lives in a process of its own.

A server that takes nothing makes FFmpeg wait inside a call that nobody can end, and PyAV 18 holds Python's lock in some
of them: every thread would stand still. A process can be given up. Packets travel to it through a pipe that never
blocks us: what it does not take waits in a queue here, and who comes too late for that is either waited for (the only
output of a run) or dropped, up to the next key frame (one of several).

::

    encoder ──► Relay ──► queue ──► pipe ──► process (``relay_child``): muxer ──► network
                  ▲                             │
                  └──────── answers ◄───────────┘
"""

from __future__ import annotations

import os
import pickle
import select
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import IO, Any

import av
from av.container import OutputContainer

from streamvsr.errors import SinkError, StreamvsrError, UsageError
from streamvsr.media.av_packets import plain_packet
from streamvsr.media.mux.atomic_file import STOP_GRACE_SECONDS
from streamvsr.media.mux.options import start
from streamvsr.media.mux.relay_child import Setup, frame_message
from streamvsr.media.mux.transports import Transport
from streamvsr.media.open_container import open_container
from streamvsr.secrets import mask_url

WAITING_BYTES = 1 << 20
"""How much waits for the only output of a run before it holds the run."""

QUEUE_BYTES = 32 << 20
"""How much waits for a connection that is one of several outputs at most."""

QUEUE_SECONDS = Fraction(4)
"""How much of the video waits for a connection that is one of several outputs: two key frames' worth."""

STALLED_SECONDS = 1.0
"""A connection that has taken nothing for so long is not waited for when all is over."""

HAND_OVER_SECONDS = 0.01
"""How long a video packet may hold the encoder while the process reads; a fifth of it if the process does not."""

START_SECONDS = 60.0
"""How long the process may take to start, on a machine that is busy with other things."""

_LEAVE_SECONDS = 1.0


@dataclass(slots=True)
class _Message:
    rest: memoryview
    seconds: Fraction | None
    """Decoding time of a video packet."""
    is_packet: bool
    begun: bool = False


@dataclass(slots=True)
class Dropped:
    frames: int = 0
    packets: int = 0
    """Of all tracks, the frames of the video among them."""


class Relay(Transport):
    """A container whose muxer runs in another process."""

    streamed = True

    def __init__(self, url: str, *, timeout: float, may_drop: bool, on_warning: Callable[[str], None]) -> None:
        """``timeout``: seconds without an answer, or without anything taken, after which the connection counts as
        lost. ``may_drop``: drop packets rather than wait."""
        super().__init__(on_warning)
        self._url, self._timeout, self._may_drop = url, timeout, may_drop
        self._name = mask_url(url)
        self._queue: deque[_Message] = deque()
        self._bytes = self._video = self._sent = 0
        self._skipping = self._stop_requested = False
        self.dropped = Dropped()
        self._process: subprocess.Popen[bytes] | None = None
        self._heard = b""
        self._answers: list[tuple[str, Any]] = []
        self._moved = 0.0

    def open(self, format: str, options: Mapping[str, str], own: Mapping[str, str]) -> OutputContainer:
        """A NUT container in memory: its streams tell the process what streams to make."""
        self._head = _Head()
        self._setup = Setup(self._url, format, dict(options), dict(own), self._timeout)
        self.container = open_container(self._head, "w", format="nut", container_options={"flush_packets": "1"})
        return self.container

    def start(self, options: Mapping[str, str]) -> str:  # noqa: ARG002 - they were given to ``open``
        start(self.container, {})
        for seconds in (0, 1):
            # A NUT without packets is not read; and a muxer waits for the second packet of each stream to write one.
            for stream in self.container.streams:
                one: av.Packet[Any] = av.Packet(b"\0")
                one.pts, one.dts, one.time_base, one.is_keyframe = seconds, seconds, Fraction(1), True
                one.stream = stream
                self.container.mux(one)
        # It stays open until the end: PyAV 19 frees its streams with it, encoders among them.
        self._setup.streams = [(dict(s.metadata), int(s.disposition)) for s in self.container.streams]
        self._video = next(s.index for s in self.container.streams if s.type == "video")
        self._setup.metadata = dict(self.container.metadata)
        self._setup.head = bytes(self._head.data)
        self._launch()
        self._expect("here", START_SECONDS)
        return str(self._expect("ready", self._timeout))

    def _launch(self) -> None:
        code = "from streamvsr.media.mux.relay_child import main; main()"
        self._process = subprocess.Popen(  # noqa: S603 - our own code, in our own interpreter
            # -P: a file called av.py in the folder where somebody works is not to be run.
            [sys.executable, "-P", "-c", code],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)},
            # Ctrl-C is for us: the connection is ended in order.
            start_new_session=True,
        )  # fmt: skip
        os.set_blocking(self._pipe.fileno(), False)
        self._moved = time.monotonic()
        self._enqueue(frame_message(self._setup))

    @property
    def _pipe(self) -> IO[bytes]:
        assert self._process is not None
        assert self._process.stdin is not None
        return self._process.stdin

    def mux(self, packet: av.Packet[Any]) -> None:
        plain = plain_packet(packet)
        is_video = plain.track == self._video
        self._sent += is_video
        self._pump(0)
        if self._skipping and is_video and plain.keyframe:
            self._skipping = False
        if self._skipping:
            self._count(is_video)
            return
        self._enqueue(frame_message(plain), plain.seconds if is_video else None, is_packet=True)
        if is_video:
            self._hand_over()
        else:
            self._pump(0)
        if self._may_drop:
            if self._bytes > QUEUE_BYTES or self._span() > QUEUE_SECONDS:
                self._discarding()
        else:
            while self._bytes > WAITING_BYTES:
                self._wait()
        if self._queue and time.monotonic() - self._moved > self._patience:
            raise self._stalled()

    def request_stop(self) -> None:
        self._stop_requested = True

    def finish(self) -> None:
        # Nobody has looked while other outputs were finished, which may have taken long.
        self._pump(0)
        if self._queue and time.monotonic() - self._moved > STALLED_SECONDS and self._may_drop:
            raise self._stalled()
        self._enqueue(frame_message(None))
        while self._queue:
            self._wait()
        self._expect("done", self._patience)
        self._leave()
        self._close()

    def abort(self) -> None:
        self._queue.clear()
        self._leave()
        self._close()

    def _leave(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if self.dropped.packets:
            self._warn(
                f"'{self._name}': {self.dropped.frames} of {self._sent} frames were left out "
                f"({self.dropped.packets} packets of all tracks)"
            )
        for end in (process.stdin, process.stdout):
            if end is not None:
                with suppress(OSError):
                    end.close()
        try:
            process.wait(_LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def _patience(self) -> float:
        return min(self._timeout, STOP_GRACE_SECONDS) if self._stop_requested else self._timeout

    def _enqueue(self, data: bytes, seconds: Fraction | None = None, *, is_packet: bool = False) -> None:
        if not self._queue:
            self._moved = time.monotonic()
        self._queue.append(_Message(memoryview(data), seconds, is_packet))
        self._bytes += len(data)

    def _span(self) -> Fraction:
        times = [m.seconds for m in self._queue if m.seconds is not None]
        return times[-1] - times[0] if times else Fraction(0)

    def _discarding(self) -> None:
        """Drop what waits; it goes on with the next key frame."""
        if not self.dropped.packets:
            self._warn(f"'{self._name}' does not take packets fast enough: some are left out there, up to a key frame")
        kept = [m for m in self._queue if m.begun]
        for message in self._queue:
            if not message.begun:
                self._count(message.seconds is not None)
        self._queue = deque(kept)
        self._bytes = sum(len(m.rest) for m in kept)
        self._skipping = True

    def _count(self, is_video: bool) -> None:
        self.dropped.frames += is_video
        self.dropped.packets += 1

    def _wait(self) -> None:
        """Until something has moved. Looks up now and then: ``request_stop`` comes from another thread."""
        before = self._moved
        while self._moved == before:
            if time.monotonic() - self._moved > self._patience:
                raise self._stalled()
            self._pump(0.1)

    def _hand_over(self) -> None:
        """Write as long as the process reads: a pipe holds 64 kB, and a packet of 4K or lossless video is larger."""
        until, moved = time.monotonic() + HAND_OVER_SECONDS, 0.0
        while self._queue and self._moved != moved and time.monotonic() < until:
            moved = self._moved
            self._pump(HAND_OVER_SECONDS / 5)

    def _pump(self, wait: float) -> None:
        """Move what can be moved, and hear what is said; at most ``wait`` seconds, until there is either."""
        assert self._process is not None
        answers = self._process.stdout
        assert answers is not None
        waiting = [self._pipe] if self._queue else []
        readable, writable, _ = select.select([answers], waiting, [], wait)
        if readable:
            self._hear(os.read(answers.fileno(), 1 << 16))
        try:
            while writable and self._queue:
                first = self._queue[0]
                written = os.write(self._pipe.fileno(), first.rest[: 1 << 16])
                first.rest, first.begun = first.rest[written:], True
                self._bytes -= written
                self._moved = time.monotonic()
                if not first.rest:
                    self._queue.popleft()
        except BlockingIOError:
            pass
        except BrokenPipeError:
            # It has said why before it went.
            while data := os.read(answers.fileno(), 1 << 16):
                self._hear(data)
            self._hear(b"")

    def _hear(self, data: bytes) -> None:
        if not data:
            raise SinkError(f"'{self._name}': the process that writes to it has ended unexpectedly")
        self._heard += data
        while len(self._heard) >= 4 and len(self._heard) >= 4 + (size := int.from_bytes(self._heard[:4], "big")):
            kind, value = pickle.loads(self._heard[4 : 4 + size])  # noqa: S301 - our own process
            self._heard = self._heard[4 + size :]
            if kind == "warning":
                self._warn(value)
            elif kind == "failed":
                raise _raised(*value)
            else:
                self._answers.append((kind, value))

    def _expect(self, kind: str, seconds: float) -> Any:
        until = time.monotonic() + seconds
        while True:
            for answer, value in self._answers:
                if answer == kind:
                    return value
            if time.monotonic() > until or (
                self._stop_requested and time.monotonic() > until - seconds + STOP_GRACE_SECONDS
            ):
                if kind == "done":
                    # The address was right: what the process has left to write is not taken.
                    raise self._stalled()
                raise SinkError(f"'{self._name}': no answer in {seconds:g} s; check the address and the network")
            self._pump(0.1)

    def _stalled(self) -> SinkError:
        for message in self._queue:
            if message.is_packet:
                self._count(message.seconds is not None)
        self._queue.clear()
        self._bytes = 0
        seconds = time.monotonic() - self._moved
        return SinkError(f"'{self._name}': the connection has taken nothing for {seconds:.1f} s")


class _Head:
    """Keeps what is written to it."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)


def _raised(usage: bool, text: str) -> StreamvsrError:
    return UsageError(text) if usage else SinkError(text)
