"""``rt``: the small recurrent luma network that ships with streamvsr, as a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Self

import torch
from torch import Tensor

from streamvsr.errors import CheckpointError
from streamvsr.models.base import Model, ModelInfo, Session
from streamvsr.models.rt.network import SCALE, RTNet

__all__ = ["RTModel", "RTSession", "is_rt", "load"]

INFO = ModelInfo(
    name="rt", scale=SCALE, domain="luma", max_seq_len=8, overlap=1, min_size_px=1, causal_after=1, steady=True
)


def is_rt(state: Mapping[str, Tensor]) -> bool:
    """Whether these are weights of this network (no other one here has these two names)."""
    return "recur.weight" in state and "leave.weight" in state


def load(state_dict: Mapping[str, Tensor], config: Mapping[str, str]) -> RTModel:
    """The model of a checkpoint: its tensors (any floating dtype) and its metadata, on the CPU in float32."""
    if not is_rt(state_dict):
        raise CheckpointError("the checkpoint is not of the network rt: it lacks recur.weight or leave.weight")
    scale = config.get("scale", str(SCALE))
    if scale != str(SCALE):
        raise CheckpointError(f"the checkpoint says scale {scale}, but the network rt enlarges by {SCALE}")
    try:
        return RTModel(RTNet.from_state_dict(state_dict))
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"the checkpoint does not fit the network rt ({reason})") from error


class RTModel(Model):
    """``RTNet`` with its weights. Takes and gives luma 0..1, any size; one frame of look-ahead."""

    info = INFO

    def __init__(self, net: RTNet) -> None:
        self.net = net.eval().requires_grad_(False)
        self.to(torch.device("cpu"), torch.float32)

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        # Channels last is half as fast again as the default order on the CPUs that this was measured on.
        self.net.to(device=device, dtype=dtype)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self

    def session(self) -> RTSession:
        return RTSession(self.net)


class RTSession(Session):
    """Frames are computed one by one in the same way wherever windows begin, so cutting changes no bit.

    Between windows it holds two things of the last kept frame: its hidden state and its luma.
    """

    def __init__(self, net: RTNet) -> None:
        self.net = net
        self.reset()

    def reset(self) -> None:
        self._hidden: Tensor | None = None
        self._previous: Tensor | None = None

    def window(self, frames: Tensor, new: int, keep: range) -> Iterator[Tensor]:
        """See ``Session.window``; ``frames`` is (T, 1, H, W). Without a next frame a frame stands for its own."""
        if frames.ndim != 4 or frames.shape[1] != 1 or 0 in frames.shape:
            raise ValueError(f"frames must be (T, 1, H, W) and not empty, {frames.shape = }")
        if not (0 <= new <= len(frames) and 0 <= keep.start <= keep.stop <= len(frames) and keep.step == 1):
            raise ValueError(f"{new = } and {keep = } do not fit {len(frames)} frames")
        if self._hidden is not None and self._hidden.shape[2:] != frames.shape[2:]:
            raise ValueError(f"{frames.shape = } after frames of {tuple(self._hidden.shape[2:])}: reset first")
        return self._run(frames, keep)

    def _run(self, frames: Tensor, keep: range) -> Iterator[Tensor]:
        for t in range(keep.stop):
            result = self._step(frames, t)
            if t >= keep.start:
                yield result

    # no_grad rather than inference_mode: the caller may go on to change the picture in place, outside of either.
    @torch.no_grad()
    def _step(self, frames: Tensor, t: int) -> Tensor:
        now, after = frames[t, 0], frames[min(t + 1, len(frames) - 1), 0]
        before = now if self._previous is None else self._previous
        if self._hidden is None:
            self._hidden = self.net.initial_state(1, *now.shape)
        neighbours = torch.stack((before, now, after)).unsqueeze(0).contiguous(memory_format=torch.channels_last)
        result: Tensor
        result, self._hidden = self.net(neighbours, self._hidden)
        # A copy: the caller owns frames, and a view would keep all of the window alive.
        self._previous = now.clone()
        return result[0]
