"""A linear chain of libavfilter filters between our frames' formats, with errors that name the filter. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import av
import numpy as np

from streamvsr.errors import FilterError
from streamvsr.filters.libav.reason import reason
from streamvsr.frames import PIXEL_FORMATS, Color, Frame, StreamInfo
from streamvsr.media.av_errors import FOREIGN
from streamvsr.media.av_frames import RGB, UNSTATED, color_of, resolve_color, target_format
from streamvsr.media.filter_graph import FilterGraph, Spec

SWSCALE_MATRIX = 6
"""What swscale makes of RGB where nobody says (BT.601)."""


class Graph:
    """A configured libavfilter graph; its output is always in a format of ``frames.PIXEL_FORMATS``."""

    def __init__(
        self, spec: Spec, info: StreamInfo, first: av.VideoFrame, named: Spec | None = None, threads: int = 0
    ) -> None:
        """``threads``: 0 for one a core, as in ffmpeg."""
        self._text = written(spec if named is None else named)
        wanted = ("format", "pix_fmts=" + "|".join(PIXEL_FORMATS))

        def configured() -> FilterGraph:
            return FilterGraph(
                (*spec, wanted), first, time_base=info.time_base, ratio=info.sample_aspect_ratio,
                frame_rate=info.frame_rate, threads=threads,
            )  # fmt: skip

        try:
            self._graph = configured()
        except FOREIGN as exc:
            for name, arguments in spec:
                check_options(name, arguments)
            why = reason(exc, configured)
            raise FilterError(f"filter {self._text} cannot work on {info.width}x{info.height} frames: {why}") from exc

    def run(self, frame: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        """Push one frame (None: the end), and yield what comes out."""
        try:
            yield from self._graph.run(frame)
        except FOREIGN as exc:
            raise FilterError(f"filter {self._text} failed: {exc}") from exc


def check_options(name: str, arguments: str) -> None:
    """Raise ``FilterError`` where FFmpeg has no filter ``name``, or does not take these arguments of it."""
    try:
        av.filter.Graph().add(name, arguments)
    except FOREIGN as exc:
        if isinstance(exc, ValueError) and not isinstance(exc, av.FFmpegError):
            raise FilterError(f"FFmpeg has no filter {name!r} here; is it spelled right?") from exc
        why = reason(exc, lambda: av.filter.Graph().add(name, arguments))
        raise FilterError(f"filter {written([(name, arguments)])}: FFmpeg does not take these options: {why}") from exc


def written(spec: Spec) -> str:
    return ",".join(f"{name}={arguments}" if arguments else name for name, arguments in spec) or "null"


def blank_frame(info: StreamInfo) -> Frame:
    shapes = info.format.plane_shapes(info.width, info.height)
    if info.format.bits <= 8:
        return Frame(tuple(np.zeros(s, np.uint8) for s in shapes), info.format, 0, info.time_base, 0, info.color)
    return Frame(tuple(np.zeros(s, np.uint16) for s in shapes), info.format, 0, info.time_base, 0, info.color)


def color_out(filtered: av.VideoFrame, before: Color, info: StreamInfo) -> Color:
    """The tags of a filtered frame: what FFmpeg says, and what it cannot say as it was before."""
    target = target_format(filtered.format.name).family
    if target == "rgb":
        # The colour of an RGB Frame tells which YUV it came from.
        return before if info.format.family == "rgb" else resolve_color(before, info.width, info.height)
    after = color_of(filtered)
    if info.format.family == "rgb" and after.matrix in (RGB, UNSTATED):
        after = replace(after, matrix=SWSCALE_MATRIX, full_range=bool(after.full_range))
    return replace(after, chroma_location=after.chroma_location or before.chroma_location)
