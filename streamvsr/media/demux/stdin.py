"""Standard input as file objects for PyAV, such that ``stop()`` ends a read that waits for data.

FFmpeg's own ``pipe:`` protocol cannot be interrupted, and an mp4 whose index (``moov``) stands at its end cannot be
read from it at all. Here a wake-up pipe ends the wait, and such an mp4 is spooled to a temporary file as far as it is
read.
"""

from __future__ import annotations

import os
import select
import stat
import threading
from typing import IO, Protocol

_PEEK_BYTES = 4096
"""Enough for the boxes that most mp4s have before their index or their data."""

_CHUNK_BYTES = 1 << 16

_FIRST_BOXES = (b"ftyp", b"wide", b"free", b"skip", b"pnot", b"mdat", b"moov")
"""What an mp4, or a QuickTime file from before there was ``ftyp``, begins with."""

_BOXES = (b"moov", b"moof", b"mdat")


class Reader(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...
    def close(self) -> None: ...


class PipeReader:
    """Reads a file descriptor until its end or until ``stop``; both look like the end of the input."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        """Guards ``_wake`` against being written to by ``stop`` while ``close`` closes it."""
        # select() on pipes works on POSIX only; elsewhere reads simply wait.
        self._wake = os.pipe() if os.name == "posix" else None
        self._stopped = threading.Event()
        self._head = b""
        """What was looked at already; ``read`` gives it again."""
        while len(self._head) < _PEEK_BYTES and _index_is_open(self._head):
            more = self._raw_read(_PEEK_BYTES - len(self._head))
            if not more:
                break
            self._head += more
        self.index_comes_last = _is_mp4(self._head) and _first_box(self._head) not in (b"moov", b"moof")
        """True for an mp4 whose media data stand before its index, or more than is looked at."""

    def read(self, size: int = -1, /) -> bytes:
        size = size if size >= 0 else _CHUNK_BYTES
        if self._head:
            taken, self._head = self._head[:size], self._head[size:]
            return taken
        return self._raw_read(size)

    def _raw_read(self, size: int) -> bytes:
        if self._wake is not None:
            ready, _, _ = select.select([self._descriptor, self._wake[0]], [], [])
            if self._wake[0] in ready:
                return b""
        return b"" if self._stopped.is_set() else os.read(self._descriptor, size)

    def stop(self) -> None:
        with self._lock:
            if not self._stopped.is_set() and self._wake is not None:
                os.write(self._wake[1], b"x")
            self._stopped.set()

    def close(self) -> None:
        with self._lock:
            self._stopped.set()
            wake, self._wake = self._wake, None
            for end in wake or ():
                os.close(end)


class SpoolReader:
    """A pipe made seekable: what has been read stays in a temporary file (as large as the input at most)."""

    def __init__(self, pipe: PipeReader) -> None:
        import tempfile  # here: few runs read a pipe

        self._pipe = pipe
        self._spool: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._spooled_bytes = 0
        self._position = 0

    def _fill(self, upto: int | None) -> None:
        """Read on until the spool holds ``upto`` bytes, or all there is."""
        while upto is None or self._spooled_bytes < upto:
            data = self._pipe.read(_CHUNK_BYTES)
            if not data:
                return
            self._spool.seek(self._spooled_bytes)
            self._spool.write(data)
            self._spooled_bytes += len(data)

    def read(self, size: int = -1, /) -> bytes:
        self._fill(self._position + size if size >= 0 else None)
        self._spool.seek(self._position)
        data = self._spool.read(size)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END:
            self._fill(None)
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._spooled_bytes}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def stop(self) -> None:
        self._pipe.stop()

    def close(self) -> None:
        self._pipe.close()
        self._spool.close()


def open_stdin(descriptor: int = 0) -> Reader:
    """The reader that fits what standard input is: a redirected file is read as the file that it is."""
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return open(descriptor, "rb", closefd=False)
    pipe = PipeReader(descriptor)
    return SpoolReader(pipe) if pipe.index_comes_last else pipe


def _is_mp4(head: bytes) -> bool:
    return head[4:8] in _FIRST_BOXES


def _index_is_open(head: bytes) -> bool:
    """True while ``head`` may be an mp4's and does not tell yet where its index is."""
    return (len(head) < 8 or _is_mp4(head)) and _first_box(head) is None


def _first_box(head: bytes) -> bytes | None:
    """Which of an mp4's index, fragment and media data comes first; None where that is not to be seen."""
    at = 0
    while at + 8 <= len(head):
        size, kind = int.from_bytes(head[at : at + 4], "big"), head[at + 4 : at + 8]
        if kind in _BOXES:
            return kind
        if size < 8:
            break
        at += size
    return None
