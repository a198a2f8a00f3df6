"""The loop of mmedit's RealBasicVSRNet in plain torch, for machines without mmcv and mmedit.

Weights are those of streamvsr's network of the same keys; the order of the work, the batches and the memory layout are
mmedit's: all frames are cleaned at once, all flows are found at once, every backward state is kept, frames are
upsampled whole, and maps lie in torch's default order. tests/test_gpu_script.py compares it with mmedit's own network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from streamvsr.models.basicvsr.layers import LEAK, SCALE, flow_warp
from streamvsr.models.basicvsr.network import RealBasicVSRNet


class OriginalLoop(nn.Module):
    """(N, T, 3, H, W) -> (N, T, 3, 4H, 4W), one pass of cleaning."""

    def __init__(self, network: RealBasicVSRNet) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.contiguous_format)

    @torch.no_grad()
    def forward(self, frames: Tensor) -> Tensor:
        count, length, _, height, width = frames.shape
        core, flat = self.network.basicvsr, frames.flatten(0, 1)
        frames = (flat + self.network.image_cleaning(flat)).view(frames.shape)
        ahead, behind = frames[:, 1:].flatten(0, 1), frames[:, :-1].flatten(0, 1)
        shape = (count, length - 1, 2, height, width)
        if length > 1:
            to_next = core.spynet(behind, ahead).view(shape)
            to_previous = core.spynet(ahead, behind).view(shape)
        state = frames.new_zeros(count, core.channels, height, width)
        backward: list[Tensor] = []
        for t in reversed(range(length)):
            moved = flow_warp(state, to_next[:, t]) if t < length - 1 else state
            state = core.backward_resblocks(torch.cat((frames[:, t], moved), 1))
            backward.append(state)
        state = torch.zeros_like(state)
        outputs = []
        for t in range(length):
            moved = flow_warp(state, to_previous[:, t - 1]) if t else state
            state = core.forward_resblocks(torch.cat((frames[:, t], moved), 1))
            x = functional.leaky_relu(core.fusion(torch.cat((backward.pop(), state), 1)), LEAK)
            for layer in (core.upsample1, core.upsample2, core.conv_hr):
                x = functional.leaky_relu(layer(x), LEAK)
            base = functional.interpolate(frames[:, t], scale_factor=SCALE, mode="bilinear", align_corners=False)
            outputs.append(core.conv_last(x) + base)
        return torch.stack(outputs, 1)
