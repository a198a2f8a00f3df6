"""Files that appear under their name when they are whole, and never in place of somebody else's.

A file is written as ``.STEM.XXXXXXXX.part.SUFFIX`` beside its final name. The writer holds a lock on it (``flock``,
which the system releases when a process dies), so that the remains of a killed run can be
distinguished from what is being written.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

MAX_STEM_BYTES = 150
"""How much of the final name goes into the temporary one: names are limited to 255 bytes."""
MAX_SUFFIX_BYTES = 60
_PART_NAME = re.compile(r"\..+\.[0-9a-f]{8}\.part(\..*)?", re.DOTALL)


class PartFile:
    """A file that is not whole yet, at ``path``. Its owner writes it by that name, then commits or discards it."""

    def __init__(self, final: Path, *, replace: bool) -> None:
        """Creates the file. ``replace``: a file that stands under the final name at the end may be replaced. Raises
        ``OSError``."""
        self.final = final
        self._replace = replace
        self.path, self._lock = _create(final)
        with suppress(OSError):
            self.path.chmod(stat.S_IMODE(final.stat().st_mode))

    def commit(self) -> Path:
        """Give the closed file its name, and return it: another one than ``final`` where a file that may not be
        replaced has appeared there meanwhile. Raises ``OSError``; the file is still there then."""
        place = self.final
        number = 0
        while True:
            try:
                _rename(self.path, place, replace=self._replace and number == 0)
            except FileExistsError:
                number += 1
                place = self.final.with_name(
                    f"{_short(self.final.stem, MAX_STEM_BYTES)}.{number}{_short(self.final.suffix, MAX_SUFFIX_BYTES)}"
                )
            else:
                self._unlock()
                return place

    def incomplete(self) -> None:
        """The file will never be whole: it gets the name ``STEM.incomplete.SUFFIX``, and replaces nothing."""
        stem, suffix = _short(self.final.stem, MAX_STEM_BYTES), _short(self.final.suffix, MAX_SUFFIX_BYTES)
        self.final, self._replace = self.final.with_name(f"{stem}.incomplete{suffix}"), False

    def discard(self) -> None:
        """Remove the file. Never raises."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
        self._unlock()

    def _unlock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


def write_file(path: Path, content: bytes | memoryview, *, replace: bool = True, durable: bool = False) -> None:
    """A small file, whole or not there; ``durable``: also when the power fails right after.

    Raises ``OSError`` with the name ``path``; ``FileExistsError`` for a file that may not be replaced.
    """
    try:
        part = PartFile(path, replace=replace)
        try:
            with part.path.open("wb") as file:
                file.write(content)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            _rename(part.path, path, replace=replace)
            if durable:
                sync_folder(path.parent)
        finally:
            part.discard()
    except OSError as error:
        error.filename = str(path)
        error.filename2 = None
        raise


def sync_folder(folder: Path) -> None:
    """The names in it are on the disk."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def abandoned(final: Path) -> list[Path]:
    """What runs that were killed have left of the file ``final``."""
    names = re.compile(
        rf"\.{re.escape(_short(final.stem, MAX_STEM_BYTES))}\.[0-9a-f]{{8}}\.part"
        rf"{re.escape(_short(final.suffix, MAX_SUFFIX_BYTES))}"
    )
    return [path for path in _parts(final.parent) if names.fullmatch(path.name) and _nobody_writes(path)]


def abandoned_in(folder: Path, suffix: str) -> list[Path]:
    """What runs that were killed have left in a folder of files with this suffix."""
    return [path for path in _parts(folder) if path.suffix == suffix and _nobody_writes(path)]


def remove(paths: Iterable[Path]) -> None:
    """Never raises."""
    for path in paths:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _parts(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if _PART_NAME.fullmatch(entry.name))
    except OSError:
        return []


def _create(final: Path) -> tuple[Path, int | None]:
    """A new file beside ``final``, and the descriptor that holds its lock, where there are such locks."""
    stem, suffix = _short(final.stem, MAX_STEM_BYTES), _short(final.suffix, MAX_SUFFIX_BYTES)
    while True:
        path = final.with_name(f".{stem}.{os.urandom(4).hex()}.part{suffix}")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
        except FileExistsError:
            continue
        if sys.platform == "win32":
            # An open file can be neither renamed nor removed there, which protects it as well.
            os.close(descriptor)
            return path, None
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:
            return path, descriptor
        # Another run took it for abandoned before it was locked.
        os.close(descriptor)


def _nobody_writes(path: Path) -> bool:
    """Whether its writer is gone. False where the file system has no locks: then nobody knows."""
    if sys.platform == "win32":
        # What somebody has open cannot be removed there.
        return True
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def _rename(path: Path, place: Path, *, replace: bool) -> None:
    """``FileExistsError`` where something stands at ``place`` that may not be replaced."""
    if replace:
        os.replace(path, place)
    elif sys.platform == "win32":
        os.rename(path, place)  # which replaces nothing there
    else:
        try:
            # A link never replaces anything, a rename always does.
            os.link(path, place)
        except OSError as error:
            if error.errno == errno.EEXIST:
                raise
            # No links on this file system (exFAT, some network drives): take the name, then replace what is ours.
            os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
            os.replace(path, place)
        else:
            path.unlink()


def _short(name: str, most: int) -> str:
    """Not cut inside a character, which a file system may refuse."""
    while len(os.fsencode(name)) > most:
        name = name[:-1]
    return name
