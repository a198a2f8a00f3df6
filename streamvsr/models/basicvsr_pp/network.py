"""The network of BasicVSR++ (Chan et al., CVPR 2022): second-order grid propagation, flow-guided deformable alignment.

Four branches pass over the sequence one after the other, and each reads what those before it made of the same frame::

    features ──► backward_1 ──► forward_1 ──► backward_2 ──► forward_2 ──► reconstruction, upsampling

A step of a branch takes the states of the two frames before it (in its own direction), moves them by optical flow to
where they are in this frame, corrects that by offsets that it finds itself (a modulated deformable convolution), and
adds what residual blocks make of all (sec. 3.1, 3.2). State-dict keys are those of mmedit's checkpoints.

Weights for video of its own size (``low_res`` False: compressed video made clean, noise, blur) shrink the frame by four
first and give a frame of the input's size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from streamvsr.models.basicvsr.history import States
from streamvsr.models.basicvsr.layers import LEAK, SCALE, PixelShuffle, ResidualTrunk, flow_warp
from streamvsr.models.basicvsr.network import upsampled_pixels
from streamvsr.models.basicvsr.spynet import SPyNet
from streamvsr.models.basicvsr.upsampler import add_upsampled
from streamvsr.models.deform import modulated_deform_conv
from streamvsr.models.fused import convolve, weights

BRANCHES = ("backward_1", "forward_1", "backward_2", "forward_2")
"""In the order in which they pass."""
ORDER = 2
"""Frames before it whose states a step reads."""
TAPS = 9
"""Of the alignment's 3x3 kernel."""
FEATURE_BLOCKS = 5
"""Residual blocks of the feature extraction and of the reconstruction."""
MAX_RESIDUE = 10.0
"""Pixels that an offset may differ from the flow, where a config does not say."""
Trunk = Callable[[Tensor], Tensor]


class Alignment(nn.Module):
    """Second-order deformable alignment: two states and their flows -> one state where the frame has it (sec. 3.2)."""

    def __init__(self, channels: int, groups: int, max_residue: float) -> None:
        super().__init__()
        self.groups = groups
        self.max_residue = max_residue
        self.weight = nn.Parameter(torch.empty(channels, 2 * channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # as torch's own convolutions begin
        widths = (3 * channels + 4, channels, channels, channels)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.LeakyReLU(LEAK, inplace=True)]
        self.conv_offset = nn.Sequential(*layers, nn.Conv2d(channels, 3 * TAPS * groups, 3, padding=1))

    def forward(self, states: Tensor, seen: Tensor, flow: Tensor, second_flow: Tensor) -> Tensor:
        """(1, channels, H, W).

        ``states``: (1, 2 channels, H, W), of the frame before and the one before that. ``seen``: (1, 3 channels, H, W),
        the first of them moved, the frame's features, the second moved. Flows: (1, 2, H, W) in pixels, float32.
        """
        x = torch.cat((seen, flow.to(seen.dtype), second_flow.to(seen.dtype)), dim=1)
        *hidden, last = (layer for layer in self.conv_offset if isinstance(layer, nn.Conv2d))
        for layer in hidden:
            x = convolve(x, *weights(layer), LEAK)
        # Offsets are positions: in half precision they would miss pixels.
        found = convolve(x, *weights(last)).to(flow.dtype)
        near, far, mask = found.chunk(3, dim=1)
        near, far = (self.max_residue * torch.cat((near, far), dim=1).tanh()).chunk(2, dim=1)
        # Half of the groups move the first state, half the second; offsets count down first, flows right first.
        pairs = self.groups * TAPS // 2
        near = near + flow.flip(1).repeat(1, pairs, 1, 1)
        far = far + second_flow.flip(1).repeat(1, pairs, 1, 1)
        offset = torch.cat((near, far), dim=1)
        return modulated_deform_conv(states, self.weight, self.bias, offset, mask.sigmoid(), self.groups)


class BasicVSRPlusPlusNet(nn.Module):
    """``channels``: features in the branches. ``blocks``: residual blocks in each. Takes R'G'B', nominal range 0..1.

    ``low_res``: the output is four times larger than the input; else of its size, and height and width have to be
    multiples of four. ``groups``: of the deformable convolutions.
    """

    def __init__(
        self,
        channels: int = 64,
        blocks: int = 7,
        low_res: bool = True,
        groups: int = 16,
        high_res_channels: int = 64,
        max_residue: float = MAX_RESIDUE,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.low_res = low_res
        self.spynet = SPyNet()
        self.feat_extract = (
            ResidualTrunk(3, channels, FEATURE_BLOCKS)
            if low_res
            else nn.Sequential(
                nn.Conv2d(3, channels, 3, 2, 1),
                nn.LeakyReLU(LEAK, inplace=True),
                nn.Conv2d(channels, channels, 3, 2, 1),
                nn.LeakyReLU(LEAK, inplace=True),
                ResidualTrunk(channels, channels, FEATURE_BLOCKS),
            )
        )
        self.deform_align = nn.ModuleDict({name: Alignment(channels, groups, max_residue) for name in BRANCHES})
        self.backbone = nn.ModuleDict(
            {name: ResidualTrunk((2 + n) * channels, channels, blocks) for n, name in enumerate(BRANCHES)}
        )
        self.reconstruction = ResidualTrunk(5 * channels, channels, FEATURE_BLOCKS)
        self.upsample1 = PixelShuffle(channels, channels)
        self.upsample2 = PixelShuffle(channels, high_res_channels)
        self.conv_hr = nn.Conv2d(high_res_channels, high_res_channels, 3, padding=1)
        self.conv_last = nn.Conv2d(high_res_channels, 3, 3, padding=1)

    @property
    def scale(self) -> int:
        return SCALE if self.low_res else 1

    def shrunk(self, frame: Tensor) -> Tensor:
        """What the flow is found on: (N, 3, H, W), or a quarter of that size where the frame is not low-resolution."""
        return frame if self.low_res else functional.interpolate(frame, scale_factor=1 / SCALE, mode="bicubic")

    def propagate(
        self,
        name: str,
        trunk: Trunk,
        seen: Sequence[Tensor],
        states: States,
        flow: Tensor | None,
        next_flow: Tensor | None,
    ) -> Tensor:
        """One step of the branch ``name``, whose residual blocks are ``trunk``: (1, channels, H, W).

        ``seen``: the frame's features and its states of the branches before. ``states``: of the frames before it in the
        branch's direction, nearest first. ``flow``: from the frame to the nearest, ``next_flow`` from there to the
        next; (1, 2, H, W), None where there is no such frame.
        """
        features = seen[0]
        if not states or flow is None:
            moved = torch.zeros_like(features)
        else:
            nothing = torch.zeros_like(states[0])
            second, second_flow, second_moved = nothing, torch.zeros_like(flow), nothing
            if len(states) > 1 and next_flow is not None:
                second, second_flow = states[1], flow + flow_warp(next_flow, flow)
                second_moved = flow_warp(second, second_flow)
            around = torch.cat((flow_warp(states[0], flow), features, second_moved), dim=1)
            both = torch.cat((states[0], second), dim=1)
            moved = self.deform_align[name](both, around, flow, second_flow)
        stacked = torch.cat((*seen, moved), dim=1).contiguous(memory_format=torch.channels_last)
        return moved + trunk(stacked)

    def reconstruct(self, frame: Tensor, seen: Sequence[Tensor], trunk: Trunk, pixels: int | None = None) -> Tensor:
        """(1, 3, H, W) -> (1, 3, H * scale, W * scale), from the frame's features and its states of all branches.

        ``pixels``: pixels of the features that are upsampled at once, where not as many as usual.
        """
        x = trunk(torch.cat(tuple(seen), dim=1).contiguous(memory_format=torch.channels_last))
        if self.low_res:
            base = functional.interpolate(frame, scale_factor=SCALE, mode="bilinear", align_corners=False)
        else:
            base = frame.clone(memory_format=torch.contiguous_format)
        limit = pixels or upsampled_pixels(frame.device)
        add_upsampled(base, x, self.upsample1, self.upsample2, self.conv_hr, self.conv_last, limit)
        return base
