"""An open container and its first frame, put into words of ``frames.py``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import av

from streamvsr.config import OutputOptions
from streamvsr.frames import Chapter, Color, MediaInfo, StreamInfo, Track
from streamvsr.media.av_frames import color_of, resolve_color, target_format
from streamvsr.media.decode.clock import MAX_FRAME_RATE, Clock, ConstantClock, Shift
from streamvsr.media.decode.conform import orientation_of
from streamvsr.media.demux.selection import Selection
from streamvsr.media.hdr import mastering_of, moving_data
from streamvsr.media.timecode import moved

MISSING_SECONDS = Fraction(1, 2)
"""How much of the video that its container states may be missing before it counts as cut off."""

_CLOCK = re.compile(r"(\d+):(\d\d):(\d\d\.\d+)")

_MICROSECONDS = 1_000_000

TICK = Fraction(1, _MICROSECONDS)
"""FFmpeg's own tick, for streams that have none (attachments)."""


def exact(value: Any) -> Fraction | None:
    """PyAV's rationals (Fraction in 18, AVRational in 19, None or 0/1 where unknown) as Fraction or None."""
    return Fraction(value.numerator, value.denominator) if value else None


def frame_rate(stream: Any) -> Fraction | None:
    """The nominal rate, or None where what the container says cannot be one."""
    for rate in (exact(stream.guessed_rate), exact(stream.average_rate), exact(stream.base_rate)):
        if rate is not None and 0 < rate <= MAX_FRAME_RATE:
            return rate
    return None


def start_of(container: Any) -> Fraction | None:
    """Where the container's time begins, in seconds: the earliest stamp of all its streams."""
    return None if container.start_time is None else Fraction(container.start_time, _MICROSECONDS)


def cut_off(container: Any, video: Any, reached: int | None) -> str:
    """What to say of a video that ends at ``reached`` (ticks) and states more, which FFmpeg takes for its end."""
    time_base = exact(video.time_base) or TICK
    stated: Fraction | None = None
    if "mp4" in container.format.name and video.duration:
        stated = ((video.start_time or 0) + video.duration) * time_base
    elif found := _CLOCK.fullmatch(video.metadata.get("DURATION", "")):
        # What FFmpeg and mkvmerge write into Matroska. Other containers guess, or say nothing.
        stated = int(found[1]) * 3600 + int(found[2]) * 60 + Fraction(found[3])
    if stated is None or reached is None or stated - reached * time_base <= MISSING_SECONDS:
        return ""
    return f"states {float(stated):.2f} s of video and ends at {float(reached * time_base):.2f} s: it has been cut off"


def stream_color(stream: Any, first: av.VideoFrame) -> Color:
    """The frame's tags; what it leaves open is taken from the container, then from the size as players do it."""
    tags, context = color_of(first), stream.codec_context
    full = {1: False, 2: True}.get(int(context.color_range))
    stated = Color(
        tags.matrix if tags.matrix != 2 else int(context.colorspace) or 2,
        tags.primaries if tags.primaries != 2 else int(context.color_primaries),
        tags.transfer if tags.transfer != 2 else int(context.color_trc),
        tags.full_range if tags.full_range is not None else full,
        tags.chroma_location or int(getattr(context, "chroma_sample_location", 0)),
    )
    return resolve_color(stated, first.width, first.height)


def describe(
    container: Any,
    selection: Selection,
    first: av.VideoFrame,
    clock: Clock | ConstantClock,
    shifts: Mapping[int, Shift],
    start: Fraction,
    live: bool,
    output: OutputOptions,
) -> MediaInfo:
    """``start``: seconds of the input that the run leaves out at its beginning."""
    video = selection.video
    rate = clock.frame_rate if isinstance(clock, ConstantClock) else frame_rate(video)
    duration = None
    if container.duration and container.duration > 0 and not live:
        duration = max(Fraction(0), Fraction(container.duration, _MICROSECONDS) - start)
    frames = video.frames if video.frames > 0 and not start else None
    if frames is None and duration is not None and rate is not None:
        frames = round(duration * rate)
    orientation = orientation_of(first)
    turned = bool(output.autorotate and orientation.filters)
    width, height = first.width, first.height
    ratio = exact(video.sample_aspect_ratio) or exact(video.codec_context.sample_aspect_ratio) or Fraction(1)
    if turned and orientation.swaps_sides:
        width, height, ratio = height, width, 1 / ratio
    info = StreamInfo(
        width=width,
        height=height,
        format=target_format(first.format.name),
        time_base=clock.time_base,
        frame_rate=rate,
        sample_aspect_ratio=ratio,
        color=stream_color(video, first),
        rotation=0 if turned else orientation.rotation,
        mirrored=orientation.mirrored and not turned,
        mastering=mastering_of(first),
        frames_hint=frames,
        live=live,
        interlaced=bool(first.interlaced_frame) and output.deinterlace == "off",
    )
    return MediaInfo(
        video=info,
        tracks=tuple(_track(stream, shifts[stream.index]) for stream in selection.tracks),
        metadata=dict(container.metadata),
        video_metadata=with_timecode(dict(video.metadata), start, rate),
        video_disposition=int(video.disposition),
        chapters=tuple(_chapters(container, (start_of(container) or Fraction(0)) + start)),
        duration=duration,
        frame_data=tuple(moving_data(first)),
    )


def with_timecode(tags: Mapping[str, str], start: Fraction, rate: Fraction | None) -> dict[str, str]:
    """The tags of a video whose first ``start`` seconds are left out."""
    result = dict(tags)
    for key in [key for key in tags if key.lower() == "timecode" and start]:
        code = moved(tags[key], start, rate) if rate is not None else None
        if code is None:
            del result[key]
        else:
            result[key] = code
    return result


def _track(stream: Any, shift: Shift) -> Track:
    context = stream.codec_context
    codec = context.codec.canonical_name if context is not None else getattr(stream, "mimetype", None) or "unknown"
    return Track(
        index=stream.index,
        kind=stream.type,
        codec=codec,
        time_base=shift.time_base,
        metadata=dict(stream.metadata),
        disposition=int(stream.disposition),
        **_parameters(stream.type, context),
    )


def _parameters(kind: str, context: Any) -> dict[str, Any]:
    if context is None:
        return {}
    known = {"profile": str(context.profile or ""), "extradata": bytes(context.extradata or b"")}
    if kind == "audio":
        layout = context.layout
        return known | {
            "sample_rate": int(context.sample_rate), "channels": int(layout.nb_channels), "layout": str(layout.name)
        }  # fmt: skip
    return known | {"bitmap": bool(context.codec.bitmap_sub)}


def _chapters(container: Any, offset: Fraction) -> list[Chapter]:
    result = []
    for chapter in container.chapters():
        time_base = exact(chapter["time_base"]) or TICK
        shift = round(offset / time_base)
        result.append(Chapter(chapter["start"] - shift, chapter["end"] - shift, time_base, dict(chapter["metadata"])))
    return result
