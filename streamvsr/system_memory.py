"""How much main memory is free, and how much this process has. No torch, no av."""

from __future__ import annotations

import os
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
_STATUS = Path("/proc/self/status")


def use_large_pages() -> None:
    """Have torch ask Linux for pages of 2 MiB, unless the user says otherwise; before torch has allocated anything.

    Each large tensor is memory that the process did not have before. In pages of 4 KiB, the kernel spent a third of the
    processor time of a network at 4K on handing them out (100 000 a frame).
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def free_bytes() -> int | None:
    """Memory that could be had now without swapping; None where the system does not say (outside of Linux)."""
    known = [amount for amount in (_field(_MEMINFO, "MemAvailable"), _group_free()) if amount is not None]
    return min(known, default=None)


def swap_bytes() -> int:
    """Free swap space."""
    return _field(_MEMINFO, "SwapFree") or 0


def resident_bytes() -> int | None:
    """What this process has in memory now."""
    return _field(_STATUS, "VmRSS")


def _field(path: Path, name: str) -> int | None:
    try:
        for line in path.read_text().splitlines():
            if line.startswith(f"{name}:"):
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
