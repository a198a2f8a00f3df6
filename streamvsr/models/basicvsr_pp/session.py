"""One video through BasicVSR++, window by window.

The forward branches read what the backward ones made, so two things differ from BasicVSR. The first forward branch runs
over the frames looked ahead at too, for the second backward one, and is taken back afterwards. And while forward states
are carried from window to window exactly, what they are made from was seen as far ahead as their windows went: a
sequence in one window gives the published result, several windows come near it with their look-ahead::

    frames      0 1 2 3 4 5 6 7 8 9 ...    L = 6 frames in a window, V = 2 of them looked ahead at
    window 1    0 1 2 3 4 5                backward_1 5 -> 0, forward_1 0 -> 5, backward_2 5 -> 0, forward_2 0 -> 3
    window 2            4 5 6 7 8 9        forward_1 goes on from its state after 3, and so does forward_2

Held for a window of T frames of H x W (a quarter of each where the output has the input's size): 4 T feature maps
(``channels``), 2 T flows (2 channels, float32), the frames, and up to four forward states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

from streamvsr.config import ModelOptions
from streamvsr.models.base import silent
from streamvsr.models.basicvsr.cleaning import RefineRule
from streamvsr.models.basicvsr.history import ForwardBranch, Mark, States
from streamvsr.models.basicvsr.layers import SCALE
from streamvsr.models.basicvsr.session import MIN_SIZE_PX, Part, PropagationSession
from streamvsr.models.basicvsr_pp.network import ORDER, BasicVSRPlusPlusNet
from streamvsr.models.basicvsr_pp.parts import PlusPlusParts


class Seen(NamedTuple):
    """What one forward step is made from."""

    maps: tuple[Tensor, ...]
    """The frame's features and its states of the branches before."""
    next_flow: Tensor | None
    """The flow from the frame before to the one before that."""


class Context(NamedTuple):
    """What the last branch needs of a frame."""

    seen: Seen
    first_forward: Mark
    """Where the first forward branch stands after the frame."""


class BasicVSRPlusPlusSession(PropagationSession[Context]):
    """See ``Session``. Domain rgb; scale 4 with frames of at least 64 x 64, or 1 with at least 256 x 256."""

    def __init__(
        self,
        network: BasicVSRPlusPlusNet,
        max_history: int = 0,
        options: ModelOptions | None = None,
        warn: Callable[[str], None] = silent,
        widen: Callable[[], None] | None = None,
    ) -> None:
        self._grid = 1 if network.low_res else SCALE
        """Height and width are grown to multiples of this, by repeating the edge, and the results cut back."""
        self._plus = PlusPlusParts(network, options or ModelOptions(), warn)
        self._first: ForwardBranch[Seen] = ForwardBranch(self._step_of("forward_1"), max_history, ORDER)
        self._second: ForwardBranch[Seen] = ForwardBranch(self._step_of("forward_2"), max_history, ORDER)
        super().__init__(self._plus, RefineRule(), (self._first, self._second), warn, widen, self._grid * MIN_SIZE_PX)

    def reset(self, number: int = 0) -> None:
        super().reset(number)
        self._features: list[Tensor] = []
        """(1, channels, h, w) for each of the frames held."""
        self._last_flow: Tensor | None = None
        """From the last kept frame to the one before it."""

    def window(self, frames: Tensor, new: int, keep: range) -> Iterator[Tensor]:
        height, width = frames.shape[-2:]
        grow = (-width % self._grid, -height % self._grid)
        if not any(grow) or frames.ndim != 4:
            return super().window(frames, new, keep)
        outputs = super().window(functional.pad(frames, (0, grow[0], 0, grow[1]), mode="replicate"), new, keep)
        return (output[:, :height, :width] for output in outputs)

    def _forget_frames(self) -> None:
        super()._forget_frames()
        self._features = []

    def _take_in(self, fresh: Tensor) -> None:
        super()._take_in(fresh)
        self._features += [self._plus.features(frame) for frame in self._cleaned[len(self._features) :]]

    def _commit(self) -> None:
        self._last_flow = self._to_previous[0]
        super()._commit()
        del self._features[:1]

    def _step_of(self, name: str) -> Callable[[Seen, States, Tensor | None], Tensor]:
        def step(seen: Seen, states: States, flow: Tensor | None) -> Tensor:
            return self._plus.propagate(name, seen.maps, states, flow, seen.next_flow)

        return step

    def _prepare(self, part: Part) -> list[Context]:
        """Both backward branches, and the first forward one between them, over the part; the first frame's last."""
        count = part.frames
        maps: list[tuple[Tensor, ...]] = [(features,) for features in self._features[:count]]
        before = [self._last_flow, *self._to_previous[: count - 1]]
        self._run_back("backward_1", maps)
        start, marks = self._first.mark(), []
        try:
            for i in range(count):
                state = self._first.step(Seen(maps[i], before[i]), self._to_previous[i])
                maps[i] = (*maps[i], state)
                marks.append(self._first.mark())
        finally:
            self._first.back_to(start)
        self._run_back("backward_2", maps)
        contexts = [Context(Seen(maps[i], before[i]), marks[i]) for i in range(part.stop)]
        return contexts[::-1]

    def _run_back(self, name: str, maps: list[tuple[Tensor, ...]]) -> None:
        """Add the states of a backward branch to ``maps``. It starts from nothing at their end."""
        states: States = ()
        for i in reversed(range(len(maps))):
            flow = self._to_next[i] if states else None
            next_flow = self._to_next[i + 1] if len(states) > 1 else None
            states = (self._plus.propagate(name, maps[i], states, flow, next_flow), *states[: ORDER - 1])
            maps[i] = (*maps[i], states[0])

    def _make(self, frame: Tensor, flow: Tensor | None, contexts: list[Context], wanted: bool) -> Tensor | None:
        seen, first_forward = contexts.pop()
        state = self._second.step(seen, flow)
        self._first.back_to(first_forward)
        return self._plus.output(frame, (*seen.maps, state)) if wanted else None
