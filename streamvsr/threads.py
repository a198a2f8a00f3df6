"""How many threads there are for what, and that those without work sleep. Loads nothing."""

from __future__ import annotations

import os
from contextlib import suppress

ASLEEP = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
"""What GNU's, LLVM's and Intel's OpenMP read when torch is first imported: threads that wait do not spin. The second is
for Intel's, which of itself spins for 0.2 s more; GNU's GOMP_SPINCOUNT follows from the first."""


def wait_asleep() -> None:
    """Have worker threads sleep while they wait for each other, unless the user says otherwise; before torch is loaded.

    Beside a decoder and an encoder that want the same cores, spinning made frames take 18 times as long (two cores,
    bicubic x4).
    """
    for name, value in ASLEEP.items():
        os.environ.setdefault(name, value)


def processors() -> int:
    """Processors that this process may use."""
    with suppress(AttributeError, OSError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
