"""Frames of an input after its filters, for whoever looks at them instead of writing them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from streamvsr.build import build, check_chain
from streamvsr.config import Config, ModelOptions
from streamvsr.media.demux import Source
from streamvsr.pipeline.frame_sink import FrameReader, FrameSink

__all__ = ["UNTOUCHED", "check_chain", "open_reader"]

UNTOUCHED = ModelOptions(model="identity")
"""No network."""


def open_reader(config: Config, warn: Callable[[str], None], source: Source | None = None) -> FrameReader:
    """The frames of ``config``'s input, or of ``source``, after its filters, and nothing of its sound; to be closed."""
    output = replace(config.output, no_audio=True, no_subtitles=True, no_data=True)
    frame_sink = FrameSink()
    run = build(replace(config, output=output), warn=warn, source=source, frame_sink=frame_sink)
    return FrameReader(run, frame_sink)
