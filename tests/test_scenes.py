"""Scenes: found one frame behind, in one pass; nothing of one scene reaches the next."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamvsr.frames import PIXEL_FORMATS, Color, Frame, StreamInfo
from streamvsr.vsr.filter import VsrFilter
from streamvsr.vsr.scenes import SceneDetector
from tests.fakes import FakeModel, numbered, vsr_filter
from tests.test_basicvsr import random_model

Picture = np.ndarray


def texture(seed: int, height: int = 90, width: int = 160) -> Picture:
    """Smooth random greys 30..220, larger than the frame so that it can be panned over."""
    rng = np.random.default_rng(seed)
    small = torch.from_numpy(rng.uniform(30, 220, (1, 1, 8, 13)))
    return torch.nn.functional.interpolate(small, size=(height + 40, width + 80), mode="bicubic")[0, 0].numpy()


def scene(seed: int, count: int, speed: int = 1, size: tuple[int, int] = (90, 160)) -> list[Picture]:
    big = texture(seed, *size)
    noise = np.random.default_rng(seed + 1000)
    pictures = []
    for i in range(count):
        at = (i * speed) % 80
        pictures.append(big[20 : 20 + size[0], at : at + size[1]] + noise.normal(0, 2, size))
    return pictures


def frames_of(pictures: list[Picture], name: str = "gray", cuts: set[int] | None = None) -> list[Frame]:
    format = PIXEL_FORMATS[name]
    found = []
    for i, picture in enumerate(pictures):
        codes = np.clip(picture * format.peak / 255, 0, format.peak).astype(format.dtype)
        planes = tuple(np.ascontiguousarray(codes[: s[0], : s[1]]) for s in format.plane_shapes(*codes.shape[::-1]))
        color = Color(matrix=1, full_range=True)
        found.append(Frame(planes, format, i, Fraction(1, 25), 1, color, discontinuity=i in (cuts or set())))
    return found


def begins(frames: list[Frame], threshold: float = 8.0) -> set[int]:
    detector = SceneDetector(threshold)
    found = {i - 1 for i, frame in enumerate(frames) if detector.push(frame)}
    return found | ({len(frames) - 1} if detector.last() else set())


@pytest.mark.parametrize("name", ["gray", "yuv420p10le", "gbrp", "gray16le"])
def test_cuts_are_found_in_every_kind_of_format(name: str) -> None:
    pictures = scene(1, 7) + scene(2, 5) + scene(3, 1) + scene(4, 6)
    # A scene of a single frame cannot be told from a flash but by its two cuts, which hide each other.
    assert begins(frames_of(pictures, name)) - {12, 13} == {7}
    assert begins(frames_of(scene(1, 7) + scene(2, 5) + scene(3, 2), name)) == {7, 12}


def test_a_cut_before_the_very_last_frame_and_after_the_first() -> None:
    assert begins(frames_of(scene(1, 5) + scene(2, 1))) == {5}
    assert begins(frames_of(scene(1, 1) + scene(2, 5))) == {1}
    assert begins(frames_of(scene(1, 1))) == set()


@pytest.mark.parametrize("speed", [1, 4, 9])
def test_pans_are_not_cuts(speed: int) -> None:
    assert begins(frames_of(scene(5, 9, speed))) == set()


def test_flashes_and_fades_are_not_cuts() -> None:
    flash = scene(6, 12)
    flash[5] = flash[5] * 2 + 60
    assert begins(frames_of(flash)) == set()
    fade = [p * max(0.0, 1 - i / 12) for i, p in enumerate(scene(7, 16))]
    assert begins(frames_of(fade)) == set()
    dissolve = [a * (1 - i / 12) + b * i / 12 for i, (a, b) in enumerate(zip(scene(8, 12), scene(9, 12), strict=True))]
    assert begins(frames_of(dissolve)) == set()


def test_restart_compares_with_nothing() -> None:
    detector = SceneDetector(8.0)
    for frame in frames_of(scene(1, 5)):
        assert not detector.push(frame)
    detector.restart()
    assert not any(detector.push(frame) for frame in frames_of(scene(2, 5)))
    assert not detector.last()


def run(vsr: VsrFilter, frames: list[Frame]) -> list[Frame]:
    first = frames[0]
    vsr.configure(StreamInfo(first.width, first.height, first.format, first.time_base, Fraction(25), color=first.color))
    out = [made for frame in frames for made in vsr.push(frame)] + list(vsr.flush())
    vsr.close()
    return out


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.integers(2, 9), min_size=1, max_size=4),
    st.integers(1, 6),
    st.sets(st.integers(1, 30), max_size=2),
    st.booleans(),
)
def test_frames_are_kept_and_windows_end_at_cuts(counts: list[int], length: int, gaps: set[int], carry: bool) -> None:
    pictures = [p for seed, count in enumerate(counts) for p in scene(seed, count)]
    frames = frames_of(pictures, "gray16le", cuts=gaps)
    for number, frame in enumerate(frames):
        frame.planes[0][0, 0] = number  # which the model reads
    edges = {sum(counts[:n]) for n in range(1, len(counts))}
    model = FakeModel(max_seq_len=length, overlap=length // 2)
    vsr = vsr_filter(model, scene_threshold=8.0, propagation="carry" if carry else "window")
    model_frames = run(vsr, frames)
    assert [f.pts for f in model_frames] == [f.pts for f in frames]
    assert all(np.array_equal(a.planes[0], b.planes[0]) for a, b in zip(frames, model_frames, strict=True))
    found = {i for i, frame in enumerate(model_frames) if frame.discontinuity}
    assert gaps & set(range(len(frames))) <= found
    # A gap hides what is right beside it: there is nothing to compare with.
    assert {edge for edge in edges if not gaps & {edge - 1, edge, edge + 1}} <= found
    assert found <= edges | gaps


def test_lookahead_counts_the_undecided_frame() -> None:
    vsr = vsr_filter(FakeModel(max_seq_len=4, overlap=1), scene_threshold=8.0)
    assert vsr.lookahead == 4
    frames = [numbered(i) for i in range(12)]
    vsr.configure(StreamInfo(frames[0].width, frames[0].height, frames[0].format, frames[0].time_base, Fraction(25)))
    for index, frame in enumerate(frames):
        for made in vsr.push(frame):
            assert index - made.pts // 10 <= vsr.lookahead


@pytest.mark.parametrize("propagation", ["carry", "window"])
def test_changing_one_scene_changes_no_bit_of_another(propagation: str) -> None:
    """A real network; scene B stays, what is before and after it does not."""
    model = random_model()
    middle = scene(2, 3, size=(64, 72))
    results = []
    for before, after in ((1, 3), (4, 5)):
        pictures = scene(before, 2, size=(64, 72)) + middle + scene(after, 2, size=(64, 72))
        vsr = vsr_filter(model, max_seq_len=2, overlap=1, propagation=propagation, scene_threshold=8.0)  # type: ignore[arg-type]
        results.append(run(vsr, frames_of(pictures)))
    one, two = results
    assert [i for i, f in enumerate(one) if f.discontinuity] == [2, 5]
    for a, b in zip(one[2:5], two[2:5], strict=True):
        assert np.array_equal(a.planes[0], b.planes[0])
    assert not np.array_equal(one[1].planes[0], two[1].planes[0])


def test_models_of_single_frames_need_no_scenes() -> None:
    model = FakeModel(max_seq_len=1, overlap=0)
    model.info = replace(model.info, temporal=False)
    assert vsr_filter(model, scene_threshold=8.0).lookahead == 0
