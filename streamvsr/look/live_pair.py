"""The current frame of a run, before and after, for whoever watches: two JPEGs in a folder, now and then.

Whoever wants them touches the file ``watched`` in the folder; while nobody has done so for ``WATCHED_SECONDS``, a run
pays one comparison a frame. An input frame is picked, and the written frame of the same time (or the first behind it)
makes the pair: both are always the same moment. Pairs are as far apart as their cost asks for, so that a slow machine
shows fewer and no run is slowed down by more than ``MOST_COST``.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

import cv2

from streamvsr.frames import Frame, Plane
from streamvsr.media.color.arrays import rgb_array
from streamvsr.part_file import write_file

WATCHED_SECONDS = 6.0
LOOK_SECONDS = 0.5
"""How often the file is looked at."""
LEAST_SECONDS = 1.0
"""Between two pairs."""
MOST_COST = 0.02
"""The part of the time that pairs may take."""
WIDEST_PX = 960
QUALITY = 85


class LivePair:
    """``read`` and ``written`` are a run's taps (``Run.tap``), for its reading and its writing thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        """Guards ``_picked`` and ``_next``."""
        self._picked: Frame | None = None
        self._next = 0.0
        self._looked, self._watched = 0.0, False

    def read(self, frame: Frame) -> None:
        now = time.monotonic()
        if self._picked is not None or now < self._next or not self._is_watched(now):
            return
        with self._lock:
            self._picked = frame

    def written(self, frame: Frame) -> None:
        picked = self._picked
        if picked is None or frame.seconds < picked.seconds:
            return
        begin = time.monotonic()
        # A full disk or a folder that is gone is no reason to lose the run.
        with suppress(OSError, ValueError, cv2.error):
            for name, one in (("before", picked), ("after", frame)):
                write_file(self._folder / f"{name}.jpg", _jpeg(one))
            write_file(self._folder / "seconds", f"{float(frame.seconds):.3f}".encode())
        now = time.monotonic()
        with self._lock:
            self._picked = None
            self._next = now + max(LEAST_SECONDS, (now - begin) / MOST_COST)

    def _is_watched(self, now: float) -> bool:
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            try:
                self._watched = time.time() - (self._folder / "watched").stat().st_mtime < WATCHED_SECONDS
            except OSError:
                self._watched = False
        return self._watched


def _jpeg(frame: Frame) -> bytes:
    step = -(-frame.width // WIDEST_PX)
    if step > 1:
        # Planes are reduced before they are converted: a quarter of the width is a sixteenth of the work.
        smaller = (
            cast(Plane, cv2.resize(plane, (max(1, plane.shape[1] // step), max(1, plane.shape[0] // step)),
                                   interpolation=cv2.INTER_AREA))
            for plane in frame.planes
        )  # fmt: skip
        frame = replace(frame, planes=tuple(smaller), origin=None)
    pixels = rgb_array(frame, deep=False)
    done, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise ValueError("JPEG")
    return bytes(data)
