"""What a network's step costs beside the encoder: by the clock, in processor time, and in switches of its thread.

    python benchmarks/bench_beside.py [INPUT] [--models rt rt:bf16] [--frames 100] [--rounds 3]

Whole runs with one thread for the network, each a process of its own, in turns: without an encoder (``rawvideo`` to
/dev/null), with x264 at one thread and with its own number. For the stage ``vsr``, a frame: the clock while it works,
the processor time of its thread, and how often the system took the processor away from it (involuntary switches).
Where the processor time grows, caches, memory or the other half of a core are shared; where only the clock does, the
thread waited for a processor. Medians of the rounds. Linux only: reads /proc/self/task.
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
    "x264, its own": {"video_codec": "libx264", "preset": "veryfast"},
}


def taken_away(thread: int) -> int:
    """How often the system took the processor from a thread that wanted to go on."""
    try:
        text = Path(f"/proc/self/task/{thread}/status").read_text()
    except OSError:
        return 0  # it has ended
    return int(text.partition("nonvoluntary_ctxt_switches:")[2].split()[0])


def child(source: str, model: str, encoder: str, frames: int) -> None:
    from streamvsr.build import build
    from streamvsr.config import Config, InputOptions, ModelOptions, OutputOptions

    name, _, precision = model.partition(":")
    options = ModelOptions(model=name, precision=precision or "fp32", threads=1)  # type: ignore[arg-type]
    output = OutputOptions("/dev/null", format="nut", overwrite=True, frames=frames, no_audio=True, **ENCODERS[encoder])  # type: ignore[arg-type]
    run = build(Config(InputOptions(source), output, options), warn=print)
    run.start()
    (vsr,) = (t.native_id for t in threading.enumerate() if t.name == "streamvsr-vsr")
    assert vsr is not None
    spent, switches = 0.0, 0
    while not run.wait(0.05):
        spent, switches = cpu_seconds().get(vsr, spent), max(switches, taken_away(vsr))
    run.result()
    (stage,) = (s for s in run.stats() if s.name == "vsr")
    found = 1000 * stage.busy_seconds, 1000 * spent, switches
    print(json.dumps([value / stage.frames for value in found]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", nargs="?", default=str(ROOT / "demo" / "city_180p.mp4"))
    parser.add_argument("--models", nargs="+", default=["rt"])
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.child:
        child(a.input, *a.child, a.frames)
        return
    found: dict[tuple[str, str], list[list[float]]] = {(m, e): [] for m in a.models for e in ENCODERS}
    print(f"{processors()} processors, load average {os.getloadavg()[0]:.1f}")
    for _ in range(a.rounds):
        for model, encoder in found:
            command = [sys.executable, __file__, a.input, "--child", model, encoder, "--frames", str(a.frames)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            found[model, encoder].append(json.loads(done.stdout.splitlines()[-1]))
    print("| network | encoder | clock, ms | processor time, ms | taken away |\n|---|---|---|---|---|")
    for (model, encoder), rounds in found.items():
        clock, cpu, switches = (median(column) for column in zip(*rounds, strict=True))
        print(f"| {model} | {encoder} | {clock:.1f} | {cpu:.1f} | {switches:.1f} |")


if __name__ == "__main__":
    main()
