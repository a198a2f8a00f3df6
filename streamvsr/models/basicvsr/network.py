"""The networks: BasicVSR (CVPR 2021, sec. 3) and, with cleaning before it, RealBasicVSR (CVPR 2022, sec. 3.2).

State-dict keys are those of the published checkpoints. ``forward`` runs a whole sequence at once, for training and as
the reference that the streaming session is tested against; the session uses the same parts one at a time.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from streamvsr.models.basicvsr.layers import LEAK, SCALE, PixelShuffle, ResidualTrunk, flow_warp
from streamvsr.models.basicvsr.spynet import SPyNet
from streamvsr.models.basicvsr.upsampler import add_upsampled
from streamvsr.models.fused import convolve, weights

Trunk = Callable[[Tensor], Tensor]
TILE_PIXELS_CPU = 2 << 10
TILE_PIXELS_GPU = 1 << 18
"""Input pixels that are upsampled at once (see ``upsampler``); 2**18 of them make maps of 1 GiB in float32."""


def upsampled_pixels(device: torch.device) -> int:
    return TILE_PIXELS_CPU if device.type == "cpu" else TILE_PIXELS_GPU


class BasicVSRNet(nn.Module):
    """Bidirectional recurrent x4 network: flow, two propagation branches, fusion, pixel-shuffle upsampling.

    ``channels``: features in the branches. ``blocks``: residual blocks in each branch. ``high_res_channels``: features
    at the output size. Takes R'G'B', nominal range 0..1.
    """

    def __init__(self, channels: int = 64, blocks: int = 30, high_res_channels: int = 64) -> None:
        super().__init__()
        self.channels = channels
        self.spynet = SPyNet()
        self.backward_resblocks = ResidualTrunk(channels + 3, channels, blocks)
        self.forward_resblocks = ResidualTrunk(channels + 3, channels, blocks)
        self.fusion = nn.Conv2d(channels * 2, channels, 1)
        self.upsample1 = PixelShuffle(channels, channels)
        self.upsample2 = PixelShuffle(channels, high_res_channels)
        self.conv_hr = nn.Conv2d(high_res_channels, high_res_channels, 3, padding=1)
        self.conv_last = nn.Conv2d(high_res_channels, 3, 3, padding=1)

    def propagate(self, trunk: Trunk, frame: Tensor, state: Tensor | None, flow: Tensor | None) -> Tensor:
        """One step of a branch: the state of the neighbour, moved by ``flow``, and the frame make the frame's state.

        ``frame`` (N, 3, H, W), ``state`` (N, channels, H, W) or None at the end the branch starts from, ``flow``
        (N, 2, H, W) from the frame to the neighbour. Returns (N, channels, H, W) in the type of the weights.
        """
        seen = frame.to(self.fusion.weight.dtype)
        if state is None or flow is None:
            moved = seen.new_zeros((frame.shape[0], self.channels, *frame.shape[-2:]))
        else:
            moved = flow_warp(state, flow)
        y: Tensor = trunk(torch.cat((seen, moved), dim=1))
        return y

    def reconstruct(
        self, frame: Tensor, backward_state: Tensor, forward_state: Tensor, pixels: int | None = None
    ) -> Tensor:
        """Fuse the two states of a frame and upsample: (N, 3, H, W) and twice (N, channels, H, W) -> (N, 3, 4H, 4W) in
        the type of ``frame``.

        ``pixels``: input pixels that are upsampled at once without gradients, where not as many as usual.
        """
        states = torch.cat((backward_state, forward_state), dim=1)
        fused = convolve(states, *weights(self.fusion), LEAK)
        base = functional.interpolate(frame, scale_factor=SCALE, mode="bilinear", align_corners=False)
        if torch.is_grad_enabled():
            return base + self._upsample(fused)
        limit = pixels or upsampled_pixels(frame.device)
        add_upsampled(base, fused, self.upsample1, self.upsample2, self.conv_hr, self.conv_last, limit)
        return base

    def _upsample(self, x: Tensor) -> Tensor:
        x = functional.leaky_relu_(self.upsample1(x), LEAK)
        x = functional.leaky_relu_(self.upsample2(x), LEAK)
        x = functional.leaky_relu_(self.conv_hr(x), LEAK)
        y: Tensor = self.conv_last(x)
        return y

    def forward(self, frames: Tensor) -> Tensor:
        """(N, T, 3, H, W) -> (N, T, 3, 4H, 4W), the whole sequence at once, values not clamped."""
        sequence = frames.unbind(1)
        count = len(sequence)
        to_next = [self.spynet(sequence[i], sequence[i + 1]) for i in range(count - 1)]
        to_previous = [self.spynet(sequence[i + 1], sequence[i]) for i in range(count - 1)]
        state: Tensor | None = None
        backward_states: list[Tensor] = []
        for i in reversed(range(count)):
            flow = to_next[i] if i < count - 1 else None
            state = self.propagate(self.backward_resblocks, sequence[i], state, flow)
            backward_states.append(state)
        state = None
        outputs = []
        for i, frame in enumerate(sequence):
            state = self.propagate(self.forward_resblocks, frame, state, to_previous[i - 1] if i else None)
            outputs.append(self.reconstruct(frame, backward_states.pop(), state))
        return torch.stack(outputs, dim=1)


class RealBasicVSRNet(nn.Module):
    """BasicVSR behind a cleaning network that takes noise and compression out of each frame (sec. 3.2)."""

    def __init__(
        self, channels: int = 64, blocks: int = 20, cleaning_blocks: int = 20, high_res_channels: int = 64
    ) -> None:
        super().__init__()
        self.image_cleaning = nn.Sequential(
            ResidualTrunk(3, channels, cleaning_blocks), nn.Conv2d(channels, 3, 3, padding=1)
        )
        self.basicvsr = BasicVSRNet(channels, blocks, high_res_channels)

    def forward(self, frames: Tensor) -> Tensor:
        """(N, T, 3, H, W) -> (N, T, 3, 4H, 4W) with one pass of cleaning, the whole sequence at once."""
        flat = frames.flatten(0, 1)
        cleaned = flat + self.image_cleaning(flat)
        y: Tensor = self.basicvsr(cleaned.view_as(frames))
        return y
