"""The steps of BasicVSR++ as a session uses them: residual blocks in tiles where the frame is large, or compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from streamvsr.config import ModelOptions
from streamvsr.models.basicvsr.history import States
from streamvsr.models.basicvsr.parts import Parts
from streamvsr.models.basicvsr_pp.network import BRANCHES, BasicVSRPlusPlusNet


class PlusPlusParts(Parts):
    """For one session; the weights stay shared. The alignment is always that of whole maps: offsets reach far."""

    def __init__(self, network: BasicVSRPlusPlusNet, options: ModelOptions, warn: Callable[[str], None]) -> None:
        super().__init__(network, options, warn)
        self._net = network
        self._trunks = {name: self._tiled(network.backbone[name]) for name in BRANCHES}
        self._reconstruction = self._tiled(network.reconstruction)

    def features(self, frame: Tensor) -> Tensor:
        """(1, 3, H, W) -> (1, channels, h, w)."""
        features: Tensor = self._net.feat_extract(frame.to(self.weight.dtype))
        return features

    def flow(self, reference: Tensor, other: Tensor) -> Tensor:
        return super().flow(self._net.shrunk(reference), self._net.shrunk(other))

    def propagate(
        self, name: str, seen: Sequence[Tensor], states: States, flow: Tensor | None, next_flow: Tensor | None
    ) -> Tensor:
        """See ``BasicVSRPlusPlusNet.propagate``."""
        return self._net.propagate(name, self._trunks[name], seen, states, flow, next_flow)

    def output(self, frame: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """(1, 3, H * scale, W * scale)."""
        return self._upsampled(frame, lambda pixels: self._net.reconstruct(frame, maps, self._reconstruction, pixels))
