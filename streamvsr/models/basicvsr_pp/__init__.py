"""BasicVSR++, streaming: x4, and x1 for compressed, noisy or blurred video. ``load`` builds either from its weights."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from streamvsr.errors import CheckpointError
from streamvsr.models.base import ModelInfo
from streamvsr.models.basicvsr.layers import SCALE
from streamvsr.models.basicvsr.model import (
    CLEANING,
    MAX_HISTORY,
    MAX_SEQ_LEN,
    OVERLAP,
    PropagationModel,
    agreed,
    blocks_of,
    number_of,
)
from streamvsr.models.basicvsr.session import MIN_SIZE_PX
from streamvsr.models.basicvsr_pp.network import MAX_RESIDUE, TAPS, BasicVSRPlusPlusNet
from streamvsr.models.basicvsr_pp.session import BasicVSRPlusPlusSession
from streamvsr.models.state import filled, require

__all__ = ["BasicVSRPlusPlusModel", "BasicVSRPlusPlusSession", "load"]


class BasicVSRPlusPlusModel(PropagationModel[BasicVSRPlusPlusNet]):
    """``BasicVSRPlusPlusNet`` with its weights. The look-ahead costs three of the four branches half as much again."""

    def __init__(self, network: BasicVSRPlusPlusNet) -> None:
        super().__init__(network)
        least = MIN_SIZE_PX if network.low_res else SCALE * MIN_SIZE_PX
        self.info = ModelInfo(
            "basicvsr_pp",
            network.scale,
            "rgb",
            MAX_SEQ_LEN,
            OVERLAP,
            least,
            MAX_HISTORY,
            tunable=True,
            useless=CLEANING,
        )

    def exact_from(self, number: int) -> int | None:
        """The second forward branch reads what the first one made: its first state that counts begins after that."""
        first = super().exact_from(number)
        return None if first is None else super().exact_from(first)

    def session(self) -> BasicVSRPlusPlusSession:
        return BasicVSRPlusPlusSession(self.network, self._history, self._options, self._warn, self._exact.widen)


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
    high_res = state["conv_hr.weight"].shape[0]
    network = filled(lambda: BasicVSRPlusPlusNet(channels, blocks, low_res, groups, high_res, residue), state)
    return BasicVSRPlusPlusModel(network)
