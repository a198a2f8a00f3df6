"""What ffmpeg's users type by habit and streamvsr does not have: passed over where harmless, else refused with advice.

Only options whose refusal deserves advice are here; any other unknown option with one dash goes to the demuxer,
the encoder or the muxer, which says whether it knows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

IGNORED = frozenset({"-hide_banner", "-stats", "-nostats", "-stdin"})
"""Options without a value that ask for what happens anyway, or for nothing that matters here."""

LOG_LEVEL_FLAGS = frozenset({"-v", "-loglevel"})

LOG_LEVELS: Mapping[str, Literal["--quiet", "--debug"] | None] = {
    "quiet": "--quiet",
    "panic": "--quiet",
    "fatal": "--quiet",
    "error": "--quiet",
    "warning": "--quiet",
    "info": None,
    "verbose": "--debug",
    "debug": "--debug",
    "trace": "--debug",
}
"""FFmpeg's log levels, and which of our options comes nearest."""

_PIPE = "pipe through ffmpeg instead: streamvsr IN -f nut - | ffmpeg -i -"
_CHAIN = f"one chain with one input and one output can be given, with -vf; else {_PIPE} -filter_complex ... OUT"
_AUDIO_FILTER = f"audio cannot be filtered here; {_PIPE} -c:v copy -af ... OUT"
_PASSES = "two-pass encoding would run the network twice; use -crf, or re-encode the result with ffmpeg"
_STAMPS = "every frame keeps its own time stamp; -r FPS after the input makes a constant rate"
_HWACCEL = "-hwaccel NAME takes the first device of its kind; --device says where the network runs"
_NAME_THE_STREAM = "say for which streams: -c:v, -c:a or -c:s"
_TAGS = "tags and chapters of the input are kept; -metadata KEY= empties a tag"

REFUSED: Mapping[str, str] = {
    "-filter_complex": _CHAIN,
    "-filter_complex_script": _CHAIN,
    "-lavfi": _CHAIN,
    "-af": _AUDIO_FILTER,
    "-filter:a": _AUDIO_FILTER,
    "-c": _NAME_THE_STREAM,
    "-codec": _NAME_THE_STREAM,
    "-vn": "the video is what streamvsr works on; ffmpeg -vn -c copy takes the sound alone",
    "-pass": _PASSES,
    "-passlogfile": _PASSES,
    "-shortest": "the output ends where the input ends; -t TIME or -to TIME after the input cuts all streams",
    "-copyts": "time stamps begin at 0 in the output; the distances between streams are kept",
    "-readrate": "-re before the input reads at the speed of its time stamps; there is no other speed",
    "-stream_loop": f"the input is read once; to repeat it {_PIPE} -stream_loop ... OUT",
    "-itsoffset": f"one offset holds for all streams; to shift one {_PIPE} -itsoffset ... OUT",
    "-sseof": "count from the beginning: -ss TIME before the input",
    "-hwaccel_device": _HWACCEL,
    "-hwaccel_output_format": _HWACCEL,
    "-vsync": _STAMPS,
    "-fps_mode": _STAMPS,
    "-map_metadata": _TAGS,
    "-map_chapters": _TAGS,
    "-benchmark": "--stats prints the time that each stage takes",
    "-progress": "progress is printed to standard error",
    "-report": "--debug prints FFmpeg's own messages",
    "-frames": "say of which stream: -frames:v N",
}
"""Spelling of an option -> what to do instead. An option is refused before its value is looked for."""


def log_level(text: str) -> Literal["--quiet", "--debug"] | None:
    """Our option for one of ffmpeg's log levels: a name, a number, or either behind flags as in ``repeat+info``.

    Raises ``ValueError`` for what is neither.
    """
    level = text.rpartition("+")[2]
    if level.isdecimal() or level == "-8":
        return "--quiet" if int(level) <= 24 else None if int(level) <= 32 else "--debug"
    if level not in LOG_LEVELS:
        raise ValueError(f"expected one of {', '.join(LOG_LEVELS)}")
    return LOG_LEVELS[level]
