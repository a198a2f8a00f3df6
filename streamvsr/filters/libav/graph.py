"""FFmpeg's own filters as a link of our chain: one libavfilter graph around a linear chain of them. No torch in here.

PyAV says nothing of what lies between two filters, so ``configure`` learns it from scratch graphs that are fed blank
pictures: the size, the format and the time base from what comes out, the frame rate and the sample aspect ratio from
expressions that can see them (``setpts=FR`` and ``scale=w=f(sar)``), as the output's time stamp and size. Filters that
choose among pictures let all of them pass there: what they wait for may never come in blank ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
from av.filter.context import FilterContext

from streamvsr.errors import FilterError
from streamvsr.filters.base import Filter
from streamvsr.filters.libav.reason import reason
from streamvsr.frames import PIXEL_FORMATS, Color, Frame, StreamInfo
from streamvsr.media.av_errors import FOREIGN
from streamvsr.media.av_frames import RGB, UNSTATED, as_av, color_of, from_av, resolve_color, target_format, to_av

Spec = Sequence[tuple[str, str]]
"""Filters in order, as (name, arguments in FFmpeg's syntax, or "")."""

SCRATCH_FRAMES = 16
SCRATCH_SECONDS = (100, 1000, 10_000)
"""So many blank pictures, a frame apart, are tried, and then some at these times (``fps=1/60`` waits for a minute),
before a chain is taken to give none."""

CHOOSING = {"select": "1", "trim": None}
"""Filters that drop pictures and change nothing else, with the arguments that let all pass (None: left out)."""

UNCOUNTABLE = frozenset({*CHOOSING, "decimate", "fieldmatch", "freezeframes", "loop", "thumbnail", "tile", "tpad"})
"""Filters behind which it is not known beforehand how many pictures there will be."""

SWSCALE_MATRIX = 6
"""What swscale makes of RGB where nobody says (BT.601)."""

_RATE_UNIT = 10**9
_RATE_MAX_DENOMINATOR = 2002
_SAR_STEPS, _SAR_FINE_STEPS = 64, 1023
_PROBE = (
    ("setpts", f"FR*{_RATE_UNIT}"),
    ("scale", f"w=1+floor(min(sar\\,60)*{_SAR_STEPS}):h=1+floor(mod(sar*{_SAR_STEPS}\\,1)*{_SAR_FINE_STEPS})"),
)


class LibavFilter(Filter):
    """A linear chain of libavfilter filters, e.g. ``LibavFilter([("fps", "fps=25"), ("scale", "w=640:h=360")])``.

    Time stamps are those that the filters give, in the time base that they give. Frames may be dropped and repeated
    where that is a filter's purpose (``fps``). Where a duration is not known, the nominal one is stated. A
    discontinuity is passed on, to the first picture that is not before it; filters with a memory of their own do not
    know of it. Pictures have to keep the size and format of ``configure``, going in and coming out.

    Raises ``FilterError``, naming the filter, for names, options and pictures that FFmpeg does not take.
    """

    def __init__(self, spec: Spec) -> None:
        self.name = "+".join(name for name, _ in spec) or "null"
        self._spec = list(spec)
        self._graph: _Graph | None = None
        self._info: StreamInfo | None = None
        self._size = (0, 0)  # of what comes out
        self._color = Color()
        self._cuts: deque[Fraction] = deque()
        self._last_pts: int | None = None

    def __repr__(self) -> str:
        return f"LibavFilter({_written(self._spec)})"

    def configure(self, info: StreamInfo) -> StreamInfo:
        blank = _blank(info)
        self._info, self._color = info, info.color
        made, self.lookahead = self._scratch(info, blank, ())
        rate, ratio = self._rate_and_aspect(info, blank, made)
        first, self._size = self._frame(made, 0), (made.width, made.height)
        # The last of the graphs: some filters open files, and a later scratch graph would empty them again.
        self._graph = _Graph(self._spec, info, to_av(blank))
        hint = None if any(name in UNCOUNTABLE for name, _ in self._spec) else info.frames_hint
        if hint is not None and rate != info.frame_rate:
            hint = round(hint * rate / info.frame_rate) if rate and info.frame_rate else None
        return replace(
            info,
            width=made.width,
            height=made.height,
            format=first.format,
            time_base=first.time_base,
            frame_rate=rate,
            sample_aspect_ratio=ratio,
            color=first.color,
            frames_hint=hint,
        )

    def push(self, frame: Frame) -> Iterator[Frame]:
        graph, info = self._ready()
        found = (frame.width, frame.height, frame.format, frame.time_base)
        if found != (info.width, info.height, info.format, info.time_base):
            raise FilterError(
                f"filter {_written(self._spec)} was set up for {info.width}x{info.height} {info.format.name} in"
                f" {info.time_base}, but the picture at {float(frame.seconds):.3f} s is {frame!r}"
            )
        if frame.discontinuity:
            self._cuts.append(frame.seconds)
        self._color = frame.color
        made = as_av(frame)
        # libavfilter ends the stream where the last picture ends: without a duration, `fps` would lose that picture.
        made.duration = frame.duration or self._nominal(frame)
        self._last_pts = frame.pts
        return self._drain(graph, made)

    def flush(self) -> Iterator[Frame]:
        return self._drain(self._ready()[0], None)

    def close(self) -> None:
        self._graph = None

    def _nominal(self, frame: Frame) -> int:
        rate = self._info.frame_rate if self._info else None
        if rate:
            return max(1, round(1 / rate / frame.time_base))
        return max(0, frame.pts - (frame.pts if self._last_pts is None else self._last_pts))

    def _ready(self) -> tuple[_Graph, StreamInfo]:
        if self._graph is None or self._info is None:
            raise RuntimeError("LibavFilter.configure has to be called before the first frame")
        return self._graph, self._info

    def _drain(self, graph: _Graph, made: av.VideoFrame | None) -> Iterator[Frame]:
        for out in graph.run(made):
            if out.pts is None:
                raise FilterError(f"filter {_written(self._spec)} gave a picture without a time stamp")
            frame = self._frame(out, out.pts)
            if (frame.width, frame.height) != self._size:
                size = "{}x{}".format(*self._size)
                raise FilterError(
                    f"filter {_written(self._spec)} gave a picture of {frame.width}x{frame.height}"
                    f" after those of {size}: put scale={size} behind it"
                )
            if self._cuts and frame.seconds >= self._cuts[0]:
                while self._cuts and frame.seconds >= self._cuts[0]:
                    self._cuts.popleft()
                frame = replace(frame, discontinuity=True)
            yield frame

    def _frame(self, made: av.VideoFrame, pts: int) -> Frame:
        assert self._info is not None
        assert made.time_base is not None
        color = _color_out(made, self._color, self._info)
        return from_av(made, pts=pts, time_base=made.time_base, duration=int(made.duration or 0), color=color)

    def _scratch(self, info: StreamInfo, blank: Frame, probe: Spec) -> tuple[av.VideoFrame, int]:
        """The first picture that the chain gives, and how many pictures after the first it took."""
        spec = [(name, CHOOSING.get(name, given)) for name, given in self._spec]
        passing = [(name, given) for name, given in spec if given is not None]
        graph = _Graph([*passing, *probe], info, to_av(blank), named=self._spec, threads=1)
        step = 1 / (info.frame_rate or Fraction(25)) / info.time_base
        moments = [fed * step for fed in range(SCRATCH_FRAMES)] + [fed / info.time_base for fed in SCRATCH_SECONDS]
        for fed, moment in enumerate(moments):
            made = to_av(replace(blank, pts=round(moment)))
            made.duration = max(1, round(step))
            for out in graph.run(made):
                return out, fed
        for out in graph.run(None):
            return out, fed
        raise FilterError(f"filter {_written(self._spec)} gives no picture after {fed} of them")

    def _rate_and_aspect(self, info: StreamInfo, blank: Frame, made: av.VideoFrame) -> tuple[Fraction | None, Fraction]:
        probe, _ = self._scratch(info, blank, _PROBE)
        rate = None
        if probe.pts is not None and probe.pts > 0:
            rate = Fraction(probe.pts, _RATE_UNIT).limit_denominator(_RATE_MAX_DENOMINATOR)
        ratio = (Fraction(probe.width - 1) + Fraction(probe.height - 1, _SAR_FINE_STEPS)) / _SAR_STEPS
        # A filter leaves it alone, keeps the picture's shape (scale), or states a simple one (setsar).
        same = info.sample_aspect_ratio
        shape = same * Fraction(made.height * info.width, made.width * info.height)
        for likely in (same, shape):
            if abs(likely - ratio) < Fraction(2, _SAR_STEPS * _SAR_FINE_STEPS):
                return rate, likely
        return rate, ratio.limit_denominator(100) or Fraction(1)


@dataclass(frozen=True, slots=True)
class _Ends:
    graph: av.filter.Graph
    source: FilterContext
    sink: FilterContext


class _Graph:
    """A configured libavfilter graph; its output is always in a format of ``frames.PIXEL_FORMATS``."""

    def __init__(
        self, spec: Spec, info: StreamInfo, first: av.VideoFrame, named: Spec | None = None, threads: int = 0
    ) -> None:
        """``threads``: 0 for one a core, as in ffmpeg."""
        self._text = _written(spec if named is None else named)
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
            self._ends = _wired(links, threads)
        except FOREIGN as exc:
            for name, arguments in spec:
                check_options(name, arguments)
            why = reason(exc, lambda: _wired(links, threads))
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
        raise FilterError(f"filter {_written([(name, arguments)])}: FFmpeg does not take these options: {why}") from exc


def _wired(links: Spec, threads: int) -> _Ends:
    graph = av.filter.Graph()
    graph.threads = threads
    made = [graph.add(name, arguments) if arguments else graph.add(name) for name, arguments in links]
    for one, two in pairwise(made):
        one.link_to(two)
    graph.configure()
    return _Ends(graph, made[0], made[-1])


def _written(spec: Spec) -> str:
    return ",".join(f"{name}={arguments}" if arguments else name for name, arguments in spec) or "null"


def _blank(info: StreamInfo) -> Frame:
    shapes = info.format.plane_shapes(info.width, info.height)
    if info.format.bits <= 8:
        return Frame(tuple(np.zeros(s, np.uint8) for s in shapes), info.format, 0, info.time_base, 0, info.color)
    return Frame(tuple(np.zeros(s, np.uint16) for s in shapes), info.format, 0, info.time_base, 0, info.color)


def _color_out(made: av.VideoFrame, before: Color, info: StreamInfo) -> Color:
    """The tags of a filtered picture: what FFmpeg says, and what it cannot say as it was before."""
    target = target_format(made.format.name).family
    if target == "rgb":
        # The colour of an RGB Frame tells which YUV it came from.
        return before if info.format.family == "rgb" else resolve_color(before, info.width, info.height)
    after = color_of(made)
    if info.format.family == "rgb" and after.matrix in (RGB, UNSTATED):
        after = replace(after, matrix=SWSCALE_MATRIX, full_range=bool(after.full_range))
    return replace(after, chroma_location=after.chroma_location or before.chroma_location)
