"""What a run is made of: frozen dataclasses, the one source of option names, defaults, ranges and help texts.

Each field carries an ``Option``: how it is given on the command line, ffmpeg's own options with one dash, ours with
two. The parser, ``--help`` and the documentation are made from these; nothing else lists options.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import Literal

from streamvsr.errors import UsageError
from streamvsr.options import check_options, option, options_of

LEAST_TILE_PX = 64
"""The least ``--tile``: below, the borders around tiles are most of the work."""
VIDEOS = (
    *(".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts", ".nut", ".flv", ".f4v"),
    *(".mpg", ".mpeg", ".vob", ".wmv", ".asf", ".mxf", ".ogv", ".3gp", ".y4m"),
    *(".dv", ".rm", ".rmvb", ".divx", ".xvid", ".gif", ".m1v", ".m2v", ".mpv", ".mpe", ".m2t", ".tod", ".mod", ".vro"),
    *(".3g2", ".qt", ".ogm", ".wtv", ".dvr-ms", ".amv", ".dav", ".ivf", ".obu", ".h264", ".264", ".h265", ".265"),
    *(".hevc", ".mjpg", ".mjpeg", ".nsv", ".gxf", ".evo", ".trp", ".tp", ".mk3d", ".fli", ".flc", ".bik"),
)
"""Suffixes by which videos are known among the other files of a folder."""
IMAGES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".webp", ".bmp", ".ppm", ".pgm", ".jp2"})
"""Suffixes of the pictures that are read."""


@dataclass(frozen=True, slots=True)
class InputOptions:
    """Options of the input (as in ffmpeg: those that stand before it)."""

    path: str = ""
    """A file, a folder of pictures, a pattern, a URL, or ``-`` for standard input."""
    format: str | None = option(None, "-f", help="force the input's format", metavar="FMT", as_ffmpeg=True)
    start: Fraction | None = option(None, "-ss", help="start at this time", kind="time", metavar="TIME", as_ffmpeg=True)
    duration: Fraction | None = option(None, "-t", help="read this much", kind="time", metavar="TIME", as_ffmpeg=True)
    end: Fraction | None = option(None, "-to", help="read up to this time", kind="time", metavar="TIME", as_ffmpeg=True)
    rate: Fraction | None = option(
        None, "-r", help="ignore the input's time stamps, assume this rate", kind="rate", metavar="FPS"
    )
    size: tuple[int, int] | None = option(
        None, "-s", help="size of raw input", kind="size", metavar="WxH", as_ffmpeg=True
    )
    pixel_format: str | None = option(None, "-pix_fmt", help="pixel format of raw input", metavar="FMT", as_ffmpeg=True)
    hwaccel: str = option(
        "none", "-hwaccel", help="decode on this hardware: none, auto, cuda, vaapi ...", metavar="NAME",
        choices=("none", "auto", "cuda", "vaapi", "qsv", "vdpau", "vulkan", "videotoolbox", "d3d11va", "drm", "amf"),
    )  # fmt: skip
    realtime: bool = option(False, "-re", help="read at the speed of its time stamps", kind="flag", as_ffmpeg=True)
    options: Mapping[str, str] = field(default_factory=dict)
    """Any other option, handed to the demuxer or the decoder by its FFmpeg name, stream specifier included."""


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """Options of the output (those that stand after the input)."""

    path: str = ""
    """A file, a folder for pictures, a pattern, a URL, or ``-`` for standard output."""
    format: str | None = option(None, "-f", help="force the output's format", metavar="FMT", as_ffmpeg=True)
    overwrite: bool | None = option(
        None, "-y", "-n", help="overwrite the output, or never; else ask", kind="yes_no", anywhere=True
    )
    """True for ``-y``, False for ``-n``, None to ask on a terminal and refuse elsewhere."""
    start: Fraction | None = option(
        None, "-ss", help="drop what comes before this time", kind="time", metavar="TIME", as_ffmpeg=True
    )
    duration: Fraction | None = option(None, "-t", help="write this much", kind="time", metavar="TIME", as_ffmpeg=True)
    end: Fraction | None = option(
        None, "-to", help="write up to this time", kind="time", metavar="TIME", as_ffmpeg=True
    )
    frames: int | None = option(
        None, "-frames:v", "-vframes", help="write this many frames", kind="integer", metavar="N", least=1,
        as_ffmpeg=True,
    )  # fmt: skip
    rate: Fraction | None = option(
        None, "-r", help="constant rate: frames are repeated or dropped", kind="rate", metavar="FPS"
    )
    size: tuple[int, int] | None = option(
        None, "-s", help="output size, scaled after the network", kind="size", metavar="WxH"
    )
    filters: str | None = option(
        None, "-vf", "-filter:v", "-filter", metavar="CHAIN",
        help="filters instead of vsr alone, as nlmeans,vsr,unsharp",
    )  # fmt: skip
    video_codec: str | None = option(None, "-c:v", "-codec:v", "-vcodec", help="video encoder", metavar="NAME")
    audio_codec: str = option(
        "copy", "-c:a", "-codec:a", "-acodec", help="audio: copy (default), or an encoder", metavar="NAME"
    )
    subtitle_codec: str = option(
        "copy", "-c:s", "-codec:s", "-scodec", help="subtitles: copy (default), or an encoder", metavar="NAME"
    )
    crf: float | None = option(
        None, "-crf", help="constant quality, lower is better (x264: 18)", kind="number", metavar="N"
    )
    bit_rate: str | None = option(
        None, "-b:v", "-vb", help="video bit rate", kind="bit_rate", metavar="RATE", as_ffmpeg=True
    )
    audio_bit_rate: str | None = option(
        None, "-b:a", "-ab", help="audio bit rate where audio is encoded", kind="bit_rate", metavar="RATE",
        as_ffmpeg=True,
    )  # fmt: skip
    preset: str | None = option(None, "-preset", help="the encoder's speed preset", metavar="NAME", as_ffmpeg=True)
    pixel_format: str | None = option(
        None, "-pix_fmt", help="pixel format of the output", metavar="FMT", as_ffmpeg=True
    )
    timeout: float = option(
        10.0, "--output-timeout", help="seconds that a network output may stall", kind="number", metavar="S", least=0.1,
        anywhere=True,
    )  # fmt: skip
    gop: int | None = option(
        None, "-g", help="frames between key frames at most", kind="integer", metavar="N", least=0, as_ffmpeg=True
    )
    no_audio: bool = option(False, "-an", help="no audio", kind="flag", anywhere=True, as_ffmpeg=True)
    no_subtitles: bool = option(False, "-sn", help="no subtitles", kind="flag", anywhere=True, as_ffmpeg=True)
    no_data: bool = option(False, "-dn", help="no data tracks", kind="flag", anywhere=True, as_ffmpeg=True)
    deinterlace: Literal["auto", "off"] = option(
        "auto", "-deinterlace", help="interlaced frames: auto (bwdif), or off", metavar="WHEN", anywhere=True,
        choices=("auto", "off"),
    )  # fmt: skip
    autorotate: bool | None = option(
        None, "-autorotate", "-noautorotate", help="turn pixels, not the tag", kind="yes_no", anywhere=True
    )
    """None: where filters, a size or the output need an upright frame; else the tag is kept."""
    maps: tuple[str, ...] = option(
        (), "-map", help="choose streams, e.g. -map 0:v:1 -map 0:a", kind="list", metavar="SPEC", as_ffmpeg=True
    )
    metadata: tuple[str, ...] = option(
        (), "-metadata", help="set a tag of the output", kind="pairs", metavar="KEY=VALUE", as_ffmpeg=True
    )
    options: Mapping[str, str] = field(default_factory=dict)
    """Any other option, handed to the video encoder or the muxer by its FFmpeg name, stream specifier included."""


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """The network and how it is run over time: the one declaration of every model option.

    The command line, ``vsr`` in a chain, presets and Python read it; ``VsrFilter`` and ``Model.tune`` are handed it as
    a whole. A field with ``in_chain`` may be set for one ``vsr`` of a chain, in the order in which the fields stand.
    """

    model: str = option("auto", "--model", help="auto, or a name from streamvsr models", metavar="NAME", in_chain=True)
    checkpoint: str | None = option(
        None, "--checkpoint", help="weights; they say which network it is", metavar="FILE", in_chain=True
    )
    config: str | None = option(
        None, "--config", help="mm-style config that describes the network", metavar="FILE", in_chain=True
    )
    backend: Literal["native", "mmedit"] = option(
        "native", "--backend", help="native, or mmedit with --config and --checkpoint", metavar="NAME",
        choices=("native", "mmedit"),
    )  # fmt: skip
    max_seq_len: int | None = option(
        None, "--max-seq-len", help="frames in a window", kind="integer", metavar="N", least=1, in_chain=True
    )
    overlap: int | None = option(
        None,
        "--overlap",
        help="look-ahead frames shared by two windows",
        kind="integer",
        metavar="N",
        least=0,
        in_chain=True,
    )
    propagation: Literal["carry", "window"] = option(
        "carry", "--propagation", help="carry the state on, or independent windows", metavar="MODE",
        choices=("carry", "window"), in_chain=True,
    )  # fmt: skip
    scale: float | tuple[int, int] | None = option(
        None, "--scale", help="size in the end: 2, 1920x1080 or 1080p", kind="target", metavar="N", least=0.25, most=16,
        in_chain=True,
    )  # fmt: skip
    """A factor, or (width, height), where a width of 0 follows from the height; None: what the network makes."""
    scene_threshold: float = option(
        8.0, "--scene-threshold", help="how much change begins a scene; 0: off", kind="number",
        metavar="N", least=0, most=255, in_chain=True,
    )  # fmt: skip
    max_history: int | None = option(
        None, "--max-history", help="frames a state goes back; 0: all", kind="integer", metavar="N", least=0,
        in_chain=True, tuning=True, off=0,
    )  # fmt: skip
    tile: str = option(
        "auto",
        "--tile",
        help="tiles for large frames: auto, off, or N pixels",
        metavar="N",
        in_chain=True,
        tuning=True,
        off="off",
    )
    strength: float | None = option(
        None, "--strength", help="1: the network's result, 0: plain enlargement", kind="number", metavar="N", least=0,
        most=1, in_chain=True,
    )  # fmt: skip
    """None: 1, or what ``auto`` chooses."""
    denoise: float | None = option(
        None, "--denoise", help="1: clean, 0: keep noise (realesr-general)", kind="number", metavar="N", least=0,
        most=1, in_chain=True,
    )  # fmt: skip
    detail: float | None = option(
        None, "--detail", help="0: faithful, 2: sharpest (rt-real: 0.9)", kind="number", metavar="N",
        least=0, most=2, in_chain=True,
    )  # fmt: skip
    steady: Literal["auto", "on", "off"] = option(
        "auto", "--steady", help="hold still what stands still: auto, on, off", metavar="WHEN",
        choices=("auto", "on", "off"), in_chain=True,
    )  # fmt: skip
    """``auto``: as ``ModelInfo.steady`` says."""
    dynamic_refine_thres: float | None = option(
        None, "--dynamic-refine-thres", help="clean until below N; 255: once", kind="number", metavar="N", least=0,
        most=255, tuning=True,
    )  # fmt: skip
    refine_rule: Literal["frame", "window"] | None = option(
        None, "--refine-rule", help="decided for a frame or a window", metavar="RULE", choices=("frame", "window"),
        tuning=True,
    )  # fmt: skip
    device: str = option("auto", "--device", help="auto, cpu, cuda, cuda:1, mps", metavar="NAME")
    precision: Literal["auto", "fp32", "fp16", "bf16"] = option(
        "auto", "--precision", help="auto, fp32, fp16 or bf16", metavar="NAME", choices=("auto", "fp32", "fp16", "bf16")
    )
    compile: bool = option(False, "--compile", help="run the network through torch.compile", kind="flag", tuning=True)
    cuda_graphs: bool = option(False, "--cuda-graphs", help="record CUDA graphs too", kind="flag", tuning=True)
    threads: int | None = option(
        None, "--threads", help="CPU threads of the network", kind="integer", metavar="N", least=1
    )


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """An input that does not wait: frames that cannot be worked off in time are dropped and counted."""

    live: bool = option(False, "--live", help="the input is live (said by rtsp://, rtmp://, udp://)", kind="flag")
    max_latency: float | None = option(
        None, "--max-latency", help="seconds from a frame's arrival to its encoder (2)", kind="number", metavar="S",
        least=0.05, most=3600,
    )  # fmt: skip
    duration: Fraction | None = option(
        None, "--duration", help="end after this time by the clock", kind="time", metavar="TIME"
    )
    reconnect: float = option(
        300.0, "--reconnect", help="seconds to try for a lost input; 0: not", kind="number", metavar="S", least=0
    )
    open_timeout: float = option(
        15.0, "--open-timeout", help="seconds to wait for the first frame", kind="number", metavar="S", least=0.1
    )
    read_timeout: float = option(
        15.0, "--read-timeout", help="seconds to wait for the next frame", kind="number", metavar="S", least=0.1
    )


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How the run talks."""

    quiet: bool = option(False, "--quiet", help="print errors only", kind="flag")
    debug: bool = option(False, "--debug", help="print tracebacks and FFmpeg's own messages", kind="flag")
    dry_run: bool = option(False, "--dry-run", help="work for a second, tell what it would take", kind="flag")
    stats: bool = option(False, "--stats", help="print milliseconds per stage at the end", kind="flag")
    progress: str = option(
        "auto",
        "--progress",
        help="auto, bar, lines, json (for programs), none",
        metavar="HOW",
        choices=("auto", "bar", "lines", "json", "none"),
    )
    resume: bool | None = option(
        None, "--resume", "--no-resume", help="keep what is finished (default: inputs over a minute)", kind="yes_no"
    )
    """None: for inputs longer than a minute that can be cut."""
    restart: bool = option(False, "--restart", help="forget what an earlier run has finished", kind="flag")
    workers: int | None = option(
        None, "--workers", help="processes that share the work (extra ray)", kind="integer", metavar="N", least=1
    )
    ray: str | None = option(None, "--ray", help="workers on this Ray cluster: HOST:PORT, auto", metavar="ADDRESS")
    same_device_only: bool = option(
        False, "--same-device-only", help="workers of one kind: no CPUs beside GPUs", kind="flag"
    )
    live_pair: str | None = option(
        None, "--live-pair", help="the current frame, before and after, as JPEGs", metavar="FOLDER"
    )
    """Only while somebody touches the file ``watched`` in it; docs/progress.md."""
    no_stdin: bool = option(False, "-nostdin", help="never ask anything", kind="flag", as_ffmpeg=True)


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What a command line asks for beside one run: no part of a ``Config``, but of how one or many are made."""

    preset: tuple[str, ...] = option(
        (), "--preset", help="archive, live, preview, yours, or a .toml file", kind="list", metavar="NAME"
    )
    print_config: bool = option(False, "--print-config", help="print what holds and why, run nothing", kind="flag")
    output_folder: str | None = option(
        None, "-o", help="any number of inputs, each into this folder", metavar="FOLDER", anywhere=True
    )
    suffix: str | None = option(None, "--suffix", help="kind of the files in it, such as .mkv", metavar=".EXT")
    recursive: bool = option(False, "--recursive", help="folders in the input folders too", kind="flag")
    skip_existing: bool = option(False, "--skip-existing", help="pass over inputs that are done there", kind="flag")


@dataclass(frozen=True, slots=True)
class Config:
    """One run: an input, a model, an output."""

    input: InputOptions
    output: OutputOptions
    model: ModelOptions = field(default_factory=ModelOptions)
    run: RunOptions = field(default_factory=RunOptions)
    live: LiveOptions = field(default_factory=LiveOptions)


GROUPS: Mapping[str, type] = {
    "input": InputOptions,
    "output": OutputOptions,
    "model": ModelOptions,
    "run": RunOptions,
    "live": LiveOptions,
}
"""The fields of ``Config`` and what they hold."""


def check(config: Config) -> None:
    """Raise ``UsageError`` for values out of range and for options that cannot go together.

    For every maker of a ``Config``, not the command line alone; it reads nothing but the config.
    """
    for group in GROUPS:
        check_options(getattr(config, group))
    for options, what in ((config.input, "input"), (config.output, "output")):
        # With a length given, the end does not count, as in ffmpeg.
        if options.duration is None and options.end is not None and options.end <= (options.start or 0):
            raise UsageError(f"-to of the {what} must lie after its -ss")
    run = config.run
    if run.resume is False and (run.workers is not None or run.ray is not None):
        raise UsageError("--no-resume: workers keep what is finished in the job's folder; leave one of them out")
    if run.same_device_only and run.workers is None and run.ray is None:
        raise UsageError("--same-device-only is for --workers and --ray")
    if config.output.video_codec == "copy":
        raise UsageError("-c:v copy: the video goes through the network, so it has to be encoded: name an encoder")
    model = config.model
    check_backend(model)
    tile_px(model.tile)
    if model.max_seq_len is not None and model.overlap is not None and model.overlap >= model.max_seq_len:
        raise UsageError(
            f"--overlap {model.overlap} must be less than --max-seq-len {model.max_seq_len}: "
            "each window has to take in new frames"
        )


def check_backend(model: ModelOptions) -> None:
    """Raise ``UsageError`` where the other options do not suit the backend."""
    if model.backend != "mmedit":
        return
    if model.config is None or model.checkpoint is None:
        raise UsageError("--backend mmedit needs --config, which says what network to build, and its --checkpoint")
    if model.model != "auto":
        raise UsageError(f"--model {model.model}: with --backend mmedit it is --config that names the network")


def tuning_flags(model: ModelOptions, names: Collection[str] | None = None) -> list[str]:
    """The flags of all options given that only tunable models have a use for; of ``names`` alone where given."""
    return [
        face.flags[0]
        for (name, face), f in zip(options_of(ModelOptions), fields(ModelOptions), strict=True)
        if face.tuning and getattr(model, name) not in (f.default, face.off) and (names is None or name in names)
    ]


def tile_px(text: str) -> int | None:
    """``--tile`` as a side in pixels: None for auto, 0 for off. Raises ``UsageError`` for anything else."""
    if text in ("auto", "off"):
        return None if text == "auto" else 0
    if text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= LEAST_TILE_PX:
        return int(text)
    raise UsageError(f"--tile {text}: say auto, off, or a side of at least {LEAST_TILE_PX} pixels")
