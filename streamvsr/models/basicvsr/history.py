"""The forward branch with a bound on how far back its state goes.

A state that is carried on for long drifts: the branch was trained on a few dozen frames, and on a still picture its
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

import torch
from torch import Tensor

Propagate = Callable[[Tensor, Tensor | None, Tensor | None], Tensor]
"""(frame, state of the frame before, flow to it) -> state of the frame."""
LEAST_HISTORY = 10
"""Frames; below, the younger state would have to be used before it has seen enough."""


Mark = tuple[Tensor | None, Tensor | None, int, int]


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


class ForwardBranch:
    """The state that goes from frame to frame. Holds one state, and a second one while it is warming up."""

    def __init__(self, propagate: Propagate, max_history: int = 0) -> None:
        self._propagate = propagate
        self._schedule = Schedule.of(max_history)
        self.reset()

    def reset(self) -> None:
        self._state: Tensor | None = None
        self._younger: Tensor | None = None
        self._younger_age = 0
        self._count = 0

    def mark(self) -> Mark:
        """Where the branch stands, to come back to."""
        return self._state, self._younger, self._younger_age, self._count

    def back_to(self, mark: Mark) -> None:
        self._state, self._younger, self._younger_age, self._count = mark

    def widen(self) -> None:
        """Go on in float32; a state that is broken already is let go."""
        states = [None if s is None or not s.isfinite().all() else s.float() for s in (self._state, self._younger)]
        self._state, self._younger = states

    def step(self, frame: Tensor, to_previous: Tensor | None) -> Tensor:
        """Take the next frame (1, 3, H, W); gives the state (1, channels, H, W) that its picture is made from.

        Where this raises, nothing has been taken.
        """
        plan = self._schedule
        state = self._propagate(frame, self._state, to_previous)
        begins = plan.period > 0 and self._count > 0 and self._count % plan.period == 0
        younger, age = self._younger, self._younger_age
        if begins or younger is not None:
            younger = self._propagate(frame, younger, to_previous)
            age = 1 if begins else age + 1
        self._count += 1
        if younger is None or age <= plan.warm_up:
            self._state, self._younger, self._younger_age = state, younger, age
            return state
        mixed = torch.lerp(state, younger, (age - plan.warm_up) / (plan.fade + 1))
        if age == plan.warm_up + plan.fade:
            state, younger, age = younger, None, 0
        self._state, self._younger, self._younger_age = state, younger, age
        return mixed
