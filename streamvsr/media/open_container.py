"""``av.open`` for every container that is read or written here."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Any

import av
import av.filter.graph

# PyAV 18 refuses a file for one tag that is not UTF-8 unless told otherwise; from 19 on this is how it reads tags.
_TAGS: dict[str, Any] = {} if int(av.__version__.partition(".")[0]) >= 19 else {"metadata_errors": "surrogateescape"}


MAX_RTSP_ALLOCATION_BYTES = 512 << 20
"""An RTSP server may announce an answer of 2 GB, and FFmpeg takes that much at once. A plane of 16000x16000 samples of
16 bits fits."""


def bound_allocations(most_bytes: int) -> None:
    """Let no single allocation of FFmpeg's in this process be larger (``av_max_alloc``), where the library can be
    reached."""
    with suppress(OSError, AttributeError):
        limit = ctypes.CDLL(av.filter.graph.__file__).av_max_alloc
        limit.restype, limit.argtypes = None, [ctypes.c_size_t]
        limit(most_bytes)


def open_container(file: Any, mode: str = "r", **options: Any) -> Any:
    """``av.open``, in which tags may be in any encoding: bytes that are not UTF-8 become the surrogates U+DC80 to
    U+DCFF (as in Python's file names), and are written as the bytes that they were."""
    opener: Any = av.open
    return opener(file, mode, **_TAGS, **options)
