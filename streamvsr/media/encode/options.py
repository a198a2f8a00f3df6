"""Names and options of encoders and containers: what ffmpeg's command line means by them.

Everything here is about words; ``video_encoder.py`` opens encoders, ``sinks/container.py`` writes containers.
"""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePath

import av
from av.format import ContainerFormat

from streamvsr.config import OutputOptions
from streamvsr.errors import UsageError, did_you_mean
from streamvsr.media.av_errors import FOREIGN
from streamvsr.media.open_container import open_container
from streamvsr.secrets import mask_url

FORMAT_ALIASES = {
    "mkv": "matroska",
    "ts": "mpegts",
    "y4m": "yuv4mpegpipe",
    "m4v": "mp4",
    "mpg": "mpeg",
    "yuv": "rawvideo",
}

SUFFIXES = {
    **{f".{name}": name for name in ("mp4", "mov", "webm", "nut", "avi", "flv", "mxf", "ogg", "gif", "apng", "ivf")},
    ".mkv": "matroska",
    ".m4v": "mp4",
    ".ts": "mpegts",
    ".m2ts": "mpegts",
    ".mts": "mpegts",
    ".y4m": "yuv4mpegpipe",
    ".mpg": "mpeg",
    ".mpeg": "mpeg",
    ".m3u8": "hls",
    ".yuv": "rawvideo",
    ".vob": "vob",
    ".ogv": "ogg",
}
"""Checked before FFmpeg's own guess, which takes .m4v for an iPod's container and .vob for a video CD's."""

SCHEMES = {
    "rtsp": "rtsp",
    "rtmp": "flv",
    "rtmps": "flv",
    "udp": "mpegts",
    "tcp": "mpegts",
    "rtp": "rtp",
    "icecast": "ogg",
}

STREAMABLE = ("matroska", "nut", "mpegts", "yuv4mpegpipe", "flv", "avi", "mp4", "mov", "webm", "rawvideo")
"""What can be written to a pipe (mp4 and mov in fragments, which the sink sees to)."""

MOV_FAMILY = frozenset({"mp4", "mov", "ipod", "3gp", "3g2", "psp", "f4v", "ismv"})

DEFAULT_VIDEO = {
    "webm": "libvpx-vp9",
    "ivf": "libvpx-vp9",
    "ogg": "libvpx",
    "yuv4mpegpipe": "rawvideo",
    "rawvideo": "rawvideo",
    "null": "rawvideo",
    "swf": "flv",
    "gxf": "mpeg2video",
    "mpeg": "mpeg2video",
    "vob": "mpeg2video",
    "dvd": "mpeg2video",
    "svcd": "mpeg2video",
    "vcd": "mpeg1video",
    "mxf": "mpeg2video",
    "apng": "apng",
    "hevc": "libx265",
    "obu": "libsvtav1",
    "mjpeg": "mjpeg",
    "image2pipe": "png",
}
"""Containers that want something else than H.264, which is the default wherever it can be held. Where it cannot,
FFmpeg's own choice for the container is taken."""

ENCODER_OF = {"av1": "libsvtav1", "vp8": "libvpx", "vp9": "libvpx-vp9", "hevc": "libx265", "webp": "libwebp_anim"}
ENCODER_OF |= {"dirac": "vc2"}
"""Codecs whose encoder has another name."""

VIDEO_ALIASES = {"h264": "libx264", "hevc": "libx265", "h265": "libx265", "x264": "libx264", "x265": "libx265"}
VIDEO_ALIASES |= {"av1": "libsvtav1", "vp9": "libvpx-vp9", "vp8": "libvpx", "prores": "prores_ks"}
AUDIO_ALIASES = {"opus": "libopus", "mp3": "libmp3lame"}
SUBTITLE_ALIASES = {"srt": "subrip", "ssa": "ass"}

SOFTWARE_TWIN = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1", "vp9": "libvpx-vp9", "mjpeg": "mjpeg"}
"""By the first word of a hardware encoder's name: what does the same without the hardware."""

HARDWARE = re.compile(r"_(nvenc|qsv|amf|vaapi|v4l2m2m|videotoolbox|mf|vulkan|omx|mediacodec|d3d12va|rkmpp)$")

DEFAULT_QUALITY = {"libx264": 18, "libx265": 20, "libsvtav1": 28, "libvpx-vp9": 31, "libvpx": 24}
"""Near-transparent -crf values: who waits for a network wants to see its details in the file. Those of the others, and
``QSCALE``, are the nearest to x264's in PSNR (``benchmarks/bench_encoders.py``). Presets stay the encoders' own (x264,
x265: medium), because encoding is not what takes the time."""

VP8_CEILING = "1000M"
"""More than any frame needs: -crf decides."""

HARDWARE_QUALITY = {"h264_nvenc": 19, "hevc_nvenc": 22, "av1_nvenc": 28}
"""NVENC has no crf; its constant quality is called cq."""

QSCALE = {"mjpeg": 5, "speedhq": 4} | dict.fromkeys(
    (
        *("mpeg4", "mpeg2video", "mpeg1video", "msmpeg4", "msmpeg4v2", "wmv1", "wmv2"),
        *("flv", "h261", "h263", "h263p", "rv10", "rv20"),
    ),
    4,
)
"""Encoders whose own default is 200 kbit/s get a fixed quantiser instead."""

DEFAULTS = {
    "libvpx-vp9": {"row-mt": "1", "cpu-used": "4"},
    "libx265": {"x265-params": "log-level=error"},
    "ffv1": {"level": "3", "slicecrc": "1"},
    "libwebp_anim": {"quality": "95"},
    "libwebp": {"quality": "95"},
}
"""Measured on two cores at 960x540: libvpx's own cpu-used=1 without row-mt takes 2.6 times as long for 4 % of size and
0.4 dB. x265 writes twenty lines about itself to stderr."""

LIVE_DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "libx264": {"tune": "zerolatency"},
    "libx265": {"tune": "zerolatency"},
    "libvpx-vp9": {"deadline": "realtime", "lag-in-frames": "0"},
    "libvpx": {"deadline": "realtime", "lag-in-frames": "0"},
    "h264_nvenc": {"tune": "ll", "zerolatency": "1"},
    "hevc_nvenc": {"tune": "ll", "zerolatency": "1"},
}
"""For outputs on the network: a frame comes out as soon as it is in. x264 medium else holds 40 of them back."""

X26_PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)


@dataclass(slots=True)
class SplitOptions:
    """The free options of an output, sorted by who takes them."""

    video: dict[str, str] = field(default_factory=dict)
    audio: dict[str, str] = field(default_factory=dict)
    muxer: dict[str, str] = field(default_factory=dict)


def output_format(output: OutputOptions, *, stdout: bool) -> str:
    """FFmpeg's name of the container to write."""
    if output.format:
        name = FORMAT_ALIASES.get(output.format, output.format)
        try:
            ContainerFormat(name, "w")
        except ValueError:
            hint = did_you_mean(name, {*SUFFIXES.values(), *FORMAT_ALIASES}) or did_you_mean(name, av.formats_available)
            raise UsageError(f"unknown output format {output.format!r}{hint}") from None
        return name
    if stdout:
        raise UsageError(f"writing to a pipe needs -f: one of {', '.join(STREAMABLE)}")
    scheme = output.path.split(":", 1)[0].lower() if "://" in output.path else ""
    suffix = PurePath(output.path).suffix.lower()
    if scheme in SCHEMES:
        return SCHEMES[scheme]
    if scheme == "srt":
        through = "streamvsr IN -f mpegts - | ffmpeg -i - -c copy -f mpegts URL"
        raise UsageError(f"PyAV's FFmpeg cannot write SRT; a pipe can: {through}")
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    nowhere = io.BytesIO()
    nowhere.name = "x" + suffix
    try:
        with open_container(nowhere, "w") as guessed:
            return str(guessed.format.name)
    except (ValueError, av.FFmpegError):
        shown = mask_url(output.path)
        raise UsageError(f"the name {shown!r} does not tell the format; name it with -f, e.g. -f mp4") from None


def encoder_name(given: str | None, container: str, kind: str = "video") -> str:
    """The encoder's FFmpeg name; raises UsageError for what is no encoder of this kind."""
    if given is None:
        return DEFAULT_VIDEO.get(container) or _default_encoder(container)
    aliases = {"video": VIDEO_ALIASES, "audio": AUDIO_ALIASES, "subtitle": SUBTITLE_ALIASES}[kind]
    name = aliases.get(given, given)
    if name == "copy" and kind == "video":
        raise UsageError("-c:v copy is not possible: the frames are encoded anew")
    if not is_encoder(name, kind):
        known = {n for n in av.codecs_available if is_encoder(n, kind)} if _is_near(name) else set()
        raise UsageError(f"unknown {kind} encoder {given!r}{did_you_mean(given, known | set(aliases))}")
    return name


@lru_cache
def _default_encoder(container: str) -> str:
    """libx264, or the encoder of the container's own codec where it cannot hold H.264."""
    try:
        trial = open_container(io.BytesIO(), "w", format=container)
    except FOREIGN:
        return "libx264"
    with trial:
        try:
            trial.add_stream("libx264", rate=25)
        except FOREIGN:
            codec = str(trial.default_video_codec)
            encoder = ENCODER_OF.get(codec, codec)
            return encoder if is_encoder(encoder, "video") else "libx264"
    return "libx264"


def is_encoder(name: str, kind: str) -> bool:
    try:
        return av.Codec(name, "w").type == kind
    except ValueError:
        return False


def _is_near(name: str) -> bool:
    return bool(difflib.get_close_matches(name, av.codecs_available, n=1, cutoff=0.6))


MAX_NUMBER_CHARS = 20


def parse_rate(text: str, flag: str) -> int:
    """Bits per second from ffmpeg's way of writing: ``800k``, ``2.5M``, ``1Mi``, ``4000000``."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([kKMG]?)(i?)", text.strip())
    if not match:
        raise UsageError(f"{flag} {text}: a bit rate is a number, or a number with k or M, e.g. 8M")
    step = 1024 if match[3] else 1000
    # Nobody means a number of twenty digits, which might not even be finite.
    number = float(match[1]) if len(match[1]) <= MAX_NUMBER_CHARS else 0.0
    value = int(number * step ** {"": 0, "k": 1, "K": 1, "M": 2, "G": 3}[match[2]])
    if not 0 < value < 1 << 40:
        raise UsageError(f"{flag} {text}: out of range")
    return value


def option_names(codec: str) -> frozenset[str]:
    """The options that an encoder takes: its own, and those that all encoders of its kind share."""
    context = av.CodecContext.create(codec, "w")
    flags = av.codec.context.OptionFlags
    shared = flags.ENCODING_PARAM | (flags.AUDIO_PARAM if context.type == "audio" else flags.VIDEO_PARAM)
    known = context.supported_options
    return frozenset([o.name for o in known.private] + [o.name for o in known.generic if o.flags & shared == shared])


AUDIO_ONLY = frozenset({"ar", "ac"})
"""Sampling rate and channels: encoder options in effect, though FFmpeg's libraries know them under other names."""


def split_options(options: Mapping[str, str], video_codec: str, audio_codec: str | None) -> SplitOptions:
    """Sort free options: ``:v`` and ``:a`` say whose they are, else the video encoder has first choice, then the audio
    encoder, and the muxer gets the rest (it says what it does not know when the header is written)."""
    video = option_names(video_codec)
    audio = option_names(audio_codec) | AUDIO_ONLY if audio_codec else AUDIO_ONLY
    split = SplitOptions()
    for given, value in options.items():
        key, _, stream = given.lstrip("-").partition(":")
        key = {"vtag": "tag", "qscale": "q"}.get(key, key)
        if stream.startswith("a"):
            if audio_codec and key not in audio:
                raise UsageError(f"unknown option -{given}: {audio_codec} does not know it{did_you_mean(key, audio)}")
            split.audio[key] = value
        elif key in video or key in ("tag", "q"):
            split.video[key] = value
            if key == "strict":
                split.muxer[key] = value
        elif stream:
            raise UsageError(f"unknown option -{given}: {video_codec} does not know it{did_you_mean(key, video)}")
        elif key in audio:
            split.audio[key] = value
        else:
            split.muxer[key] = value
    return split


CRF_RANGES = {"libx264": (0.0, 63.0), "libx265": (0.0, 51.0)}
"""Of encoders whose option is declared without an end. x264 stops at 51 for 8 bits, at 63 for 10."""


def value_range(codec: str, option: str) -> tuple[float, float]:
    """The least and the greatest value of an encoder's own option that is a number, as FFmpeg declares it."""
    if codec in CRF_RANGES and option == "crf":
        return CRF_RANGES[codec]
    declared = {o.name: o for o in av.CodecContext.create(codec, "w").supported_options.private}
    found = declared[option]
    # -1 stands for "not given" wherever a quality counts from 0.
    return max(0.0, float(found.min)), float(found.max)


def with_quality(output: OutputOptions, codec: str, given: Mapping[str, str]) -> dict[str, str]:
    """The encoder's options with -crf, -preset and our defaults; UsageError where one does not apply."""
    known = option_names(codec)
    options = {**DEFAULTS.get(codec, {}), **given}
    for key, ours in DEFAULTS.get(codec, {}).items():
        if key.endswith("-params") and key in given:
            options[key] = f"{ours}:{given[key]}"
    chosen = {"crf", "qp", "q", "cq", "b", "global_quality", "lossless"} & set(given)
    if "q" in given and codec in (*DEFAULT_QUALITY, *HARDWARE_QUALITY):
        raise UsageError(f"{codec} has no -q:v; use -crf")
    if output.crf is not None:
        key = "crf" if "crf" in known else "cq" if "cq" in known else ""
        if not key:
            raise UsageError(f"{codec} has no -crf{'; use -q:v or -b:v' if codec in QSCALE else ''}")
        least, most = value_range(codec, key)
        if not least <= output.crf <= most:
            raise UsageError(f"-crf {output.crf:g}: {codec} takes {least:g} to {most:g}, less is better")
        options[key] = f"{output.crf:g}"
    elif not chosen and output.bit_rate is None:
        if codec in DEFAULT_QUALITY:
            options["crf"] = str(DEFAULT_QUALITY[codec])
        elif codec in HARDWARE_QUALITY:
            options |= {"rc": "vbr", "cq": str(HARDWARE_QUALITY[codec])}
        elif codec in QSCALE:
            options["q"] = str(QSCALE[codec])
    if codec == "libvpx" and "crf" in options and output.bit_rate is None:
        # Without a bit rate it takes 256 kbit/s for the limit, whatever the crf is.
        options.setdefault("b", VP8_CEILING)
    if output.preset is not None:
        if "preset" not in known:
            raise UsageError(f"{codec} has no -preset")
        if codec in ("libx264", "libx265") and output.preset not in (*X26_PRESETS, *map(str, range(10))):
            raise UsageError(f"-preset {output.preset}: {codec} has {', '.join(X26_PRESETS)}")
        options["preset"] = output.preset
    return options
