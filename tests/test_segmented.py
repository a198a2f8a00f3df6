"""The temporal filter cut at given times: whoever begins at a cut gives what one that went through gives."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamvsr.frames import PIXEL_FORMATS, Frame, StreamInfo
from streamvsr.models import registry
from streamvsr.models.base import Model
from streamvsr.vsr.repeats import Repeats
from streamvsr.vsr.segmented import SegmentedVsr
from tests.fakes import FakeModel, numbered, vsr_filter

BASE = Fraction(1, 1000)
GRAY = PIXEL_FORMATS["gray"]


@cache
def rt() -> Model:
    return registry.load_model(registry.select("rt"))


def segmented(
    cuts: list[int],
    *,
    start: int | None = None,
    end: int | None = None,
    context: tuple[int, int] = (3, 1),
    **given: Any,
) -> SegmentedVsr:
    model = given.pop("model", None) or rt()
    vsr = Repeats(vsr_filter(model, **given))
    made = SegmentedVsr(vsr)
    made.cut(
        [(cut * BASE, *context) for cut in cuts],
        start=None if start is None else start * BASE,
        end=None if end is None else end * BASE,
    )
    return made


def noise(stamps: list[int]) -> list[Frame]:
    draw = np.random.default_rng(0)
    return [Frame((draw.integers(0, 256, (12, 16), np.uint8),), GRAY, pts, BASE) for pts in stamps]


def run(vsr: SegmentedVsr, frames: list[Frame]) -> list[Frame]:
    first = frames[0]
    vsr.configure(StreamInfo(first.width, first.height, first.format, BASE, Fraction(25), color=first.color))
    made = [out for frame in frames for out in vsr.push(frame)]
    return [*made, *vsr.flush()]


def same(one: list[Frame], other: list[Frame]) -> bool:
    return [f.pts for f in one] == [f.pts for f in other] and all(
        np.array_equal(a, b) for f, g in zip(one, other, strict=True) for a, b in zip(f.planes, g.planes, strict=True)
    )


stamps = st.lists(st.integers(1, 80), min_size=4, max_size=30).map(lambda gaps: list(np.cumsum([0, *gaps])))


@settings(max_examples=40)
@given(st.data(), stamps, st.sampled_from(["carry", "window"]))
def test_a_part_is_that_part_of_the_whole_bit_for_bit(data: st.DataObject, stamps: list[int], propagation: str) -> None:
    """VFR, cuts on, before and behind frames and in gaps, any context."""
    stamps = [int(s) for s in stamps]
    last = stamps[-1]
    around = st.one_of(st.sampled_from(stamps), st.sampled_from(stamps).map(lambda s: s + 1), st.integers(1, last + 5))
    cuts = sorted(data.draw(st.sets(around.filter(lambda cut: cut > 0), min_size=1, max_size=4)))
    context = data.draw(st.tuples(st.integers(0, 6), st.integers(0, 3)))
    given = {"propagation": propagation, "max_seq_len": 3, "overlap": 1, "context": context, "scene_threshold": 8.0}
    frames = noise(stamps)
    whole = run(segmented(cuts, **given), frames)
    assert [f.pts for f in whole] == stamps
    for cut in cuts:
        # A worker or a resumed run: it needs no frame before the context.
        begin = max(0, sum(s < cut for s in stamps) - context[0])
        if begin == len(frames):
            continue
        part = run(segmented(cuts, start=cut, **given), frames[begin:])
        assert same(part, [f for f in whole if f.pts >= cut])
        # And one segment alone, from the frames that it needs.
        end = next((other for other in cuts if other > cut), None)
        if end is not None:
            behind = sum(s < end for s in stamps) + context[1]
            part = run(segmented(cuts, start=cut, end=end, **given), frames[begin:behind])
            assert same(part, [f for f in whole if cut <= f.pts < end])


def test_no_frame_before_the_context_is_seen_behind_a_cut() -> None:
    model = FakeModel(max_seq_len=4, overlap=1)
    vsr = segmented([], model=model)
    frames = [numbered(n) for n in range(12)]
    vsr.cut([(frames[8].seconds, 2, 1)])
    made = run(vsr, frames)
    assert [int(f.planes[0][0, 0]) for f in made] == list(range(12))
    windows = [call.frames for call in model.log.calls]
    crossing = next(n for n, call in enumerate(windows) if 8 in call)
    assert windows[crossing][-1] == 8, "the segment before sees one frame behind the cut"
    assert windows[crossing + 1][0] == 6, "the one behind it two frames before it"
    assert model.log.calls[crossing + 1].reset


def test_one_frame_networks_need_no_context() -> None:
    bicubic = registry.load_model(registry.select("bicubic"))
    assert vsr_filter(bicubic).context == (0, 0)


def test_a_cut_between_two_scenes_changes_nothing() -> None:
    """The network forgets there anyway."""
    draw = np.random.default_rng(1)
    scenes = [draw.integers(0, 256, (48, 64), np.uint8) for _ in range(2)]
    frames = [
        Frame((np.roll(scenes[n // 10], n, axis=1),), GRAY, 40 * n, BASE) for n in range(20)
    ]  # fmt: skip
    given: dict[str, Any] = {"scene_threshold": 8.0}
    uncut = run(segmented([], **given), frames)
    assert same(run(segmented([400], context=(5, 2), **given), frames), uncut)
