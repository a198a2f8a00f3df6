"""The processor, as far as it decides how fast a network is in which numbers."""

from __future__ import annotations

import platform
from contextlib import suppress
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
NAMING = ("vendor_id", "cpu family", "model", "model name", "stepping", "CPU implementer", "CPU part", "CPU variant")
"""Lines of it that say which processor this is, on x86 and on ARM."""
FEATURES = ("flags", "Features")
BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Features of x86, and the last one of ARM, with which oneDNN multiplies bfloat16 without emulating it."""
TORCH_TELLS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
"""What newer versions of torch know (2.6 and 2.5 on); /proc/cpuinfo is Linux's alone."""


def description() -> str:
    """Name and features of this processor, the same text on each machine of its kind."""
    lines = _lines()
    named = [lines[key] for key in NAMING if key in lines] or [platform.processor(), platform.machine()]
    return " ".join((*named, *sorted(_features(lines))))


def has_bf16() -> bool:
    """Whether it has instructions for bfloat16, as far as anybody tells. Loads torch, and computes nothing."""
    import torch

    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    for name in TORCH_TELLS:
        with suppress(AttributeError, RuntimeError):
            if getattr(torch.cpu, name)():
                return True
    return not BF16.isdisjoint(_features(_lines()))


def _lines() -> dict[str, str]:
    """The first processor of /proc/cpuinfo; nothing where there is no such file."""
    with suppress(OSError, ValueError):
        first = CPUINFO.read_text(encoding="utf-8").partition("\n\n")[0]
        pairs = (line.partition(":") for line in first.splitlines())
        return {name.strip(): value.strip() for name, _, value in pairs}
    return {}


def _features(lines: dict[str, str]) -> set[str]:
    return {word for key in FEATURES for word in lines.get(key, "").split()}
