"""``rt``: the small recurrent networks that ship with streamvsr, for luma or for luma and chroma, as a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor

from streamvsr.config import ModelOptions
from streamvsr.errors import CheckpointError
from streamvsr.models.base import Model, ModelInfo, silent
from streamvsr.models.precision import ExactWeights
from streamvsr.models.recurrent import State, StepSession
from streamvsr.models.rt.color import CHANNELS, RTColorNet
from streamvsr.models.rt.network import SCALE, RTNet

__all__ = ["RTModel", "RTSession", "is_rt", "load"]

INFO = ModelInfo(
    name="rt", scale=SCALE, domain="luma", max_seq_len=8, overlap=1, min_size_px=1, causal_after=1, steady=True
)
Net = RTNet | RTColorNet
DETAIL = 0.5
"""The share of the teacher's detail where a checkpoint has it and does not say."""
MOST_DETAIL = 2.0
"""More than 1 makes up for what a plain loss takes away: where it cannot know, it learns the mean."""


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
    if not 0 <= share <= MOST_DETAIL:
        raise CheckpointError(f"the checkpoint says detail {stated}, and not a number from 0 to {MOST_DETAIL:g}")
    return share


class RTModel(Model):
    """``RTNet`` or ``RTColorNet`` with its weights, for luma or Y'CbCr of any size; one frame of look-ahead."""

    def __init__(self, net: Net) -> None:
        self.net = net.eval().requires_grad_(False)
        self.info = INFO if isinstance(net, RTNet) else replace(INFO, domain="ycbcr")
        self._exact = ExactWeights(self.net)
        self._warn: Callable[[str], None] = silent
        self.to(torch.device("cpu"), torch.float32)

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        # Half as fast again as in the default order (benchmarks/bench_layout.py).
        self._exact.convert(device, dtype)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self

    def tune(self, options: ModelOptions, warn: Callable[[str], None] = silent) -> None:  # noqa: ARG002
        self._warn = warn

    def bf16_module(self) -> Net:
        return self.net

    def session(self) -> RTSession:
        channels = 1 if self.info.domain == "luma" else CHANNELS
        return RTSession(self.net, channels, self._warn, self._exact.widen)


class RTSession(StepSession):
    """See ``StepSession``. The state is the network's hidden one."""

    def __init__(
        self, net: Net, channels: int, warn: Callable[[str], None] = silent, widen: Callable[[], None] | None = None
    ) -> None:
        self.net = net
        super().__init__(next(net.parameters()), channels, warn, widen)

    def _step(self, before: Tensor, now: Tensor, after: Tensor, state: State) -> tuple[Tensor, State]:
        neighbours = torch.cat((before, now, after)).unsqueeze(0).contiguous(memory_format=torch.channels_last)
        hidden = state[0] if state else self.net.initial_state(1, *now.shape[1:])
        result, hidden = self.net(neighbours, hidden)
        return result[0], (hidden,)
