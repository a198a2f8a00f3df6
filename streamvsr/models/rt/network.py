"""The network ``rt``: a small recurrent convolutional net that enlarges luma four times, for CPUs and live use.

One step sees three neighbouring low-resolution frames and what the step before left behind::

    previous, current, next ── enter ──┐
                                       + ── relu ── blocks ── clamp(-1, 1) ──┬── leave ── pixel shuffle ── + ── output
    hidden state ───────────── recur ──┘                                     │                             │
          ▲                                                                  │              current ── bicubic x4
          └──────────────────────────────────────────────────────────────────┘

There is no optical flow: the receptive field is wide enough for the motion of a few low-resolution pixels a frame, and
what moves faster is enlarged from its own frame and its two neighbours. The clamp bounds the hidden state, so that it
cannot grow however long the video is.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamvsr.media.color.resample import cubic
from streamvsr.models import fused
from streamvsr.models.state import check_fit

SCALE = 4
_TAPS = 5  # x4 bicubic reads source pixels -2..1 for two of the four phases and -1..2 for the others


def bicubic_kernel(a: float = -0.75) -> Tensor:
    """Bicubic enlargement by four as a 5x5 convolution: (16, 1, 5, 5) float32, to be followed by a pixel shuffle.

    The same numbers as ``torch.nn.functional.interpolate(mode="bicubic", align_corners=False)`` for ``a`` = -0.75.
    """
    row = torch.zeros(SCALE, _TAPS, dtype=torch.float64)
    for phase in range(SCALE):
        centre = (phase + 0.5) / SCALE - 0.5
        for tap in range(_TAPS):
            row[phase, tap] = cubic(tap - _TAPS // 2 - centre, a)
    return torch.einsum("pi,qj->pqij", row, row).reshape(SCALE * SCALE, 1, _TAPS, _TAPS).float()


class ResidualBlock(nn.Module):
    """``x + conv(relu(conv(x)))``, both 3x3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(F.relu(self.conv1(x), inplace=True))
        return out.add_(x)


def next_hidden(net: Recurrent, neighbours: Tensor, hidden: Tensor) -> Tensor:
    """The hidden state behind a step; arguments as of ``RTNet.forward``.

    The fused way gives the same bits: two passes over the maps less in front of the blocks, and two in each.
    """
    neighbours = neighbours.to(net.enter.weight.dtype)
    if fused.keeps_bits(neighbours):
        features = fused.convolve(neighbours, *fused.weights(net.enter))
        fused.convolve_onto(features, hidden, net.recur.weight, None, relu=True)
        for block in net.blocks:
            assert isinstance(block, ResidualBlock)
            inner = fused.convolve(features, *fused.weights(block.conv1), leak=0.0)
            fused.convolve_onto(features, inner, *fused.weights(block.conv2))
    else:
        features = net.enter(neighbours).add_(net.recur(hidden)).relu_()
        for block in net.blocks:
            features = block(features)
    return F.hardtanh(features, inplace=True)


def enlarge(x: Tensor, kernel: Tensor) -> Tensor:
    """(N, C, H, W), edges replicated, through a 5x5 kernel: (N, D, H, W) in the type of ``x``, under autocast too."""
    device = x.device.type
    with torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext():
        return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), kernel)


def added(base: Tensor, hidden: Tensor, leave: nn.Conv2d, neighbours: Tensor) -> Tensor:
    """The output head applied to the hidden state, plus ``base``, which may be overwritten; in the type of ``base``."""
    if hidden.dtype != base.dtype:
        return base.add_(fused.convolve(hidden, *fused.weights(leave)))
    if fused.keeps_bits(neighbours):
        return fused.convolve_onto(base, hidden, *fused.weights(leave))
    made: Tensor = leave(hidden)
    return made.add_(base)


def shuffled(outputs: Tensor) -> Tensor:
    """``pixel_shuffle`` by ``SCALE`` of (N, 16, H, W); in rows of four where the channels are last: twice as fast."""
    if not fused.is_free(outputs) or not outputs.is_contiguous(memory_format=torch.channels_last):
        return F.pixel_shuffle(outputs, SCALE)
    count, _, height, width = outputs.shape
    return in_rows(outputs).reshape(count, 1, SCALE * height, SCALE * width)


def in_rows(outputs: Tensor) -> Tensor:
    """(N, 16, H, W), channels last, as (N, H, 4, W, 4): not copied yet."""
    count, _, height, width = outputs.shape
    return outputs.permute(0, 2, 3, 1).view(count, height, width, SCALE, SCALE).permute(0, 1, 3, 2, 4)


class Recurrent(Protocol):
    """What networks of this kind have in common."""

    enter: nn.Conv2d
    recur: nn.Conv2d
    blocks: nn.ModuleList


class RTNet(nn.Module):
    """One step of the recurrent network; see the module's text for the drawing."""

    bicubic: Tensor

    def __init__(self, channels: int = 32, blocks: int = 1) -> None:
        super().__init__()
        self.channels = channels
        self.enter = nn.Conv2d(3, channels, 3, padding=1)
        self.recur = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.blocks = nn.ModuleList(ResidualBlock(channels) for _ in range(blocks))
        self.leave = nn.Conv2d(channels, SCALE * SCALE, 3, padding=1)
        self.register_buffer("bicubic", bicubic_kernel(), persistent=False)
        # Start as plain bicubic with a quiet memory: training then only ever has to improve on it.
        nn.init.normal_(self.leave.weight, std=0.01)
        with torch.no_grad():
            if self.leave.bias is not None:
                self.leave.bias.zero_()
            self.recur.weight.mul_(0.5)
            for block in self.blocks:
                assert isinstance(block, ResidualBlock)
                block.conv2.weight.mul_(0.5)

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor]) -> RTNet:
        """The network whose weights these are; its width and depth are read off the keys."""
        channels = state["enter.weight"].shape[0]
        blocks = len({key.split(".")[1] for key in state if key.startswith("blocks.")})
        net = cls(channels, blocks)
        check_fit(net, state)
        net.load_state_dict({key: value.float() for key, value in state.items()})
        return net

    @property
    def macs_per_pixel(self) -> int:
        """Multiply-accumulate operations for one low-resolution pixel of one frame."""
        convs = [m for m in self.modules() if isinstance(m, nn.Conv2d)]
        return sum(c.weight.numel() for c in convs) + self.bicubic.numel()

    def initial_state(self, batch: int, height: int, width: int) -> Tensor:
        """The hidden state before the first frame: zeros (batch, channels, height, width), channels last in memory."""
        like = self.enter.weight
        zeros = torch.zeros(batch, self.channels, height, width, dtype=like.dtype, device=like.device)
        return zeros.contiguous(memory_format=torch.channels_last)

    def forward(self, neighbours: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """One frame.

        ``neighbours``: (N, 3, H, W), luma 0..1 of the previous, the current and the next frame, float32 where the
        weights are half precision. The first frame of a scene stands for its own previous one, the last for its own
        next one. ``hidden``: (N, channels, H, W), -1..1, from the step before or ``initial_state``.
        Returns the enlarged luma (N, 1, 4H, 4W), not clamped, in the type of ``neighbours``, and the next hidden state
        in that of the weights. Any H and W from 1.
        """
        hidden = next_hidden(self, neighbours, hidden)
        base = enlarge(neighbours[:, 1:2], self.bicubic)
        return shuffled(added(base, hidden, self.leave, neighbours)), hidden
