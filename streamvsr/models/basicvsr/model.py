"""What the models of BasicVSR's family share: weights that half precision can be taken back from, options, keys."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Generic, Self, TypeVar

import torch
from torch import Tensor, nn

from streamvsr.config import ModelOptions
from streamvsr.errors import CheckpointError
from streamvsr.models.base import WORKING_MAPS, Model, silent
from streamvsr.models.basicvsr.history import Schedule
from streamvsr.models.precision import ExactWeights

MAX_SEQ_LEN = 24
OVERLAP = 8
MAX_HISTORY = 30
"""Frames. With BasicVSR's weights 30 lose 1 to 3 dB on still video against the best history (6 to 12), and 150 lose
15; moving ones gain until 12 to 18 and then no more. BasicVSR++ was trained on sequences of 30."""
CLEANING = frozenset({"dynamic_refine_thres", "refine_rule"})
"""Options of no use to networks without a cleaning stage."""

Network = TypeVar("Network", bound=nn.Module)


class PropagationModel(Model, Generic[Network]):
    """A network of the family with its weights."""

    def __init__(self, network: Network) -> None:
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._options = ModelOptions()
        self._warn: Callable[[str], None] = silent
        self._exact = ExactWeights(self.network)

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        self._exact.convert(device, dtype)
        return self

    def tune(self, options: ModelOptions, warn: Callable[[str], None] = silent) -> None:
        self._options, self._warn = options, warn

    @property
    def _history(self) -> int:
        """Frames that a carried state goes back at most; 0: no bound."""
        return self.info.max_history if self._options.max_history is None else self._options.max_history

    @property
    def pixel_bytes(self) -> int:
        """With a state for each frame of a window: half as wide as the widest layer, which takes two of them."""
        length = self._options.max_seq_len or self.info.max_seq_len
        return super().pixel_bytes * (2 * WORKING_MAPS + length) // (2 * WORKING_MAPS)

    def exact_from(self, number: int) -> int | None:
        return Schedule.of(self._history).exact_from(number)


def blocks_of(state: Mapping[str, Tensor], trunk: str) -> int:
    """Residual blocks in the branch ``trunk``."""
    pattern = re.compile(re.escape(trunk) + r"\.main\.2\.(\d+)\.")
    return 1 + max((int(m[1]) for key in state if (m := pattern.match(key))), default=-1)


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
