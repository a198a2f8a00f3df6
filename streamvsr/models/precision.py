"""Half precision that is watched: fp16 ends at 65504, and a feature that grows past it turns frames black.

Frames stay float32, and so does the plain enlargement that a network adds to: bf16 has eight bits, of which values
between a half and one have steps of 1/256, and a gradient of ten-bit video would come out in bands.
"""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor, nn

HALF = (torch.float16, torch.bfloat16)
WIDENED = "half precision gave a broken frame: going on in fp32, no frame is lost"
"""The warning, once for a run."""

BLACK, LIT = 0.01, 0.1
"""An output whose mean is below the one, made from a frame above the other, is not what the network means."""


def looks_broken(output: Tensor, frame: Tensor) -> Tensor:
    """One bool on the device, without waiting for it: NaN, infinity, or black out of a frame that is not.

    ``output`` (..., 3, 4H, 4W) and ``frame`` (..., 3, H, W), any floating type, 0..1.
    """
    made, given = output.mean(dtype=torch.float32), frame.mean(dtype=torch.float32)
    return ~torch.isfinite(made) | ((made.abs() < BLACK) & (given > LIT))


def frame_type(dtype: torch.dtype) -> torch.dtype:
    """Of the frames that a network with weights in ``dtype`` takes: float32, or wider where the weights are."""
    return torch.promote_types(dtype, torch.float32)


class ExactWeights:
    """A network that computes in half precision and can go back: its weights are kept in float32.

    Buffers stay float32, as what they hold (a kernel, statistics) is applied to frames; with ``whole`` they are
    converted too, for networks whose buffers meet their layers' results.
    """

    def __init__(self, network: nn.Module, *, whole: bool = False) -> None:
        self._network = network
        self._whole = whole
        self._kept: dict[str, Tensor] = {}

    def convert(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the network to ``device`` and ``dtype``."""
        if dtype in HALF and not self._kept:
            self._kept = {name: value.detach().to("cpu", copy=True) for name, value in self._values()}
        self._network.to(device=device)
        for weight in self._network.parameters():
            weight.data = weight.data.to(dtype)
        for buffer in self._network.buffers():
            if buffer.is_floating_point():
                buffer.data = buffer.data.to(dtype if self._whole else frame_type(dtype))
        if dtype not in HALF:
            self._restore()

    def widen(self) -> None:
        """Back to float32, with the numbers as they were before they were rounded."""
        self._network.float()
        self._restore()

    def _restore(self) -> None:
        with torch.no_grad():
            for name, value in self._values() if self._kept else ():
                value.copy_(self._kept[name])

    def _values(self) -> chain[tuple[str, Tensor]]:
        # Not the state dict: it lacks what a network can compute again, such as the kernel of a plain enlargement.
        return chain(self._network.named_parameters(), self._network.named_buffers())


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
