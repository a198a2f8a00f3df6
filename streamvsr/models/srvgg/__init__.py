"""The compact one-frame networks of Real-ESRGAN (SRVGGNetCompact), through the interface of the temporal ones.

Their outputs flicker more than those of a network that looks at neighbouring frames, and they are several times faster.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from streamvsr.errors import CheckpointError
from streamvsr.models.base import Model, ModelInfo, Session
from streamvsr.models.checks import check_window, count_of, scale_of
from streamvsr.models.state import fill, require

__all__ = ["SRVGGModel", "SRVGGNet", "SRVGGSession", "load"]


class SRVGGNet(nn.Module):
    """3x3 convolutions with parametric ReLUs at the input's size, a pixel shuffle, and the nearest pixel added.

    ``convolutions``: those between the first and the last. State-dict keys are those of the published checkpoints:
    convolutions and activations take turns in ``body``. (Wang et al., Real-ESRGAN, ICCVW 2021; the compact networks
    came with its releases of 2022.)
    """

    def __init__(self, channels: int = 64, convolutions: int = 16, scale: int = 4) -> None:
        super().__init__()
        self.scale = scale
        layers: list[nn.Module] = []
        for n in range(convolutions + 1):
            layers += [nn.Conv2d(channels if n else 3, channels, 3, padding=1), nn.PReLU(channels)]
        self.body = nn.ModuleList((*layers, nn.Conv2d(channels, 3 * scale * scale, 3, padding=1)))

    def forward(self, frames: Tensor) -> Tensor:
        """(N, 3, H, W), R'G'B' 0..1, any H and W from 1 -> (N, 3, H * scale, W * scale), not clamped."""
        x = frames
        for layer in self.body:
            x = layer(x)
        # Before the shuffle the nearest pixel is the pixel itself, in each of the channels that become its neighbours.
        nearest = frames.repeat_interleave(self.scale * self.scale, dim=1)
        return functional.pixel_shuffle(x + nearest, self.scale)


class SRVGGModel(Model):
    """``SRVGGNet`` with its weights; windows of one frame, no look-ahead."""

    def __init__(self, network: SRVGGNet) -> None:
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.info = ModelInfo(
            "srvgg", network.scale, "rgb", max_seq_len=1, overlap=0, temporal=False, causal_after=0, steady=True
        )

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        self.network.to(device=device, dtype=dtype)
        return self

    def session(self) -> SRVGGSession:
        return SRVGGSession(self.network)


class SRVGGSession(Session):
    """Each frame by itself; nothing to remember."""

    def __init__(self, network: SRVGGNet) -> None:
        self._network = network

    def reset(self) -> None:
        pass

    def window(self, frames: Tensor, new: int, keep: range) -> Iterator[Tensor]:
        """See ``Session.window``; ``frames`` is (T, 3, H, W)."""
        check_window(frames, new, keep, self._network.body[0].bias)  # type: ignore[arg-type]
        return (self._run(frames[i : i + 1]) for i in keep)

    @torch.no_grad()
    def _run(self, frame: Tensor) -> Tensor:
        picture: Tensor = self._network(frame.contiguous(memory_format=torch.channels_last))
        return picture[0]


def load(state: Mapping[str, Tensor], config: Mapping[str, str]) -> SRVGGModel:  # noqa: ARG001
    """The model of a checkpoint, on the CPU in float32; width, depth and scale are read off the weights.

    Raises ``CheckpointError`` where they make no such network.
    """
    layers = count_of(dict(state), "body.")
    last = f"body.{max(0, layers - 1)}.bias"
    require(state, "body.0.weight", last)
    if layers < 3 or layers % 2 == 0 or state["body.0.weight"].ndim != 4 or state["body.0.weight"].shape[1] != 3:
        raise CheckpointError("the weights are of no compact network for colour pictures: convolutions and PReLUs")
    channels, scale = state["body.0.weight"].shape[0], scale_of(state[last].shape[0])
    with torch.device("meta"):
        network = SRVGGNet(channels, (layers - 3) // 2, scale)
    fill(network, state)
    return SRVGGModel(network)
