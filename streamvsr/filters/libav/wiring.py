"""One configured libavfilter graph around a linear chain of filters. No torch in here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import av
import numpy as np
from av.filter.context import FilterContext

from streamvsr.errors import FilterError
from streamvsr.filters.libav.reason import reason
from streamvsr.frames import PIXEL_FORMATS, Color, Frame, StreamInfo
from streamvsr.media.av_errors import FOREIGN
from streamvsr.media.av_frames import RGB, UNSTATED, color_of, resolve_color, target_format

Spec = Sequence[tuple[str, str]]
"""Filters in order, as (name, arguments in FFmpeg's syntax, or "")."""

SWSCALE_MATRIX = 6
"""What swscale makes of RGB where nobody says (BT.601)."""


@dataclass(frozen=True, slots=True)
class _Ends:
    graph: av.filter.Graph
    source: FilterContext
    sink: FilterContext


class Graph:
    """A configured libavfilter graph; its output is always in a format of ``frames.PIXEL_FORMATS``."""

    def __init__(
        self, spec: Spec, info: StreamInfo, first: av.VideoFrame, named: Spec | None = None, threads: int = 0
    ) -> None:
        """``threads``: 0 for one a core, as in ffmpeg."""
        self._text = written(spec if named is None else named)
        ratio = info.sample_aspect_ratio
        source = (
            f"video_size={info.width}x{info.height}:pix_fmt={first.format.name}:time_base={info.time_base}"
            f":pixel_aspect={ratio.numerator}/{ratio.denominator}"
            f":colorspace={int(first.colorspace)}:range={int(first.color_range)}"
        )
        if info.frame_rate:
            source += f":frame_rate={info.frame_rate.numerator}/{info.frame_rate.denominator}"
        wanted = ("format", "pix_fmts=" + "|".join(PIXEL_FORMATS))
        links = (("buffer", source), *spec, wanted, ("buffersink", ""))
        try:
            self._ends = wired(links, threads)
        except FOREIGN as exc:
            for name, arguments in spec:
                check_options(name, arguments)
            why = reason(exc, lambda: wired(links, threads))
            raise FilterError(f"filter {self._text} cannot work on {info.width}x{info.height} pictures: {why}") from exc

    def run(self, frame: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        """Push one picture (None: the end), and yield what comes out."""
        try:
            self._ends.source.push(frame)
        except EOFError:
            # A filter (trim) has seen enough: nothing more comes out.
            return
        except FOREIGN as exc:
            raise FilterError(f"filter {self._text} failed: {exc}") from exc
        while True:
            try:
                made = self._ends.sink.pull()
            except (BlockingIOError, EOFError):
                return
            except FOREIGN as exc:
                raise FilterError(f"filter {self._text} failed: {exc}") from exc
            assert isinstance(made, av.VideoFrame)
            yield made


def check_options(name: str, arguments: str) -> None:
    """Raise ``FilterError`` where FFmpeg has no filter ``name``, or does not take these arguments of it."""
    try:
        av.filter.Graph().add(name, arguments)
    except FOREIGN as exc:
        if isinstance(exc, ValueError) and not isinstance(exc, av.FFmpegError):
            raise FilterError(f"FFmpeg has no filter {name!r} here; is it spelled right?") from exc
        why = reason(exc, lambda: av.filter.Graph().add(name, arguments))
        raise FilterError(f"filter {written([(name, arguments)])}: FFmpeg does not take these options: {why}") from exc


def wired(links: Spec, threads: int) -> _Ends:
    graph = av.filter.Graph()
    graph.threads = threads
    made = [graph.add(name, arguments) if arguments else graph.add(name) for name, arguments in links]
    for one, two in pairwise(made):
        one.link_to(two)
    graph.configure()
    return _Ends(graph, made[0], made[-1])


def written(spec: Spec) -> str:
    return ",".join(f"{name}={arguments}" if arguments else name for name, arguments in spec) or "null"


def blank_frame(info: StreamInfo) -> Frame:
    shapes = info.format.plane_shapes(info.width, info.height)
    if info.format.bits <= 8:
        return Frame(tuple(np.zeros(s, np.uint8) for s in shapes), info.format, 0, info.time_base, 0, info.color)
    return Frame(tuple(np.zeros(s, np.uint16) for s in shapes), info.format, 0, info.time_base, 0, info.color)


def color_out(made: av.VideoFrame, before: Color, info: StreamInfo) -> Color:
    """The tags of a filtered picture: what FFmpeg says, and what it cannot say as it was before."""
    target = target_format(made.format.name).family
    if target == "rgb":
        # The colour of an RGB Frame tells which YUV it came from.
        return before if info.format.family == "rgb" else resolve_color(before, info.width, info.height)
    after = color_of(made)
    if info.format.family == "rgb" and after.matrix in (RGB, UNSTATED):
        after = replace(after, matrix=SWSCALE_MATRIX, full_range=bool(after.full_range))
    return replace(after, chroma_location=after.chroma_location or before.chroma_location)
