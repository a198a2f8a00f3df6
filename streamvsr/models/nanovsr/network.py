"""The network of NanoVSR (Pawlicki et al., ECCV 2026, arXiv 2607.10495, sec. 3): bidirectional, without optical flow.

Each branch adds the state of the neighbouring frame to the features of its own and runs them through plain 3x3
convolutions; where things moved to is learnt, not computed. The two states are fused and enlarged by pixel shuffles::

    frame ── features ──┬── + ── forward convolutions ── state ──┬── fusion ── x2 ── x2 ── + ── output
                        │   ▲ state of the frame before          │                         │
                        └── + ── backward convolutions ── state ─┘        frame ── bilinear x4
                            ▲ state of the frame after

In training a convolution is three branches (3x3, 1x1, identity), each behind a batch normalisation; ``collapse`` adds
them up to the one 3x3 that they are in inference (RepVGG, Ding et al., CVPR 2021, sec. 3.3). State-dict keys are those
of the published code, collapsed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from streamvsr.models.boxes import boxes
from streamvsr.models.fused import convolve, convolve_to_few, weights
from streamvsr.models.state import require

SCALE = 4
LEAK = 0.1
LAST_CHANNELS = 32
"""Features at the output size."""
HALO_PX = 2
"""Input pixels beside a tile that its enlargement depends on: 3x3 convolutions at 1x, 2x and 4x reach 1.75."""
NORM_EPSILON = 1e-5
"""What torch's batch normalisation adds to a variance."""
BRANCHES = re.compile(r"^(?P<block>.+)\.rbr_(?:dense|1x1|identity)\.")


class Convolution(nn.Module):
    """A 3x3 convolution and a leaky ReLU: (N, inputs, H, W) -> (N, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.rbr_reparam = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return convolve(x, *weights(self.rbr_reparam), LEAK)


class Upsampling(nn.Module):
    """A 3x3 convolution, a pixel shuffle and a PReLU of one slope: (N, inputs, H, W) -> (N, outputs, 2H, 2W)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs * 4, 3, padding=1)
        self.prelu = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        return functional.prelu(functional.pixel_shuffle(self.conv(x), 2), self.prelu.weight)


class NanoVSRNet(nn.Module):
    """``channels``: features in the branches. ``blocks``: convolutions in each branch. Takes R'G'B', nominal 0..1."""

    def __init__(self, channels: int = 48, blocks: int = 12) -> None:
        super().__init__()
        self.channels = channels
        self.feat_extract = Convolution(3, channels)
        self.forward_net = nn.Sequential(*(Convolution(channels, channels) for _ in range(blocks)))
        self.backward_net = nn.Sequential(*(Convolution(channels, channels) for _ in range(blocks)))
        self.fusion = nn.Conv2d(channels * 2, channels, 1)
        self.upsample1 = Upsampling(channels, channels)
        self.upsample2 = Upsampling(channels, LAST_CHANNELS)
        self.conv_last = nn.Conv2d(LAST_CHANNELS, 3, 3, padding=1)

    def reconstruct(self, frame: Tensor, forward_state: Tensor, backward_state: Tensor, most_pixels: int) -> Tensor:
        """(N, 3, H, W) and the states of the frame, (N, channels, H, W) -> (N, 3, 4H, 4W), values not clamped.

        ``most_pixels``: input pixels that are enlarged at once, which changes nothing but the memory needed.
        """
        states = torch.cat((forward_state, backward_state), dim=1)
        fused = convolve(states, *weights(self.fusion))
        base = functional.interpolate(frame, scale_factor=SCALE, mode="bilinear", align_corners=False)
        height, width = frame.shape[-2:]
        for left, top, right, bottom in boxes(width, height, most_pixels):
            above, before = min(HALO_PX, top), min(HALO_PX, left)
            # Where the frame ends, the zeros of a convolution's own padding are right.
            part = self._enlarge(fused[..., top - above : bottom + HALO_PX, left - before : right + HALO_PX])
            down, across = slice(SCALE * above, SCALE * (above + bottom - top)), SCALE * before
            part = part[..., down, across : across + SCALE * (right - left)]
            base[..., SCALE * top : SCALE * bottom, SCALE * left : SCALE * right] += part
        return base

    def _enlarge(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        y: Tensor = self.upsample2(self.upsample1(x))
        return convolve_to_few(y.contiguous(memory_format=torch.channels_last), *weights(self.conv_last))


def collapse(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights with each block of training branches as one convolution; collapsed weights come back as they are.

    Raises ``CheckpointError`` where a part of a block is missing.
    """
    blocks = dict.fromkeys(m["block"] for key in state if (m := BRANCHES.match(key)))
    plain = {key: value for key, value in state.items() if not BRANCHES.match(key)}
    for block in blocks:
        dense, bias = _normalised(state, f"{block}.rbr_dense.1", state_of(state, f"{block}.rbr_dense.0.weight"))
        point, more = _normalised(state, f"{block}.rbr_1x1.1", state_of(state, f"{block}.rbr_1x1.0.weight"))
        kernel, bias = dense + functional.pad(point, (1, 1, 1, 1)), bias + more
        if f"{block}.rbr_identity.weight" in state:
            channels = kernel.shape[0]
            same = torch.eye(channels, dtype=kernel.dtype).view(channels, channels, 1, 1)
            same, more = _normalised(state, f"{block}.rbr_identity", same)
            kernel, bias = kernel + functional.pad(same, (1, 1, 1, 1)), bias + more
        plain[f"{block}.rbr_reparam.weight"], plain[f"{block}.rbr_reparam.bias"] = kernel.float(), bias.float()
    return plain


def state_of(state: Mapping[str, Tensor], key: str) -> Tensor:
    """In double precision: sums over three branches are rounded once, at the end."""
    require(state, key)
    return state[key].double()


def _normalised(state: Mapping[str, Tensor], norm: str, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """A convolution without bias and the batch normalisation behind it, as one convolution: its kernel and bias."""
    gain, shift, mean, variance = (
        state_of(state, f"{norm}.{name}") for name in ("weight", "bias", "running_mean", "running_var")
    )
    factor = gain / (variance + NORM_EPSILON).sqrt()
    return kernel * factor.view(-1, 1, 1, 1), shift - mean * factor
