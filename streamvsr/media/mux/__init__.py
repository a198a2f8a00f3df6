"""Outputs. A new kind of sink is one module and one line in ``SINKS``; the first line whose test holds opens it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from streamvsr.config import OutputOptions
from streamvsr.frames import MediaInfo, StreamInfo
from streamvsr.media.encode.hardware import usable_encoder
from streamvsr.media.encode.memory import encoder_bytes
from streamvsr.media.encode.options import VIDEO_ALIASES, encoder_name, output_format
from streamvsr.media.mux import container, tee
from streamvsr.media.mux import image_sequence as picture_folder
from streamvsr.media.mux.atomic_file import is_url, same_file
from streamvsr.media.mux.base import Sink

__all__ = [
    "SINKS",
    "Sink",
    "described",
    "encoder_memory",
    "holds_rotation",
    "kind_of",
    "open_sink",
    "outputs",
    "same_file",
    "wanted_format",
    "with_usable_encoder",
    "written_paths",
]


class Opener(Protocol):
    def __call__(
        self, output: OutputOptions, media: MediaInfo, streams: Mapping[int, Any], names: Sequence[str] | None,
        on_warning: Callable[[str], None],
    ) -> Sink: ...  # fmt: skip


@dataclass(frozen=True, slots=True)
class SinkKind:
    name: str
    fits: Callable[[OutputOptions], bool]
    open: Opener
    wanted_format: Callable[[OutputOptions, StreamInfo], str]
    holds_rotation: Callable[[OutputOptions], bool]


def _is_pictures(output: OutputOptions) -> bool:
    return output.format in (None, "image2") and not is_url(output.path) and picture_folder.is_pictures(output.path)


SINKS: tuple[SinkKind, ...] = (
    SinkKind(
        "pictures",
        _is_pictures,
        lambda output, media, _streams, names, on_warning: picture_folder.ImageSequenceSink(
            output, media, names=names, on_warning=on_warning
        ),
        lambda output, info: picture_folder.wanted_format(output, info.format),
        lambda _output: False,
    ),
    SinkKind(
        "tee",
        lambda output: output.format == "tee",
        lambda output, media, streams, _names, on_warning: tee.TeeSink(output, media, streams, on_warning=on_warning),
        tee.wanted_format,
        tee.holds_rotation,
    ),
    SinkKind(
        "container",
        lambda _output: True,
        lambda output, media, streams, _names, on_warning: container.ContainerSink(
            output, media, streams, on_warning=on_warning
        ),
        container.wanted_format,
        container.holds_rotation,
    ),
)


def _kind(output: OutputOptions) -> SinkKind:
    return next(kind for kind in SINKS if kind.fits(output))


def kind_of(output: OutputOptions) -> str:
    """The name of the kind of output that is meant, in ``SINKS``."""
    return _kind(output).name


def outputs(output: OutputOptions) -> list[OutputOptions]:
    """Each of the outputs of a ``-f tee``, with the encoder that they share; else the one that there is."""
    if output.format != "tee":
        return [output]
    return [
        replace(branch.output(output), video_codec=output.video_codec or "libx264") for branch in tee.parse(output.path)
    ]


def written_paths(output: OutputOptions) -> list[str]:
    """The paths and URLs that an output writes to."""
    return [one.path for one in outputs(output)]


def wanted_format(output: OutputOptions, info: StreamInfo) -> str:
    """The planar pixel format that filters had best produce for this output, given what the input is like.

    Nothing is opened or written; UsageError where the output's format or encoder is not known.
    """
    return _kind(output).wanted_format(output, info)


def holds_rotation(output: OutputOptions) -> bool:
    """Whether the output can say by how much a player turns its frames; else they have to be upright."""
    return _kind(output).holds_rotation(output)


def described(output: OutputOptions, info: StreamInfo) -> str:
    """What comes out of frames like ``info``, in a line."""
    parts = [f"{info.width}x{info.height}"]
    if _kind(output).name == "container":
        parts.append(encoder_name(output.video_codec, output_format(output, stdout=output.path == "-")))
    elif _kind(output).name == "pictures":
        parts.append("images")
    if info.frame_rate is not None:
        parts.append(f"{float(info.frame_rate):.5g} frames a second")
    return f"{'standard output' if output.path == '-' else output.path}: {', '.join(parts)}"


def encoder_memory(output: OutputOptions, info: StreamInfo, frames: int | None) -> int:
    """Bytes that the output's encoder takes for ``frames`` like ``info`` (None: any number)."""
    kind = _kind(output).name
    if kind in ("container", "tee"):
        codec = encoder_name(output.video_codec, output_format(output, stdout=output.path == "-"))
    elif kind == "pictures":
        codec = "images"
    else:
        return 0  # a kind that encodes nothing, as far as is known
    return encoder_bytes(codec, output.preset, output.options, info, frames)


def open_sink(
    output: OutputOptions,
    media: MediaInfo,
    streams: Mapping[int, Any] | None = None,
    *,
    names: Sequence[str] | None = None,
    on_warning: Callable[[str], None],
) -> Sink:
    """The sink for an output; ``streams``: see ``Source``, without them there are no tracks; ``names`` are those of
    the input's pictures, if it was a folder."""
    return _kind(output).open(output, media, streams or {}, names, on_warning)


def with_usable_encoder(output: OutputOptions, on_warning: Callable[[str], None]) -> OutputOptions:
    """``output`` with an encoder that opens on this machine: hardware that is not there gives way to software."""
    if output.video_codec is None:
        return output
    codec = VIDEO_ALIASES.get(output.video_codec, output.video_codec)
    usable = usable_encoder(codec, on_warning)
    return output if usable == codec else replace(output, video_codec=usable)
