"""Frames of 256 colours, each with its own: FFmpeg's ``palettegen`` and ``paletteuse``, frame by frame.

One palette for a whole clip would need all its frames before the first is written. Ordered dithering, because error
diffusion makes still areas crawl, which costs bytes too.
"""

from __future__ import annotations

from fractions import Fraction

import av

PALETTE = "pal8"
"""FFmpeg's pixel format of an index into 256 colours."""

SAMPLES = "bgra"
"""What the filters take."""

FIND = "stats_mode=single"
USE = "new=1:dither=bayer:bayer_scale=4"


class Palettes:
    """One frame in (``SAMPLES``), one out (``PALETTE``), of one size."""

    def __init__(self, width: int, height: int) -> None:
        self._graph = graph = av.filter.Graph()
        source = graph.add("buffer", f"video_size={width}x{height}:pix_fmt={SAMPLES}:time_base=1/1:pixel_aspect=1/1")
        split, find, use = graph.add("split"), graph.add("palettegen", FIND), graph.add("paletteuse", USE)
        sink = graph.add("buffersink")
        source.link_to(split)
        split.link_to(use, 0, 0)
        split.link_to(find, 1, 0)
        find.link_to(use, 0, 1)
        use.link_to(sink)
        graph.configure()
        self._source, self._sink = source, sink
        self._count = 0

    def __call__(self, av_frame: av.VideoFrame) -> av.VideoFrame:
        pts, time_base = av_frame.pts, av_frame.time_base
        av_frame.pts, av_frame.time_base = self._count, Fraction(1)
        self._count += 1
        self._source.push(av_frame)
        made = self._sink.pull()
        assert isinstance(made, av.VideoFrame)
        made.pts, made.time_base = pts, time_base
        return made
