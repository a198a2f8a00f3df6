"""How many threads there are for what, how they are scheduled, and that those without work sleep. Loads nothing."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TASKS = Path("/proc/self/task")
"""One folder for each thread (Linux)."""

CGROUP, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
UNLIMITED = 1 << 20
MACROBLOCK_PX = 16
MOST_X264_THREADS = 128
"""x264's X264_THREAD_MAX."""

ASLEEP = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "KMP_BLOCKTIME": "0",
    "OPENCV_THREAD_POOL_ACTIVE_WAIT_MAIN": "0",
    "OPENCV_THREAD_POOL_ACTIVE_WAIT_WORKER": "0",
}
"""What GNU's, LLVM's and Intel's OpenMP read when torch is first imported (the second is for Intel's, which of itself
spins for 0.2 s more; GNU's GOMP_SPINCOUNT follows from the first), and OpenCV with its first parallel work."""


def wait_asleep() -> None:
    """Have worker threads sleep while they wait for each other, unless the user says otherwise; before torch is loaded.

    With a decoder and an encoder on the same cores, frames took 18 times as long while threads spun (two cores,
    bicubic x4), and a blur of OpenCV a fifth to three quarters more processor time.
    """
    for name, value in ASLEEP.items():
        os.environ.setdefault(name, value)


def processors() -> int:
    """Processors that this process may use: those that it may run on, and no more than a container's quota buys."""
    quota = _quota()
    with suppress(AttributeError, OSError):
        return min(len(os.sched_getaffinity(0)), quota)
    return min(os.cpu_count() or 1, quota)


def network_threads(own: int, usable: int) -> int:
    """Threads of a network, of which torch by itself takes ``own`` (one a core), on ``usable`` processors.

    All of them, and as many of the encoder as it wants: whoever has nothing to do sleeps and leaves the processors
    to the others, so none is idle while there is work (docs/engine.md). A split by measured times is never faster, and
    slower wherever it does not come out in whole processors.
    """
    return max(1, min(own, usable))


def x264_threads(usable: int, height: int) -> int:
    """How many threads x264 takes by itself for frames of ``height``: three for each two processors, each with two rows
    of macroblocks at least. Its packets depend on the number, so a job keeps it."""
    rows = -(-height // MACROBLOCK_PX)
    return max(1, min(MOST_X264_THREADS, usable * 3 // 2, max(1, rows // 2)))


def encoder_threads(codec: str, usable: int, height: int) -> int:
    """What to ask an encoder for whose packets depend on it; 0: that is its own affair."""
    return x264_threads(usable, height) if codec == "libx264" else 0


@contextmanager
def scheduling_kept() -> Iterator[None]:
    """Restore the calling thread's scheduling policy, and set threads started meanwhile to the same (Linux).

    Run as root, SVT-AV1 sets its threads and the one that opens it to SCHED_FIFO, priority 99. They, and every process
    started from there, would preempt all else on the machine, the network's threads too.
    """
    if not (hasattr(os, "sched_setscheduler") and TASKS.is_dir()):
        yield
        return
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    before = set(os.listdir(TASKS))
    try:
        yield
    finally:
        for thread in {*os.listdir(TASKS)} - before | {str(threading.get_native_id())}:
            # One that has ended has no policy.
            with suppress(OSError):
                if (os.sched_getscheduler(int(thread)), os.sched_getparam(int(thread))) != (policy, priority):
                    os.sched_setscheduler(int(thread), policy, priority)


def _quota() -> int:
    """Processors that the quotas of this process's control groups come to, at least 1 (Linux, cgroup v2)."""
    least = UNLIMITED
    with suppress(OSError, ValueError, StopIteration):
        name = next(line[3:].strip() for line in CGROUP.read_text().splitlines() if line.startswith("0::"))
        group = GROUPS / name.lstrip("/")
        for folder in (group, *group.parents):
            if folder != GROUPS and GROUPS not in folder.parents:
                break
            with suppress(OSError, ValueError, ZeroDivisionError):
                quota, period = (folder / "cpu.max").read_text().split()
                least = min(least, max(1, -(-int(quota) // int(period))))
    return least
