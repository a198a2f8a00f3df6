"""Which streams belong together: the programmes of a transport stream, the variants of a playlist."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import av

WITH_PROGRAMS = frozenset({"mpegts", "hls", "dash", "hls,applehttp", "wtv"})

_LINE = re.compile(r"  (?:Program (?P<number>\d+)\b|(?P<none>No Program)|Stream #\d+:(?P<stream>\d+)\b)")


def programs_of(container: Any) -> dict[int, frozenset[int]]:
    """Programme number -> indices of its streams, for containers that have any.

    PyAV does not give them; FFmpeg's description of an input, which is for people, names them.
    """
    if container.format.name not in WITH_PROGRAMS:
        return {}
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        return parse(container.dumps_format())
    finally:
        av.logging.set_level(level)


def parse(text: str) -> dict[int, frozenset[int]]:
    """``Program 1`` stands before its streams, ``No Program`` before those of none; metadata are indented further."""
    found: dict[int, set[int]] = {}
    current: set[int] | None = None
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        if match["number"] is not None:
            current = found.setdefault(int(match["number"]), set())
        elif match["none"] is not None:
            current = None
        elif current is not None:
            current.add(int(match["stream"]))
    return {number: frozenset(streams) for number, streams in found.items()}


def companions(programs: Mapping[int, frozenset[int]], index: int) -> frozenset[int]:
    """The streams that share a programme with this one, and it."""
    return frozenset({index}).union(*(streams for streams in programs.values() if index in streams))
