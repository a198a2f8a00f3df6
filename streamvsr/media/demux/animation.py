"""Animated pictures: PNG through FFmpeg's demuxer, WebP through OpenCV, as FFmpeg 8 has no decoder for it."""

from __future__ import annotations

import os
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from streamvsr.config import InputOptions, OutputOptions
from streamvsr.errors import SourceError, UsageError
from streamvsr.frames import PIXEL_FORMATS, Color, Frame, MediaInfo, Packet, Plane, StreamInfo
from streamvsr.media.av_errors import source_error
from streamvsr.media.av_frames import RGB, resolve_color
from streamvsr.media.chunks import png_chunks, webp_chunks
from streamvsr.media.demux.base import Source
from streamvsr.media.ticks import ticks_per_tick

HEAD_BYTES = 1 << 20
"""Where the mark of an animation has to stand: PNG's before the first picture, WebP's in its first chunk."""

FRAMES_AT_ONCE = 32
"""OpenCV decodes from the first frame whenever it is asked: few calls cost memory, many cost time."""

MILLISECOND = Fraction(1, 1000)
DEFAULT_DURATION_MS = 100
"""Of frames that state none, as browsers show them."""


def is_animated(head: bytes) -> str:
    """``"apng"`` or ``"webp"`` for the beginning of an animation of this kind, else nothing.

    PNG: the acTL chunk stands before the first IDAT (PNG, third edition, 11.3.6.1). WebP: the second bit of VP8X's
    flags (WebP container specification, "Extended File Format").
    """
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) > 20:
        return "webp" if head[20] & 2 else ""
    for kind, data in png_chunks(head):
        if kind == b"acTL" and len(data) >= 4:
            return "apng" if struct.unpack_from(">I", data)[0] > 1 else ""
        if kind == b"IDAT":
            break
    return ""


def kind_of_animation(path: str) -> str:
    """The same of a file; nothing where it is none, or cannot be read."""
    if not os.path.isfile(path):
        return ""  # Bytes that are read from a pipe are gone.
    try:
        with open(path, "rb") as file:
            return is_animated(file.read(HEAD_BYTES))
    except (OSError, ValueError):
        return ""


class WebPSource(Source):
    """The frames of an animated WebP, each composed to a whole picture, with the durations that the file states."""

    def __init__(self, input: InputOptions, output: OutputOptions) -> None:  # noqa: ARG002
        super().__init__()
        import cv2

        if not hasattr(cv2, "imdecodeanimation"):
            raise SourceError(f"'{input.path}': an animated WebP needs OpenCV 4.11 or newer; this is {cv2.__version__}")
        self._cv2: Any = cv2
        for name in input.options:
            raise UsageError(f"-{name}: an animated WebP does not have this option; it is read without FFmpeg")
        self._path, self._stop = input.path, threading.Event()
        try:
            self._data = np.fromfile(input.path, np.uint8)
        except OSError as exc:
            raise source_error(exc, input.path) from exc
        durations = list(_durations(self._data.tobytes()))
        planes = _planes(self._decode(0, 1)[0])
        layout = PIXEL_FORMATS["gbrap" if len(planes) == 4 else "gbrp"]
        height, width = planes[0].shape
        if input.rate is not None:
            unit, durations = 1 / input.rate, [1] * len(durations)
        else:
            unit, durations = MILLISECOND, [d if d > 0 else DEFAULT_DURATION_MS for d in durations]
        start = input.start or Fraction(0)
        parts = ticks_per_tick(unit, start)
        time_base = unit / parts
        self._durations = [duration * parts for duration in durations]
        self._first_pts = -round(start / time_base)
        usual = Counter(self._durations).most_common(1)[0][0] * time_base
        color = resolve_color(Color(matrix=RGB, full_range=True), width, height)
        hint = None if start else len(durations)
        video = StreamInfo(width, height, layout, time_base, 1 / usual, color=color, frames_hint=hint)
        self.info = MediaInfo(video, duration=max(Fraction(0), sum(self._durations) * time_base - start))

    def _decode(self, start: int, count: int) -> list[Any]:
        try:
            done, found = self._cv2.imdecodeanimation(self._data, start=start, count=count)
        except self._cv2.error as exc:
            raise SourceError(f"'{self._path}': OpenCV cannot decode this animation") from exc
        if not done or not len(found.frames):
            raise SourceError(f"'{self._path}': this animation is damaged")
        return list(found.frames)

    def __iter__(self) -> Iterator[Frame | Packet]:
        video, pts = self.info.video, self._first_pts
        for start in range(0, len(self._durations), FRAMES_AT_ONCE):
            durations = self._durations[start : start + FRAMES_AT_ONCE]
            for one, duration in zip(self._decode(start, len(durations)), durations, strict=False):
                if self._stop.is_set():
                    return
                yield Frame(_planes(one), video.format, pts, video.time_base, duration, video.color)
                pts += duration

    def stop(self) -> None:
        self._stop.set()

    def close(self) -> None:
        self._stop.set()


def _durations(data: bytes) -> Iterator[int]:
    """Milliseconds of each frame: 24 bits in its ANMF chunk, behind place and size."""
    for kind, part in webp_chunks(data):
        if kind == b"ANMF" and len(part) >= 15:
            yield int.from_bytes(part[12:15], "little")


def _planes(pixels: Any) -> tuple[Plane, ...]:
    """R, G, B[, A] of OpenCV's (rows, columns, 3 or 4) in B, G, R[, A], uint8."""
    order = (2, 1, 0, 3)[: pixels.shape[2]]
    planes: list[Plane] = [np.ascontiguousarray(pixels[..., n]) for n in order]
    for plane in planes:
        plane.flags.writeable = False
    return tuple(planes)
