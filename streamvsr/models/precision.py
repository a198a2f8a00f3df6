"""Half precision that is watched: fp16 ends at 65504, and a feature that grows past it turns frames black."""

from __future__ import annotations

import torch
from torch import Tensor

BLACK, LIT = 0.01, 0.1
"""An output whose mean is below the one, made from a frame above the other, is not what the network means."""


def looks_broken(output: Tensor, frame: Tensor) -> Tensor:
    """One bool on the device, without waiting for it: NaN, infinity, or black out of a frame that is not.

    ``output`` (..., 3, 4H, 4W) and ``frame`` (..., 3, H, W), any floating type, 0..1.
    """
    made, given = output.mean(dtype=torch.float32), frame.mean(dtype=torch.float32)
    return ~torch.isfinite(made) | ((made.abs() < BLACK) & (given > LIT))


class Flag:
    """A bool on its way from the device; ``read`` waits for it alone, not for what was queued after it."""

    def __init__(self, value: Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        self._value = value
        if value.device.type == "cuda":
            self._value = torch.empty((), dtype=torch.bool, pin_memory=True)
            self._value.copy_(value, non_blocking=True)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            # Of the value's device: without a name it would be that of the current one, cuda:0 beside --device cuda:1.
            self._event.record(torch.cuda.current_stream(value.device))

    def read(self) -> bool:
        if self._event is not None:
            self._event.synchronize()
        return bool(self._value)
