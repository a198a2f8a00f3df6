"""``rt``: the small recurrent networks that ship with streamvsr, for luma or for luma and chroma, as a model."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from streamvsr.config import ModelOptions
from streamvsr.errors import CheckpointError, ModelError
from streamvsr.models.base import Model, ModelInfo, Session, silent
from streamvsr.models.checks import check_window
from streamvsr.models.precision import HALF, WIDENED, ExactWeights, Flag, looks_broken
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


class RTSession(Session):
    """Frames are computed one by one in the same way wherever windows begin, so cutting changes no bit.

    Between windows it holds two things of the last kept frame: its hidden state and its planes. A frame that half
    precision breaks is computed again in float32, and so are all that follow.
    """

    def __init__(
        self, net: Net, channels: int, warn: Callable[[str], None] = silent, widen: Callable[[], None] | None = None
    ) -> None:
        """``widen`` makes the weights float32; None: there is no way back."""
        self.net, self._channels, self._weight = net, channels, next(net.parameters())
        self._warn, self._widen = warn, widen
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
        # On a GPU a frame is looked at when the next one is under way, so that the device never waits.
        behind = 1 if frames.device.type == "cuda" else 0
        tried: deque[_Try] = deque()
        t = 0
        while t < keep.stop or tried:
            if t < keep.stop:
                before = self._hidden, self._previous
                result, half = self._step(frames, t), self._weight.dtype in HALF and self._widen is not None
                tried.append(_Try(t, result, before, Flag(looks_broken(result, frames[t])) if half else None))
                t += 1
                if len(tried) <= behind:
                    continue
            one = tried.popleft()
            if one.broken is not None and one.broken.read():
                tried.clear()
                t = one.number
                self._go_on_in_float32(*one.before)
            elif one.number >= keep.start:
                yield one.result

    def _go_on_in_float32(self, hidden: Tensor | None, previous: Tensor | None) -> None:
        assert self._widen is not None
        self._warn(WIDENED)
        self._widen()
        self._hidden = None if hidden is None else hidden.float()
        self._previous = previous

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


@dataclass(frozen=True, slots=True)
class _Try:
    """A frame that is computed and not yet looked at."""

    number: int
    result: Tensor
    before: tuple[Tensor | None, Tensor | None]
    """The state of the session before it."""
    broken: Flag | None
