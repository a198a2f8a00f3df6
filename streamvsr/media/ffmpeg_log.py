"""What FFmpeg's libraries say while something is opened: the reason that their error numbers leave out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import av


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
