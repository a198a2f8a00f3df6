"""BasicVSR and RealBasicVSR, streaming. ``load`` builds either from its weights; any number of channels and blocks."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor, nn

from streamvsr.config import ModelOptions
from streamvsr.errors import CheckpointError
from streamvsr.models.base import Model, ModelInfo, silent
from streamvsr.models.basicvsr.cleaning import OFF, RefineRule
from streamvsr.models.basicvsr.layers import SCALE
from streamvsr.models.basicvsr.network import BasicVSRNet, RealBasicVSRNet
from streamvsr.models.basicvsr.session import HALF, MIN_SIZE_PX, BasicVSRSession
from streamvsr.models.state import fill, require

MAX_SEQ_LEN = 24
OVERLAP = 8
"""Eight frames of look-ahead cost a ninth of the whole run (half of the backward branch, which is 23 % of the work)."""

MAX_HISTORY = 30
"""Frames. On still pictures 30 lose 1 to 3 dB against the best history (6 to 12), and 150 lose 15; moving ones gain
until 12 to 18 and then no more. Costs half of a forward branch, a tenth of the whole."""


class BasicVSRModel(Model):
    """A network of the family with its weights. ``rule`` matters only where there is a cleaning stage."""

    def __init__(self, network: BasicVSRNet | RealBasicVSRNet, rule: RefineRule) -> None:
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.rule = rule
        name = "realbasicvsr" if isinstance(network, RealBasicVSRNet) else "basicvsr"
        self.info = ModelInfo(name, SCALE, "rgb", MAX_SEQ_LEN, OVERLAP, MIN_SIZE_PX, MAX_HISTORY, tunable=True)
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

    def session(self) -> BasicVSRSession:
        cleaning: nn.Module | None = None
        core = self.network
        if isinstance(core, RealBasicVSRNet):
            cleaning, core = core.image_cleaning, core.basicvsr
        options, rule = self._options, self.rule
        if options.dynamic_refine_thres is not None:
            rule = replace(rule, threshold=options.dynamic_refine_thres)
        if options.refine_rule is not None:
            rule = replace(rule, scope=options.refine_rule)
        history = self.info.max_history if options.max_history is None else options.max_history
        return BasicVSRSession(core, cleaning, rule, history, options, self._warn, self._widen)

    def _widen(self) -> None:
        """Back to float32, with the weights as they were before they were rounded."""
        self.network.float()
        if self._exact:
            self.network.load_state_dict(self._exact)


def blocks_of(state: Mapping[str, Tensor], trunk: str) -> int:
    """Residual blocks in the branch ``trunk``."""
    pattern = re.compile(re.escape(trunk) + r"\.main\.2\.(\d+)\.")
    return 1 + max((int(m[1]) for key in state if (m := pattern.match(key))), default=-1)


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


def number_of(config: Mapping[str, str], name: str, default: float) -> float:
    """What the config states, or ``default``. Raises ``CheckpointError`` where that is no number."""
    try:
        number = float(config.get(name, default))
        if not math.isfinite(number):
            raise ValueError(name)
        return number
    except ValueError as error:
        raise CheckpointError(f"{name} has to be a number, not {config[name]!r}") from error


def agreed(shape: Mapping[str, int], config: Mapping[str, str]) -> None:
    """Raise ``CheckpointError`` where the config states other numbers than the weights have."""
    for name, found in shape.items():
        if number_of(config, name, found) != found:
            raise CheckpointError(f"the config states {name} = {config[name]}, but the weights have {found}")


def load(state: Mapping[str, Tensor], config: Mapping[str, str]) -> BasicVSRModel:
    """Build the network that ``state`` (mm key names) belongs to.

    ``config`` may state ``dynamic_refine_thres`` (steps of 1/255; 255: off) and ``refine_scope`` (frame, window), and
    may repeat ``mid_channels``, ``num_blocks`` and ``num_cleaning_blocks``, which have to agree with the weights.
    Raises ``CheckpointError`` where weights are missing, left over or of another shape, or disagree with ``config``.
    """
    shape = shape_of(state)
    agreed(shape, config)
    network: BasicVSRNet | RealBasicVSRNet
    with torch.device("meta"):
        if "num_cleaning_blocks" in shape:
            sizes = (shape["mid_channels"], shape["num_blocks"], shape["num_cleaning_blocks"])
            network = RealBasicVSRNet(*sizes, shape["high_res_channels"])
        else:
            network = BasicVSRNet(shape["mid_channels"], shape["num_blocks"], shape["high_res_channels"])
        # Before the weights come: changing the layout of a filled network would hold them once more.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fill(network, state)
    threshold = number_of(config, "dynamic_refine_thres", OFF)
    scope = config.get("refine_scope", "frame")
    return BasicVSRModel(network, RefineRule(threshold, "window" if scope == "window" else "frame"))
