"""AnimeSR: x4 for animation, recurrent in one direction, with one frame of look-ahead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from streamvsr.errors import CheckpointError, ModelError
from streamvsr.models.animesr.network import FRAMES, STRIDE, AnimeSRNet, Shape
from streamvsr.models.base import Model, ModelInfo, Session
from streamvsr.models.checks import check_window, count_of, scale_of
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

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        self.network.to(device=device, dtype=dtype)
        return self

    def session(self) -> AnimeSRSession:
        return AnimeSRSession(self.network)


class AnimeSRSession(Session):
    """Frames are computed one by one in the same way wherever windows begin, so cutting changes no bit.

    Between windows it holds three things of the last kept frame: its hidden state, its output and itself. Sizes that
    are no multiple of ``STRIDE`` are grown by repeating the right and bottom edges, and the results cut back.
    """

    def __init__(self, network: AnimeSRNet) -> None:
        self._network = network
        self.reset()

    def reset(self, number: int = 0) -> None:  # noqa: ARG002
        self._carried: tuple[Tensor, Tensor] | None = None
        """The last output, folded, and the hidden state."""
        self._previous: Tensor | None = None

    def window(self, frames: Tensor, new: int, keep: range) -> Iterator[Tensor]:
        """See ``Session.window``; ``frames`` is (T, 3, H, W). Without a next frame a frame stands for its own."""
        check_window(frames, new, keep, self._network.recurrent_cell.fusion[0].bias)  # type: ignore[arg-type]
        if self._previous is not None and self._previous.shape[1:] != frames.shape[1:]:
            raise ModelError(f"{tuple(frames.shape) = } after frames of {tuple(self._previous.shape[1:])}: reset first")
        return self._run(frames, keep)

    def _run(self, frames: Tensor, keep: range) -> Iterator[Tensor]:
        for t in range(keep.stop):
            output = self._step(frames, t)
            if t >= keep.start:
                yield output

    # no_grad rather than inference_mode: the caller may go on to change the frame in place, outside of either.
    @torch.no_grad()
    def _step(self, frames: Tensor, t: int) -> Tensor:
        now, after = frames[t : t + 1], frames[min(t + 1, len(frames) - 1)].unsqueeze(0)
        before = now if self._previous is None else self._previous
        height, width = now.shape[2:]
        seen = torch.cat((before, now, after), dim=1)
        seen = functional.pad(seen, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
        seen = seen.contiguous(memory_format=torch.channels_last)
        output, *carried = self._network(seen, *(self._carried or self._network.initial_state(seen)))
        self._carried = (carried[0], carried[1])
        # A copy: the caller owns frames, and a view would keep all of the window alive.
        self._previous = now.clone()
        scale = self._network.shape.scale
        result: Tensor = output[0, :, : height * scale, : width * scale]
        return result


def load(state: Mapping[str, Tensor], config: Mapping[str, str]) -> AnimeSRModel:  # noqa: ARG001
    """The model of a checkpoint, on the CPU in float32. Raises ``CheckpointError`` where the weights do not fit."""
    shape = shape_of(state)
    return AnimeSRModel(filled(lambda: AnimeSRNet(shape), state))
