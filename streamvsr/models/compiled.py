"""torch.compile where asked for; where it cannot, eager execution with one warning."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from streamvsr.models.memory import is_out_of_memory

MOST_SHAPES = 32
"""Shapes that a network is compiled for, after which others are run as they are: tiles have nine, and the frames that
are new in a window are not always as many."""
OLD_TORCH_SHAPES = 256
"""The same for all networks of a process together, where torch cannot tell them apart."""


ISOLATES = "isolate_recompiles" in inspect.signature(torch.compile).parameters
"""Whether this torch can count the shapes of each network for itself."""


def _limits() -> dict[str, Any]:
    """Shapes are counted for each network: all of one class, and those of earlier runs, would share eight."""
    if ISOLATES:
        return {"isolate_recompiles": True, "recompile_limit": MOST_SHAPES}
    from torch._dynamo import config

    config.cache_size_limit = max(config.cache_size_limit, OLD_TORCH_SHAPES)
    return {}


class Compiled:
    """A network that is compiled for each new shape. Falls back for good at the first failure.

    ``graphs``: record CUDA graphs too. Their outputs lie in memory that the next replay uses, so they are copied.
    """

    def __init__(self, network: nn.Module, graphs: bool, warn: Callable[[str], None]) -> None:
        self._network = network
        self._graphs = graphs
        self._warn = warn
        self._fast: Callable[[Tensor], Tensor] | None = torch.compile(
            network,
            dynamic=False,
            mode="reduce-overhead" if graphs else None,
            **_limits(),
        )

    def __call__(self, x: Tensor) -> Tensor:
        if self._fast is None:
            y: Tensor = self._network(x)
            return y
        try:
            if self._graphs:
                torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
            y = self._fast(x)
            return y.clone() if self._graphs else y
        except Exception as error:
            # Whatever a compiler, its C++ or its driver may raise; a network's own error comes again below.
            if is_out_of_memory(error):
                raise
            self._fast = None
            reason = " ".join(str(error).split())[:120]
            self._warn(f"torch.compile does not work here ({type(error).__name__}: {reason}): going on without")
        return self(x)


def compiled(
    network: nn.Module, device: torch.device, *, compile: bool, graphs: bool, warn: Callable[[str], None]
) -> Callable[[Tensor], Tensor]:
    """``network`` as it is, or compiled as asked for."""
    if graphs and device.type != "cuda":
        warn(f"--cuda-graphs needs a CUDA device, and this is {device.type}: going on without")
        graphs = False
    return Compiled(network, graphs, warn) if compile or graphs else network
