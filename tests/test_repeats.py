"""Frames that repeat the one before get its result, bit for bit, and are not computed again."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamvsr.config import ModelOptions
from streamvsr.frames import PIXEL_FORMATS, Color, Frame, StreamInfo
from streamvsr.models import registry
from streamvsr.vsr.filter import VsrFilter
from streamvsr.vsr.repeats import PATIENCE, Repeats, same_frame
from tests.fakes import FakeModel, numbered

ONE_SCENE = ModelOptions(scene_threshold=0)


def info_of(frame: Frame, *, live: bool = False) -> StreamInfo:
    return StreamInfo(
        frame.width, frame.height, frame.format, frame.time_base, Fraction(25), color=frame.color, live=live
    )


def pushed(vsr: Repeats | VsrFilter, frames: list[Frame], *, live: bool = False) -> list[Frame]:
    vsr.configure(info_of(frames[0], live=live))
    out = [made for frame in frames for made in vsr.push(frame)] + list(vsr.flush())
    vsr.close()
    return out


def stream(counts: list[int], cuts: set[int] | None = None) -> list[Frame]:
    """Frame number n, ``counts[n]`` times; a scene begins with the first of each in ``cuts``."""
    frames: list[Frame] = []
    for number, count in enumerate(counts):
        for again in range(count):
            cut = number in (cuts or ()) and again == 0
            at = len(frames)
            # A copy: the decoder gives each frame in memory of its own.
            one = numbered(number, discontinuity=cut)
            frames.append(replace(one, planes=(one.planes[0].copy(),), pts=10 * at + at % 3))
    return frames


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 6).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1))),
    st.sampled_from(["carry", "window"]),
    st.lists(st.integers(1, 2), min_size=1, max_size=20),
    st.sets(st.integers(0, 19)),
)
def test_the_network_sees_the_video_without_its_repeats(
    sizes: tuple[int, int], mode: str, counts: list[int], cuts: set[int]
) -> None:
    def network() -> VsrFilter:
        # A memory and a look-ahead: every frame's result tells what the network has seen before and after it.
        model = FakeModel(max_seq_len=sizes[0], overlap=sizes[1], memory=300, ahead=1)
        return VsrFilter(model, ModelOptions(propagation=mode, scene_threshold=0))  # type: ignore[arg-type]

    # Shown twice at most, no more than 2 L + 1 frames wait: the network always has its look-ahead.
    frames = stream(counts, cuts)
    singles = pushed(network(), stream([1] * len(counts), cuts))
    out = pushed(Repeats(network()), frames)
    assert [f.pts for f in out] == [f.pts for f in frames]
    assert [f.duration for f in out] == [f.duration for f in frames]
    expected = [single for single, count in zip(singles, counts, strict=True) for _ in range(count)]
    for made, single in zip(out, expected, strict=True):
        np.testing.assert_array_equal(made.planes[0], single.planes[0])


@pytest.mark.parametrize("model", ["rt", "rt-real"])
def test_a_recurrent_networks_state_moves_once_for_each_frame_that_differs(model: str) -> None:
    generator = np.random.default_rng(0)
    small = [generator.integers(16, 236, (3, 4)).astype(np.uint8) for _ in range(6)]
    singles = [np.kron(one, np.ones((6, 6))).astype(np.uint8) for one in small]
    format = PIXEL_FORMATS["gray"]

    def video(counts: list[int]) -> list[Frame]:
        order = [n for n, count in enumerate(counts) for _ in range(count)]
        return [
            Frame((singles[n].copy(),), format, at, Fraction(1, 60), 1, Color(full_range=False))
            for at, n in enumerate(order)
        ]

    def network() -> VsrFilter:
        return VsrFilter(registry.load_model(registry.select(model)), ONE_SCENE)

    counts = [3, 2, 3, 2, 3, 2]  # 24 in 60
    once = pushed(network(), video([1] * 6))
    out = pushed(Repeats(network()), video(counts))
    expected = [one for one, count in zip(once, counts, strict=True) for _ in range(count)]
    assert [f.pts for f in out] == list(range(15))
    for made, single in zip(out, expected, strict=True):
        np.testing.assert_array_equal(made.planes[0], single.planes[0])
    # Without it each repeat moves the state, and the result with it.
    moved = pushed(network(), video(counts))
    assert any((a.planes[0] != b.planes[0]).any() for a, b in zip(moved, expected, strict=True))


def test_a_long_standstill_is_computed_once_and_does_not_hold_frames_back() -> None:
    model = FakeModel(max_seq_len=4, overlap=1, memory=300)
    vsr = Repeats(VsrFilter(model, ONE_SCENE))
    frames = stream([1, 1, 500, 1, 1])
    vsr.configure(info_of(frames[0]))
    held, most, out = 0, 0, []
    for frame in frames:
        made = list(vsr.push(frame))
        out += made
        held += 1 - len(made)
        most = max(most, held)
    out += list(vsr.flush())
    assert [f.pts for f in out] == [f.pts for f in frames]
    assert most <= PATIENCE * 4
    assert sum(call.new for call in model.log.calls) == 5, "each frame that differs is given to the network once"
    # One scene all the way: the state went on behind the standstill.
    assert [call.reset for call in model.log.calls] == [True] + [False] * (len(model.log.calls) - 1)
    assert int(out[-1].planes[0][0, 0]) == 4 + 4 * 300


def test_a_live_input_that_stands_still_waits_for_one_window_at_most() -> None:
    vsr = Repeats(VsrFilter(FakeModel(max_seq_len=4, overlap=1)))
    frames = stream([1, 30])
    vsr.configure(info_of(frames[0], live=True))
    waits = 0
    for frame in frames:
        waits += 1 - len(list(vsr.push(frame)))
        assert waits <= 4


def test_a_discontinuity_is_no_repeat() -> None:
    model = FakeModel(max_seq_len=4, overlap=1, memory=300)
    frames = [replace(numbered(7), pts=n, discontinuity=n == 2) for n in range(4)]
    out = pushed(Repeats(VsrFilter(model, ONE_SCENE)), frames)
    assert [f.discontinuity for f in out] == [False, False, True, False]
    assert [call.reset for call in model.log.calls] == [True, True]


def test_repeats_share_memory_with_their_first() -> None:
    out = pushed(Repeats(VsrFilter(FakeModel(max_seq_len=1, overlap=0), ONE_SCENE)), stream([3]))
    assert out[0].planes[0] is out[1].planes[0] is out[2].planes[0]


def test_one_sample_of_one_plane_tells_frames_apart() -> None:
    format = PIXEL_FORMATS["yuva420p10le"]
    rng = np.random.default_rng(1)
    planes = tuple(rng.integers(0, 1024, shape).astype(np.uint16) for shape in format.plane_shapes(16, 12))
    frame = Frame(planes, format, 0, Fraction(1, 25))
    assert same_frame(frame, replace(frame, planes=tuple(p.copy() for p in planes), pts=9))
    for number in range(len(planes)):
        other = [p.copy() for p in planes]
        other[number][-1, -1] ^= 1
        assert not same_frame(frame, replace(frame, planes=tuple(other)))
    assert not same_frame(frame, replace(frame, color=Color(full_range=True)))


def test_closing_half_way_closes_the_network() -> None:
    model = FakeModel(max_seq_len=2, overlap=0)
    vsr = Repeats(VsrFilter(model, ONE_SCENE))
    frames = stream([2, 2, 2])
    vsr.configure(info_of(frames[0]))
    for frame in frames[:2]:
        assert not list(vsr.push(frame))
    results = vsr.push(frames[2])
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert model.log.closed == 1
    vsr.close()
    assert torch.is_grad_enabled()
