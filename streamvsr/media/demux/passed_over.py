"""What FFmpeg has passed over in a damaged Matroska file, which its log alone tells.

The log of a whole run cannot be listened to: decoders and encoders write into it from threads of their own, which would
wait for Python's lock. So a file from which frames are missing, by their times, is read once more without decoding.
"""

from __future__ import annotations

from streamvsr.config import InputOptions
from streamvsr.media.demux.demuxer import STDIN_NAMES, Demuxer
from streamvsr.media.ffmpeg_log import listening

MATROSKA = "matroska,webm"
"""FFmpeg's name of the demuxer, which begins its lines."""


def passed_over(given: InputOptions, container: str) -> str | None:
    """The first thing that FFmpeg has to say of an input in this container; None where it read all of it."""
    if container != MATROSKA or given.path in STDIN_NAMES or "://" in given.path:
        return None
    demuxer = Demuxer(given)
    try:
        with listening() as said:
            for _ in demuxer.packets(list(demuxer.container.streams), joined=False):
                pass
    finally:
        demuxer.close()
    return next((line.removeprefix(f"{MATROSKA}: ") for line in said if line.startswith(MATROSKA)), None)
