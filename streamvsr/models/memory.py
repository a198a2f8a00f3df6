"""How much memory is free, and what running out of it looks like."""

from __future__ import annotations

import gc
from pathlib import Path

import torch

_SAYS = ("not enough memory", "out of memory", "can't allocate memory", "unable to allocate", "alloc_failed")
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` is a want of memory, on whatever device: torch has a class for it on CUDA alone."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _SAYS)


def release(device: torch.device) -> None:
    """Give back what is not in use any more, so that a second attempt finds it."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def free_bytes(device: torch.device) -> int | None:
    """Memory that could be had now; None where nobody says."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type != "cpu":
        return None
    known = [amount for amount in (_system_free(), _group_free()) if amount is not None]
    return min(known, default=None)


def _system_free() -> int | None:
    try:
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _group_free() -> int | None:
    """What is left of a container's limit (cgroup version 2); its page cache can be had back."""
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        fields = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        return max(0, limit - used + int(fields.get("inactive_file", 0)))
    except (OSError, ValueError):
        return None
