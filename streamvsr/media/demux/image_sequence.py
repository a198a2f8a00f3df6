"""Pictures as a video: a folder, a numbered pattern, a glob, or one picture.

Read with OpenCV rather than FFmpeg, whose picture demuxer refuses gaps and first numbers above 4, ignores the
orientation that cameras store, and changes the format from picture to picture without a word.
"""

from __future__ import annotations

import glob
import os
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np

from streamvsr.config import IMAGES, InputOptions, OutputOptions
from streamvsr.errors import NoVideoError, SourceError, StreamLostError, UsageError
from streamvsr.frames import PIXEL_FORMATS, Color, Frame, MediaInfo, Packet, PixelFormat, Plane, StreamInfo
from streamvsr.media.av_errors import FOREIGN, source_error
from streamvsr.media.av_frames import RGB, UNSTATED, from_av, resolve_color, to_av
from streamvsr.media.decode.conform import Fitter
from streamvsr.media.demux.animation import kind_of_animation
from streamvsr.media.demux.base import Source
from streamvsr.media.exif import exif_of, orientation, upright
from streamvsr.media.open_container import open_container
from streamvsr.media.ticks import ticks_per_tick

SUFFIXES = IMAGES

DEFAULT_RATE = Fraction(25)
"""Pictures a second without ``-r``, as in ffmpeg."""

_TIFF = (".tif", ".tiff")
_NUMBER = re.compile(r"%(0?)(\d*)d")


class UndecodableImageError(SourceError):
    """A file that could be read and is no picture, or a damaged one."""


class ImageSequenceSource(Source):
    """Pictures in natural order (``9.png`` before ``10.png``) at a constant rate, brought to the first one's size.

    One that is damaged is reported, and the one before it repeated; what cannot be read at all ends the iteration with
    ``StreamLostError``.
    """

    names: Sequence[str]
    """The pictures' paths, one for each frame in order."""

    def __init__(self, input: InputOptions, output: OutputOptions) -> None:  # noqa: ARG002
        super().__init__()
        for name in input.options:
            advice = "-r FPS says how fast they follow each other" if "rate" in name else "they are read without FFmpeg"
            raise UsageError(f"-{name}: pictures as an input do not have this option; {advice}")
        self._stop, self._warned = threading.Event(), False
        self._fitter: Fitter | None = None
        self._at = ""
        """The picture that the fitter speaks of."""
        rate, start = input.rate or DEFAULT_RATE, input.start or Fraction(0)
        names = find_pictures(input.path)
        if not names:
            what = "has no pictures in it" if os.path.isdir(input.path) else "matches no picture"
            raise NoVideoError(f"'{input.path}': {what} ({', '.join(sorted(SUFFIXES))})")
        # As when seeking in a file: pictures before the start are not read, the run begins near 0.
        if gaps := numbers_missing(input.path, names):
            self.warnings.append(
                f"'{input.path}': {gaps} numbers in between are missing; the pictures follow each other"
            )
        skipped = min(-(-start * rate // 1), len(names) - 1)
        self.names = names[skipped:]
        parts = ticks_per_tick(1 / rate, start)
        time_base = 1 / rate / parts
        first_pts = skipped * parts - round(start / time_base)
        self._stamps = range(first_pts, first_pts + len(self.names) * parts, parts)
        planes, self._format = self._first_readable()
        if self._format.family == "gray" and len(self.names) > 1:
            # Many programs save a black picture as grey, and a video begins with black often.
            self._format = PIXEL_FORMATS["gbrp" if self._format.bits == 8 else "gbrp16le"]
        self._last = planes, self._format
        height, width = planes[0].shape
        matrix = RGB if self._format.family == "rgb" else UNSTATED
        self._color = resolve_color(Color(matrix=matrix, full_range=True), width, height)
        video = StreamInfo(
            width=width,
            height=height,
            format=self._format,
            time_base=time_base,
            frame_rate=rate,
            sample_aspect_ratio=sample_aspect_ratio(self.names[0], width, height),
            color=self._color,
            frames_hint=len(self.names),
        )
        self.info = MediaInfo(video=video, duration=len(self.names) / rate)

    def __iter__(self) -> Iterator[Frame | Packet]:
        video = self.info.video
        for number, (pts, name) in enumerate(zip(self._stamps, self.names, strict=True)):
            if self._stop.is_set():
                return
            try:
                self._last = read_picture(name)
            except UndecodableImageError as exc:
                # Who numbers pictures, or has sound to them, wants each of the others at its own place.
                self.on_warning(f"{exc}; the picture before it stands in its place")
            except SourceError as exc:
                # The disk or the network, not this picture: all that follow would fail as well.
                raise StreamLostError(f"{exc}; it is picture {number + 1} of {len(self.names)}") from exc
            else:
                self._warn_of_more(name)
            planes, layout = self._last
            frame = Frame(planes, layout, pts, video.time_base, self._stamps.step, self._color)
            if planes[0].shape != (video.height, video.width) or not holds(layout, self._format):
                yield self._fitted(frame, name)
            else:
                yield replace(frame, planes=widened(planes, layout, self._format), format=self._format)

    def _first_readable(self) -> tuple[tuple[Plane, ...], PixelFormat]:
        """What the video is described by, and what stands for pictures before it that cannot be decoded."""
        error: SourceError | None = None
        for name in self.names:
            try:
                return read_picture(name)
            except UndecodableImageError as exc:
                error = error or exc
        assert error is not None
        raise error

    def _fitted(self, frame: Frame, name: str) -> Frame:
        """A picture of another size, or of a format that the first one's cannot hold, as videos are treated."""
        if self._fitter is None:
            self._fitter = Fitter(self.info.video, Color(), lambda what: self.on_warning(f"'{self._at}': {what}"))
        self._at = name
        full = resolve_color(replace(self._color, full_range=True), frame.width, frame.height)
        made, color, _ = self._fitter(to_av(replace(frame, color=full)))
        return from_av(made, pts=frame.pts, time_base=frame.time_base, duration=frame.duration, color=color)

    def _warn_of_more(self, name: str) -> None:
        """A line for the first picture that holds more than is taken of it."""
        if self._warned:
            return
        pages = pages_of(name) if name.lower().endswith(_TIFF) else 1
        if kind_of_animation(name) or pages > 1:
            self._warned = True
            what = f"has {pages} pages" if pages > 1 else "is animated"
            advice = "" if pages > 1 else "; as an input of its own it gives all of them"
            self.on_warning(f"'{name}' {what}: the first frame alone is taken, here and of others like it{advice}")

    def stop(self) -> None:
        self._stop.set()

    def close(self) -> None:
        self._stop.set()


def is_pictures(path: str) -> bool:
    """True for what ImageSequenceSource reads: folders, picture files, patterns, globs; no animations."""
    if os.path.isdir(path):
        return True
    return Path(path).suffix.lower() in SUFFIXES and "://" not in path and not kind_of_animation(path)


def find_pictures(path: str) -> list[str]:
    """The pictures that a path names, in order; a file of exactly this name goes before patterns."""
    if os.path.isdir(path):
        entries = [e for e in os.scandir(path) if Path(e.name).suffix.lower() in SUFFIXES and e.name[0] != "."]
        return sorted((e.path for e in entries if not e.is_dir()), key=natural_key)
    if os.path.isfile(path):
        return [path]
    folder, base = os.path.split(path)
    if number := _NUMBER.search(base):
        digits = rf"\d{{{int(number[2])},}}" if number[1] and number[2] else r"\d+"
        before, after = base[: number.start()].replace("%%", "%"), base[number.end() :].replace("%%", "%")
        fits = re.compile(f"{re.escape(before)}({digits}){re.escape(after)}")
        found = [(int(m[1]), e.path) for e in _scan(folder, path) if (m := fits.fullmatch(e.name))]
        return [name for _, name in sorted(found)]
    if glob.has_magic(path):
        return sorted((n for n in glob.glob(path) if Path(n).suffix.lower() in SUFFIXES), key=natural_key)
    raise SourceError(f"no such file: '{path}'")


def numbers_missing(path: str, names: Sequence[str]) -> int:
    """How many numbers between the first and the last picture of a numbered pattern have none."""
    number = _NUMBER.search(os.path.basename(path))
    if number is None or os.path.exists(path):
        return 0
    begin = number.start() - os.path.basename(path)[: number.start()].count("%%")
    found = [int(match[0]) for name in names if (match := re.match(r"\d+", os.path.basename(name)[begin:]))]
    return max(found) - min(found) + 1 - len(set(found)) if found else 0


def _scan(folder: str, path: str) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(folder or "."))
    except OSError as exc:
        raise source_error(exc, folder or path) from exc


def natural_key(path: str) -> list[tuple[int, int, str]]:
    """Sorts ``2.png`` before ``10.png``; names that differ in leading zeros only keep a fixed order."""
    parts = re.split(r"(\d+)", os.path.basename(path))
    return [(0, int(p), p) if p.isdecimal() else (1, 0, p) for p in parts if p]


def read_picture(name: str) -> tuple[tuple[Plane, ...], PixelFormat]:
    """Decode one picture to planes in Frame order (R, G, B[, A] or grey)."""
    # Here: `is_pictures` is asked of every input, and OpenCV is a tenth of a plain run's start.
    import cv2

    _silence(cv2)
    try:
        data = np.fromfile(name, np.uint8)  # cv2.imread fails without a word, and on some names on Windows.
    except OSError as exc:
        raise source_error(exc, name) from exc
    pixels, turn = None, 1
    try:
        if data.size:
            # Unchanged keeps alpha and 16 bits, and leaves turning to us (except in TIFF, which it does itself).
            pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
            turn = orientation(exif_of(data.tobytes()))
    except cv2.error as exc:
        raise UndecodableImageError(f"'{name}': OpenCV cannot decode this picture") from exc
    if pixels is None:
        raise UndecodableImageError(f"'{name}': this picture is damaged, or not a picture")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise UndecodableImageError(
            f"'{name}': pictures of {pixels.dtype} samples cannot be read; convert it to 8 or 16 bits"
        )
    channels = [cast(Plane, channel) for channel in cv2.split(pixels)]
    if len(channels) >= 3:
        channels[:3] = channels[2::-1]
    base = {1: "gray", 3: "gbrp", 4: "gbrap"}[len(channels)]
    channels = [upright(plane, turn) for plane in channels]
    for plane in channels:
        plane.flags.writeable = False
    return tuple(channels), PIXEL_FORMATS[base if pixels.dtype == np.uint8 else f"{base}16le"]


def _silence(cv2: Any) -> None:
    """Keep OpenCV from logging to the terminal: what it cannot read becomes an error of ours."""
    if hasattr(cv2, "setLogLevel"):
        cv2.setLogLevel(0)
    else:  # from OpenCV 5 on
        import cv2.utils.logging as cv2_log

        cv2_log.setLogLevel(cv2_log.LOG_LEVEL_SILENT)


def sample_aspect_ratio(name: str, width: int, height: int) -> Fraction:
    """The shape of a pixel as FFmpeg reads it (PNG's pHYs, JPEG's density), for a picture shown in this size."""
    try:
        with open_container(name if "://" in name else f"file:{name}") as container:
            stream: Any = container.streams.best("video")
            if stream is None:
                return Fraction(1)
            found = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
            turned = (stream.width, stream.height) == (height, width) != (width, height)
    except FOREIGN:
        return Fraction(1)
    ratio = Fraction(found.numerator, found.denominator) if found and found.numerator > 0 else Fraction(1)
    return 1 / ratio if turned else ratio


def pages_of(name: str) -> int:
    import cv2

    try:
        return int(cv2.imcount(name))
    except cv2.error:
        return 1


def holds(have: PixelFormat, want: PixelFormat) -> bool:
    """Whether ``have`` becomes ``want`` without loss; encoders save grey pictures as grey."""
    same = have.family == want.family or (have.family == "gray" and want.family == "rgb")
    return same and have.bits <= want.bits and want.alpha >= have.alpha


def widened(planes: tuple[Plane, ...], have: PixelFormat, want: PixelFormat) -> tuple[Plane, ...]:
    """``planes`` in a format that holds them."""
    if have.bits < want.bits:
        # 255 * 257 = 65535: white stays white.
        planes = tuple(plane.astype(np.uint16) * np.uint16(257) for plane in planes)
    if have.family == "gray" and want.family == "rgb":
        planes = planes * 3
    if want.alpha and not have.alpha:
        planes = (*planes, np.full_like(planes[0], want.peak))
    return planes
