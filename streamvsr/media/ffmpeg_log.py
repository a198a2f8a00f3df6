"""What FFmpeg's libraries say while something is opened: the reason that their error numbers leave out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import av

_STREAM = re.compile(r"Stream #(?P<index>\d+:\d+)(?:\[[^\]]*\])?(?:\([^)]*\))?: (?P<what>[^\n]*)")


def stream_lines(container: Any) -> list[str]:
    """A line for each stream that FFmpeg knows of, also of those that appeared after the opening, which PyAV does not
    list: ``0:2 Audio: ac4 (ac-4 / 0x342D6361), 48000 Hz, 2 channels``."""
    before = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        text = str(container.dumps_format())
    finally:
        av.logging.set_level(before)
    found = _STREAM.finditer(text)
    return [f"{m['index']} {m['what']}" for m in found]


@contextmanager
def listening() -> Iterator[list[str]]:
    """Collect warnings and errors of this thread as lines; for short steps only, the level is one for the process."""
    lines: list[str] = []
    before = av.logging.get_level()
    if before is None:
        av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture() as captured:
            try:
                yield lines
            finally:
                lines += [" ".join(f"{name}: {text}".split()) for level, name, text in captured if level <= 24]
    finally:
        if before is None:
            av.logging.set_level(None)
