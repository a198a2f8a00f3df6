"""``av.open`` for every container that is read or written here."""

from __future__ import annotations

from typing import Any

import av

# PyAV 18 refuses a file for one tag that is not UTF-8 unless told otherwise; from 19 on this is how it reads tags.
_TAGS: dict[str, Any] = {} if int(av.__version__.partition(".")[0]) >= 19 else {"metadata_errors": "surrogateescape"}


def open_container(file: Any, mode: str = "r", **options: Any) -> Any:
    """``av.open``, in which tags may be in any encoding: bytes that are not UTF-8 become the surrogates U+DC80 to
    U+DCFF (as in Python's file names), and are written as the bytes that they were."""
    opener: Any = av.open
    return opener(file, mode, **_TAGS, **options)
