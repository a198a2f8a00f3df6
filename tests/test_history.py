"""The bound on how far back a forward state goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from streamvsr.config import ModelOptions
from streamvsr.models.base import silent
from streamvsr.models.basicvsr.history import LEAST_HISTORY, ForwardBranch, Schedule, States
from tests.fakes import FakeModel, tuning, vsr_filter
from tests.test_basicvsr import EXACT, carried, random_model, video


class Counting:
    """A network whose state is the number of frames since its start: what was done is read off it."""

    steps = 0

    def __call__(self, frame: Tensor, states: States, flow: Tensor | None) -> Tensor:
        self.steps += 1
        return states[0] + 1 if states else torch.ones(1, 1, 1, 1)


@given(st.integers(LEAST_HISTORY, 200))
def test_states_are_never_older_than_the_bound_and_never_used_too_young(bound: int) -> None:
    plan = Schedule.of(bound)
    assert plan.period + plan.warm_up + plan.fade == bound
    assert plan.period >= plan.warm_up + plan.fade, "a third state would be needed"
    network = Counting()
    branch = ForwardBranch(network, bound)
    ages = [branch.step(torch.zeros(1), None).item() for _ in range(4 * bound)]
    assert max(ages) <= bound
    assert ages[: bound - plan.fade] == list(range(1, bound - plan.fade + 1))
    assert min(ages[bound:]) > plan.warm_up
    steps = [b - a for a, b in pairwise(ages)]
    # The weight of the younger state grows evenly: the age falls in fade + 1 steps.
    assert min(steps) >= 1 - plan.period / (plan.fade + 1) - 1e-3
    assert network.steps <= 4 * bound * (1 + (plan.warm_up + plan.fade) / plan.period)


@pytest.mark.parametrize("bound", [0, 30])
def test_a_short_scene_is_not_touched(bound: int) -> None:
    branch = ForwardBranch(Counting(), bound)
    assert [branch.step(torch.zeros(1), None).item() for _ in range(26)] == list(range(1, 27))


def test_reset_begins_anew() -> None:
    branch = ForwardBranch(Counting(), 12)
    first = [branch.step(torch.zeros(1), None).item() for _ in range(40)]
    branch.reset()
    assert [branch.step(torch.zeros(1), None).item() for _ in range(40)] == first


def test_the_bound_does_not_depend_on_windows() -> None:
    model = random_model(cleaning=False)
    model.tune(*tuning(max_history=10))
    frames = video(15)
    whole = list(model.session().window(frames, 15, range(15)))
    model.tune(*tuning(max_history=0))
    assert not torch.allclose(torch.stack(list(model.session().window(frames, 15, range(15)))), torch.stack(whole))
    model.tune(*tuning(max_history=10))
    for length, overlap in ((4, 2), (6, 1)):
        pictures = list(carried(model.session(), frames, length, overlap))
        compared = 0
        for number, (picture, seen_after) in enumerate(pictures):
            if number + seen_after == 14:
                assert torch.allclose(picture, whole[number], atol=EXACT)
                compared += 1
        assert compared


def test_independent_windows_are_not_bounded_unless_asked() -> None:
    seen: list[ModelOptions] = []

    class Tuned(FakeModel):
        def tune(self, options: ModelOptions, warn: Callable[[str], None] = silent) -> None:
            seen.append(options)

    from tests.fakes import numbered
    from tests.vsr_frames import info_of

    ways = (("window", None, 8), ("carry", None, 8), ("window", 20, 8), ("carry", None, 100), ("carry", 40, 100))
    for propagation, given_bound, length in ways:
        model = Tuned()
        model.info = replace(model.info, max_history=30)
        vsr = vsr_filter(model, max_seq_len=length, propagation=propagation, max_history=given_bound)
        vsr.configure(info_of(numbered(0)))
    assert [s.max_history for s in seen] == [0, 30, 20, 120, 40]


@given(st.integers(1, 400))
def test_what_fits_into_a_window_is_run_as_a_whole(length: int) -> None:
    """The bound that ``vsr`` sets for a window of this length leaves its frames to one state."""
    plan = Schedule.of(max(30, -(-6 * length // 5)))
    assert plan.period + plan.warm_up >= length
