"""The forward branch with a bound on how far back its state goes.

A state that is carried on for long drifts: the branch was trained on a few dozen frames, and on still video its
features grow with every further step (Chiche et al., CVPR 2022, found it in several recurrent networks; figures for
trained weights are in ``docs/engine.md``). So a second, younger state is started from nothing at regular frames of a
scene, runs beside the older one until it is as good, and takes its place; in between the two are mixed, so that
nothing jumps. H = 30 (warm-up 6, fade 4, a new state every 20 frames)::

    frame           0                   20    26  30                  40    46  50
    first state     ====================------~~~~
    second                              ......~~~~====================------~~~~
    third                                                             ......~~~~==========

    = alone   - used while the next one warms up   . warming up, not used   ~ mixed

Where states begin depends on the frame's number in its scene alone, never on the windows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

Inputs = TypeVar("Inputs")
"""What a step is made from besides states and flow: a frame, or its features."""
States = tuple[Tensor, ...]
"""Of the frame before and of those before it, newest first: fewer at the beginning, none at the first frame."""
Propagate = Callable[[Inputs, States, Tensor | None], Tensor]
"""(inputs, states of the frames before, flow to the frame before) -> state of the frame."""
LEAST_HISTORY = 10
"""Frames; below, the younger state would have to be used before it has seen enough."""


Mark = tuple[States, States | None, int, int]


@dataclass(frozen=True, slots=True)
class Schedule:
    """When states begin and end, for a bound of ``max_history`` frames (0: no bound)."""

    period: int
    """A new state begins every so many frames; 0: never."""
    warm_up: int
    fade: int

    @classmethod
    def of(cls, max_history: int) -> Schedule:
        if max_history <= 0:
            return cls(0, 0, 0)
        bound = max(max_history, LEAST_HISTORY)
        warm_up, fade = bound // 5, max(1, bound * 2 // 15)
        return cls(bound - warm_up - fade, warm_up, fade)

    def exact_from(self, number: int) -> int | None:
        """The frame of a scene from which on a branch that begins with nothing at frame ``number`` has the states of
        one that began with the scene: the first state that begins for both of them is alone then. None: never."""
        if number == 0:
            return 0
        if self.period == 0:
            return None
        return -(-number // self.period) * self.period + self.warm_up + self.fade


class ForwardBranch(Generic[Inputs]):
    """The state that goes from frame to frame. Holds one state, and a second one while it is warming up.

    ``order``: of how many frames before it a step reads the states.
    """

    def __init__(self, propagate: Propagate[Inputs], max_history: int = 0, order: int = 1) -> None:
        self._propagate = propagate
        self._order = order
        self._schedule = Schedule.of(max_history)
        self.reset()

    def reset(self, number: int = 0) -> None:
        self._states: States = ()
        self._younger: States | None = None
        self._younger_age = 0
        self._count = number

    def mark(self) -> Mark:
        """Where the branch stands, to come back to."""
        return self._states, self._younger, self._younger_age, self._count

    def back_to(self, mark: Mark) -> None:
        self._states, self._younger, self._younger_age, self._count = mark

    def widen(self) -> None:
        """Go on in float32; a state that is broken already is dropped."""
        whole = all(bool(s.isfinite().all()) for s in self._states)
        self._states = tuple(s.float() for s in self._states) if whole else ()
        if self._younger is not None:
            whole = all(bool(s.isfinite().all()) for s in self._younger)
            self._younger = tuple(s.float() for s in self._younger) if whole else None

    def step(self, inputs: Inputs, to_previous: Tensor | None) -> Tensor:
        """Take the next frame's ``inputs``; gives the state (1, channels, H, W) that its output is made from.

        Where this raises, nothing has been taken.
        """
        plan = self._schedule
        state = self._propagate(inputs, self._states, to_previous)
        states = (state, *self._states[: self._order - 1])
        begins = plan.period > 0 and self._count > 0 and self._count % plan.period == 0
        younger, age = self._younger, self._younger_age
        if begins or younger is not None:
            before = () if younger is None else younger
            young = self._propagate(inputs, before, to_previous)
            younger = (young, *before[: self._order - 1])
            age = 1 if begins else age + 1
        self._count += 1
        if younger is None or age <= plan.warm_up:
            self._states, self._younger, self._younger_age = states, younger, age
            return state
        mixed = torch.lerp(state, younger[0], (age - plan.warm_up) / (plan.fade + 1))
        if age == plan.warm_up + plan.fade:
            states, younger, age = younger, None, 0
        self._states, self._younger, self._younger_age = states, younger, age
        return mixed
