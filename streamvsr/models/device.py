"""Where a network runs and with which numbers."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from streamvsr.errors import ModelError

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "fp16", "bf16"]
DTYPES: Mapping[Precision, str] = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
"""By their names in ``--precision``."""

KINDS = ("cpu", "cuda", "mps", "xpu")
"""What torch calls the devices that networks run on: NVIDIA's and AMD's GPUs are "cuda", Intel's "xpu"."""


def choose_device(name: str) -> torch.device:
    """``auto``: the first CUDA device, else Apple's, else the CPU. Raises ``ModelError`` where ``name`` is not here."""
    import torch

    if name == "auto":
        mps = torch.backends.mps.is_available()
        name = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    kind = name.partition(":")[0]
    if kind not in KINDS:
        raise ModelError(f"--device {name}: expected auto, {', '.join(KINDS)}, or one of several, such as cuda:1")
    try:
        # With its number: what plain "cuda" means is a matter of the thread, and the network's is another than this.
        zero = torch.zeros(1, device=name)
        zero.item()  # "meta" tensors hold no numbers
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        reason = str(error).splitlines()[0].split(". ")[0].rstrip(".")
        raise ModelError(f"--device {name} cannot be used here ({reason}); try --device cpu") from error
    return zero.device


def is_cuda(name: str) -> bool:
    """Whether ``name`` means an NVIDIA or AMD GPU. Raises as ``choose_device``. torch, whose import takes two seconds,
    is not asked where it could only say no."""
    return name != "cpu" and not (name == "auto" and not _has_driver()) and choose_device(name).type == "cuda"


def _has_driver() -> bool:
    """False: what torch needs for a CUDA device is missing."""
    if sys.platform != "linux":
        return sys.platform != "darwin"
    with suppress(OSError):
        ctypes.CDLL("libcuda.so.1")
        return True
    return os.path.exists("/dev/kfd")


def choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The type of ``fp32``, ``fp16`` or ``bf16``. Raises ``ModelError`` where the device is no place for it."""
    import torch

    if precision == "fp16" and device.type == "cpu":
        raise ModelError("--precision fp16 needs a GPU: CPUs compute it slower than fp32; leave --precision out")
    dtype: torch.dtype = getattr(torch, DTYPES[precision])
    return dtype
