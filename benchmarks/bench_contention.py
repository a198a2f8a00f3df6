"""Does a network's step cost more while x264 runs? Wall time, CPU time and involuntary context switches per frame.

    python benchmarks/bench_contention.py [INPUT] [--models rt rt:bf16] [--threads 1] [--frames 100] [--rounds 3]

Whole runs, each a process of its own, in turns: ``rawvideo`` to /dev/null instead of an encoder, x264 with one thread,
x264 with its default threads. For the stage ``vsr``: wall time while busy, CPU time and involuntary context switches of
the stage's own thread (with ``--threads`` 2 or more, one of the network's). CPU time grows where caches or memory are
contended for, wall time alone where the thread waits for a core. Medians of the rounds. Linux only: reads
/proc/self/task.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from statistics import median

from bench_large import cpu_seconds
from material import ROOT

from streamvsr.threads import processors

ENCODERS = {
    "none": {"video_codec": "rawvideo"},
    "x264, 1 thread": {"video_codec": "libx264", "preset": "veryfast", "options": {"threads": "1"}},
    "x264, default": {"video_codec": "libx264", "preset": "veryfast"},
}


def involuntary_switches(thread: int) -> int:
    try:
        text = Path(f"/proc/self/task/{thread}/status").read_text()
    except OSError:
        return 0  # it has ended
    return int(text.partition("nonvoluntary_ctxt_switches:")[2].split()[0])


def child(source: str, model: str, encoder: str, threads: int, frames: int) -> None:
    from streamvsr.build import build
    from streamvsr.config import Config, InputOptions, ModelOptions, OutputOptions

    name, _, precision = model.partition(":")
    options = ModelOptions(model=name, precision=precision or "fp32", threads=threads)  # type: ignore[arg-type]
    output = OutputOptions("/dev/null", format="nut", overwrite=True, frames=frames, no_audio=True, **ENCODERS[encoder])  # type: ignore[arg-type]
    run = build(Config(InputOptions(source), output, options), warn=print)
    run.start()
    (vsr,) = (t.native_id for t in threading.enumerate() if t.name == "streamvsr-vsr")
    assert vsr is not None
    spent, switches = 0.0, 0
    while not run.wait(0.05):
        spent, switches = cpu_seconds().get(vsr, spent), max(switches, involuntary_switches(vsr))
    run.result()
    (stage,) = (s for s in run.stats() if s.name == "vsr")
    found = 1000 * stage.busy_seconds, 1000 * spent, switches
    print(json.dumps([value / stage.frames for value in found]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", nargs="?", default=str(ROOT / "demo" / "city_180p.mp4"))
    parser.add_argument("--models", nargs="+", default=["rt"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.child:
        child(a.input, *a.child, a.threads, a.frames)
        return
    found: dict[tuple[str, str], list[list[float]]] = {(m, e): [] for m in a.models for e in ENCODERS}
    print(f"{processors()} processors, load average {os.getloadavg()[0]:.1f}, threads of the network: {a.threads}")
    for _ in range(a.rounds):
        for model, encoder in found:
            command = [sys.executable, __file__, a.input, "--child", model, encoder, "--frames", str(a.frames)]
            command += ["--threads", str(a.threads)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            found[model, encoder].append(json.loads(done.stdout.splitlines()[-1]))
    print("| network | encoder | wall, ms | CPU, ms | involuntary switches |\n|---|---|---|---|---|")
    for (model, encoder), rounds in found.items():
        clock, cpu, switches = (median(column) for column in zip(*rounds, strict=True))
        print(f"| {model} | {encoder} | {clock:.1f} | {cpu:.1f} | {switches:.1f} |")


if __name__ == "__main__":
    main()
