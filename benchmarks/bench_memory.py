"""Does memory depend on the length of the video? Runs one job and prints resident memory against frames written.

    python benchmarks/bench_memory.py INPUT [--model NAME] [--output FILE]

Prints a table, and the slope in bytes a frame by least squares over everything after the first 1,000 frames.
Linux only: reads /proc/self/statm.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
from material import CLIPS, need

from streamvsr.build import build
from streamvsr.config import Config, InputOptions, ModelOptions, OutputOptions

SETTLED_FRAMES = 1000
LONG_CLIP = CLIPS / "long_180p60_av1_363s.mp4"


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", nargs="?", default=str(LONG_CLIP))
    parser.add_argument("--model", default="bicubic")
    parser.add_argument("--output", default="/tmp/streamvsr_memory.mp4")
    arguments = parser.parse_args()
    need(Path(arguments.input))
    output = OutputOptions(path=arguments.output, overwrite=True, preset="ultrafast")
    config = Config(InputOptions(path=arguments.input), output, ModelOptions(model=arguments.model))
    run = build(config, warn=lambda line: print(f"warning: {line}", file=sys.stderr))
    run.start()
    samples: list[tuple[int, int]] = []
    while not run.wait(0.5):
        samples.append((run.progress().frames_out, resident_bytes()))
    run.result()
    frames, memory = np.array(samples).T
    print(f"{arguments.input}: {run.progress().frames_out} frames, model {arguments.model}")
    for at in np.linspace(0, len(frames) - 1, 12).astype(int):
        print(f"{frames[at]:8d} frames {memory[at] / 2**20:8.1f} MiB")
    settled = frames > SETTLED_FRAMES
    if settled.sum() > 2:
        slope = np.polyfit(frames[settled], memory[settled], 1)[0]
        print(f"slope after {SETTLED_FRAMES} frames: {slope:.0f} bytes a frame")
    Path(arguments.output).unlink()


if __name__ == "__main__":
    main()
