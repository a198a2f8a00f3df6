"""How near the forecast of ``streamvsr look`` comes to the time, and the size, that the run then takes.

    python benchmarks/bench_forecast.py [--model auto] [CLIP ...]

For each clip the forecast and the whole command run one after the other, each in a process of its own. The ratio is
forecast / truth; the truth counts everything from the command's start to its end. Clips are shortened to what the table
says. "Left" is the share of the processors that other programs left to each of the two (Linux): the last ratio is that
of the times multiplied by it, which is what a machine without them would show.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLIPS = ROOT.parent / "shared" / "data" / "clips"
LENGTHS = {
    ROOT / "demo" / "city_180p.mp4": None,
    CLIPS / "nasa_multitrack.mp4": None,
    CLIPS / "phone_station_240p60.mp4": None,
    CLIPS / "carphone_qcif.mp4": None,
    CLIPS / "water_cc0_360p.mp4": None,
    CLIPS / "run_400p.mp4": None,
    CLIPS / "phone_roof_360p.mp4": 5,
    CLIPS / "intel_cars_432p.mp4": 10,
    CLIPS / "bbb_480p_30s.mp4": 5,
    CLIPS / "city_cc0_405p.mpg": 5,
}
"""Clip -> seconds that are looked at and run; None: all of it."""
WITHIN = 0.25


def busy_seconds() -> float:
    """Of all processors, since the machine started."""
    ticks = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, ticks[:8])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    return sum(os.times()[:4])


def command(*words: object) -> tuple[float, str, float]:
    """(seconds, standard output, share of the processors that others left) of a call of the program."""
    begin, busy, own = time.monotonic(), busy_seconds(), own_seconds()
    done = subprocess.run(
        [sys.executable, "-m", "streamvsr", *map(str, words)], check=True, stdout=subprocess.PIPE, cwd=ROOT
    )
    took = time.monotonic() - begin
    others = (busy_seconds() - busy) - (own_seconds() - own)
    return took, done.stdout.decode(), 1 - min(0.99, max(0.0, others / (took * (os.cpu_count() or 1))))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="auto")
    parser.add_argument("clips", nargs="*", type=Path)
    arguments = parser.parse_args()
    lengths = {clip.resolve(): None for clip in arguments.clips} or LENGTHS
    good = 0
    print("| clip | forecast, s | run, s | ratio | left | ratio x left | size, forecast / truth |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for clip, seconds in lengths.items():
            cut = [] if seconds is None else ["-t", seconds]
            options = ["--model", arguments.model, "-loglevel", "error"]
            out = Path(folder) / "out.mp4"
            _, said, left_then = command("look", *cut, clip, "--json", *options)
            found = json.loads(said)["forecast"]
            took, _, left = command("-y", "--no-resume", *cut, clip, out, *options)
            ratio = found["seconds"] / took
            fair = ratio * left_then / left
            good += abs(fair - 1) <= WITHIN
            size = found["output_bytes"] / out.stat().st_size
            length = "" if seconds is None else f", {seconds} s"
            print(
                f"| {clip.name}{length} | {found['seconds']:.1f} | {took:.1f} | {ratio:.2f}"
                f" | {left_then:.0%}, {left:.0%} | {fair:.2f} | {size:.2f} |",
                flush=True,
            )
    print(f"\nwithin {WITHIN:.0%}: {good} of {len(lengths)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
