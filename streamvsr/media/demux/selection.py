"""Which streams of an input are taken: ffmpeg's own choice of the video, ffmpeg's ``-map`` language.

Without ``-map`` one video is taken, and (unlike ffmpeg, which takes one of each kind) all audio, subtitles and
attachments: whoever enlarges a film wants to keep its second language. Data streams cannot be copied by FFmpeg's
muxers in general and are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from av.stream import Disposition

from streamvsr.config import OutputOptions
from streamvsr.errors import NoVideoError, SourceError, UsageError
from streamvsr.media.demux.programs import companions

_KINDS = {"v": "video", "V": "video", "a": "audio", "s": "subtitle", "d": "data", "t": "attachment"}


@dataclass(frozen=True)
class Selection:
    video: Any
    tracks: tuple[Any, ...]
    """Copied streams, in the order in which the output has them."""
    left_out: tuple[Any, ...]
    """Data streams, cover art and tracks of codecs without a decoder that were wanted and cannot be copied."""
    notes: tuple[str, ...] = ()
    """A line for what was not chosen although nobody said so, with the way to choose it."""


def select(
    streams: Sequence[Any], output: OutputOptions, name: str, programs: Mapping[int, frozenset[int]] | None = None
) -> Selection:
    """Choose among ``streams`` (PyAV's); ``name`` is the input's in messages, ``programs`` as ``programs_of`` gives
    them."""
    programs, notes = programs or {}, []
    if output.maps:
        chosen = _mapped(streams, output.maps, name, programs)
        videos = [s for s in chosen if s.type == "video"]
        if len(videos) > 1:
            raise UsageError(
                f"'{name}': -map chooses {len(videos)} video streams ({_list(videos)}), but a run enlarges one; "
                f"name it, for example -map 0:{videos[0].index}"
            )
    else:
        real = [s for s in streams if is_video(s)]
        videos = [max(real, key=_score)] if real else []
        chosen = list(streams)
        if videos:
            others = _other_programs(programs, videos[0].index)
            own = companions(programs, videos[0].index)
            # Streams that are in no programme stay, as do those that another one shares with ours.
            left_out = frozenset().union(*others.values()) - own
            chosen = [s for s in streams if s.index not in left_out]
            notes = _notes(others, [s for s in real if s is not videos[0]])
    if not videos:
        why = "-map chooses no video stream" if output.maps else "there is no video in it"
        raise NoVideoError(f"'{name}': {why} (it has: {_list(streams) or 'no streams at all'})")
    if videos[0].codec_context is None:
        raise SourceError(f"'{name}': FFmpeg has no decoder for its video (stream 0:{videos[0].index})")
    dropped = {"audio": output.no_audio, "subtitle": output.no_subtitles, "data": output.no_data}
    rest = [s for s in chosen if s.type != "video" and not dropped.get(s.type, False)]
    # Without a decoder PyAV can set up no track, not even for copying.
    tracks = tuple(
        s for s in rest if s.type == "attachment" or (s.type in ("audio", "subtitle") and s.codec_context is not None)
    )
    covers = [s for s in streams if _is_cover(s)] if not output.maps else []
    return Selection(videos[0], tracks, tuple(s for s in (*rest, *covers) if s not in tracks), tuple(notes))


def _other_programs(programs: Mapping[int, frozenset[int]], video: int) -> dict[int, frozenset[int]]:
    """The programmes that this video is not in, where it is in one."""
    if not any(video in streams for streams in programs.values()):
        return {}
    return {number: streams for number, streams in programs.items() if video not in streams}


def _notes(others: Mapping[int, frozenset[int]], videos: Sequence[Any]) -> list[str]:
    notes = [
        f"video {_describe(s)} is left out: a run enlarges one; -map 0:{s.index} chooses it"
        for s in videos
        if not any(s.index in streams for streams in others.values())
    ]
    if others:
        numbers, first = ", ".join(map(str, others)), next(iter(others))
        which = f"programmes {numbers} are left out" if len(others) > 1 else f"programme {numbers} is left out"
        notes.append(f"{which}, sound and all: a run enlarges one; -map 0:p:{first} chooses {first}")
    return notes


def is_video(stream: Any) -> bool:
    """A video stream; cover art (an attached picture) is none."""
    return bool(stream.type == "video" and not _is_cover(stream))


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))


def _score(stream: Any) -> int:
    """What ffmpeg's command line takes by default: the largest picture, a default flag being worth 5 megapixels."""
    context = stream.codec_context
    size = context.width * context.height if context is not None else 0
    return int(size + 5_000_000 * bool(stream.disposition & Disposition.default))


def _mapped(
    streams: Sequence[Any], maps: Iterable[str], name: str, programs: Mapping[int, frozenset[int]]
) -> list[Any]:
    chosen: list[Any] = []
    for spec in maps:
        text = spec.removesuffix("?")
        negative, text = text.startswith("-"), text.removeprefix("-")
        file, _, rest = text.partition(":")
        if file != "0":
            raise UsageError(f"-map {spec}: there is one input, and its number is 0 (for example -map 0:v)")
        matches = _matching(streams, rest.split(":") if rest else [], spec, programs)
        if negative:
            chosen = [s for s in chosen if s not in matches]
        elif matches or spec.endswith("?"):
            # A track that is named twice is there twice, as in ffmpeg; the video is one.
            chosen += [s for s in matches if s.type != "video" or s not in chosen]
        else:
            raise UsageError(
                f"-map {spec} matches no stream of '{name}' (it has: {_list(streams)}); "
                "a ? at its end makes it optional"
            )
    return chosen


def _matching(streams: Sequence[Any], parts: list[str], spec: str, programs: Mapping[int, frozenset[int]]) -> list[Any]:
    """The streams that a stream specifier names; each of its parts narrows what the ones before it left."""
    left = list(streams)
    if parts and parts[0].isdigit():
        left = [s for s in left if s.index == int(parts[0])]
        parts = parts[1:]
    else:
        # Cover art is a video stream to FFmpeg; only its own number chooses it (it would be a second video).
        left = [s for s in left if not _is_cover(s)]
    while parts:
        head, *parts = parts
        if head in _KINDS:
            left = [s for s in left if s.type == _KINDS[head]]
        elif head.isdigit():
            left = left[int(head) : int(head) + 1]
        elif head == "p" and parts and parts[0].isdigit():
            left = [s for s in left if s.index in programs.get(int(parts[0]), ())]
            parts = parts[1:]
        elif head == "m" and parts:
            key, value = parts[0], ":".join(parts[1:]) or None
            left = [s for s in left if key in s.metadata and value in (None, s.metadata[key])]
            parts = []
        elif head == "disp" and parts:
            flags = [Disposition.__members__.get(flag) for flag in parts[0].split("+")]
            left = [s for s in left if all(flag is not None and s.disposition & flag for flag in flags)]
            parts = parts[1:]
        else:
            raise UsageError(
                f"-map {spec}: '{head}' is not understood; use 0:INDEX, 0:v, 0:a:0, 0:s?, 0:p:PROGRAM, 0:m:KEY:VALUE"
            )
    return left


def _list(streams: Iterable[Any]) -> str:
    """Streams in words: ``0:0 video h264 640x360, 0:1 audio aac (eng)``."""
    return ", ".join(_describe(s) for s in streams)


def _describe(stream: Any) -> str:
    context = stream.codec_context
    words = [f"0:{stream.index}", "cover art" if stream.type == "video" and _is_cover(stream) else stream.type]
    if context is not None:
        words.append(context.codec.canonical_name)
        if stream.type == "video":
            words.append(f"{context.width}x{context.height}")
    if language := stream.metadata.get("language"):
        words.append(f"({language})")
    return " ".join(words)
