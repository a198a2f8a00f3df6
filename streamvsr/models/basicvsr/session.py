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

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from streamvsr.errors import ModelError
from streamvsr.models.base import Session
from streamvsr.models.basicvsr.cleaning import RefineRule, clean
from streamvsr.models.basicvsr.history import ForwardBranch
from streamvsr.models.basicvsr.network import BasicVSRNet

MIN_SIZE_PX = 64
"""The least height and width: below, the smallest level of the flow pyramid is a single pixel."""
BATCH_PIXELS_CPU = 1 << 15
BATCH_PIXELS_GPU = 1 << 20
"""Pixels that are cleaned, or given to the flow network, at once; at least one frame or pair. A CPU gains nothing from
batches, and needs 8 MB a feature map for this many."""


class BasicVSRSession(Session):
    """See ``Session``. Domain rgb, scale 4; pictures of at least 64 x 64, any width and height above."""

    def __init__(
        self, network: BasicVSRNet, cleaning: nn.Module | None, rule: RefineRule, max_history: int = 0
    ) -> None:
        self._network = network
        self._cleaning = cleaning
        self._rule = rule
        self._forward = ForwardBranch(network, max_history)
        self.reset()

    def reset(self) -> None:
        self._cleaned: list[Tensor] = []
        """(1, 3, H, W) for each frame of the window at hand, then for each frame after the last kept one."""
        self._to_previous: list[Tensor | None] = []
        """For each of them, the flow from it to the frame before it; None on the first frame of a scene."""
        self._to_next: list[Tensor] = []
        """For each of them but the last, the flow from it to the frame after it."""
        self._last: Tensor | None = None
        """The last kept frame, cleaned, for the flow across a seam of windows that share no frame."""
        self._forward.reset()
        self._running = False
        """A window was begun and not run to its end: the state is neither the old nor the new one."""

    def window(self, frames: Tensor, new: int, keep: range) -> Iterator[Tensor]:
        self._check(frames, new, keep)
        return self._run(frames, new, keep)

    def _check(self, frames: Tensor, new: int, keep: range) -> None:
        if frames.ndim != 4 or frames.shape[1] != 3 or min(frames.shape[2:]) < MIN_SIZE_PX:
            least = f"(T, 3, H, W) with H and W at least {MIN_SIZE_PX}"
            raise ModelError(f"a window has to be {least}, but {tuple(frames.shape) = }")
        weight = self._network.fusion.weight
        if frames.dtype != weight.dtype or frames.device != weight.device:
            found = f"{frames.dtype} on {frames.device}"
            raise ModelError(f"the frames are {found}, the network is {weight.dtype} on {weight.device}")
        count = frames.shape[0]
        if keep.step != 1 or not 0 <= keep.start <= keep.stop <= count:
            raise ModelError(f"the frames to keep have to be a range within the window of {count}, but {keep = }")
        if self._running:
            raise ModelError("the window before was not run to its end: reset the session first")
        if count - new != len(self._cleaned):
            known = len(self._cleaned)
            raise ModelError(f"{count - new} frames of the window count as known, but the session knows {known}")
        size = next((t.shape[2:] for t in (*self._cleaned, self._last) if t is not None), frames.shape[2:])
        if frames.shape[2:] != size:
            raise ModelError(f"the picture size changed to {tuple(frames.shape[2:])} within a scene: reset first")

    @torch.no_grad()
    def _run(self, frames: Tensor, new: int, keep: range) -> Iterator[Tensor]:
        self._running = True
        self._take_in(frames[frames.shape[0] - new :])
        backward_states = self._propagate_backward(keep)
        last = keep.stop - 1
        for i in range(keep.stop):
            frame = self._cleaned[i]
            state = self._forward.step(frame, self._to_previous[i])
            if i in keep:
                output = self._network.reconstruct(frame, backward_states.pop(), state)[0]
                if i == last:
                    # Before the last picture is given away: the consumer may never come back to this generator.
                    self._commit(keep.stop)
                yield output
                del output
        if self._running:
            self._commit(keep.stop)

    def _commit(self, done: int) -> None:
        """Forget the first ``done`` frames; the forward branch has what they leave behind."""
        if done:
            self._last = self._cleaned[done - 1]
        del self._cleaned[:done]
        del self._to_previous[:done]
        del self._to_next[:done]
        self._running = False

    def _take_in(self, fresh: Tensor) -> None:
        """Clean the new frames and find the flows of the new pairs."""
        # Copies: the caller may fill its buffer anew while these are kept for the next window.
        pictures = [f.clone(memory_format=torch.channels_last) for f in fresh.unsqueeze(1)]
        if self._cleaning is not None:
            pictures = clean(self._cleaning, pictures, self._rule, self._batch(fresh))
        previous = self._cleaned[-1] if self._cleaned else self._last
        wanted: list[tuple[Tensor, Tensor]] = []
        for n, picture in enumerate(pictures):
            if previous is not None:
                wanted.append((picture, previous))
                if n or self._cleaned:
                    wanted.append((previous, picture))
            previous = picture
        flows = iter(self._flows(wanted, self._batch(fresh)))
        for n, picture in enumerate(pictures):
            known = n or self._cleaned
            self._to_previous.append(next(flows) if known or self._last is not None else None)
            if known:
                self._to_next.append(next(flows))
            self._cleaned.append(picture)

    def _flows(self, pairs: list[tuple[Tensor, Tensor]], batch: int) -> list[Tensor]:
        found: list[Tensor] = []
        for start in range(0, len(pairs), batch):
            here, there = zip(*pairs[start : start + batch], strict=True)
            found.extend(self._network.spynet(torch.cat(here), torch.cat(there)).split(1))
        return found

    def _propagate_backward(self, keep: range) -> list[Tensor]:
        """The backward states of the kept frames, the first of them last. Starts from nothing at the window's end."""
        state: Tensor | None = None
        states: list[Tensor] = []
        count = len(self._cleaned)
        for i in range(count - 1, keep.start - 1, -1) if keep else ():
            flow = self._to_next[i] if i < count - 1 else None
            state = self._network.propagate(self._network.backward_resblocks, self._cleaned[i], state, flow)
            if i in keep:
                states.append(state)
        return states

    @staticmethod
    def _batch(frames: Tensor) -> int:
        limit = BATCH_PIXELS_CPU if frames.device.type == "cpu" else BATCH_PIXELS_GPU
        return max(1, limit // (frames.shape[2] * frames.shape[3]))
