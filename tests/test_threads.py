"""How many threads: the rule against every other division of the processors, and that those without work sleep."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest

from streamvsr import threads
from streamvsr.threads import (
    encoder_threads,
    network_threads,
    processors,
    scheduling_kept,
    wait_asleep,
    x264_threads,
)
from tests.outputs import scheduling

ROOT = Path(__file__).resolve().parent.parent
MACHINES = (1, 2, 4, 8, 16)
NETWORKS = {"bicubic": (0.5, 10.8, 9.9), "fast": (0.8, 47.0, 11.0), "slow": (0.8, 900.0, 11.0)}
"""Milliseconds of one processor for a frame of decoding, of the network and of encoding: plain enlargement, ``rt`` with
x264 veryfast, a network of 600 thousand operations a pixel."""
RING = 8


def frames_a_second(usable: int, work: tuple[float, ...], most: tuple[int, ...], frames: int = 100) -> float:
    """A pipeline whose stages share the processors as the system shares them out: the same for each thread with work.

    ``work``: of each stage for a frame, in milliseconds of one processor; ``most``: its threads. Between two stages at
    most ``RING`` frames wait.
    """
    done, left, now = [0] * len(work), list(work), 0.0
    while done[-1] < frames:
        runs = [
            (done[n - 1] if n else frames) > done[n] and (n + 1 == len(work) or done[n] - done[n + 1] < RING)
            for n in range(len(work))
        ]
        threads_at_work = sum(count for count, run in zip(most, runs, strict=True) if run)
        speed = min(1.0, usable / threads_at_work)
        step = min(left[n] / (most[n] * speed) for n in range(len(work)) if runs[n])
        now += step
        for n in range(len(work)):
            if runs[n]:
                left[n] -= step * most[n] * speed
                if left[n] <= 1e-9:
                    done[n], left[n] = done[n] + 1, work[n]
    return 1000 * frames / now


@pytest.mark.parametrize("usable", MACHINES)
@pytest.mark.parametrize("name", NETWORKS)
def test_no_division_of_the_processors_is_faster(usable: int, name: str) -> None:
    """Simulated: what is measured on one and two processors is in docs/engine.md."""
    work = NETWORKS[name]
    rule = network_threads(usable, usable), x264_threads(usable, 720)
    found = frames_a_second(usable, work, (usable, *rule))
    pairs = product(range(1, usable + 1), {1, max(1, usable // 2), usable, usable * 3 // 2})
    best = max(frames_a_second(usable, work, (usable, *pair)) for pair in pairs)
    assert found > 0.98 * best
    assert found > 0.95 * 1000 * usable / sum(work), "nothing is faster than all processors at work all the time"
    share = max(1, min(usable, round(usable * work[1] / sum(work))))
    split = frames_a_second(usable, work, (usable, share, max(1, usable - share)))
    assert found > 0.98 * split, "a split by measured times"


def test_the_numbers_of_the_table() -> None:
    """docs/engine.md has them."""
    table = [(n, network_threads(n, n), x264_threads(n, 720), x264_threads(n, 2160)) for n in MACHINES]
    assert table == [(1, 1, 1, 1), (2, 2, 3, 3), (4, 4, 6, 6), (8, 8, 12, 12), (16, 16, 22, 24)]
    page = (ROOT / "docs" / "engine.md").read_text()
    assert all(f"| {n} | {network} | {small} | {large} |" in page for n, network, small, large in table)
    assert network_threads(8, 2) == 2, "a container's quota"
    assert network_threads(4, 8) == 4, "two threads of a core share its arithmetic"
    assert [x264_threads(n, 16) for n in (1, 64)] == [1, 1]
    assert x264_threads(200, 4320) == 128
    assert (encoder_threads("libx264", 2, 720), encoder_threads("libx265", 2, 720)) == (3, 0)


def encoded(height: int, options: dict[str, str]) -> bytes:
    context = av.VideoCodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt, context.time_base = 128, height, "yuv420p", Fraction(1, 25)
    context.thread_type = "AUTO"
    context.options = {"preset": "medium", **options}
    frames = np.random.default_rng(1).integers(0, 256, (14, height * 3 // 2, 128), np.uint8)
    packets = []
    for number, planes in enumerate(frames // 4 + 64):
        frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
        frame.pts = number
        packets += context.encode(frame)
    return b"".join(bytes(packet) for packet in [*packets, *context.encode(None)])


@pytest.mark.io
@pytest.mark.skipif(sys.platform == "win32", reason="x264 counts processors in another way there")
@pytest.mark.parametrize("height", [16, 64, 96, 128, 256])
def test_x264_takes_that_many_by_itself(height: int) -> None:
    """Its parameters stand in the first packet, the number of threads among them."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    own = encoded(height, {})
    assert own == encoded(height, {"threads": str(x264_threads(usable, height))})


@pytest.mark.io
@pytest.mark.parametrize(
    ("files", "usable"),
    [
        ({"": "max 100000"}, 8),
        ({"": "200000 100000"}, 2),
        ({"": "150000 100000"}, 2),
        ({"": "1000 100000"}, 1),
        ({"": "max 100000", "a": "300000 100000", "a/b": "max 100000"}, 3),
        ({"a": "300000 100000", "a/b": "50000 100000"}, 1),
        ({"": "nonsense"}, 8),
        ({"": "200000 0"}, 8),
        ({}, 8),
    ],
)
def test_a_quota_counts(files: dict[str, str], usable: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(threads, "CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    for folder, text in files.items():
        (tmp_path / "groups" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / folder / "cpu.max").write_text(f"{text}\n")
    assert processors() == 8
    (tmp_path / "cgroup").write_text("3:cpuset:/x\n0::/a/b\n")
    assert processors() == usable


@pytest.mark.io
def test_who_waits_sleeps_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in threads.ASLEEP:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KMP_BLOCKTIME", "5")
    wait_asleep()
    assert (os.environ["OMP_WAIT_POLICY"], os.environ["KMP_BLOCKTIME"]) == ("PASSIVE", "5")
    monkeypatch.delenv("OMP_WAIT_POLICY")


@pytest.mark.parametrize(
    "program",
    [
        "from streamvsr.cli import main; main(['look', '--no-trial', CLIP])",
        "from streamvsr.cli import main; main([CLIP, OUT, '--model', 'bicubic', '-frames:v', '2', '-nostdin'])",
        "from streamvsr.cli import main; main(['models', 'list'])",
        "import streamvsr; next(iter(streamvsr.open(CLIP).filter('vsr', model='bicubic')))",
        "from streamvsr.distributed.worker import Worker\ntry: Worker(b'', 1, 'cpu')\nexcept ValueError: import torch",
    ],
)
def test_before_torch_is_loaded(program: str, tmp_path: Path) -> None:
    """Each way in: torch's OpenMP reads the environment when it is loaded."""
    watch = (
        "import sys, os\n"
        "class Watch:\n"
        "    def find_spec(self, name, *_):\n"
        "        policy = os.environ.get('OMP_WAIT_POLICY', 'none')\n"
        "        if name == 'torch': os.write(2, f'policy {policy}\\n'.encode())\n"
        "sys.meta_path.insert(0, Watch())\n"
        f"CLIP, OUT = {str(ROOT / 'demo' / 'city_180p.mp4')!r}, {str(tmp_path / 'o.mkv')!r}\n"
    )
    bare = {name: value for name, value in os.environ.items() if name not in threads.ASLEEP}
    done = subprocess.run([sys.executable, "-c", watch + program], cwd=ROOT, env=bare, capture_output=True, text=True)
    policies = {line for line in done.stderr.splitlines() if line.startswith("policy")}
    assert policies <= {"policy PASSIVE"}, done.stderr
    # These ask torch for the devices where there is a driver of a GPU, and else do without it.
    if not any(word in program for word in ("models", "--no-trial")):
        assert policies, "torch is loaded"


@pytest.mark.skipif(sys.platform != "linux", reason="threads have scheduling policies of their own on Linux")
def test_scheduling_that_a_library_changes_is_restored() -> None:
    before, changed, end = scheduling(), threading.Event(), threading.Event()

    def work() -> None:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        changed.set()
        end.wait()

    thread = threading.Thread(target=work, daemon=True)
    with scheduling_kept():
        thread.start()
        assert changed.wait(60)
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        assert scheduling() != before
    assert scheduling() == before
    end.set()
    thread.join()
