"""How fast a network would be on this machine, estimated without loading it, or torch.

The cost of a network is known (``kmacs`` in the manifest); what this machine computes in a second is measured once
(``streamvsr models --measure``) and kept beside the fetched checkpoints. Until then it is estimated from the number of
processors. Either is good for a class, and no better: networks use a processor more or less well.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from streamvsr.models import resources
from streamvsr.threads import processors

if TYPE_CHECKING:
    from torch import Tensor

PROCESSOR_GMACS = 40.0
"""10**9 multiply-accumulate operations a second of one processor, if not measured: float32, AVX2 at 2.5 GHz."""
INPUT_PIXELS = 320 * 180
"""A class holds for input of 320x180, which most networks enlarge to 1280x720."""
CLASSES = ((25.0, "live"), (5.0, "quick"), (0.5, "slow"), (0.0, "for the night"))
"""Frames a second at least, and what that is called."""
MEASURED_FILE = "speed.json"
MEASURE_SECONDS = 1.0


class Machine(NamedTuple):
    """What this machine computes in a second."""

    gmacs: float
    """10**9 multiply-accumulate operations."""
    measured: bool
    device: str


def machine() -> Machine:
    """As measured, where that was done with as many processors as there are now; else the estimate."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        kept = json.loads((resources.cache_folder() / MEASURED_FILE).read_text(encoding="utf-8"))
        if kept["processors"] == processors() and 0 < float(kept["gmacs"]) < 1e9:
            return Machine(float(kept["gmacs"]), True, str(kept["device"]))
    return Machine(PROCESSOR_GMACS * processors(), False, "cpu")


def speed_text(kmacs: int, known: Machine) -> str:
    """``slow, about 1.3 frames/s``: the class of a network of that cost, and its frames a second."""
    rate = known.gmacs * 1e6 / (kmacs * INPUT_PIXELS)
    name = next(text for least, text in CLASSES if rate >= least)
    shown = f"{rate:.1g}" if rate < 10 else f"{round(rate, -1):.0f}"
    return f"{name}, about {shown} frame{'' if shown == '1' else 's'}/s"


def measure(device_name: str = "auto") -> tuple[Machine, Path]:
    """Run a 3x3 convolution of 64 channels for a second on the device, and keep the result. Loads torch."""
    import torch

    from streamvsr.models.device import choose_device

    device = choose_device(device_name)
    layer = torch.nn.Conv2d(64, 64, 3, padding=1).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    maps = torch.rand(1, 64, 180, 320, device=device).contiguous(memory_format=torch.channels_last)
    best = 0.0
    with torch.inference_mode():
        _timed(layer, maps, 2)
        end = time.perf_counter() + MEASURE_SECONDS
        # The fastest of several: another program may take the processors for a while.
        while time.perf_counter() < end:
            best = max(best, 4 * INPUT_PIXELS * 64 * 64 * 9 / _timed(layer, maps, 4) / 1e9)
    folder = resources.cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MEASURED_FILE
    path.write_text(json.dumps({"gmacs": round(best, 1), "processors": processors(), "device": str(device)}))
    return Machine(best, True, str(device)), path


def _timed(layer: Callable[[Tensor], Tensor], maps: Tensor, times: int) -> float:
    """Seconds for ``times`` runs. Reading a number makes a GPU finish first."""
    start = time.perf_counter()
    for _ in range(times):
        result = layer(maps)
    result[0, 0, 0, 0].item()
    return time.perf_counter() - start
