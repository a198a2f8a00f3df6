"""BasicVSR++, streaming: x4, and x1 for compressed, noisy or blurred video. ``load`` builds either from its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Self

import torch
from torch import Tensor

from streamvsr.config import ModelOptions
from streamvsr.errors import CheckpointError
from streamvsr.models.base import Model, ModelInfo, silent
from streamvsr.models.basicvsr import agreed, blocks_of, number_of
from streamvsr.models.basicvsr.layers import SCALE
from streamvsr.models.basicvsr.session import HALF, MIN_SIZE_PX
from streamvsr.models.basicvsr_pp.network import MAX_RESIDUE, TAPS, BasicVSRPlusPlusNet
from streamvsr.models.basicvsr_pp.session import BasicVSRPlusPlusSession
from streamvsr.models.state import fill, require

__all__ = ["BasicVSRPlusPlusModel", "BasicVSRPlusPlusSession", "load"]

MAX_SEQ_LEN = 24
OVERLAP = 8
"""Eight frames of look-ahead cost three of the four branches half as much again."""
MAX_HISTORY = 30
"""Frames, as BasicVSR's, and the length of the sequences of its training. What longer ones do to trained weights has
not been measured: none were at hand."""


class BasicVSRPlusPlusModel(Model):
    """``BasicVSRPlusPlusNet`` with its weights."""

    def __init__(self, network: BasicVSRPlusPlusNet) -> None:
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        least = MIN_SIZE_PX if network.low_res else SCALE * MIN_SIZE_PX
        self.info = ModelInfo(
            "basicvsr_pp", network.scale, "rgb", MAX_SEQ_LEN, OVERLAP, least, MAX_HISTORY, tunable=True
        )
        self._options = ModelOptions()
        self._warn: Callable[[str], None] = silent
        self._exact: dict[str, Tensor] = {}
        """The weights in float32, where the network has them in half precision."""

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        if dtype in HALF and not self._exact:
            self._exact = {name: value.to("cpu", copy=True) for name, value in self.network.state_dict().items()}
        self.network.to(device=device, dtype=dtype)
        return self

    def tune(self, options: ModelOptions, warn: Callable[[str], None] = silent) -> None:
        self._options, self._warn = options, warn

    def session(self) -> BasicVSRPlusPlusSession:
        bound = self._options.max_history
        history = self.info.max_history if bound is None else bound
        return BasicVSRPlusPlusSession(self.network, history, self._options, self._warn, self._widen)

    def _widen(self) -> None:
        """Back to float32, with the weights as they were before they were rounded."""
        self.network.float()
        if self._exact:
            self.network.load_state_dict(self._exact)


def load(state: Mapping[str, Tensor], config: Mapping[str, str]) -> BasicVSRPlusPlusModel:
    """Build the network that ``state`` (mmedit's key names) belongs to; whether it enlarges is read off the keys.

    ``config`` may state ``max_residue_magnitude``, and may repeat ``mid_channels`` and ``num_blocks``, which have to
    agree with the weights. Raises ``CheckpointError`` where weights are missing, left over or of another shape, or
    disagree with ``config``.
    """
    offsets = "deform_align.backward_1.conv_offset.6.weight"
    require(state, "reconstruction.main.0.weight", "conv_hr.weight", offsets)
    channels, blocks = state["reconstruction.main.0.weight"].shape[0], blocks_of(state, "backbone.backward_1")
    agreed({"mid_channels": channels, "num_blocks": blocks}, config)
    groups, rest = divmod(state[offsets].shape[0], 3 * TAPS)
    if rest or groups % 2 or (2 * channels) % max(groups, 1):
        raise CheckpointError(f"no BasicVSR++ network has offsets of {state[offsets].shape[0]} channels")
    low_res = "feat_extract.main.0.weight" in state
    residue = number_of(config, "max_residue_magnitude", MAX_RESIDUE)
    with torch.device("meta"):
        network = BasicVSRPlusPlusNet(channels, blocks, low_res, groups, state["conv_hr.weight"].shape[0], residue)
        # Before the weights come: changing the layout of a filled network would hold them once more.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fill(network, state)
    return BasicVSRPlusPlusModel(network)
