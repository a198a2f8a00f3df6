"""A folder of pictures: one file a frame, complete or not there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from streamvsr import part_file
from streamvsr.config import OutputOptions
from streamvsr.errors import SinkError, StreamvsrError, UsageError
from streamvsr.frames import PIXEL_FORMATS, Frame, MediaInfo, PixelFormat
from streamvsr.media.av_errors import sink_error
from streamvsr.media.av_frames import from_av, target_format, to_av
from streamvsr.media.mux.atomic_file import STDOUT, local_path
from streamvsr.media.mux.base import Sink

DEFAULT_PATTERN = "%08d.png"
"""Counted from 0, as the original RealBasicVSR script names its pictures."""

DEEP = frozenset({".png", ".tif", ".tiff"})
"""Kinds that keep 16 bits; JPEG and WebP have 8."""

WITH_ALPHA = frozenset({".png", ".webp", ".tif", ".tiff"})
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp"})
LOSSY_QUALITY = {".jpg": ("IMWRITE_JPEG_QUALITY", 95), ".jpeg": ("IMWRITE_JPEG_QUALITY", 95)}
LOSSY_QUALITY |= {".webp": ("IMWRITE_WEBP_QUALITY", 95)}

MAX_NUMBER_DIGITS = 15
"""Of the first number of a pattern: names have a limited length."""

JPEG = frozenset({".jpg", ".jpeg"})

START_NUMBER = "start_number"
"""The one free option that pictures have: the first number of a pattern, 0 unless said."""

_COUNTER = re.compile(r"%%|%(0?\d*)d")


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
    """The planar format that pictures are made of; of ``-pix_fmt`` the depth counts, and whether it has alpha."""
    given = source if output.pixel_format is None else _named_format(output.pixel_format)
    return picture_format(Path(place(output.path)[1]).suffix.lower(), given)


def _named_format(name: str) -> PixelFormat:
    try:
        return target_format(name)
    except StreamvsrError as exc:
        raise UsageError(f"-pix_fmt {name}: {exc}") from exc


def _counts(pattern: str) -> bool:
    return any(found[1] is not None for found in _COUNTER.finditer(pattern))


def _numbers(names: Sequence[str]) -> list[int] | None:
    """The last numbers in names that differ in nothing else; None for other names."""
    found = [re.fullmatch(r"(.*?)(\d+)(\D*)", Path(name).stem, re.DOTALL) for name in names]
    parts = [match.groups() for match in found if match]
    if not parts or len(parts) < len(names) or len({(before, after) for before, _, after in parts}) > 1:
        return None
    return [int(number) for _, number, _ in parts]


def _ignored(output: OutputOptions) -> list[str]:
    """Options that were given and mean nothing for pictures, as they are written."""
    flags = {"video_codec": "-c:v", "crf": "-crf", "bit_rate": "-b:v", "preset": "-preset", "gop": "-g"}
    given = [flag for field, flag in flags.items() if getattr(output, field) is not None]
    given += ["-metadata"] if output.metadata else []
    return given + [f"-{name}" for name in output.options if name != START_NUMBER]


def _start_number(output: OutputOptions) -> int:
    text = output.options.get(START_NUMBER, "0")
    if not text.isdecimal() or len(text) > MAX_NUMBER_DIGITS:
        raise UsageError(f"-{START_NUMBER}: a number of at most {MAX_NUMBER_DIGITS} digits is needed")
    return int(text)


class ImageSequenceSink(Sink):
    """Writes each frame as RGB; time stamps and tracks have no place here."""

    def __init__(
        self,
        output: OutputOptions,
        media: MediaInfo,
        *,
        names: Sequence[str] | None = None,
        on_warning: Callable[[str], None],
    ) -> None:
        """``names``: the paths of the input's pictures, in order, whose file names are used again. Where a pattern
        was given their suffixes give way to the pattern's; and where they are numbers, they are put into it."""
        import cv2

        self._cv2: Any = cv2
        self._path = output.path
        self._folder, self._pattern = place(output.path)
        self._first = _start_number(output)
        # Who says where to count from wants no names.
        self._names = [] if START_NUMBER in output.options else list(names or ())
        self._numbers: list[int] | None = None
        self._keep_suffix = Path(output.path).name != self._pattern  # no pattern was given
        if not self._keep_suffix:
            self._numbers = _numbers(self._names)
            if not _counts(self._pattern):
                # One picture was named: the input's name in its place would be written over the input itself.
                self._names, self._numbers = [], None
        if len({self._name(n) for n in range(len(self._names))}) < len(self._names):
            # a.jpg and a.png would both become a.png.
            on_warning("the input's picture names are not unique: pictures are numbered instead")
            self._names, self._numbers = [], None
        self._overwrite = output.overwrite is True
        self._count = 0
        self._only: tuple[Frame, Path] | None = None
        suffix = Path(self._name(0)).suffix.lower()
        self._layout = media.video.format if output.pixel_format is None else _named_format(output.pixel_format)
        self.pixel_format = picture_format(suffix, self._layout)
        kinds = [t.kind for t in media.tracks if t.kind != "data"]
        if kinds:
            on_warning(f"pictures hold no tracks: {len(kinds)} left out ({', '.join(sorted(set(kinds)))})")
        if ignored := _ignored(output):
            on_warning(f"pictures do not have these options: {', '.join(ignored)}")
        first = self._folder / self._name(0)
        self._refuse_input(names or ())
        if first.exists() and not self._overwrite:
            raise UsageError(f"{first} exists already; -y overwrites it (in Python, overwrite=True)")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise sink_error(exc, output.path) from exc
        if not os.access(self._folder, os.W_OK):
            raise SinkError(f"{self._folder} may not be written")
        part_file.remove(part_file.abandoned_in(self._folder, suffix))

    def _refuse_input(self, names: Sequence[str]) -> None:
        """Also with -y: who reads a folder anew after a failed run would find half of it enlarged."""
        here = os.path.realpath(self._folder)
        folders = {folder: os.path.realpath(folder) for folder in {os.path.dirname(name) for name in names}}
        read = {os.path.basename(name) for name in names if folders[os.path.dirname(name)] == here}
        count = len(names) if _counts(self._pattern) else 1
        both = next((name for n in range(count if read else 0) if (name := self._name(n)) in read), None)
        if both is not None:
            raise UsageError(f"{self._folder / both} is a picture of the input: name another folder, or other names")

    def _name(self, number: int) -> str:
        if self._numbers is None and number < len(self._names):
            given = Path(self._names[number])
            if self._keep_suffix and given.suffix.lower() in SUFFIXES:
                return given.name
            return given.stem + Path(self._pattern).suffix
        if not _counts(self._pattern):
            if number:
                animation = {".png": "; -f apng writes an animation", ".webp": "; -f webp writes an animation"}
                more = animation.get(Path(self._path).suffix.lower(), "")
                raise UsageError(f"{self._path} names one picture, and there are more: write %08d into the name{more}")
            return self._pattern
        if self._numbers is None:
            number += self._first
        elif number < len(self._numbers):
            number = self._numbers[number]
        else:
            # Filters have made more pictures than there were.
            number = self._numbers[-1] + 1 + number - len(self._numbers)
        return _COUNTER.sub(lambda found: "%" if found[1] is None else f"{number:{found[1]}d}", self._pattern)

    @property
    def kept(self) -> str:
        return str(self._folder)

    def write_frame(self, frame: Frame) -> None:
        target = self._folder / self._name(self._count)
        self._count += 1
        if self._numbers is not None or self._count <= len(self._names) or _counts(self._pattern):
            self._write(frame, target)
        else:
            # One name for one picture: whether there are more is known with the next one.
            self._only = frame, target

    def _write(self, frame: Frame, target: Path) -> None:
        data = self._encode(frame, target.suffix.lower())
        try:
            part_file.write_file(target, data, replace=self._overwrite)
        except OSError as exc:
            raise sink_error(exc, str(target)) from exc

    def _encode(self, frame: Frame, suffix: str) -> bytes:
        wanted = PIXEL_FORMATS[picture_format(suffix, self._layout)]
        if frame.format.name != wanted.name:
            frame = from_av(to_av(frame, av_format=wanted.name), pts=frame.pts, time_base=frame.time_base)
        red, green, blue, *alpha = frame.planes
        pixels = np.stack([blue, green, red, *alpha], axis=-1)
        flag, value = LOSSY_QUALITY.get(suffix, ("", 0))
        parameters = [getattr(self._cv2, flag), value] if flag else []
        if suffix in JPEG and (self._layout.log2_chroma_w, self._layout.log2_chroma_h) != (1, 1):
            # OpenCV's own 4:2:0 would halve the colours of what has more.
            parameters += [self._cv2.IMWRITE_JPEG_SAMPLING_FACTOR, self._cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        try:
            done, data = self._cv2.imencode(suffix, pixels, parameters)
        except self._cv2.error as exc:
            raise SinkError(f"{suffix} cannot hold a picture of {frame.width}x{frame.height}") from exc
        if not done:
            raise SinkError(f"{suffix} cannot hold a picture of {frame.width}x{frame.height}")
        return bytes(data)

    def finish(self, until: Fraction | None = None) -> None:  # noqa: ARG002 - pictures have no tracks
        if not self._count:
            raise SinkError("no frame came, so there is nothing to write")
        if self._only is not None:
            self._write(*self._only)

    def abort(self) -> None:
        """Pictures that are there are whole, and stay: hours of work are not thrown away for the last frame."""
