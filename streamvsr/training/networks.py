"""What differs between the networks that are trained: how they are built, run over a sequence, and described."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from streamvsr.errors import CheckpointError
from streamvsr.media.color.yuv import KR_KB, inverse_matrix
from streamvsr.models.basicvsr.network import BasicVSRNet, RealBasicVSRNet
from streamvsr.models.checkpoint import read
from streamvsr.models.rt.color import PLANES, RTColorNet, fold, unfold, with_colors
from streamvsr.models.rt.network import RTNet
from streamvsr.training.branches import branch, collapsed
from streamvsr.training.checkerboard import CheckerboardFree
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
    detailed: list[Tensor] | None = None
    """As ``outputs``, of a second head, which follows the teacher; None: ``outputs`` do."""


class Trained(Protocol):
    """A network as the trainer sees it."""

    net: nn.Module
    channels: int
    """Of its frames: 1 (luma) or 3 (R'G'B')."""
    look_ahead: int
    """Frames that a sequence has beyond ``--frames``, to be looked at."""
    flow: nn.Module | None
    """The part that ``--freeze-flow`` leaves alone."""

    def run(self, low: Tensor, step: int) -> Result: ...
    def target(self, frames: Tensor, step: int) -> Tensor:  # noqa: ARG002
        """(T, N, C, 4h, 4w) -> what ``outputs`` are to be, in their layout."""
        return frames

    def luma(self, outputs: Tensor) -> Tensor:
        """Of ``outputs`` (N, ...) in their layout, what the loss on gradients looks at: (N, C', 4h, 4w)."""
        return outputs

    def weights(self, average: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The averaged weights as the network runs with them."""
        return dict(average)

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


class TrainedRTColor(Trained):
    """``rt`` with colours. Its outputs stay folded (``color.fold``): nothing is shuffled that is only compared."""

    channels, look_ahead, flow = 3, 1, None
    net: RTColorNet

    def __init__(self, options: TrainOptions) -> None:
        self.net = RTColorNet(options.channels or 32, options.blocks or 2, detail=options.teacher is not None)
        self.share = options.detail
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        branch(self.net)
        for head in (self.net.leave, self.net.detail):
            if head is not None:
                for part in ("weight", "bias"):
                    parametrize.register_parametrization(head, part, CheckerboardFree(PLANES))

    def run(self, low: Tensor, step: int) -> Result:
        frames, count, _, height, width = low.shape
        planes = halved_chroma(ycbcr(low, matrix_of(step)))
        hidden = self.net.initial_state(count, height, width)
        outputs: list[Tensor] = []
        detailed: list[Tensor] = []
        last = frames - 1
        # Each kernel is put together once, and not once for each frame.
        with parametrize.cached():
            for t in range(frames):
                if t == last and step % LAST_FRAME_EVERY:
                    break
                seen = torch.cat((planes[max(t - 1, 0)], planes[t], planes[min(t + 1, last)]), 1)
                seen = seen.contiguous(memory_format=torch.channels_last)
                hidden = self.net.hidden(seen, hidden)
                outputs.append(self.net.leave(hidden) + self.net.enlarged(seen, hidden))
                if self.net.detail is not None:
                    detailed.append(outputs[-1] + self.net.detail(hidden))
        return Result(outputs, detailed=detailed or None)

    def target(self, frames: Tensor, step: int) -> Tensor:
        planes = ycbcr(frames, matrix_of(step)).flatten(0, 1)
        folded = fold(planes[:, :1], F.avg_pool2d(planes[:, 1:], 2))
        return folded.view(*frames.shape[:2], *folded.shape[1:])

    def luma(self, outputs: Tensor) -> Tensor:
        return unfold(outputs)[0]

    def weights(self, average: Mapping[str, Tensor]) -> dict[str, Tensor]:
        now = {key: value.clone() for key, value in self.net.state_dict().items()}
        self.net.load_state_dict(dict(average))
        state = collapsed(self.net)
        self.net.load_state_dict(now)
        return state

    def metadata(self) -> dict[str, str]:
        stated = {"channels": str(self.net.channels), "blocks": str(len(self.net.blocks))}
        return stated if self.net.detail is None else stated | {"detail": str(self.share)}


BT601, BT709 = 6, 1


def matrix_of(step: int) -> int:
    """BT.601 and BT.709 in turns: a network sees whichever the video has."""
    return BT601 if step % 2 else BT709


def ycbcr(frames: Tensor, matrix: int) -> Tensor:
    """R'G'B' (..., 3, H, W) -> Y'CbCr, chroma -0.5..0.5."""
    kr, kb = KR_KB[matrix]
    red, green, blue = frames.unbind(-3)
    luma = red * kr + green * (1 - kr - kb) + blue * kb
    return torch.stack((luma, (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)), -3)


def rgb(frames: Tensor, matrix: int) -> Tensor:
    """Undoes ``ycbcr``."""
    return torch.einsum("ij,...jhw->...ihw", inverse_matrix(matrix).to(frames), frames)


def halved_chroma(planes: Tensor) -> Tensor:
    """(T, N, 3, H, W) with the chroma of 4:2:0 video, brought to full size as the filter brings it; H and W even."""
    luma, chroma = planes[:, :, :1], planes[:, :, 1:]
    small = F.avg_pool2d(chroma.flatten(0, 1), 2)
    full = F.interpolate(small, scale_factor=2, mode="bicubic", align_corners=False)
    return torch.cat((luma, full.view_as(chroma)), 2)


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
            # Once for each frame: the passes that follow while the frame is still dirty belong to inference.
            flat = sequences.flatten(0, 1)
            sequences = (flat + self.cleaning(flat)).view_as(sequences)
            cleaned = sequences.transpose(0, 1)
        return Result(list(self.core(sequences).unbind(1)), cleaned)

    def metadata(self) -> dict[str, str]:
        return {}


def build(options: TrainOptions) -> Trained:
    """With random weights, or those of ``--init``, drawn from torch's own generator."""
    trained: Trained
    if options.model == "rt":
        trained = TrainedRTColor(options) if options.color else TrainedRT(options)
    else:
        trained = TrainedFamily(options)
    if options.init:
        _begin_with(trained.net, options)
    return trained


def _begin_with(net: nn.Module, options: TrainOptions) -> None:
    """Copy the weights of ``--init``.

    A RealBasicVSR may begin with a BasicVSR, a network with the first blocks of a shallower one of its kind, and ``rt``
    with those of a narrower one: it computes the same at first. A residual block that is new gives nothing, and what
    there is of the narrower one does not look at the channels that are new (Net2Net, Chen et al., ICLR 2016, sec. 2.2).
    """
    path = Path(options.init or "")
    found = read(path)
    state: Mapping[str, Tensor] = found.state
    if (found.architecture, options.model) == ("basicvsr", "realbasicvsr"):
        state = {f"basicvsr.{key}": value for key, value in state.items()}
    elif found.architecture != options.model:
        raise CheckpointError(f"{path}: holds a {found.architecture} network, --init needs one of {options.model}")
    own = _plain(net)
    if isinstance(net, RTColorNet) and state["enter.weight"].shape[1] == 3:
        state = with_colors(state)
    if "detail.weight" not in own:
        state = {key: value for key, value in state.items() if not key.startswith("detail.")}
    widens = isinstance(net, RTNet | RTColorNet)
    unknown = [key for key, value in state.items() if key not in own or not _fits(own[key], value, widens)]
    if unknown:
        many = "at least its" if widens else "the same"
        raise CheckpointError(f"{path}: {unknown[0]} does not fit; give {many} --channels, and at least its --blocks")
    with torch.no_grad():
        for key, value in own.items():
            if key in state:
                _embed(value, state[key])
            elif ".parametrizations." not in key and (".conv2." in key or key.startswith("detail.")):
                value.zero_()


def _fits(own: Tensor, given: Tensor, widens: bool) -> bool:
    """Whether ``given`` may begin ``own``: of its shape, or (``widens``) with fewer channels."""
    if not widens or own.ndim != given.ndim:
        return own.shape == given.shape
    return own.shape[2:] == given.shape[2:] and all(a >= b for a, b in zip(own.shape, given.shape, strict=True))


def _embed(own: Tensor, given: Tensor) -> None:
    """Put a kernel (out, in, k, k) or a bias (out,) into the first channels of a wider one."""
    own[tuple(slice(size) for size in given.shape)] = given
    if own.ndim > 1:
        own[: given.shape[0], given.shape[1] :] = 0


def _plain(net: nn.Module) -> dict[str, Tensor]:
    """Its weights by the names of the checkpoint: the kernel of a branched convolution is its own, without branches."""
    return {
        re.sub(r"\.parametrizations\.(weight|bias)\.original$", r".\1", key): value
        for key, value in net.state_dict().items()
    }
