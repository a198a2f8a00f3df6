"""A folder of pictures: one file a frame, complete or not there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from streamvsr.config import OutputOptions
from streamvsr.errors import SinkError, UsageError
from streamvsr.frames import PIXEL_FORMATS, Frame, MediaInfo, PixelFormat
from streamvsr.media.av_errors import sink_error
from streamvsr.media.pictures import from_av, to_av
from streamvsr.sinks.base import Sink
from streamvsr.sinks.target import STDOUT, local_path

DEFAULT_PATTERN = "%08d.png"
"""Counted from 0, as the original RealBasicVSR script names its pictures."""

DEEP = frozenset({".png", ".tif", ".tiff"})
"""Kinds that keep 16 bits; JPEG and WebP have 8."""

WITH_ALPHA = frozenset({".png", ".webp"})
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp"})
LOSSY_QUALITY = {".jpg": ("IMWRITE_JPEG_QUALITY", 95), ".jpeg": ("IMWRITE_JPEG_QUALITY", 95)}
LOSSY_QUALITY |= {".webp": ("IMWRITE_WEBP_QUALITY", 95)}

_COUNTER = re.compile(r"%(0?\d*)d")


def is_pictures(path: str) -> bool:
    """A folder that exists, a path that ends in ``/`` or has no suffix, or a pattern of picture names."""
    path = local_path(path)
    suffix = Path(path).suffix.lower()
    if path in STDOUT or (not suffix and os.path.exists(path) and not os.path.isdir(path)):
        # Standard output, or a FIFO, a device, a file without a suffix.
        return False
    return os.path.isdir(path) or path.endswith("/") or not suffix or suffix in SUFFIXES


def picture_format(suffix: str, source: PixelFormat) -> str:
    """RGB of the depth and with the alpha that the kind of file can keep."""
    deep = "16le" if source.bits > 8 and suffix in DEEP else ""
    return f"gbr{'a' if source.alpha and suffix in WITH_ALPHA else ''}p{deep}"


def place(path: str) -> tuple[Path, str]:
    """The folder, and the pattern (or the suffix) of the names in it; UsageError for what is no place for pictures."""
    path = local_path(path)
    if os.path.isdir(path) or path.endswith("/") or not Path(path).suffix:
        return Path(path), DEFAULT_PATTERN
    if Path(path).suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path}: pictures are written as {', '.join(sorted(SUFFIXES))}")
    return Path(path).parent, Path(path).name


def wanted_format(output: OutputOptions, source: PixelFormat) -> str:
    """The planar format that pictures are made of."""
    return picture_format(Path(place(output.path)[1]).suffix.lower(), source)


class PictureSink(Sink):
    """Writes each frame as RGB; time stamps and tracks have no place here."""

    def __init__(
        self,
        output: OutputOptions,
        media: MediaInfo,
        *,
        names: Sequence[str] | None = None,
        on_warning: Callable[[str], None],
    ) -> None:
        """``names``: file names of the input's pictures, in order, to use again (their suffixes give way to the
        pattern's, if one was given)."""
        import cv2

        self._cv2: Any = cv2
        self._path = output.path
        self._folder, self._pattern = place(output.path)
        self._names = list(names or ())
        self._keep_suffix = Path(output.path).name != self._pattern  # no pattern was given
        if not self._keep_suffix and not _COUNTER.search(self._pattern):
            # One picture was named: the input's name in its place would be written over the input itself.
            self._names = []
        if len({self._name(n) for n in range(len(self._names))}) < len(self._names):
            # a.jpg and a.png would both become a.png.
            on_warning("the input's picture names are not unique: pictures are numbered instead")
            self._names = []
        self._overwrite = output.overwrite is True
        self._count = 0
        suffix = Path(self._name(0)).suffix.lower()
        self.pixel_format = picture_format(suffix, media.video.format)
        kinds = [t.kind for t in media.tracks if t.kind != "data"]
        if kinds:
            on_warning(f"pictures hold no tracks: {len(kinds)} left out ({', '.join(sorted(set(kinds)))})")
        first = self._folder / self._name(0)
        if first.exists() and not self._overwrite:
            raise UsageError(f"{first} exists already; -y overwrites it")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise sink_error(exc, output.path) from exc
        if not os.access(self._folder, os.W_OK):
            raise SinkError(f"{self._folder} may not be written")

    def _name(self, number: int) -> str:
        if number < len(self._names):
            given = Path(self._names[number])
            if self._keep_suffix and given.suffix.lower() in SUFFIXES:
                return given.name
            return given.stem + Path(self._pattern).suffix
        if number and not _COUNTER.search(self._pattern):
            raise UsageError(f"{self._path} names one picture, and there are more: write %08d into the name")
        return _COUNTER.sub(lambda found: f"{number:{found[1]}d}", self._pattern, count=1)

    def write_frame(self, frame: Frame) -> None:
        target = self._folder / self._name(self._count)
        suffix = target.suffix.lower()
        data = self._encode(frame, suffix)
        if target.exists() and not self._overwrite:
            raise UsageError(f"{target} exists already; -y overwrites it")
        part = target.with_name(f".{target.stem[:50]}.{os.urandom(4).hex()}.part")
        try:
            part.write_bytes(data)
            os.replace(part, target)
        except OSError as exc:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise sink_error(exc, str(target)) from exc
        self._count += 1

    def _encode(self, frame: Frame, suffix: str) -> bytes:
        wanted = PIXEL_FORMATS[picture_format(suffix, frame.format)]
        if frame.format.name != wanted.name:
            frame = from_av(to_av(frame, av_format=wanted.name), pts=frame.pts, time_base=frame.time_base)
        red, green, blue, *alpha = frame.planes
        pixels = np.stack([blue, green, red, *alpha], axis=-1)
        flag, value = LOSSY_QUALITY.get(suffix, ("", 0))
        parameters = [getattr(self._cv2, flag), value] if flag else []
        try:
            done, data = self._cv2.imencode(suffix, pixels, parameters)
        except self._cv2.error as exc:
            raise SinkError(f"{suffix} cannot hold a picture of {frame.width}x{frame.height}") from exc
        if not done:
            raise SinkError(f"{suffix} cannot hold a picture of {frame.width}x{frame.height}")
        return bytes(data)

    def write_packet(self, packet: object) -> None:
        """Pictures have no tracks; the constructor has said so."""

    def finish(self) -> None:
        if not self._count:
            raise SinkError("no picture came, so there is nothing to write")

    def abort(self) -> None:
        """Pictures that are there are whole, and stay: hours of work are not thrown away for the last frame."""
