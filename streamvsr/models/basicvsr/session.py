"""One video through a BasicVSR network, window by window (BasicVSR, CVPR 2021, sec. 3; cut into windows here).

The forward branch never reads what the backward branch made, so its state is carried from window to window exactly;
only the backward branch starts anew at the end of each window and is approximate near it::

    frames      0 1 2 3 4 5 6 7 8 9 ...         L = 6 frames in a window, V = 2 of them looked ahead at
    window 1    0 1 2 3 4 5                     backward 5 -> 0, forward 0 -> 3, gives 0 1 2 3
    window 2            4 5 6 7 8 9             backward 9 -> 4, forward goes on 4 -> 7, gives 4 5 6 7

Cleaned frames belong to a frame and flows to a pair: both are made once and kept while a window needs them. Held at
once for a window of T frames, each of H x W: T cleaned frames (3 channels), 2 T flows (2 channels, float32), one
backward state (``channels``) a kept frame and one that propagates, one or two forward states, and what one batch or
one output frame needs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from streamvsr.config import ModelOptions
from streamvsr.errors import ModelError
from streamvsr.models.base import Session, silent
from streamvsr.models.basicvsr.cleaning import RefineRule, clean
from streamvsr.models.basicvsr.history import ForwardBranch, Mark, States
from streamvsr.models.basicvsr.network import BasicVSRNet
from streamvsr.models.basicvsr.parts import BasicVSRParts, Parts
from streamvsr.models.checks import check_window
from streamvsr.models.memory import is_out_of_memory, release
from streamvsr.models.precision import HALF, WIDENED, Flag, looks_broken

MIN_SIZE_PX = 64
"""The least height and width: below, the smallest level of the flow pyramid is a single pixel."""
BATCH_PIXELS_CPU = 1 << 15
BATCH_PIXELS_GPU = 1 << 20
"""Pixels that are cleaned, or given to the flow network, at once; at least one frame or pair. A CPU gains nothing from
batches, and needs 8 MB a feature map for this many."""


class HalfPrecisionError(Exception):
    """An output is broken; ``_run`` goes on in float32."""


@dataclass(frozen=True, slots=True)
class Part:
    """What is run at once: the next ``frames`` frames, of which the outputs [start, stop) are wanted."""

    frames: int
    start: int
    stop: int

    @classmethod
    def of(cls, count: int, start: int, stop: int, limit: int) -> Part:
        """All of the ``count`` frames at hand; where they are more than ``limit``, so many, a third looked ahead."""
        if not limit or count <= limit:
            return cls(count, max(0, start), stop)
        stop = min(stop, limit - max(1, limit // 3))
        return cls(limit, min(max(0, start), stop), stop)


Context = TypeVar("Context")
"""What the last forward branch and the reconstruction need of a frame, from the branches before."""
Marks = tuple[Mark, ...]


class PropagationSession(Session, ABC, Generic[Context]):
    """What the family's sessions share: frames, flows, parts of a window where memory is short, half precision.

    A network's own are the branches before the last one (``_prepare``) and the last one with what follows (``_make``).
    """

    def __init__(
        self,
        parts: Parts,
        rule: RefineRule,
        branches: Sequence[ForwardBranch[Any]],
        warn: Callable[[str], None] = silent,
        widen: Callable[[], None] | None = None,
        least_px: int = MIN_SIZE_PX,
    ) -> None:
        """``branches``: whose states are carried. ``widen`` makes the weights float32, where half precision fails."""
        self._parts = parts
        self._rule = rule
        self._branches = tuple(branches)
        self._warn = warn
        self._widen = widen
        self._least_px = least_px
        self._half = parts.weight.dtype in HALF
        self.reset()

    @abstractmethod
    def _prepare(self, part: Part) -> list[Context]:
        """Run the branches before the last one over the part; a context for each kept frame, the first of them last."""

    @abstractmethod
    def _make(self, frame: Tensor, flow: Tensor | None, contexts: list[Context], wanted: bool) -> Tensor | None:
        """Take the next frame's step of the last branch; its output (1, 3, H, W) where it is ``wanted``."""

    def reset(self, number: int = 0) -> None:
        self._cleaned: list[Tensor] = []
        """(1, 3, H, W) for each frame of the window at hand, then for each frame after the last kept one."""
        self._to_previous: list[Tensor | None] = []
        """For each of them, the flow from it to the frame before it; None on the first frame of a scene."""
        self._to_next: list[Tensor] = []
        """For each of them but the last, the flow from it to the frame after it."""
        self._last: Tensor | None = None
        """The last kept frame, cleaned, for the flow across a seam of windows that share no frame."""
        for branch in self._branches:
            branch.reset(number)
        self._running = False
        """A window was begun and not run to its end: the state is neither the old nor the new one."""

    def window(self, frames: Tensor, new: int, keep: range) -> Iterator[Tensor]:
        self._check(frames, new, keep)
        return self._run(frames, new, keep)

    def _check(self, frames: Tensor, new: int, keep: range) -> None:
        check_window(frames, new, keep, self._parts.weight, least_px=self._least_px)
        count = len(frames)
        if self._running:
            raise ModelError("the window before was not run to its end: reset the session first")
        if count - new != len(self._cleaned):
            known = len(self._cleaned)
            raise ModelError(f"{count - new} frames of the window count as known, but the session knows {known}")
        size = next((t.shape[2:] for t in (*self._cleaned, self._last) if t is not None), frames.shape[2:])
        if frames.shape[2:] != size:
            raise ModelError(f"the frame size changed to {tuple(frames.shape[2:])} within a scene: reset first")

    @torch.no_grad()
    def _run(self, frames: Tensor, new: int, keep: range) -> Iterator[Tensor]:
        """The window part by part: a single part, unless memory is short or half precision fails."""
        self._running = True
        self._parts.settle(frames[:1], len(frames))
        self._take_in(frames[frames.shape[0] - new :])
        count, done = len(self._cleaned), 0
        while done < keep.stop:
            part = Part.of(count - done, keep.start - done, keep.stop - done, self._parts.part_frames)
            short = False
            try:
                yield from self._run_part(part, done + part.stop == keep.stop)
            except HalfPrecisionError:
                self._go_on_in_float32(frames[frames.shape[0] - len(self._cleaned) :])
            except (RuntimeError, MemoryError) as error:
                short = is_out_of_memory(error) and self._parts.shorten(part.frames)
                if not short:
                    raise
            if short:
                # Not while the error is handled: its traceback keeps the window's tensors alive.
                release(frames.device)
            done = count - len(self._cleaned)
        self._running = False

    def _run_part(self, part: Part, last: bool) -> Iterator[Tensor]:
        """The outputs [start, stop) of the frames at hand. However it ends, what was given away is committed."""
        contexts = self._prepare(part)
        # On a GPU an output is checked while the next one is computed, so that the device never waits.
        behind = 1 if self._half and self._parts.weight.device.type == "cuda" else 0
        marks: deque[Marks] = deque()
        waiting: deque[tuple[Tensor, Flag | None]] = deque()
        try:
            for i, (frame, flow) in enumerate(self._frames(part.stop)):
                marks.append(tuple(branch.mark() for branch in self._branches))
                output = self._make(frame, flow, contexts, i >= part.start)
                if output is None:
                    marks.popleft()
                    self._commit()
                    continue
                waiting.append((output[0], Flag(looks_broken(output, frame)) if self._half else None))
                del output
                while len(waiting) > (behind if i + 1 < part.stop else 0):
                    if (flag := waiting[0][1]) is not None and flag.read():
                        raise HalfPrecisionError
                    marks.popleft()
                    self._commit()
                    # Before the last output is given away: the consumer may never come back to this generator.
                    self._running = not (last and i + 1 == part.stop and len(waiting) == 1)
                    yield waiting.popleft()[0]
        except Exception:
            if marks:
                for branch, mark in zip(self._branches, marks[0], strict=True):
                    branch.back_to(mark)
            raise

    def _frames(self, count: int) -> list[tuple[Tensor, Tensor | None]]:
        return list(zip(self._cleaned[:count], self._to_previous[:count], strict=True))

    def _commit(self) -> None:
        """Forget the first frame; the forward branches have what it leaves behind."""
        self._last = self._cleaned.pop(0)
        del self._to_previous[:1]
        del self._to_next[:1]

    def _go_on_in_float32(self, rest: Tensor) -> None:
        """``rest``: the frames that are not committed yet. They are worked on anew."""
        if self._widen is None:
            raise ModelError("half precision gave a broken frame; try --precision fp32")
        self._warn(WIDENED)
        self._widen()
        self._half = False
        for branch in self._branches:
            branch.widen()
        if self._last is not None:
            self._last = self._last if bool(self._last.isfinite().all()) else rest[:1]
        self._forget_frames()
        self._take_in(rest)

    def _forget_frames(self) -> None:
        self._cleaned, self._to_previous, self._to_next = [], [], []

    def _take_in(self, fresh: Tensor) -> None:
        """Clean the new frames and find the flows of the new pairs."""
        # Copies: the caller may fill its buffer anew while these are kept for the next window.
        cleaned = [f.clone(memory_format=torch.channels_last) for f in fresh.unsqueeze(1)]
        if self._parts.cleaning is not None:
            cleaned = clean(self._parts.cleaning, cleaned, self._rule, self._batch(fresh))
        previous = self._cleaned[-1] if self._cleaned else self._last
        wanted: list[tuple[Tensor, Tensor]] = []
        for n, frame in enumerate(cleaned):
            if previous is not None:
                wanted.append((frame, previous))
                if n or self._cleaned:
                    wanted.append((previous, frame))
            previous = frame
        flows = iter(self._flows(wanted, self._batch(fresh)))
        for n, frame in enumerate(cleaned):
            known = n or self._cleaned
            self._to_previous.append(next(flows) if known or self._last is not None else None)
            if known:
                self._to_next.append(next(flows))
            self._cleaned.append(frame)

    def _flows(self, pairs: list[tuple[Tensor, Tensor]], batch: int) -> list[Tensor]:
        found: list[Tensor] = []
        for start in range(0, len(pairs), batch):
            here, there = zip(*pairs[start : start + batch], strict=True)
            found.extend(torch.split(self._parts.flow(torch.cat(here), torch.cat(there)), 1))
        return found

    @staticmethod
    def _batch(frames: Tensor) -> int:
        limit = BATCH_PIXELS_CPU if frames.device.type == "cpu" else BATCH_PIXELS_GPU
        return max(1, limit // (frames.shape[2] * frames.shape[3]))


class BasicVSRSession(PropagationSession[Tensor]):
    """See ``Session``. Domain rgb, scale 4; frames of at least 64 x 64, any width and height above."""

    def __init__(
        self,
        network: BasicVSRNet,
        cleaning: nn.Module | None,
        rule: RefineRule,
        max_history: int = 0,
        options: ModelOptions | None = None,
        warn: Callable[[str], None] = silent,
        widen: Callable[[], None] | None = None,
    ) -> None:
        self._steps = BasicVSRParts(network, cleaning, options or ModelOptions(), warn)
        self._forward: ForwardBranch[Tensor] = ForwardBranch(self._advance, max_history)
        super().__init__(self._steps, rule, (self._forward,), warn, widen)

    def _prepare(self, part: Part) -> list[Tensor]:
        """The backward states of the kept frames, the first of them last. Starts from nothing at the part's end."""
        state: Tensor | None = None
        states: list[Tensor] = []
        if part.start == part.stop:
            return states
        for i in range(part.frames - 1, part.start - 1, -1):
            flow = self._to_next[i] if i < part.frames - 1 else None
            state = self._steps.backward(self._cleaned[i], state, flow)
            if i < part.stop:
                states.append(state)
        return states

    def _make(self, frame: Tensor, flow: Tensor | None, contexts: list[Tensor], wanted: bool) -> Tensor | None:
        state = self._forward.step(frame, flow)
        return self._steps.reconstruct(frame, contexts.pop(), state) if wanted else None

    def _advance(self, frame: Tensor, states: States, flow: Tensor | None) -> Tensor:
        return self._steps.forward(frame, states[0] if states else None, flow)
