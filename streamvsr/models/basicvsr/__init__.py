"""BasicVSR and RealBasicVSR, streaming. ``load`` builds either from its weights; any number of channels and blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from streamvsr.models.base import ModelInfo
from streamvsr.models.basicvsr.cleaning import OFF, RefineRule
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
from streamvsr.models.basicvsr.network import BasicVSRNet, RealBasicVSRNet
from streamvsr.models.basicvsr.session import MIN_SIZE_PX, BasicVSRSession
from streamvsr.models.state import filled, require

__all__ = ["BasicVSRModel", "load", "shape_of"]


class BasicVSRModel(PropagationModel[BasicVSRNet | RealBasicVSRNet]):
    """Either network with its weights. ``rule`` matters only where there is a cleaning stage.

    The look-ahead costs a ninth of the whole run: half of the backward branch, which is 23 % of the work.
    """

    def __init__(self, network: BasicVSRNet | RealBasicVSRNet, rule: RefineRule) -> None:
        super().__init__(network)
        self.rule = rule
        cleans = isinstance(network, RealBasicVSRNet)
        self.info = ModelInfo(
            "realbasicvsr" if cleans else "basicvsr",
            SCALE,
            "rgb",
            MAX_SEQ_LEN,
            OVERLAP,
            MIN_SIZE_PX,
            MAX_HISTORY,
            tunable=True,
            useless=frozenset() if cleans else CLEANING,
        )

    def exact_from(self, number: int) -> int | None:
        # Where a window decides as a whole, it matters which of its frames the session has not seen yet.
        rule = self._refine_rule
        whole = rule.scope == "window" and rule.threshold < OFF and isinstance(self.network, RealBasicVSRNet)
        return None if whole else super().exact_from(number)

    @property
    def _refine_rule(self) -> RefineRule:
        options, rule = self._options, self.rule
        if options.dynamic_refine_thres is not None:
            rule = replace(rule, threshold=options.dynamic_refine_thres)
        if options.refine_rule is not None:
            rule = replace(rule, scope=options.refine_rule)
        return rule

    def session(self) -> BasicVSRSession:
        cleaning: nn.Module | None = None
        core = self.network
        if isinstance(core, RealBasicVSRNet):
            cleaning, core = core.image_cleaning, core.basicvsr
        rule, options = self._refine_rule, self._options
        return BasicVSRSession(core, cleaning, rule, self._history, options, self._warn, self._exact.widen)


def shape_of(state: Mapping[str, Tensor]) -> dict[str, int]:
    """The numbers that the weights fix, under the names that mm configs give them."""
    prefix = "basicvsr." if "basicvsr.fusion.weight" in state else ""
    require(state, f"{prefix}fusion.weight", f"{prefix}conv_hr.weight")
    shape = {
        "mid_channels": state[f"{prefix}fusion.weight"].shape[0],
        "num_blocks": blocks_of(state, f"{prefix}backward_resblocks"),
        "high_res_channels": state[f"{prefix}conv_hr.weight"].shape[0],
    }
    if prefix:
        shape["num_cleaning_blocks"] = blocks_of(state, "image_cleaning.0")
    return shape


def load(state: Mapping[str, Tensor], config: Mapping[str, str]) -> BasicVSRModel:
    """Build the network that ``state`` (mm key names) belongs to.

    ``config`` may state ``dynamic_refine_thres`` (steps of 1/255; 255: off) and ``refine_scope`` (frame, window), and
    may repeat ``mid_channels``, ``num_blocks`` and ``num_cleaning_blocks``, which have to agree with the weights.
    Raises ``CheckpointError`` where weights are missing, left over or of another shape, or disagree with ``config``.
    """
    shape = shape_of(state)
    agreed(shape, config)
    network: BasicVSRNet | RealBasicVSRNet
    channels, blocks, high_res = shape["mid_channels"], shape["num_blocks"], shape["high_res_channels"]
    if "num_cleaning_blocks" in shape:
        network = filled(lambda: RealBasicVSRNet(channels, blocks, shape["num_cleaning_blocks"], high_res), state)
    else:
        network = filled(lambda: BasicVSRNet(channels, blocks, high_res), state)
    threshold = number_of(config, "dynamic_refine_thres", OFF)
    scope = config.get("refine_scope", "frame")
    return BasicVSRModel(network, RefineRule(threshold, "window" if scope == "window" else "frame"))
