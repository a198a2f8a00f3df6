"""One configured libavfilter graph around a linear chain of filters: the one place that builds and runs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

import av

Spec = Sequence[tuple[str, str]]
"""Filters in order, as (name, arguments in FFmpeg's syntax, or "")."""


class FilterGraph:
    """Frames in, frames out. Raises FFmpeg's own exceptions (``av_errors.FOREIGN``)."""

    def __init__(
        self, spec: Spec, first: av.VideoFrame, *, time_base: Fraction = Fraction(1), ratio: Fraction = Fraction(1),
        frame_rate: Fraction | None = None, threads: int = 0,
    ) -> None:  # fmt: skip
        """``first`` is like the frames that will come; ``ratio``: the shape of their pixels. ``threads``: 0 for one a
        core, as in ffmpeg."""
        source = (
            f"video_size={first.width}x{first.height}:pix_fmt={first.format.name}:time_base={time_base}"
            f":pixel_aspect={ratio.numerator}/{ratio.denominator}"
            f":colorspace={int(first.colorspace)}:range={int(first.color_range)}"
        )
        if frame_rate:
            source += f":frame_rate={frame_rate.numerator}/{frame_rate.denominator}"
        self._graph = graph = av.filter.Graph()
        graph.threads = threads
        links = (("buffer", source), *spec, ("buffersink", ""))
        contexts = [graph.add(name, arguments) if arguments else graph.add(name) for name, arguments in links]
        for one, two in pairwise(contexts):
            one.link_to(two)
        graph.configure()
        self._source, self._sink = contexts[0], contexts[-1]

    def run(self, frame: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        """Push one frame (None: the end), and yield what comes out."""
        try:
            self._source.push(frame)
        except EOFError:
            # A filter (trim) has seen enough: nothing more comes out.
            return
        while True:
            try:
                filtered = self._sink.pull()
            except (BlockingIOError, EOFError):
                return
            assert isinstance(filtered, av.VideoFrame)
            yield filtered
