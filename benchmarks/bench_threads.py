"""How many threads the network and the encoder should have: whole runs in turns, by the clock and in processor time.

    taskset -c 0,1 python benchmarks/bench_threads.py [INPUT] [--frames 60] [--rounds 3] [--model rt]

Every pair of ``--network`` and ``--encoder`` numbers of threads takes its turn in each round; 0 is the library's own
number (one a core for torch, three for each two cores for x264). Printed are the fastest and the median of the rounds
without the start of the process. Processors are those that ``taskset`` leaves.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import median

from material import ROOT

from streamvsr.build import build
from streamvsr.config import Config, InputOptions, ModelOptions, OutputOptions
from streamvsr.threads import processors

Times = tuple[float, float]


def timed(config: Config) -> tuple[Times, str]:
    """((seconds by the clock, processor seconds) a frame, busy milliseconds of the stages)."""
    run = build(config, warn=print)
    begin = time.perf_counter(), time.process_time()
    run.start()
    run.wait()
    run.result()
    frames = run.progress().frames_out
    seconds = (time.perf_counter() - begin[0]) / frames, (time.process_time() - begin[1]) / frames
    return seconds, ", ".join(f"{s.name} {1000 * s.busy_seconds / s.frames:.1f}" for s in run.stats())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", nargs="?", type=Path, default=ROOT / "demo" / "city_180p.mp4")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="rt")
    parser.add_argument("--preset", default="veryfast")
    parser.add_argument("--chain")
    parser.add_argument("--network", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--encoder", type=int, nargs="+", default=[0, 1])
    a = parser.parse_args()
    chosen = ModelOptions(checkpoint=a.model) if Path(a.model).is_file() else ModelOptions(model=a.model)
    found: dict[tuple[int, int], list[Times]] = {pair: [] for pair in product(a.network, a.encoder)}
    stages = dict.fromkeys(found, "")
    print(f"{processors()} processors, load average {os.getloadavg()[0]:.1f}, {a.model}, x264 {a.preset}")
    with tempfile.TemporaryDirectory() as folder:
        output = OutputOptions(
            str(Path(folder) / "out.mp4"),
            overwrite=True,
            preset=a.preset,
            frames=a.frames,
            filters=a.chain,
            no_audio=True,
        )
        config = Config(InputOptions(str(a.input)), output, replace(chosen, precision="fp32"))
        timed(replace(config, output=replace(output, frames=3)))
        for _ in range(a.rounds):
            for network, encoder in found:
                options = {"threads": str(encoder)} if encoder else {}
                turn = replace(
                    config,
                    model=replace(config.model, threads=network or None),
                    output=replace(output, options=options),
                )
                seconds, stages[network, encoder] = timed(turn)
                found[network, encoder].append(seconds)
    print(f"{'network':>8}{'encoder':>8}{'clock, ms: fastest, median':>28}{'CPU, ms: fastest, median':>28}")
    for (network, encoder), rounds in found.items():
        clock, cpu = ([1000 * s for s in each] for each in zip(*rounds, strict=True))
        line = f"{min(clock):14.1f}{median(clock):14.1f}{min(cpu):14.1f}{median(cpu):14.1f}"
        print(f"{network or 'own':>8}{encoder or 'own':>8}{line}  {stages[network, encoder]}")


if __name__ == "__main__":
    main()
