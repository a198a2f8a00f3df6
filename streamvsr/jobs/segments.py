"""Where a run is cut: a fast pass over the input that decodes a few seconds around each border.

::

    border (every 60 s)                 |
    looked at                   [-------+-------]        REACH_SECONDS on both sides, decoded
    scenes, key frames            k   s    k  s
    the segment begins                s                  with the nearest scene, else the nearest key frame

A network begins anew with a scene in any case, so a cut there needs no context and changes nothing. Elsewhere the
network's own context is run before the segment. Each segment is given the key frame that its context is decoded from.

Where a network can be put into the phase that it has in a run through everything, all frames are decoded instead, and
a cut changes nothing anywhere (see ``vsr.trace``). Such networks take a hundred times as long as decoding.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import closing
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

from streamvsr.frames import Frame
from streamvsr.jobs.plan import Segment
from streamvsr.media.demux.base import Source
from streamvsr.media.demux.frame_index import CannotSeekError, FrameIndex

if TYPE_CHECKING:
    from streamvsr.vsr.trace import Tracer

REACH_SECONDS = Fraction(4)
"""How far from its border a segment may begin; never further than a quarter of the way to the next."""


def plan_segments(
    open_input: Callable[[], Source], borders: Sequence[Fraction], context: tuple[int, int], scene_threshold: float,
    tracer: Tracer | None = None,
) -> tuple[tuple[Segment, ...], str]:  # fmt: skip
    """The segments of an input, and why they cannot be begun by seeking (nothing where they can).

    ``borders``: seconds, increasing. ``context``: what the network needs, in frames (before, behind).
    ``scene_threshold``: see ``SceneDetector``; 0 looks for no scenes. ``tracer``: of a network that can be
    exact. Raises ``SourceError``.
    """
    if tracer is not None and borders:
        with closing(open_input()) as source:
            tracer.run(item for item in source if isinstance(item, Frame))
    with closing(open_input()) as source:
        time_base = source.info.video.time_base
        try:
            index = source.frame_index()
            cuts = _cuts(source, index, borders, scene_threshold, tracer)
        except CannotSeekError as error:
            cuts = [(ceil(border / time_base), False) for border in borders]
            return _segments(cuts, context, None, tracer), str(error)
        return _segments(cuts, context, index, tracer), ""


def _segments(
    cuts: Sequence[tuple[int, bool]], context: tuple[int, int], index: FrameIndex | None, tracer: Tracer | None
) -> tuple[Segment, ...]:
    starts: list[int | None] = [None, *(at for at, _ in cuts)]
    scenes = [False, *(scene for _, scene in cuts)]
    needs = [_context(start, scene, context, tracer) for start, scene in zip(starts, scenes, strict=True)]
    segments = []
    for number, start in enumerate(starts):
        last = number + 1 == len(starts)
        (before, phase, seen), after = needs[number][:3], 0 if last else needs[number + 1][3]
        entry = None if index is None or start is None else index.entry(start, before)
        end = None if last else starts[number + 1]
        leave = None if index is None or end is None else index.exit(end, after)
        segments.append(Segment(start, end, before, after, entry, leave, scenes[number], phase, seen))
    return tuple(segments)


def _context(
    start: int | None, scene: bool, context: tuple[int, int], tracer: Tracer | None
) -> tuple[int, int, int, int]:
    """(before, number, seen, after) of a cut: see ``Segment``; ``after`` is for the segment before it."""
    if start is None:
        return 0, 0, 0, 0
    if tracer is not None and (found := tracer.context(start)) is not None:
        return found.before, found.number, found.seen, found.after
    return (0, 0, 0, 0) if scene else (context[0], 0, 0, context[1])


def _cuts(
    source: Source, index: FrameIndex, borders: Sequence[Fraction], scene_threshold: float, tracer: Tracer | None
) -> list[tuple[int, bool]]:
    """(tick, whether a scene begins there) near each border; none twice, and none without a frame."""
    cuts: list[tuple[int, bool]] = []
    for number, border in enumerate(borders):
        step = border - (borders[number - 1] if number else 0)
        at, reach = ceil(border / index.time_base), int(min(REACH_SECONDS, step / 4) / index.time_base)
        if tracer is not None:
            scenes = tracer.scenes[bisect_left(tracer.scenes, at - reach) : bisect_left(tracer.scenes, at + reach + 1)]
        else:
            scenes = _scenes(source, index, at - reach, at + reach, scene_threshold) if scene_threshold > 0 else []
        keys = index.keys[bisect_left(index.keys, at - reach) : bisect_left(index.keys, at + reach + 1)]
        frames = index.pts[bisect_left(index.pts, at) :][:1]
        candidates = scenes or keys or frames
        if not candidates:
            break
        best = min(candidates, key=lambda tick: abs(tick - at))
        if best > (cuts[-1][0] if cuts else index.pts[0]):
            cuts.append((best, bool(scenes)))
    return cuts


def _scenes(source: Source, index: FrameIndex, first: int, last: int, threshold: float) -> list[int]:
    """The frames from tick ``first`` to ``last`` with which a scene begins."""
    entry = index.entry(first, 2)
    if entry is None:
        return []
    from streamvsr.vsr.scenes import SceneDetector  # OpenCV, which most runs that are no jobs can do without

    source.begin_at(entry)
    detector, found = SceneDetector(threshold), []
    previous: Frame | None = None
    # A scene is detected from the frames around its first one.
    begin = index.pts[max(0, bisect_left(index.pts, first) - 2)]
    for item in source:
        if not isinstance(item, Frame) or item.pts < begin:
            continue
        if detector.push(item) and previous is not None and first <= previous.pts <= last:
            found.append(previous.pts)
        previous = item
        if item.pts > last:
            break
    return found
