"""Files that are dropped on the page: checked before the first byte is read, and whole or not there."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import AsyncIterator, Collection
from pathlib import Path, PurePosixPath

from streamvsr.config import IMAGES, VIDEOS
from streamvsr.errors import StreamvsrError

RESERVE_BYTES = 256 << 20
"""What an upload leaves free on the disk."""
MOST_NAME_BYTES = 180
KEPT_SECONDS = 7 * 86400.0
"""Uploads that no job uses are removed after this time."""


class UploadError(StreamvsrError):
    """``status``: HTTP's."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def plain_name(name: str) -> str:
    """The last part of a name that a browser sent, without what file systems or people stumble over."""
    last = PurePosixPath(name.replace("\\", "/")).name
    last = "".join(c for c in last if c.isprintable() and c not in ':*?"|').strip().lstrip(".-")
    stem, dot, suffix = last.rpartition(".")
    if not stem or f".{suffix.lower()}" not in {*VIDEOS, *IMAGES}:
        raise UploadError(415, "this is no video by its name, such as .mp4, .mkv or .avi")
    stem = stem.encode("utf-8", "ignore")[: MOST_NAME_BYTES - len(suffix)].decode("utf-8", "ignore")
    return f"{stem}{dot}{suffix}"


def check_size(length: str | None, folder: Path, most: float, coming: int = 0) -> int:
    """The bytes that will come, beside ``coming`` of other uploads. Raises ``UploadError``."""
    if length is None or re.fullmatch(r"[0-9]{1,15}", length) is None:
        raise UploadError(411, "an upload has to say how large it is")
    size = int(length)
    if size > most:
        raise UploadError(413, f"this is larger than {most / 1e9:g} GB, which --max-upload allows")
    free = shutil.disk_usage(folder).free
    if size + coming + RESERVE_BYTES > free:
        raise UploadError(
            507, f"there is not enough space on the disk: {size / 1e6:.0f} MB, of {free / 1e6:.0f} MB free"
        )
    return size


def tidy(folder: Path, used: Collection[str]) -> None:
    """Remove what was cut off, and what lies here unused for long."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        old = time.time() - path.lstat().st_mtime > KEPT_SECONDS
        if path.name.endswith(".upload") or (old and str(path) not in used):
            path.unlink(missing_ok=True)


async def save(chunks: AsyncIterator[bytes], size: int, folder: Path, name: str) -> Path:
    """Write ``size`` bytes to a new file. Raises ``UploadError``."""
    folder.mkdir(parents=True, exist_ok=True)
    stem, dot, suffix = name.rpartition(".")
    for number in range(1, 10_000):
        path = folder / (name if number == 1 else f"{stem}_{number}{dot}{suffix}")
        part = path.with_name(f".{path.name}.upload")
        try:
            if path.exists():
                continue
            file = part.open("xb")
        except FileExistsError:
            continue
        break
    else:
        raise UploadError(409, "there are ten thousand files of this name")
    done = 0
    try:
        with file:
            async for chunk in chunks:
                done += len(chunk)
                if done > size:
                    raise UploadError(413, "more came than was said")
                file.write(chunk)
        if done != size:
            raise UploadError(400, "the upload was cut off")
        os.replace(part, path)
    except OSError as error:
        raise UploadError(507, f"the upload cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return path
