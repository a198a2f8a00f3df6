"""What a run is made of: frozen dataclasses, the one source of option names, defaults, ranges and help texts.

Each field's metadata says how it is given on the command line: ffmpeg's own options with one dash, ours with two.
The parser, ``--help`` and the documentation are made from these fields; nothing else lists options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal


def option(
    default: Any,
    *flags: str,
    help: str,
    metavar: str = "",
    choices: tuple[str, ...] = (),
    least: float | None = None,
    most: float | None = None,
) -> Any:
    """A dataclass field with its command-line face. ``flags`` without a dash-less name are exact spellings."""
    metadata = {"flags": flags, "help": help, "metavar": metavar, "choices": choices, "least": least, "most": most}
    if isinstance(default, (dict, list)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class InputOptions:
    """Options of the input (as in ffmpeg: those that stand before ``-i``)."""

    path: str = ""
    """A file, a folder of pictures, a pattern, a URL, or ``-`` for standard input."""
    format: str | None = option(None, "-f", help="force the input's format", metavar="FMT")
    start: Fraction | None = option(None, "-ss", help="start at this time", metavar="TIME", least=0)
    duration: Fraction | None = option(None, "-t", help="read this much", metavar="TIME", least=0)
    end: Fraction | None = option(None, "-to", help="read up to this time", metavar="TIME", least=0)
    rate: Fraction | None = option(None, "-r", help="ignore the input's time stamps, assume this rate", metavar="FPS")
    size: tuple[int, int] | None = option(None, "-s", help="size of raw input", metavar="WxH")
    pixel_format: str | None = option(None, "-pix_fmt", help="pixel format of raw input", metavar="FMT")
    options: Mapping[str, str] = field(default_factory=dict)
    """Any other option, handed to the demuxer or the decoder by its FFmpeg name."""


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """Options of the output (those that stand after the input)."""

    path: str = ""
    """A file, a folder for pictures, a pattern, a URL, or ``-`` for standard output."""
    format: str | None = option(None, "-f", help="force the output's format", metavar="FMT")
    overwrite: bool | None = option(None, "-y", "-n", help="-y: overwrite the output, -n: never; else ask")
    """True for ``-y``, False for ``-n``, None to ask on a terminal and refuse elsewhere."""
    start: Fraction | None = option(None, "-ss", help="drop what comes before this time", metavar="TIME", least=0)
    duration: Fraction | None = option(None, "-t", help="write this much", metavar="TIME", least=0)
    end: Fraction | None = option(None, "-to", help="write up to this time", metavar="TIME", least=0)
    frames: int | None = option(None, "-frames:v", "-vframes", help="write this many frames", metavar="N", least=1)
    rate: Fraction | None = option(None, "-r", help="constant output rate (frames are repeated or dropped)", metavar="FPS")
    size: tuple[int, int] | None = option(None, "-s", help="output size, scaled after the network", metavar="WxH")
    video_codec: str | None = option(None, "-c:v", "-codec:v", "-vcodec", help="video encoder", metavar="NAME")
    audio_codec: str = option("copy", "-c:a", "-codec:a", "-acodec", help="audio: copy, or an encoder", metavar="NAME")
    subtitle_codec: str = option("copy", "-c:s", "-codec:s", "-scodec", help="subtitles: copy, or an encoder", metavar="NAME")
    crf: float | None = option(None, "-crf", help="constant quality, lower is better (x264: 18)", metavar="N")
    bit_rate: str | None = option(None, "-b:v", "-vb", help="video bit rate", metavar="RATE")
    audio_bit_rate: str | None = option(None, "-b:a", "-ab", help="audio bit rate where audio is encoded", metavar="RATE")
    preset: str | None = option(None, "-preset", help="the encoder's speed preset", metavar="NAME")
    pixel_format: str | None = option(None, "-pix_fmt", help="pixel format of the output", metavar="FMT")
    gop: int | None = option(None, "-g", help="frames between key frames at most", metavar="N", least=0)
    no_audio: bool = option(False, "-an", help="no audio")
    no_subtitles: bool = option(False, "-sn", help="no subtitles")
    no_data: bool = option(False, "-dn", help="no data tracks")
    maps: tuple[str, ...] = option((), "-map", help="choose streams, e.g. -map 0:v:1 -map 0:a", metavar="SPEC")
    metadata: tuple[str, ...] = option((), "-metadata", help="set a tag of the output", metavar="KEY=VALUE")
    options: Mapping[str, str] = field(default_factory=dict)
    """Any other option, handed to the video encoder or the muxer by its FFmpeg name."""


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """The network and how it is run over time."""

    model: str = option("auto", "--model", help="auto, rt, realbasicvsr, basicvsr, bicubic or identity", metavar="NAME")
    config: str | None = option(None, "--config", help="mm-style config that describes the network", metavar="FILE")
    checkpoint: str | None = option(None, "--checkpoint", help="weights; they say which network it is", metavar="FILE")
    max_seq_len: int | None = option(None, "--max-seq-len", help="frames in a window", metavar="N", least=1)
    overlap: int | None = option(None, "--overlap", help="frames of look-ahead shared by two windows", metavar="N", least=0)
    propagation: Literal["carry", "window"] = option(
        "carry", "--propagation", help="carry the state over windows, or independent windows", choices=("carry", "window")
    )
    device: str = option("auto", "--device", help="auto, cpu, cuda, cuda:1, mps", metavar="NAME")
    precision: Literal["auto", "fp32", "fp16", "bf16"] = option(
        "auto", "--precision", help="number format of the network", choices=("auto", "fp32", "fp16", "bf16")
    )
    threads: int | None = option(None, "--threads", help="CPU threads of the network", metavar="N", least=1)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How the run talks."""

    quiet: bool = option(False, "--quiet", help="print errors only")
    debug: bool = option(False, "--debug", help="print tracebacks and FFmpeg's own messages")
    stats: bool = option(False, "--stats", help="print milliseconds per stage at the end")


@dataclass(frozen=True, slots=True)
class Config:
    """One run: an input, a model, an output."""

    input: InputOptions
    output: OutputOptions
    model: ModelOptions = field(default_factory=ModelOptions)
    run: RunOptions = field(default_factory=RunOptions)
