"""Names of files that programs stumble over: bytes that are no UTF-8, quotes, line ends, escapes, dashes, options."""

from __future__ import annotations

HOSTILE_NAMES = [
    "caf\udce9.mkv",
    "новое видео.mkv",
    "a b'c\"d.mkv",
    "line\nbreak.mkv",
    "\x1b[31mred.mkv",
    "100%d%s{}.mkv",
    "-dash.mkv",
    "12:30.mkv",
    "𐍈" * 50 + ".mkv",
    "[f=mp4]x|y.mkv",
]
