"""Frames of an input after its filters, for whoever looks at them instead of writing them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from streamvsr.build import build, check_chain
from streamvsr.config import Config, ModelOptions
from streamvsr.pipeline.frame_sink import FrameReader, FrameSink

__all__ = ["UNTOUCHED", "check_chain", "open_reader"]

UNTOUCHED = ModelOptions(model="identity")
"""No network."""


def open_reader(config: Config, warn: Callable[[str], None]) -> FrameReader:
    """The frames of ``config``'s input after its filters, and nothing of its sound; to be closed."""
    output = replace(config.output, no_audio=True, no_subtitles=True, no_data=True)
    frame_sink = FrameSink()
    return FrameReader(build(replace(config, output=output), warn=warn, frame_sink=frame_sink), frame_sink)
