"""Loading for a training: all L frames of a sequence read, or L/2 played forth and back (RealBasicVSR, sec. 3.3).

    python benchmarks/bench_training.py

Clips are read from disk each time (no cache), as those of a large data set are. The ways take turns; medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from material import DATA, need

from streamvsr.degrade import RECIPES
from streamvsr.training.clips import Budget, open_clips
from streamvsr.training.networks import build
from streamvsr.training.options import TrainOptions
from streamvsr.training.sequences import Sampler

LAYOUTS = {"PNG": "gt/roof_540p/gt", "H.264": "clips/flower_cc0_540p.mp4"}


def milliseconds(run: Callable[[int], object], times: int, first: int) -> list[float]:
    found = []
    for number in range(first, first + times):
        start = time.perf_counter()
        run(number)
        found.append((time.perf_counter() - start) * 1e3)
    return found


def one_sequence(sampler: Sampler, frames: int, number: int) -> None:
    sampler.batch(1, frames, (1, number))


def step_milliseconds(options: TrainOptions) -> float:
    """Forward and backward of one sequence, the optimiser left out; the faster of two."""
    trained = build(options)
    low = torch.rand(options.frames + trained.look_ahead, 1, trained.channels, options.patch // 4, options.patch // 4)

    def step(number: int) -> None:
        torch.stack(trained.run(low, number).outputs).square().mean().backward()

    return min(milliseconds(step, 2, 0))


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--frames", type=int, default=20, help="L")
    p.add_argument("--patch", type=int, default=128)
    p.add_argument("--rounds", type=int, default=10)
    args = p.parse_args()
    torch.set_num_threads(1)
    need(*(DATA / path for path in LAYOUTS.values()))
    options = TrainOptions(model="realbasicvsr", frames=args.frames, patch=args.patch)
    steps = {
        "rt": step_milliseconds(replace(options, model="rt")),
        "realbasicvsr, 64 channels, 20 blocks": step_milliseconds(options),
    }
    print(f"one sequence: L = {args.frames}, patches of {args.patch}, one thread; a step of the network:")
    for name, value in steps.items():
        print(f"  {name}: {value:.0f} ms")
    print("\n| clips | channels | degradation | read L, ms | read L/2, ms | saved | share of loading with rt |")
    print("|---|---|---|---|---|---|---|")
    for layout, path in LAYOUTS.items():
        for channels in (1, 3):
            clips = open_clips([str(DATA / path)], channels, Budget(0))
            for recipe in ("clean", "real"):
                whole = Sampler(clips, [], 0.0, args.patch, RECIPES[recipe], max_stride=1)
                ways: list[list[float]] = [[], []]
                for number in range(args.rounds):
                    for sampler, found in zip((whole, replace(whole, mirror=True)), ways, strict=True):
                        found += milliseconds(partial(one_sequence, sampler, args.frames), 1, number)
                full, half = (statistics.median(way) for way in ways)
                with_rt = [f"{way / (way + steps['rt']):.0%}" for way in (full, half)] if channels == 1 else ["", ""]
                line = f"| {layout} | {channels} | {recipe} | {full:.0f} | {half:.0f} | {1 - half / full:.0%} |"
                print(line, " -> ".join(filter(None, with_rt)), "|", flush=True)


if __name__ == "__main__":
    main()
