"""What differs between the networks that are trained: how they are built, run over a sequence, and described."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from streamvsr.errors import CheckpointError
from streamvsr.models.basicvsr.network import BasicVSRNet, RealBasicVSRNet
from streamvsr.models.checkpoint import read
from streamvsr.models.rt.network import RTNet
from streamvsr.training.options import TrainOptions
from streamvsr.training.sequences import triples

LAST_FRAME_EVERY = 8
"""``rt``: a stream has one last frame, which has no successor: only every so many steps train on it."""


@dataclass(frozen=True, slots=True)
class Result:
    """Of a sequence (T, N, C, h, w)."""

    outputs: list[Tensor]
    """(N, C, 4h, 4w) for each frame; the last may be missing."""
    cleaned: Tensor | None = None
    """(T, N, C, h, w): what a cleaning stage made of the low resolution."""


class Trained(Protocol):
    """A network as the trainer sees it."""

    net: nn.Module
    channels: int
    """Of its pictures: 1 (luma) or 3 (R'G'B')."""
    look_ahead: int
    """Frames that a sequence has beyond ``--frames``, to be looked at."""
    flow: nn.Module | None
    """The part that ``--freeze-flow`` leaves alone."""

    def run(self, low: Tensor, step: int) -> Result: ...
    def metadata(self) -> dict[str, str]: ...


class TrainedRT(Trained):
    channels, look_ahead, flow = 1, 1, None
    net: RTNet

    def __init__(self, options: TrainOptions) -> None:
        self.net = RTNet(options.channels or 32, options.blocks or 1)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(self, low: Tensor, step: int) -> Result:
        luma = low[:, :, 0]
        frames, count, height, width = luma.shape
        hidden = self.net.initial_state(count, height, width)
        outputs: list[Tensor] = []
        for t, neighbours in enumerate(triples(luma)):
            if t == frames - 1 and step % LAST_FRAME_EVERY:
                break
            output, hidden = self.net(neighbours, hidden)
            outputs.append(output)
        return Result(outputs)

    def metadata(self) -> dict[str, str]:
        return {"channels": str(self.net.channels), "blocks": str(len(self.net.blocks))}


class TrainedFamily(Trained):
    """BasicVSR and RealBasicVSR."""

    channels, look_ahead = 3, 0
    net: nn.Module
    core: BasicVSRNet
    cleaning: nn.Module | None = None

    def __init__(self, options: TrainOptions) -> None:
        channels = options.channels or 64
        if options.model == "realbasicvsr":
            whole = RealBasicVSRNet(channels, options.blocks or 20, options.cleaning_blocks, channels)
            self.net, self.core, self.cleaning = whole, whole.basicvsr, whole.image_cleaning
        else:
            self.net = self.core = BasicVSRNet(channels, options.blocks or 30, channels)
        self.flow = self.core.spynet

    def run(self, low: Tensor, step: int) -> Result:  # noqa: ARG002 - every frame counts at every step
        sequences, cleaned = low.transpose(0, 1), None
        if self.cleaning is not None:
            # Once for each frame: the passes that follow while the picture is still dirty belong to inference.
            flat = sequences.flatten(0, 1)
            sequences = (flat + self.cleaning(flat)).view_as(sequences)
            cleaned = sequences.transpose(0, 1)
        return Result(list(self.core(sequences).unbind(1)), cleaned)

    def metadata(self) -> dict[str, str]:
        return {}


def build(options: TrainOptions) -> Trained:
    """With random weights, or those of ``--init``, drawn from torch's own generator."""
    trained: Trained = TrainedRT(options) if options.model == "rt" else TrainedFamily(options)
    if options.init:
        _begin_with(trained.net, options)
    return trained


def _begin_with(net: nn.Module, options: TrainOptions) -> None:
    """Copy the weights of ``--init``.

    A RealBasicVSR may begin with a BasicVSR, and a network with the first blocks of a shallower one of its kind: a
    residual block that is new gives nothing at first.
    """
    path = Path(options.init or "")
    found = read(path)
    state: Mapping[str, Tensor] = found.state
    if (found.architecture, options.model) == ("basicvsr", "realbasicvsr"):
        state = {f"basicvsr.{key}": value for key, value in state.items()}
    elif found.architecture != options.model:
        raise CheckpointError(f"{path}: holds a {found.architecture} network, --init needs one of {options.model}")
    own = net.state_dict()
    unknown = [key for key, value in state.items() if key not in own or own[key].shape != value.shape]
    if unknown:
        raise CheckpointError(f"{path}: {unknown[0]} does not fit; give the same --channels, and at least its --blocks")
    with torch.no_grad():
        for key, value in own.items():
            if key in state:
                value.copy_(state[key])
            elif ".conv2." in key:
                value.zero_()
