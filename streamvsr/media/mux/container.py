"""Anything that FFmpeg's muxers write: files, pipes, segments, network streams."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from streamvsr.config import OutputOptions
from streamvsr.frames import MediaInfo, StreamInfo
from streamvsr.media.encode.options import encoder_name, output_format
from streamvsr.media.encode.pixel_formats import choose_format, planar_twin
from streamvsr.media.mux.atomic_file import STDOUT
from streamvsr.media.mux.encoded import EncodedSink
from streamvsr.media.mux.muxer import ROTATED


def wanted_format(output: OutputOptions, info: StreamInfo) -> str:
    """The planar format nearest to what the encoder will be fed with, known before the sink is opened.

    The size in ``info`` may be that of the input, so odd sizes make no difference here.
    """
    container = output_format(output, stdout=output.path in STDOUT)
    codec = encoder_name(output.video_codec, container)
    return planar_twin(choose_format(codec, container, info.format, 0, 0, output.pixel_format), alpha=info.format.alpha)


def holds_rotation(output: OutputOptions) -> bool:
    return output_format(output, stdout=output.path in STDOUT) in ROTATED


class ContainerSink(EncodedSink):
    """One output container with one encoded video and any number of copied or converted tracks."""

    def __init__(
        self, output: OutputOptions, media: MediaInfo, streams: Mapping[int, Any] | None = None, *,
        on_warning: Callable[[str], None],
    ) -> None:  # fmt: skip
        name = output_format(output, stdout=output.path in STDOUT)
        codec = encoder_name(output.video_codec, name)
        super().__init__(output, [(output, "abort")], media, streams or {}, codec, name, on_warning=on_warning)
