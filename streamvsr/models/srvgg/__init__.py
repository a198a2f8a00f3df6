"""The compact one-frame networks of Real-ESRGAN (SRVGGNetCompact).

Their outputs flicker more than those of a network that looks at neighbouring frames, and they are several times faster.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from streamvsr.errors import CheckpointError
from streamvsr.models.checks import count_of, scale_of
from streamvsr.models.one_frame import DOMAINS, FrameModel, Traits
from streamvsr.models.state import filled, require

__all__ = ["SRVGGNet", "load"]


class SRVGGNet(nn.Module):
    """3x3 convolutions with parametric ReLUs at the input's size, a pixel shuffle, and the nearest pixel added.

    ``convolutions``: those between the first and the last. ``planes``: of a frame, 1, 3 or 4. State-dict keys are
    those of the published checkpoints: convolutions and activations take turns in ``body``. (Wang et al., Real-ESRGAN,
    ICCVW 2021; the compact networks came with its releases of 2022.)
    """

    def __init__(self, channels: int = 64, convolutions: int = 16, scale: int = 4, planes: int = 3) -> None:
        super().__init__()
        self.scale = scale
        layers: list[nn.Module] = []
        for n in range(convolutions + 1):
            layers += [nn.Conv2d(channels if n else planes, channels, 3, padding=1), nn.PReLU(channels)]
        self.body = nn.ModuleList((*layers, nn.Conv2d(channels, planes * scale * scale, 3, padding=1)))

    def forward(self, frames: Tensor) -> Tensor:
        """(N, planes, H, W), 0..1, any H and W from 1 -> (N, planes, H * scale, W * scale), not clamped.

        In the type of ``frames``, which stay float32 where the weights are half precision.
        """
        first, *rest = self.body
        assert isinstance(first, nn.Conv2d)
        x = first(frames.to(first.weight.dtype))
        for layer in rest:
            x = layer(x)
        # Before the shuffle the nearest pixel is the pixel itself, in each of the channels that become its neighbours.
        nearest = frames.repeat_interleave(self.scale * self.scale, dim=1)
        return functional.pixel_shuffle(x + nearest, self.scale)


def load(state: Mapping[str, Tensor], config: Mapping[str, str]) -> FrameModel:  # noqa: ARG001
    """The model of a checkpoint, on the CPU in float32; width, depth, planes and scale are read off the weights.

    Raises ``CheckpointError`` where they make no such network.
    """
    layers = count_of(dict(state), "body.")
    last = f"body.{max(0, layers - 1)}.bias"
    require(state, "body.0.weight", last)
    first = state["body.0.weight"]
    if layers < 3 or layers % 2 == 0 or first.ndim != 4 or first.shape[1] not in DOMAINS:
        raise CheckpointError("the weights are of no compact network: convolutions and PReLUs of grey, RGB or RGBA")
    channels, planes = first.shape[:2]
    scale = scale_of(state[last].shape[0], planes)
    network = filled(lambda: SRVGGNet(channels, (layers - 3) // 2, scale, planes), state)
    # Each of its convolutions sees one pixel further: tiles with as much around them are the whole, but for rounding.
    return FrameModel("srvgg", network, scale, Traits(halo_px=(layers + 1) // 2, bf16=True), DOMAINS[planes])
