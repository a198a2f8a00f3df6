"""NanoVSR: x4, light, bidirectional, without optical flow. ``load`` reads the training and the collapsed layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Self

import torch
from torch import Tensor

from streamvsr.config import ModelOptions
from streamvsr.errors import ModelError
from streamvsr.models.base import Model, ModelInfo, Session, silent
from streamvsr.models.basicvsr.history import ForwardBranch, Schedule, States
from streamvsr.models.basicvsr.model import CLEANING
from streamvsr.models.checks import check_window, count_of
from streamvsr.models.nanovsr.network import SCALE, NanoVSRNet, collapse
from streamvsr.models.state import filled, require

__all__ = ["NanoVSRModel", "NanoVSRSession", "load"]

MAX_SEQ_LEN = 24
OVERLAP = 8
MAX_HISTORY = 30
"""Frames: the length of the sequences that the published weights were trained on. Whether its state drifts beyond that
as BasicVSR's does has not been measured: no trained weights were at hand."""
USELESS = CLEANING | {"tile", "compile", "cuda_graphs"}
TILE_PIXELS_CPU = 4 << 10
TILE_PIXELS_GPU = 1 << 19
"""Input pixels that are enlarged at once; 2**19 of them make maps of 1 GiB in float32."""


class NanoVSRModel(Model):
    """``NanoVSRNet`` with its weights. Takes and gives R'G'B' 0..1, any size."""

    info = ModelInfo(
        "nanovsr", SCALE, "rgb", MAX_SEQ_LEN, OVERLAP, max_history=MAX_HISTORY, tunable=True, useless=USELESS
    )

    def __init__(self, network: NanoVSRNet) -> None:
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._options = ModelOptions()

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        self.network.to(device=device, dtype=dtype)
        return self

    def tune(self, options: ModelOptions, warn: Callable[[str], None] = silent) -> None:  # noqa: ARG002
        self._options = options

    @property
    def _history(self) -> int:
        return self.info.max_history if self._options.max_history is None else self._options.max_history

    def exact_from(self, number: int) -> int | None:
        return Schedule.of(self._history).exact_from(number)

    def session(self) -> NanoVSRSession:
        return NanoVSRSession(self.network, self._history)


class NanoVSRSession(Session):
    """The forward branch goes on from window to window exactly, the backward branch begins at the end of each.

    Held for a window of T frames: the features of each, the backward state of each kept one, one or two forward states.
    """

    def __init__(self, network: NanoVSRNet, max_history: int = 0) -> None:
        self._network = network
        self._forward: ForwardBranch[Tensor] = ForwardBranch(self._advance, max_history)
        self.reset()

    def reset(self, number: int = 0) -> None:
        self._features: list[Tensor] = []
        """(1, channels, H, W) for each frame of the window at hand, then for each after the last kept one."""
        self._size: torch.Size | None = None
        self._forward.reset(number)
        self._running = False
        """A window was begun and not run to its end: the state is neither the old nor the new one."""

    def window(self, frames: Tensor, new: int, keep: range) -> Iterator[Tensor]:
        """See ``Session.window``; ``frames`` is (T, 3, H, W)."""
        check_window(frames, new, keep, self._network.conv_last.weight)
        if self._running:
            raise ModelError("the window before was not run to its end: reset the session first")
        if len(frames) - new != len(self._features):
            known = len(self._features)
            raise ModelError(f"{len(frames) - new} frames of the window count as known, but the session knows {known}")
        if self._size not in (None, frames.shape[2:]):
            raise ModelError(f"the frame size changed to {tuple(frames.shape[2:])} within a scene: reset first")
        return self._run(frames, new, keep)

    # no_grad rather than inference_mode: the caller may go on to change the frame in place, outside of either.
    @torch.no_grad()
    def _run(self, frames: Tensor, new: int, keep: range) -> Iterator[Tensor]:
        self._running, self._size = True, frames.shape[2:]
        for frame in frames[len(frames) - new :].unsqueeze(1):
            seen = frame.to(self._network.conv_last.weight.dtype, memory_format=torch.channels_last)
            self._features.append(self._network.feat_extract(seen))
        backward_states = self._propagate_backward(keep)
        most_pixels = TILE_PIXELS_CPU if frames.device.type == "cpu" else TILE_PIXELS_GPU
        for i in range(keep.stop):
            state = self._forward.step(self._features.pop(0), None)
            if i < keep.start:
                continue
            output = self._network.reconstruct(frames[i : i + 1], state, backward_states.pop(), most_pixels)
            # Before the last output is given away: the consumer may never come back to this generator.
            self._running = i + 1 < keep.stop
            yield output[0]
        self._running = False

    def _propagate_backward(self, keep: range) -> list[Tensor]:
        """The backward states of the kept frames, the first of them last."""
        state: Tensor | None = None
        states: list[Tensor] = []
        for i in range(len(self._features) - 1, keep.start - 1, -1):
            seen = self._features[i] if state is None else self._features[i] + state
            state = self._network.backward_net(seen)
            if i < keep.stop:
                states.append(state)
        return states

    def _advance(self, features: Tensor, states: States, _: Tensor | None) -> Tensor:
        state: Tensor = self._network.forward_net(features + states[0] if states else features)
        return state


def load(state: Mapping[str, Tensor], config: Mapping[str, str]) -> NanoVSRModel:  # noqa: ARG001
    """The model of a checkpoint in either layout, on the CPU in float32.

    Raises ``CheckpointError`` where weights are missing, left over or of another shape.
    """
    state = collapse(state)
    require(state, "fusion.weight", "forward_net.0.rbr_reparam.weight")
    channels, blocks = state["fusion.weight"].shape[0], count_of(dict(state), "forward_net.")
    return NanoVSRModel(filled(lambda: NanoVSRNet(channels, blocks), state))
