"""Lists of recordings (``-f concat``): which of them FFmpeg passes over without an error."""

from __future__ import annotations

import os
from collections.abc import Iterator

from streamvsr.media.av_errors import FOREIGN
from streamvsr.media.open_container import open_container
from streamvsr.quoting import token


def without_video(path: str) -> Iterator[str]:
    """The files of the list at ``path`` that open and have no video: recordings whose header is damaged are such.

    Those that cannot be opened end the reading with an error of its own, and are not among them.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read(1 << 24).splitlines()
    except OSError:
        return
    for line in lines:
        word, _, rest = line.strip().partition(" ")
        if word != "file":
            continue
        try:
            name = token(rest, 0, "").value
            with open_container(os.path.join(os.path.dirname(path), name)) as container:
                if not container.streams.video:
                    yield name
        except FOREIGN:  # a quote that is never closed, too
            continue
