"""Why FFmpeg refused something: its own words, which its error codes ("Invalid argument") leave out."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress

import av
import av.filter.graph
import av.logging

_CONSEQUENCES = ("Failed to configure", "Error applying", "Error setting option", "Error initializing")
"""Messages that only follow from others."""
_TOLD = av.logging.VERBOSE


def reason(error: BaseException, again: Callable[[], object]) -> str:
    """One line on why ``again``, which failed with ``error``, fails: the last telling message of its own.

    It is done again with FFmpeg's messages on, and not from the first: handing messages to Python from FFmpeg's own
    threads can lock up, and at this point the filter has no thread yet.
    """
    plain = str(getattr(error, "strerror", None) or error)
    if _logging():
        # FFmpeg is printing its messages already, and handing them to Python would end that.
        return plain
    before = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as messages, suppress(Exception):
            again()
    finally:
        av.logging.set_level(before[0])
        av.logging.set_skip_repeated(before[1])
    reasons = [text.strip() for _, _, text in messages if not text.startswith(_CONSEQUENCES)]
    return reasons[-1].rstrip(".").replace("\n", " ") if reasons else plain


def _logging() -> bool:
    try:
        level: int = ctypes.CDLL(av.filter.graph.__file__).av_log_get_level()
    except (OSError, AttributeError):
        return False
    return level >= _TOLD
