"""Where the time and the memory of large outputs go: 640x360 and 960x540, four times larger, on few cores.

    python benchmarks/bench_large.py [--frames 48] [--models bicubic rt] [--presets medium veryfast] [--scale N]
                                     [--clips FILE ...]

Each run is a process of its own, with one thread for the network. CPU time is that of the stages' own threads;
``others`` are the threads of the decoder and the encoder. Peak memory is the process's, beside what the run said before
it started. Linux only: reads /proc/self/task.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from material import CLIPS, need

DEFAULT = ("phone_roof_360p.mp4", "flower_cc0_540p.mp4")


def cpu_seconds() -> dict[int, float]:
    """Of each thread that is alive."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            fields = (task / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        found[int(task.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found


def child(clip: str, model: str, preset: str, frames: int, scale: float | None) -> None:
    from streamvsr.build import build
    from streamvsr.config import Config, InputOptions, ModelOptions, OutputOptions

    with tempfile.TemporaryDirectory() as folder:
        output = OutputOptions(
            path=f"{folder}/out.mkv", overwrite=True, preset=preset, frames=frames, no_audio=True, crf=18
        )
        # An explicit factor: without one the size stops at 3840x2160.
        options = ModelOptions(model=model, threads=1, scale=scale)
        run = build(Config(InputOptions(path=clip), output, options), warn=print)
        run.start()
        names = {t.native_id: t.name.removeprefix("streamvsr-") for t in threading.enumerate()}
        spent: dict[int, float] = {}
        while not run.wait(0.1):
            spent |= cpu_seconds()
        run.result()
        done = run.progress().frames_out
    cpu: dict[str, float] = {}
    for thread, seconds in spent.items():
        name = names.get(thread, "others")
        cpu[name] = cpu.get(name, 0.0) + 1000 * seconds / done
    peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
    print(json.dumps({"cpu": cpu, "peak": peak, "said": run.memory_bytes / 2**20,
                      "writes": run.writes}))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", nargs="+", default=[str(CLIPS / name) for name in DEFAULT])
    parser.add_argument("--models", nargs="+", default=["bicubic", "rt"])
    parser.add_argument("--presets", nargs="+", default=["medium", "veryfast"])
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--scale", type=float)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.child:
        child(*a.child, a.frames, a.scale)
        return
    need(*map(Path, a.clips))
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; milliseconds a frame, {a.frames} frames")
    print("| output | model | x264 | decode, CPU | vsr, CPU | encode, CPU | others, CPU | peak, MiB | said |")
    print("|---|---|---|---|---|---|---|---|---|")
    for clip in a.clips:
        for model in a.models:
            for preset in a.presets:
                command = [sys.executable, __file__, "--child", clip, model, preset, "--frames", str(a.frames)]
                command += ["--scale", str(a.scale)] if a.scale else []
                environment = os.environ | {"OMP_NUM_THREADS": "1"}
                done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
                if done.returncode:
                    sys.exit(done.stderr)
                found = json.loads(done.stdout.splitlines()[-1])
                cells = [found["writes"].split(": ")[1].split(",")[0], model, preset]
                cells += [f"{found['cpu'].get(name, 0):.0f}" for name in ("decode", "vsr", "encode", "others")]
                cells += [f"{found['peak']:.0f}", f"{found['said']:.0f}"]
                print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
