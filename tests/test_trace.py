"""Segments of networks whose state is bounded: the frames of a run without a cut, bit for bit, wherever it is cut."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamvsr.frames import PIXEL_FORMATS, Frame, StreamInfo
from streamvsr.models import nanovsr, registry
from streamvsr.models.base import Model
from streamvsr.models.basicvsr import session as basicvsr_session
from streamvsr.models.basicvsr.cleaning import RefineRule
from streamvsr.vsr.repeats import Repeats
from streamvsr.vsr.segmented import Cut, SegmentedVsr
from streamvsr.vsr.trace import Tracer
from tests import test_basicvsr, test_basicvsr_pp, test_nanovsr
from tests.fakes import FakeModel, vsr_filter
from tests.test_segmented import run, same

BASE = Fraction(1, 1000)
GBRP = PIXEL_FORMATS["gbrp"]

MODELS: dict[str, Callable[[], Model]] = {
    "basicvsr": lambda: test_basicvsr.random_model(cleaning=False),
    "realbasicvsr": lambda: test_basicvsr.random_model(rule=RefineRule(1.0)),
    "basicvsr_pp": test_basicvsr_pp.random_model,
    "nanovsr": lambda: nanovsr.load(test_nanovsr.training_weights(), {}),
}


@pytest.fixture(autouse=True, scope="module")
def one_at_a_time() -> object:
    """Batches of another size round differently; frames of ordinary sizes make batches of one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(basicvsr_session, "BATCH_PIXELS_CPU", 1)
        yield


@cache
def video(seed: int) -> tuple[Frame, ...]:
    """Scenes that move, with frames that repeat, for long in one place, at times that vary."""
    draw = np.random.default_rng(seed)
    frames: list[Frame] = []
    pts = 0
    for scene in range(3):
        background = np.kron(draw.integers(0, 256, (3, 12, 12), np.uint8), np.ones((1, 8, 8), np.uint8))
        for n in range(int(draw.integers(12, 22))):
            planes = tuple(np.roll(plane, n, axis=1)[:64, :64] for plane in background)
            still = scene == 1 and n == 9
            for _ in range(60 if still else int(draw.integers(1, 3)) if seed % 2 else 1):
                frames.append(Frame(planes, GBRP, pts, BASE))
                pts += int(draw.integers(1, 80))
    return tuple(frames)


def made(model: Model, propagation: str = "carry", max_history: int | None = 10) -> SegmentedVsr:
    given = {"max_seq_len": 5, "overlap": 2, "max_history": max_history, "scene_threshold": 8.0}
    return SegmentedVsr(Repeats(vsr_filter(model, propagation=propagation, **given)))


@cache
def uncut(name: str, seed: int, propagation: str) -> tuple[list[Frame], Tracer]:
    vsr = made(MODELS[name](), propagation)
    frames = list(video(seed))
    whole = run(vsr, frames)
    tracer = vsr.network.tracer()
    assert tracer is not None
    tracer.run(frames)
    assert len(tracer.scenes) >= 2, "the clip's scenes are found"
    return whole, tracer


CASES = [(name, "carry") for name in MODELS] + [("basicvsr", "window")]


@pytest.mark.parametrize(("name", "propagation"), CASES)
def test_a_cut_changes_nothing(name: str, propagation: str) -> None:
    @settings(max_examples=2, deadline=None)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        seed = 1
        whole, tracer = uncut(name, seed, propagation)
        frames = list(video(seed))
        last = frames[-1].pts
        ticks = sorted(data.draw(st.sets(st.integers(1, last), min_size=1, max_size=2)))
        cuts = []
        for tick in ticks:
            context = tracer.context(tick)
            assert context is not None
            cuts.append(Cut(tick * BASE, *context))
        vsr = made(MODELS[name](), propagation)
        vsr.cut(cuts)
        assert same(run(vsr, frames), whole)
        # A worker has one segment's frames and no others.
        cut, end = cuts[0], cuts[1] if len(cuts) > 1 else None
        first = sum(f.seconds < cut.seconds for f in frames)
        stop = len(frames) if end is None else sum(f.seconds < end.seconds for f in frames) + end.after
        vsr = made(MODELS[name](), propagation)
        vsr.cut(cuts, start=cut.seconds, end=None if end is None else end.seconds)
        wanted = [f for f in whole if f.seconds >= cut.seconds and (end is None or f.seconds < end.seconds)]
        assert same(run(vsr, frames[max(0, first - cut.before) : stop]), wanted)

    check()


def test_the_phase_matters() -> None:
    """Without it, the same context gives other frames."""
    whole, tracer = uncut("basicvsr", 0, "carry")
    frames = list(video(0))

    def differs(tick: int) -> bool:
        context = tracer.context(tick)
        assert context is not None
        if not context.number:
            return False
        vsr = made(MODELS["basicvsr"]())
        vsr.cut([Cut(tick * BASE, context.before, context.after, 0, context.seen)])
        return not same(run(vsr, frames), whole)

    assert any(differs(frames[n].pts) for n in range(14, 24))


def test_a_long_scene_needs_a_bounded_context() -> None:
    tracer = vsr_filter(test_basicvsr.random_model(), max_seq_len=24, overlap=8, scene_threshold=8.0)
    tracer.configure(StreamInfo(64, 64, GBRP, BASE, Fraction(25)))
    traced = tracer.tracer()
    assert traced is not None
    frame = video(0)[0]
    traced.run(
        Frame((np.full((64, 64), n % 200, np.uint8),) * 3, frame.format, 40 * n, BASE) for n in range(400)
    )  # fmt: skip
    contexts = [traced.context(40 * n) for n in range(60, 390)]
    assert all(c is not None for c in contexts)
    assert max(c.before for c in contexts if c) <= 10 + 19 + 16 + 2
    assert max(c.after for c in contexts if c) <= 25


def test_networks_without_a_bound_have_no_exact_frame() -> None:
    for vsr in (
        made(test_basicvsr.random_model(), max_history=0),
        made(FakeModel(max_seq_len=5, overlap=2)),
        made(registry.load_model(registry.select("bicubic"))),
        made(test_basicvsr.random_model(rule=RefineRule(1.0, "window"))),
    ):
        vsr.configure(StreamInfo(64, 64, GBRP, BASE, Fraction(25)))
        assert vsr.network.tracer() is None
