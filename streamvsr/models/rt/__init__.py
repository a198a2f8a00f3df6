"""``rt``: the small recurrent networks that ship with streamvsr, for luma or for luma and chroma, as a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor

from streamvsr.errors import CheckpointError, ModelError
from streamvsr.models.base import Model, ModelInfo, Session
from streamvsr.models.checks import check_window
from streamvsr.models.rt.color import CHANNELS, RTColorNet
from streamvsr.models.rt.network import SCALE, RTNet

__all__ = ["RTModel", "RTSession", "is_rt", "load"]

INFO = ModelInfo(
    name="rt", scale=SCALE, domain="luma", max_seq_len=8, overlap=1, min_size_px=1, causal_after=1, steady=True
)
DETAIL = 0.5
"""The share of the teacher's detail where a checkpoint has it and does not say."""


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
        # A colour network sees three planes of three frames, a luma network one.
        if state_dict["enter.weight"].shape[1] == 3 * CHANNELS:
            return RTModel(RTColorNet.from_state_dict(state_dict, _share(config)))
        return RTModel(RTNet.from_state_dict(state_dict))
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"the checkpoint does not fit the network rt ({reason})") from error


def _share(config: Mapping[str, str]) -> float:
    stated = config.get("detail", str(DETAIL))
    try:
        share = float(stated)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise CheckpointError(f"the checkpoint says detail {stated}, and not a number from 0 to 1")
    return share


class RTModel(Model):
    """``RTNet`` or ``RTColorNet`` with its weights, for luma or Y'CbCr of any size; one frame of look-ahead."""

    def __init__(self, net: RTNet | RTColorNet) -> None:
        self.net = net.eval().requires_grad_(False)
        self.info = INFO if isinstance(net, RTNet) else replace(INFO, domain="ycbcr")
        self.to(torch.device("cpu"), torch.float32)

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        # Half as fast again as in the default order (benchmarks/bench_layout.py).
        self.net.to(device=device, dtype=dtype)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self

    def session(self) -> RTSession:
        return RTSession(self.net, 1 if self.info.domain == "luma" else CHANNELS)


class RTSession(Session):
    """Frames are computed one by one in the same way wherever windows begin, so cutting changes no bit.

    Between windows it holds two things of the last kept frame: its hidden state and its planes.
    """

    def __init__(self, net: RTNet | RTColorNet, channels: int) -> None:
        self.net, self._channels, self._weight = net, channels, next(net.parameters())
        self.reset()

    def reset(self, number: int = 0) -> None:  # noqa: ARG002
        self._hidden: Tensor | None = None
        self._previous: Tensor | None = None

    def window(self, frames: Tensor, new: int, keep: range) -> Iterator[Tensor]:
        """See ``Session.window``; ``frames`` is (T, C, H, W). Without a next frame a frame stands for its own."""
        check_window(frames, new, keep, self._weight, channels=self._channels)
        if self._hidden is not None and self._hidden.shape[2:] != frames.shape[2:]:
            raise ModelError(f"{frames.shape = } after frames of {tuple(self._hidden.shape[2:])}: reset first")
        return self._run(frames, keep)

    def _run(self, frames: Tensor, keep: range) -> Iterator[Tensor]:
        for t in range(keep.stop):
            result = self._step(frames, t)
            if t >= keep.start:
                yield result

    # no_grad rather than inference_mode: the caller may go on to change the frame in place, outside of either.
    @torch.no_grad()
    def _step(self, frames: Tensor, t: int) -> Tensor:
        now, after = frames[t], frames[min(t + 1, len(frames) - 1)]
        before = now if self._previous is None else self._previous
        if self._hidden is None:
            self._hidden = self.net.initial_state(1, *now.shape[1:])
        neighbours = torch.cat((before, now, after)).unsqueeze(0).contiguous(memory_format=torch.channels_last)
        result: Tensor
        result, self._hidden = self.net(neighbours, self._hidden)
        # A copy: the caller owns frames, and a view would keep all of the window alive.
        self._previous = now.clone()
        return result[0]
