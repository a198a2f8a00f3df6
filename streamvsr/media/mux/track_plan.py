"""What becomes of the tracks beside the video: copied, converted, or left out with one line that says why.

FFmpeg tells only when the header is written that a container cannot hold a track, and MPEG-TS does not tell at all: it
turns what it does not know into private data. So every track is tried on a header that goes to memory, together with
those accepted before it (some containers take one audio track only).
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import av
from av.container import OutputContainer

from streamvsr.config import OutputOptions
from streamvsr.frames import Track
from streamvsr.media.av_errors import FOREIGN
from streamvsr.media.encode.options import MOV_FAMILY, encoder_name
from streamvsr.media.open_container import open_container

SILENT_LOSS = {
    "mpegts": frozenset(
        ["aac", "aac_latm", "mp2", "mp3", "ac3", "eac3", "opus", "dca", "dts", "dvbsub", "dvb_subtitle", "dvb_teletext"]
    ),
    # What FFmpeg has an RTP payload for; it refuses the rest only when it has connected.
    "rtsp": frozenset(["aac", "mp2", "mp3", "opus"]),
    # FFmpeg 8 ends the process with a failed assertion where it has no FourCC for a codec.
    "flv": frozenset(["aac", "mp3", "ac3", "eac3", "opus", "flac"]),
}
"""Containers that take any codec and lose most: what they really hold."""

UNPLAYABLE = {**dict.fromkeys(MOV_FAMILY - {"mov"}, ("pcm_", "dvd_subtitle")), "avi": ("vorbis", "opus")}
"""Codecs (by how their names begin) that a container can hold and players do not expect there."""

ONE_AUDIO = frozenset({"flv"})
"""Containers in which FFmpeg of late takes several audio tracks, which players hear as one broken one."""

FIRST_VIDEO = {"matroska": "mpeg4", "mxf": "mpeg2video"}
"""Containers that do not write what they are tried with (attachments, sound) without a video before it."""

USUAL_AUDIO = {
    "webm": "libopus",
    "ogg": "libopus",
    "avi": "libmp3lame",
    "mpeg": "mp2",
    "vob": "mp2",
    "mxf": "pcm_s16le",
    "nut": "flac",
}
"""What audio is converted to where it cannot be copied; AAC everywhere else."""

USUAL_SUBTITLE = {**dict.fromkeys(MOV_FAMILY, "mov_text"), "webm": "webvtt", "matroska": "subrip", "nut": "ass"}

LOSSLESS_AUDIO = {**dict.fromkeys(("matroska", "nut", "ogg", "flv"), "flac"), **dict.fromkeys(MOV_FAMILY, "alac")}
"""What sound becomes that is not compressed, or only a little, where the container does not take it as it is."""

PCM_AUDIO = {"mov": 64, "matroska": 64, "nut": 64, "avi": 64, "asf": 32, "mxf": 24}
"""Containers of little-endian samples, and the most bits of one."""

NEARLY_RAW = (
    *("pcm_", "adpcm_", "g722", "adpcm_g722", "g726", "wmav", "wmapro", "wmalossless"),
    *("truehd", "mlp", "tta", "ape", "alac", "flac", "wavpack", "s302m"),
)
"""Codecs (by how their names begin) that are not encoded anew with loss where a lossless form is at hand: raw and
lossless ones, and those that FFmpeg itself copies to Matroska, which PyAV does not."""

ONLY_RATE = {"mxf": 48_000}
"""Containers that take one sampling rate."""

MORE_THAN_24_BITS = ("pcm_f", "pcm_s32", "pcm_u32", "wma")
"""Codecs whose samples are finer than FLAC and ALAC keep."""

STEREO_AT_MOST = {"libmp3lame": "ac3", "mp2": "ac3"}
"""Encoders without surround, and who takes over."""

ALIKE = {
    "hls": "mpegts",
    "rtsp": "mpegts",
    "rtp": "mpegts",
    "rtp_mpegts": "mpegts",
    "dash": "mp4",
    "segment": "matroska",
}
"""Outputs that open files or connections when their header is written: what to try in their place."""

NO_TRACKS = frozenset(
    {"yuv4mpegpipe", "rawvideo", "image2pipe", "h264", "hevc", "obu", "ivf", "mjpeg", "apng", "null", "rtp"}
)
"""Containers of nothing but one video stream; what they leave out is said in one line."""

Action = Literal["copy", "convert", "drop"]


@dataclass(frozen=True, slots=True)
class TrackPlan:
    track: Track
    stream: Any
    """PyAV's, of the input (``Source.streams``); None where the track is dropped."""
    action: Action
    codec: str = ""
    """The encoder, where the track is converted."""


def plan_tracks(
    tracks: Sequence[Track], streams: Mapping[int, Any], container: str, output: OutputOptions,
    on_warning: Callable[[str], None],
) -> list[TrackPlan]:  # fmt: skip
    """One plan for each track, in order. ``streams``: see ``Source``. Never raises for a track; UsageError for an
    unknown -c:a or -c:s."""
    audio = _wanted(output.audio_codec, "audio")
    subtitle = _wanted(output.subtitle_codec, "subtitle")
    plans: list[TrackPlan] = []
    unheld: list[Track] = []
    for track in tracks:
        if _switched_off(track, output) or track.kind == "data":
            plans.append(TrackPlan(track, None, "drop"))
        elif container in NO_TRACKS or track.index not in streams:
            unheld.append(track)
            plans.append(TrackPlan(track, None, "drop"))
        else:
            wanted = {"audio": audio, "subtitle": subtitle}.get(track.kind)
            # Who asks for a bit rate wants sound that has one.
            keep = output.audio_bit_rate is None
            plans.append(_plan_one(track, streams[track.index], wanted, container, plans, on_warning, keep=keep))
    if unheld:
        kinds = ", ".join(sorted({t.kind for t in unheld}))
        on_warning(f"{container} holds video only: {len(unheld)} track(s) left out ({kinds})")
    return plans


def _wanted(given: str, kind: str) -> str | None:
    return None if given == "copy" else encoder_name(given, "", kind)


def _switched_off(track: Track, output: OutputOptions) -> bool:
    return {"audio": output.no_audio, "subtitle": output.no_subtitles, "data": True}.get(track.kind, False)


def _plan_one(
    track: Track,
    stream: Any,
    wanted: str | None,
    container: str,
    before: list[TrackPlan],
    on_warning: Callable[[str], None],
    *,
    keep: bool,
) -> TrackPlan:
    name = f"{track.kind} track {track.index} ({track.codec})"
    copy = TrackPlan(track, stream, "copy")
    if wanted is None and holds(container, [*before, copy]):
        return copy
    lossless = lossless_codecs(track, stream, container) if wanted is None and keep else []
    for codec in (*lossless, wanted or usual_codec(track, container)):
        convert = TrackPlan(track, stream, "convert", codec)
        if codec and can_convert(track, codec) and holds(container, [*before, convert]):
            if wanted is None:
                how = _precision(track, codec, container) if codec in lossless else ""
                on_warning(f"{name} becomes {codec}{how}: {_why_not_copied(track, container)}")
            return convert
    if track.kind == "audio" and not _is_known(track):
        on_warning(
            f"{name} is left out: it begins so late that its rate and channels were not known when the output was "
            "opened; -probesize BYTES and -analyzeduration MICROSECONDS before the input look further"
        )
        return TrackPlan(track, None, "drop")
    reason = f"{container} cannot hold it"
    if track.kind == "subtitle" and track.bitmap:
        reason += ", and bitmaps cannot become text"
    elif wanted is not None:
        reason = f"it cannot become {wanted} in {container}"
    kept = "; .mkv would keep it" if container != "matroska" and _matroska_keeps(track, stream) else ""
    on_warning(f"{name} is left out: {reason}{kept}")
    return TrackPlan(track, None, "drop")


def _matroska_keeps(track: Track, stream: Any) -> bool:
    if holds("matroska", [TrackPlan(track, stream, "copy")]):
        return True
    codec = usual_codec(track, "matroska")
    return bool(codec) and can_convert(track, codec)


def _why_not_copied(track: Track, container: str) -> str:
    if container == "matroska" and track.kind == "audio":
        return "PyAV does not copy it to matroska, as ffmpeg -c copy does"
    return f"it cannot be copied to {container} as it is"


def _precision(track: Track, codec: str, container: str) -> str:
    """What remains of the samples in a lossless form, in words."""
    if container in ONLY_RATE and track.sample_rate != ONLY_RATE[container]:
        return f" of {ONLY_RATE[container]} Hz"
    deep = track.codec.startswith(MORE_THAN_24_BITS)
    return " of 24 bits" if deep and codec in ("flac", "alac", "pcm_s24le") else " (nothing is lost)"


def lossless_codecs(track: Track, stream: Any, container: str) -> list[str]:
    """Encoders that keep the samples of this sound (FLAC and ALAC up to 24 bits), the nearest first; none for sound
    that is compressed with loss."""
    name = track.codec
    # What PyAV does not copy to Matroska, and ffmpeg does, is not encoded with loss a second time.
    if track.kind != "audio" or not (container == "matroska" or name.startswith(NEARLY_RAW)):
        return []
    packed = [LOSSLESS_AUDIO[container]] if container in LOSSLESS_AUDIO else []
    if container not in PCM_AUDIO:
        return packed
    samples = stream.codec_context.format
    raw = re.fullmatch(r"pcm_([suf])(\d+)(?:le|be|_planar|le_planar|be_planar)?", name)
    kind, bits = (raw[1], int(raw[2])) if raw is not None else ("s", samples.bits)
    if kind == "f" and bits > PCM_AUDIO[container]:
        kind = "s"
    plain = f"pcm_{'f' if kind == 'f' else 's'}{max(16, min(bits, PCM_AUDIO[container]))}le"
    if bits > PCM_AUDIO[container] and packed:
        return packed
    # Samples stay samples; what was packed is packed again.
    return [plain, *packed] if name.startswith("pcm_") and raw is not None else [*packed, plain]


def usual_codec(track: Track, container: str) -> str:
    """The encoder that a track is converted with when its container decides; empty where there is none."""
    if track.kind == "audio":
        codec = USUAL_AUDIO.get(container, "aac")
        return STEREO_AT_MOST.get(codec, codec) if track.channels > 2 else codec
    return USUAL_SUBTITLE.get(container, "") if track.kind == "subtitle" else ""


def can_convert(track: Track, codec: str) -> bool:
    """True if there is a decoder, and it gives what the encoder takes (text is not made of bitmaps)."""
    if track.kind == "audio":
        return _is_known(track)
    return track.kind == "subtitle" and not track.bitmap and not av.Codec(codec, "w").bitmap_sub


def holds(container: str, plans: Sequence[TrackPlan]) -> bool:
    """Whether a header with all these tracks can be written, and the last of them comes back as what it is."""
    if plans and not _keeps_identity(plans[-1], container):
        return False
    if container in ALIKE:
        return holds(ALIKE[container], plans)
    if container in ONE_AUDIO and sum(p.track.kind == "audio" and p.action != "drop" for p in plans) > 1:
        return False
    trial = open_container(io.BytesIO(), "w", format=container)
    try:
        if container in FIRST_VIDEO:
            trial.add_stream(FIRST_VIDEO[container], rate=25)
        for plan in plans:
            if plan.action == "copy":
                trial.add_stream_from_template(plan.stream)
            elif plan.action == "convert" and plan.track.kind == "audio":
                trial.add_stream(plan.codec)
            elif plan.action == "convert":
                trial.add_mux_stream(_codec_id(plan.codec))
        trial.start_encoding()
    except FOREIGN:
        return False
    finally:
        # The trailer of a container without packets may fail; what counts was known before.
        with suppress(*FOREIGN):
            trial.close()
    return True


def _keeps_identity(plan: TrackPlan, container: str) -> bool:
    if plan.track.kind == "attachment":
        return plan.action == "copy" and container == "matroska"
    name = _codec_id(plan.codec) if plan.action == "convert" else plan.track.codec
    if container in SILENT_LOSS and name not in SILENT_LOSS[container]:
        return False
    return plan.action == "convert" or not name.startswith(UNPLAYABLE.get(container, ("\0",)))


def _codec_id(encoder: str) -> str:
    return str(av.Codec(encoder, "w").canonical_name)


def _is_known(track: Track) -> bool:
    """Whether FFmpeg has seen enough of a sound track to say what it is."""
    return bool(track.sample_rate and track.channels)


def add_track(container: OutputContainer, plan: TrackPlan) -> Any:
    """The output stream of a copied or converted track, with the tags and the disposition of the input's."""
    if plan.action == "copy":
        stream: Any = container.add_stream_from_template(plan.stream)
    else:
        stream = container.add_stream(plan.codec)
    stream.metadata.update(plan.track.metadata)
    stream.disposition = plan.track.disposition
    return stream
