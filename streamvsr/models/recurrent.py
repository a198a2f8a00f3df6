"""The session of unidirectional recurrent networks: one step per frame, one frame of look-ahead."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from streamvsr.errors import ModelError
from streamvsr.models.base import Session, silent
from streamvsr.models.checks import check_window
from streamvsr.models.precision import HALF, WIDENED, Flag, looks_broken

State = tuple[Tensor, ...]


class StepSession(Session):
    """Frames are computed one by one in the same way wherever windows begin, so cutting changes no bit.

    Between windows it holds the state behind the last kept frame, and that frame. A frame that half precision breaks is
    computed again in float32, and so are all that follow.
    """

    def __init__(
        self,
        weight: Tensor,
        channels: int,
        warn: Callable[[str], None] = silent,
        widen: Callable[[], None] | None = None,
    ) -> None:
        """``weight``: one of the network's, for type and device. ``channels``: of a frame. ``widen`` converts the
        weights to float32; None: no fallback."""
        self._weight, self._channels = weight, channels
        self._warn, self._widen = warn, widen
        self.reset()

    @abstractmethod
    def _step(self, before: Tensor, now: Tensor, after: Tensor, state: State) -> tuple[Tensor, State]:
        """The result (C, H * scale, W * scale) of the frame ``now`` and the next state, from three neighbouring frames
        (C, H, W) and the state behind the step before, which is empty at the first frame of a scene."""

    def reset(self, number: int = 0) -> None:  # noqa: ARG002
        self._state: State = ()
        self._previous: Tensor | None = None
        """The last kept frame."""

    def window(self, frames: Tensor, new: int, keep: range) -> Iterator[Tensor]:
        """See ``Session.window``; ``frames`` is (T, C, H, W). The first frame of a scene stands for its own previous
        one, the last of a window for its own next one."""
        check_window(frames, new, keep, self._weight, channels=self._channels)
        if self._previous is not None and self._previous.shape[1:] != frames.shape[2:]:
            raise ModelError(f"{tuple(frames.shape) = } after frames of {tuple(self._previous.shape[1:])}: reset first")
        return self._run(frames, keep)

    def _run(self, frames: Tensor, keep: range) -> Iterator[Tensor]:
        # On a GPU a frame is checked while the next one is computed, so that the device never waits.
        behind = 1 if frames.device.type == "cuda" else 0
        pending: deque[_Pending] = deque()
        t = 0
        while t < keep.stop or pending:
            if t < keep.stop:
                state, previous = self._state, self._previous
                result, half = self._advance(frames, t), self._weight.dtype in HALF and self._widen is not None
                broken = Flag(looks_broken(result, frames[t])) if half else None
                pending.append(_Pending(t, result, state, previous, broken))
                t += 1
                if len(pending) <= behind:
                    continue
            one = pending.popleft()
            if one.broken is not None and one.broken.read():
                pending.clear()
                t = one.number
                self._go_on_in_float32(one)
            elif one.number >= keep.start:
                yield one.result

    # no_grad rather than inference_mode: the caller may go on to change the frame in place, outside of either.
    @torch.no_grad()
    def _advance(self, frames: Tensor, t: int) -> Tensor:
        now, after = frames[t], frames[min(t + 1, len(frames) - 1)]
        before = now if self._previous is None else self._previous
        result, self._state = self._step(before, now, after, self._state)
        # A copy: the caller owns frames, and a view would keep all of the window alive.
        self._previous = now.clone()
        return result

    def _go_on_in_float32(self, broken: _Pending) -> None:
        assert self._widen is not None
        self._warn(WIDENED)
        self._widen()
        self._state, self._previous = tuple(part.float() for part in broken.state), broken.previous


@dataclass(frozen=True, slots=True)
class _Pending:
    """A frame that is computed and not yet checked."""

    number: int
    result: Tensor
    state: State
    """Of the session before it, and so is ``previous``."""
    previous: Tensor | None
    broken: Flag | None
