"""Properties of the window plans, and the drawn examples of the module's docstring."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamvsr.errors import UsageError
from streamvsr.vsr.windows import Step, Windows

pytestmark = pytest.mark.io


def plan(windows: Windows, scenes: list[int]) -> list[Step]:
    """All steps of a stream made of scenes of these lengths; checks retention on the way."""
    steps: list[Step] = []
    count = 0
    for scene in scenes:
        for _ in range(scene):
            retained_before = windows.retain_from
            step = windows.push()
            count += 1
            if step is not None:
                assert step.start >= retained_before
                assert count - retained_before <= windows.max_seq_len + 1
                steps.append(step)
            assert count - windows.retain_from <= windows.max_seq_len
        retained_before = windows.retain_from
        step = windows.cut()
        if step is not None:
            assert step.start >= retained_before
            steps.append(step)
        assert windows.retain_from == count
        assert windows.cut() is None
    return steps


def scene_bounds(scenes: list[int]) -> list[tuple[int, int]]:
    bounds, start = [], 0
    for scene in scenes:
        bounds.append((start, start + scene))
        start += scene
    return bounds


@st.composite
def plans(draw: st.DrawFn) -> tuple[int, int, str, list[int]]:
    length = draw(st.integers(1, 12))
    overlap = draw(st.integers(0, length - 1))
    mode = draw(st.sampled_from(["carry", "window"]))
    return length, overlap, mode, draw(st.lists(st.integers(0, 40), min_size=1, max_size=4))


@settings(deadline=None)
@given(plans())
def test_every_frame_is_kept_once_in_order_and_nothing_crosses_a_cut(case: tuple[int, int, str, list[int]]) -> None:
    length, overlap, mode, scenes = case
    steps = plan(Windows(length, overlap, mode), scenes)  # type: ignore[arg-type]
    assert [i for s in steps for i in range(s.keep_start, s.keep_stop)] == list(range(sum(scenes)))
    for step in steps:
        assert step.start <= step.keep_start < step.keep_stop <= step.stop
        assert 1 <= step.stop - step.start <= length
        assert any(a <= step.start and step.stop <= b for a, b in scene_bounds(scenes))


@settings(deadline=None)
@given(plans())
def test_carry_begins_where_the_last_window_stopped_keeping(case: tuple[int, int, str, list[int]]) -> None:
    length, overlap, _, scenes = case
    steps = plan(Windows(length, overlap, "carry"), scenes)
    starts = {a for a, _ in scene_bounds(scenes)}
    ends = {b for _, b in scene_bounds(scenes)}
    kept = 0
    for step in steps:
        assert step.start == step.keep_start == kept
        assert step.reset == (step.start in starts)
        if step.keep_stop not in ends:
            assert step.stop - step.keep_stop >= overlap
        kept = step.keep_stop


@settings(deadline=None)
@given(plans())
def test_independent_windows_give_context_on_both_sides(case: tuple[int, int, str, list[int]]) -> None:
    length, overlap, _, scenes = case
    steps = plan(Windows(length, overlap, "window"), scenes)
    assert all(step.reset for step in steps)
    for a, b in scene_bounds(scenes):
        inside = [s for s in steps if a <= s.start and s.stop <= b and s.stop > s.start]
        for step in inside:
            assert step.keep_start == a or step.keep_start - step.start >= overlap // 2
            assert step.keep_stop == b or step.stop - step.keep_stop >= overlap - overlap // 2
            if overlap and b - a >= length:
                assert step.stop - step.start == length
        assert len({s.start for s in inside}) == len(inside)  # no window is run twice


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(0, 60))
def test_overlap_0_makes_the_chunks_of_the_original_script(length: int, frames: int) -> None:
    chunks = [(i, min(i + length, frames)) for i in range(0, frames, length)]
    assert [(s.start, s.stop) for s in plan(Windows(length, 0, "window"), [frames])] == chunks


@settings(deadline=None)
@given(plans())
def test_lookahead_is_reached_and_never_exceeded(case: tuple[int, int, str, list[int]]) -> None:
    length, overlap, mode, _ = case
    windows = Windows(length, overlap, mode)  # type: ignore[arg-type]
    waits = []
    for arrived in range(60):
        step = windows.push()
        if step is not None:
            waits.append(arrived - step.keep_start)
    assert max(waits) == windows.lookahead


def test_drawn_examples() -> None:
    assert plan(Windows(5, 2, "carry"), [11]) == [
        Step(0, 5, 0, 3, True),
        Step(3, 8, 3, 6, False),
        Step(6, 11, 6, 9, False),
        Step(9, 11, 9, 11, False),
    ]
    assert plan(Windows(4, 0, "window"), [10]) == [
        Step(0, 4, 0, 4, True),
        Step(4, 8, 4, 8, True),
        Step(8, 10, 8, 10, True),
    ]
    assert plan(Windows(5, 2, "window"), [9]) == [
        Step(0, 5, 0, 4, True),
        Step(3, 8, 4, 7, True),
        Step(4, 9, 7, 9, True),
    ]
    assert Step(4, 9, 7, 9, True).keep == range(3, 5)


@pytest.mark.parametrize(
    ("length", "overlap", "mode", "says"),
    [
        (0, 0, "carry", "at least one frame"),
        (4, -1, "carry", "0 is the least"),
        (4, 4, "window", "raise max_seq_len to 5"),
        (4, 1, "both", "choose carry or window"),
    ],
)
def test_numbers_that_make_no_windows(length: int, overlap: int, mode: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Windows(length, overlap, mode)  # type: ignore[arg-type]


@settings(deadline=None)
@given(plans(), st.data())
def test_a_pause_keeps_what_is_there_and_a_carried_scene_goes_on(
    case: tuple[int, int, str, list[int]], data: st.DataObject
) -> None:
    length, overlap, mode, scenes = case
    windows = Windows(length, overlap, mode)  # type: ignore[arg-type]
    steps, count = [], 0
    for _ in range(sum(scenes)):
        steps.append(windows.push())
        count += 1
        if data.draw(st.booleans()):
            steps.append(windows.pause())
            assert windows.waiting == 0
            assert windows.retain_from == count
            assert windows.pause() is None
    steps.append(windows.cut())
    made = [step for step in steps if step is not None]
    assert [i for s in made for i in range(s.keep_start, s.keep_stop)] == list(range(count))
    assert [s.reset for s in made] == [n == 0 or mode == "window" for n in range(len(made))]
