"""Where an output goes: a file that appears only when it is whole, or a pipe, device or URL written in place."""

from __future__ import annotations

import errno
import io
import os
import re
import select
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from streamvsr import part_file
from streamvsr.errors import SinkError, UsageError
from streamvsr.media.av_errors import sink_error
from streamvsr.secrets import mask_url

STDOUT = ("-", "pipe:", "pipe:1")

_URL = re.compile(r"^(?!file:)[a-z][a-z0-9+.-]*://", re.IGNORECASE)

STOP_GRACE_SECONDS = 1.5
"""How long a reader of our pipe may take nothing once the run shall end."""

PIPE_CHUNK_BYTES = getattr(select, "PIPE_BUF", 512)
"""What fits into a pipe that select() calls writable, so that the write does not block."""


def is_url(path: str) -> bool:
    """True for what only FFmpeg's protocols can open (``rtmp://...``, ``udp://...``)."""
    return bool(_URL.match(path))


def local_path(path: str) -> str:
    """``path`` without FFmpeg's ``file:``."""
    return re.sub(r"^file:(//)?", "", path)


def same_file(a: str, b: str) -> bool:
    """True if both names lead to one file (or one folder of pictures), so that writing ``b`` would destroy the input
    ``a``."""
    a, b = local_path(a), local_path(b)
    try:
        mode = os.stat(b).st_mode
        return os.path.samefile(a, b) and (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    except (OSError, ValueError):
        return False


def refuse_existing(path: str, overwrite: bool | None) -> None:
    """``-y`` overwrites, anything else refuses; asking on a terminal is the command line's job."""
    if overwrite is not True and os.path.isfile(path):
        raise UsageError(f"{path} exists already; -y overwrites it (in Python, overwrite=True)")


class OutputFile(io.RawIOBase):
    """The file object that FFmpeg writes through.

    PyAV 18 holds the GIL while it writes by itself, and FFmpeg takes a short write of a raw file for a whole one: a
    pipe or a full disk would silently lose the rest. Errors are kept in ``error``, because FFmpeg swallows some (a
    broken pipe while the last fragment is written).
    """

    def __init__(
        self, path: str, *, descriptor: int | None = None, lazy: bool = False, exclusive: bool = False
    ) -> None:
        """``lazy``: hold back what is written until ``release``: opening a FIFO waits for its reader, and a run that
        fails before its first frame should neither send a header nor empty a file that was there. ``exclusive``: a
        file that has appeared there by then is an error."""
        self.name = path
        """FFmpeg opens the file again by this name when it moves the index to the front (``+faststart``)."""
        self.error: OSError | None = None
        self._held: io.BytesIO | None = io.BytesIO() if lazy else None
        self._descriptor, self._exclusive = descriptor, exclusive
        mode = _mode(path)
        # Standard output is never sought in, though it may be a file: with >> the beginning is somebody else's.
        self._seekable = descriptor is None and (mode is None or stat.S_ISREG(mode))
        if descriptor is not None:
            with suppress(OSError):
                mode = os.fstat(descriptor).st_mode
        # select() knows pipes on POSIX only; elsewhere a write simply waits.
        self._is_pipe = os.name == "posix" and mode is not None and stat.S_ISFIFO(mode)
        self._wake = os.pipe() if self._is_pipe else None
        self._stop_requested = False
        self._raw: io.RawIOBase | None = None if lazy else self._open()

    def _open(self) -> io.RawIOBase:
        if self._descriptor is not None:
            return open(self._descriptor, "wb", buffering=0, closefd=False)
        while self._wake is not None:
            # Opened to block, a FIFO without a reader could not be given up.
            try:
                fifo = os.open(self.name, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as exc:
                if exc.errno != errno.ENXIO:
                    raise
                if self._stop_requested:
                    raise OSError(errno.EBUSY, "nobody reads it") from exc
                select.select([self._wake[0]], [], [], 0.05)
            else:
                os.set_blocking(fifo, True)
                return open(fifo, "wb", buffering=0)
        return open(self.name, "xb" if self._exclusive else "wb", buffering=0)

    def request_stop(self) -> None:
        """From any thread: the run shall end, so a reader that takes nothing is not waited for much longer."""
        wake = self._wake
        if wake is not None and not self._stop_requested:
            self._stop_requested = True
            # The writing thread may close it at this moment.
            with suppress(OSError):
                os.write(wake[1], b"x")

    def _wait_for_room(self, raw: io.RawIOBase) -> None:
        assert self._wake is not None
        if not self._stop_requested:
            _, room, _ = select.select([self._wake[0]], [raw], [])
            if room:
                return
        if not select.select([], [raw], [], STOP_GRACE_SECONDS)[1]:
            raise OSError(errno.EBUSY, "its reader takes nothing; what it has is not complete")

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._seekable

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if self.closed:
            raise ValueError("the file is closed")
        if self._held is not None:
            return self._held.write(data)
        try:
            if self._raw is None:
                self._raw = self._open()
            rest = memoryview(data)
            while rest:
                if self._is_pipe:
                    self._wait_for_room(self._raw)
                written = self._raw.write(rest[:PIPE_CHUNK_BYTES] if self._is_pipe else rest)
                if written is None:
                    # A pipe that its owner made non-blocking, and that is full.
                    select.select([], [self._raw], [])
                rest = rest[written or 0 :]
        except OSError as exc:
            self.error = self.error or exc
            raise
        return len(data)

    def release(self) -> None:
        """Let go of what was held back, and write straight through from now on."""
        held, self._held = self._held, None
        if held is not None:
            self.write(held.getvalue())
            if self._seekable:
                self.seek(held.tell())

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._place().seek(offset, whence)

    def tell(self) -> int:
        return self._place().tell()

    def _place(self) -> io.BytesIO | io.RawIOBase:
        place = self._held if self._held is not None else self._raw
        if place is None:
            raise ValueError("the file is closed")
        return place

    def close(self) -> None:
        raw, self._raw = self._raw, None
        super().close()
        if raw is not None:
            raw.close()
        wake, self._wake = self._wake, None
        for end in wake or ():
            os.close(end)


class AtomicFile:
    """One output path and what stands under it while the run lasts."""

    def __init__(
        self, path: str, overwrite: bool | None, *, in_place: bool = False, on_warning: Callable[[str], None]
    ) -> None:
        """Raises UsageError for a file that may not be overwritten, SinkError for a place that cannot be written.

        ``in_place``: write under the final name from the start, and leave there what was written (live recordings).
        """
        self._warn = on_warning
        self.path = path
        self.file: OutputFile
        self._part: part_file.PartFile | None = None
        self._incomplete = False
        self.kept = ""
        """The name of a file that was committed incomplete."""
        self.stdout = path in STDOUT
        mode = None if self.stdout else _mode(path)
        self.streamed = self.stdout or (mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode))
        """True for pipes and devices: nothing can be sought, moved or taken back."""
        try:
            if self.stdout:
                # Not sys.stdout.buffer.raw, which is absent under PYTHONUNBUFFERED.
                self.file = OutputFile("-", descriptor=1, lazy=True)
            elif self.streamed:
                self.file = OutputFile(path, lazy=True)
            else:
                self._prepare_file(overwrite, in_place)
        except OSError as exc:
            raise sink_error(exc, path) from exc

    def _prepare_file(self, overwrite: bool | None, in_place: bool) -> None:
        # A symbolic link stays; what it points to is replaced.
        final = Path(os.path.realpath(self.path))
        if final.is_dir():
            raise SinkError(f"{self.path} is a folder, not a file")
        refuse_existing(self.path, overwrite)
        if not final.parent.is_dir():
            raise SinkError(f"{self.path}: there is no folder {final.parent}")
        if in_place:
            if not os.access(final if final.exists() else final.parent, os.W_OK):
                raise SinkError(f"{self.path} may not be written")
            self.file = OutputFile(str(final), lazy=True, exclusive=overwrite is not True)
            return
        if final.exists() and not os.access(final, os.W_OK):
            # Renaming over it would work, and surprise whoever made it read-only.
            raise SinkError(f"{self.path} is write-protected")
        if left := part_file.abandoned(final):
            self._warn(
                f"a run to '{self.path}' that was killed has left {', '.join(path.name for path in left)}: "
                "removed once this output is complete"
            )
        self._part = part_file.PartFile(final, replace=overwrite is True)
        self.file = OutputFile(str(self._part.path))

    def incomplete(self) -> None:
        """What is written will not be all that was to be written: it must not get the final name."""
        if self._part is not None and not self._incomplete:
            self._incomplete = True
            self._part.incomplete()

    def commit(self) -> None:
        """Close the file and put it under its final name. SinkError also where it had to be called otherwise, because
        a file that may not be overwritten has appeared under that name."""
        try:
            if self.file.error is not None:
                raise self.file.error
            self.file.close()
            if self._part is None:
                return
            final, place = self._part.final, self._part.commit()
        except OSError as exc:
            raise sink_error(exc, self.path) from exc
        self._part = None
        if self._incomplete:
            self.kept = os.path.join(os.path.dirname(self.path), place.name)
            return
        part_file.remove(part_file.abandoned(final))
        if place != final:
            raise SinkError(
                f"another file has appeared as '{self.path}' meanwhile, and stays: the finished output is "
                f"'{os.path.join(os.path.dirname(self.path), place.name)}'"
            )

    def discard(self) -> None:
        """Close, and remove what was written; nothing stays under the final name. Never raises."""
        with suppress(OSError):
            self.file.close()
        if self._part is not None:
            self._part.discard()
            self._part = None

    def __repr__(self) -> str:
        return f"Target({mask_url(self.path)})"


def _mode(path: str) -> int | None:
    try:
        return os.stat(path).st_mode
    except OSError:
        return None
