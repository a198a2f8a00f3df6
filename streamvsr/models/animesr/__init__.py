"""AnimeSR: x4 for animation, recurrent in one direction, with one frame of look-ahead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from streamvsr.config import ModelOptions
from streamvsr.errors import CheckpointError
from streamvsr.models.animesr.network import FRAMES, STRIDE, AnimeSRNet, Shape
from streamvsr.models.base import Model, ModelInfo, silent
from streamvsr.models.checks import count_of, scale_of
from streamvsr.models.precision import ExactWeights
from streamvsr.models.recurrent import State, StepSession
from streamvsr.models.state import filled, require

__all__ = ["AnimeSRModel", "AnimeSRSession", "load"]

MAX_SEQ_LEN = 8
OVERLAP = 1
"""The one frame that a step looks ahead: more of it changes nothing."""


def shape_of(state: Mapping[str, Tensor]) -> Shape:
    """Width, depth and scale, read off the weights. Raises ``CheckpointError`` where they make no such network."""
    first, last = "recurrent_cell.conv_s1_first.0.weight", "recurrent_cell.fusion.2.bias"
    require(state, first, last)
    channels, inputs = state[first].shape[:2]
    scale = scale_of(state[last].shape[0] - channels)
    blocks = tuple(count_of(dict(state), f"recurrent_cell.body_s{size}_first.") for size in (1, 2, 4))
    full, half, quarter = blocks
    if inputs != 3 * FRAMES + 3 * scale * scale + channels or not full >= half >= quarter >= 1:
        raise CheckpointError(
            f"no AnimeSR network has {inputs} input channels, {channels} features and {blocks} blocks"
        )
    return Shape(channels, (full, half, quarter), scale)


class AnimeSRModel(Model):
    """``AnimeSRNet`` with its weights. Takes and gives R'G'B' 0..1, any size."""

    def __init__(self, network: AnimeSRNet) -> None:
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        scale = network.shape.scale
        self.info = ModelInfo("animesr", scale, "rgb", MAX_SEQ_LEN, OVERLAP, causal_after=1, steady=True)
        self._exact = ExactWeights(self.network)
        self._warn: Callable[[str], None] = silent

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        self._exact.convert(device, dtype)
        return self

    def tune(self, options: ModelOptions, warn: Callable[[str], None] = silent) -> None:  # noqa: ARG002
        self._warn = warn

    def session(self) -> AnimeSRSession:
        return AnimeSRSession(self.network, self._warn, self._exact.widen)


class AnimeSRSession(StepSession):
    """See ``StepSession``. The state is the last output, folded, and the network's hidden one.

    Sizes that are no multiple of ``STRIDE`` are grown by repeating the right and bottom edges, and results cut back.
    """

    def __init__(
        self, network: AnimeSRNet, warn: Callable[[str], None] = silent, widen: Callable[[], None] | None = None
    ) -> None:
        self._network = network
        super().__init__(next(network.parameters()), 3, warn, widen)

    def _step(self, before: Tensor, now: Tensor, after: Tensor, state: State) -> tuple[Tensor, State]:
        height, width = now.shape[1:]
        seen = torch.cat((before, now, after)).unsqueeze(0)
        seen = functional.pad(seen, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
        seen = seen.contiguous(memory_format=torch.channels_last)
        folded, hidden = state or self._network.initial_state(seen)
        output, folded, hidden = self._network(seen, folded, hidden)
        scale = self._network.shape.scale
        return output[0, :, : height * scale, : width * scale], (folded, hidden)


def load(state: Mapping[str, Tensor], config: Mapping[str, str]) -> AnimeSRModel:  # noqa: ARG001
    """The model of a checkpoint, on the CPU in float32. Raises ``CheckpointError`` where the weights do not fit."""
    shape = shape_of(state)
    return AnimeSRModel(filled(lambda: AnimeSRNet(shape), state))
