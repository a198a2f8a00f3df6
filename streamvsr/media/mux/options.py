"""What is asked of FFmpeg's muxers: their options, the tags of single streams, the header."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Mapping
from fractions import Fraction

from av.container import OutputContainer

from streamvsr.config import OutputOptions
from streamvsr.errors import UsageError
from streamvsr.frames import StreamInfo
from streamvsr.media.encode.options import MOV_FAMILY, output_format
from streamvsr.media.ffmpeg_log import listening

BUFFER_BYTES = 1 << 20
"""What FFmpeg collects before it writes; the bytes that a killed recording loses at most, beside the muxer's own."""

LIVE_INTERLEAVE_MICROSECONDS = 1_000_000
"""How long the muxer waits for a silent track before it writes the others, on pipes and live. FFmpeg's 10 s would show
as a stall; on files they cost nothing."""

SEVERAL_FILES = frozenset({"hls", "dash", "segment", "stream_segment", "ssegment", "image2"})
"""Muxers that open files of their own, named after the output."""

SEGMENT_OPTIONS = {"hls": "hls_time", "dash": "seg_duration"} | dict.fromkeys(
    ("segment", "stream_segment", "ssegment"), "segment_time"
)
"""What sets the length of a segment, by muxer."""


def inner_format(name: str, path: str, options: Mapping[str, str]) -> str:
    """The container of the files that a muxer of several files writes; ``name`` itself for all others."""
    if name == "hls":
        return "mp4" if options.get("hls_segment_type") == "fmp4" else "mpegts"
    if name == "dash":
        return "mp4"
    if name in SEGMENT_OPTIONS:
        return output_format(OutputOptions(path=path, format=options.get("segment_format")), stdout=False)
    return name


def segment_seconds(name: str, options: Mapping[str, str]) -> Fraction | None:
    """How long a segment shall be, which is how often a key frame has to come; None where nothing is cut."""
    if name not in SEGMENT_OPTIONS or options.keys() & {"segment_times", "segment_frames"}:
        return None
    given = options.get(SEGMENT_OPTIONS[name], "5" if name == "dash" else "2")
    try:
        clock = [Fraction(part) for part in given.removesuffix("s").split(":")]
    except ValueError:
        return None  # FFmpeg says what is wrong with it
    seconds = sum((part * 60**place for place, part in enumerate(reversed(clock))), Fraction(0))
    return seconds if seconds > 0 else None


def muxer_options(
    name: str, given: Mapping[str, str], info: StreamInfo, *, streamed: bool
) -> tuple[dict[str, str], bool]:
    """Our muxer options beside the user's, and whether an mp4 will be written in fragments."""
    own: dict[str, str] = {}
    movflags = given.get("movflags", "")
    if name in MOV_FAMILY and "movflags" not in given:
        if streamed:
            # empty_moov would stretch the first audio packet; hybrid_fragmented on a pipe cannot be read.
            movflags = own["movflags"] = "frag_keyframe+delay_moov"
        elif info.live:
            # An ordinary mp4 once it is closed, and playable up to the last fragment if it never is.
            movflags = own["movflags"] = "hybrid_fragmented+delay_moov"
    if name == "yuv4mpegpipe" and "strict" not in given:
        # More than 8 bits are an extension that everybody reads.
        own["strict"] = "-1"
    if streamed or info.live:
        # Else a reader at the other end sees nothing of a quiet video for the first megabyte.
        own |= {"max_interleave_delta": str(LIVE_INTERLEAVE_MICROSECONDS), "flush_packets": "1"}
    if streamed and name == "flv":
        # There is no going back to write them.
        own["flvflags"] = "no_duration_filesize"
    if name == "rtsp":
        # FFmpeg's own choice, UDP, loses packets without a word.
        own["rtsp_transport"] = "tcp"
    if name == "hls" and not info.live:
        # FFmpeg's own 5 would leave all but the last ten seconds of a film out of the playlist.
        own["hls_list_size"] = "0"
    own = {key: value for key, value in own.items() if key not in given}
    fragmented = any(word in movflags for word in ("frag_", "fragment", "empty_moov", "dash", "cmaf"))
    return own, name in MOV_FAMILY and fragmented


def stream_tags(options: Mapping[str, str]) -> tuple[dict[str, str], list[tuple[str, slice, str, str]]]:
    """Free options without ``-metadata:s:a:1 language=deu`` and its like, and those as (kind, which, key, value)."""
    free, tags = dict(options), []
    kinds = {"v": "video", "a": "audio", "s": "subtitle", "t": "attachment"}
    for given, text in options.items():
        match = re.fullmatch(r"metadata:s:([vast])(?::(\d+))?", given.lstrip("-"))
        if match is None:
            continue
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UsageError(f"-{given} {text}: give it as key=value")
        place = slice(None) if match[2] is None else slice(int(match[2]), int(match[2]) + 1)
        tags.append((kinds[match[1]], place, key, value))
        del free[given]
    return free, tags


class _Unused(logging.Handler):
    """PyAV tells only its log which muxer options nobody took."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.names: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        _, found, shown = record.getMessage().partition("Some options were not used: ")
        if found:
            self.names += list(ast.literal_eval(shown))


def start(container: OutputContainer, options: Mapping[str, str]) -> str:
    """Write the header; returns the name of an option that the muxer does not know, or nothing."""
    log, listener = logging.getLogger("av"), _Unused()
    propagate, log.propagate = log.propagate, False
    log.addHandler(listener)
    try:
        with listening() as said:
            container.start_encoding()
    except ValueError as exc:
        if options and said:
            raise UsageError(f"{container.format.name} refuses its options: {said[-1]}") from exc
        raise
    finally:
        log.removeHandler(listener)
        log.propagate = propagate
    return next((name for name in listener.names if name in options and name != "strict"), "")


COMMON_MUXER_OPTIONS = (
    *("movflags", "fflags", "max_interleave_delta", "muxrate", "frag_duration", "video_track_timescale", "brand"),
    *("timecode", "avoid_negative_ts", "write_tmcd", "hls_time", "hls_list_size", "rtsp_transport"),
    *("crf", "preset", "tune", "profile", "metadata", "map"),
)
"""For "did you mean": FFmpeg does not list its muxers' options through PyAV."""
