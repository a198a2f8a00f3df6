"""What cutting a run into segments costs, and what workers bring.

    python benchmarks/bench_jobs.py [--seconds 300] [--size 160x90] [--pairs 3] [--log runs.txt]
    python benchmarks/bench_jobs.py --workers

Two clips, one with a scene every seven seconds and one without any, through ``rt`` on one thread, each run in a process
of its own: ``--resume`` and ``--no-resume`` in turns, so that both see the same load of the machine. The ratios are of
wall time and of CPU time (user and system of the child, which other processes change less), of the sums and of the
shortest runs, and of the sizes of the outputs; ``--pairs 0`` leaves them out. Then the largest difference between the
frames of both, encoded without loss. ``--log`` appends each run as soon as it is over. ``--workers``: two workers of
one thread against one, without the time that Ray and torch take to start.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np

from streamvsr.build import open_job
from streamvsr.config import Config, InputOptions, ModelOptions, OutputOptions, RunOptions
from streamvsr.distributed import driver
from streamvsr.distributed.run import DistributedRun
from streamvsr.jobs import job as job_module
from streamvsr.jobs.plan import regular_borders

RATE, SCENE_SECONDS = 25, 7


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of one run."""

    wall: float
    cpu: float
    """User and system time of all of its threads."""


def make(path: Path, seconds: int, size: str, *, scenes: bool) -> None:
    filters = f"testsrc2=s={size}:r={RATE}:d={seconds}"
    if scenes:
        # Another part of another picture every few seconds.
        change = f"floor(t/{SCENE_SECONDS})"
        filters += f",hue=h='{change}*97':b='6*sin({change}*2)'"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", filters, "-c:v", "libx264", str(path)]
    subprocess.run(command, check=True)


def timed(clip: Path, out: Path, *options: str) -> Spent:
    """Run ``streamvsr`` in a process of its own."""
    words = [sys.executable, "-m", "streamvsr", str(clip), str(out), "-y", "--model", "rt", "--threads", "1", *options]
    begin = time.monotonic()
    child = subprocess.Popen([*words, "--quiet"])
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(words)}: exit code {child.returncode}")
    return Spent(time.monotonic() - begin, usage.ru_utime + usage.ru_stime)


def one_process(clip: Path, folder: Path, pairs: int, log: Callable[[str], None]) -> None:
    whole, cut = folder / "whole.mp4", folder / "cut.mp4"
    runs: dict[str, list[Spent]] = {"--no-resume": [], "--resume": []}
    for pair in range(pairs):
        for out, option in ((whole, "--no-resume"), (cut, "--resume")):
            one = timed(clip, out, option)
            runs[option].append(one)
            log(f"{clip.stem} {pair + 1} {option}: {one.wall:.1f} s, CPU {one.cpu:.1f} s, {out.stat().st_size} bytes")
    size = cut.stat().st_size / whole.stat().st_size
    for name in ("wall", "cpu"):
        uncut, segmented = ([getattr(one, name) for one in runs[option]] for option in runs)
        log(
            f"{clip.stem}: {name} time, segmented / not: sums of {pairs} {sum(segmented) / sum(uncut):.3f}, shortest"
            f" {min(segmented) / min(uncut):.3f}"
        )
    log(f"{clip.stem}: size {size:.4f}")


def difference(clip: Path, folder: Path, log: Callable[[str], None]) -> None:
    outs = folder / "whole.mkv", folder / "cut.mkv"
    for out, option in zip(outs, ("--no-resume", "--resume"), strict=True):
        timed(clip, out, option, "-c:v", "ffv1", "-t", "130")
    most = 0
    with av.open(str(outs[0])) as one, av.open(str(outs[1])) as other:
        for a, b in zip(one.decode(video=0), other.decode(video=0), strict=True):
            apart = np.abs(a.to_ndarray().astype(int) - b.to_ndarray().astype(int)).max()
            most = max(most, int(apart))
    log(f"{clip.stem}: largest difference of a sample, cut and uncut: {most} of 255")


def config_for(clip: Path, out: Path) -> Config:
    output = OutputOptions(str(out), overwrite=True)
    return Config(InputOptions(str(clip)), output, ModelOptions(model="rt", threads=1), RunOptions(resume=True))


def workers(clip: Path, folder: Path) -> None:
    job_module.regular_borders = lambda duration: regular_borders(duration, 15)  # type: ignore[assignment]
    seconds = {}
    for count in (1, 2):
        config = config_for(clip, folder / "out.mp4")
        config = replace(config, run=RunOptions(workers=count, restart=True))
        begun: list[float] = []
        came_up, kept = driver.Driver._came_up, []
        keep = driver.Driver._keep

        def all_up(self: driver.Driver, *words: object, count: int = count) -> None:
            came_up(self, *words)  # noqa: B023
            if sum(member.place is not None for member in self._members) == count:
                begun.append(time.monotonic())  # noqa: B023

        def timed_keep(self: driver.Driver, number: int, data: bytes, packets: bytes | None) -> None:
            begin = time.perf_counter()
            keep(self, number, data, packets)  # noqa: B023
            kept.append((time.perf_counter() - begin, len(data)))  # noqa: B023

        hand_out = driver.Driver._hand_out

        def when_all_are_up(self: driver.Driver) -> None:
            if begun:  # noqa: B023
                hand_out(self)  # noqa: B023

        driver.Driver._came_up, driver.Driver._keep, driver.Driver._hand_out = all_up, timed_keep, when_all_are_up  # type: ignore[method-assign,assignment]
        run = DistributedRun(open_job(config, warn=lambda _: None))
        run.start()
        while not run.wait(60):
            pass
        run.result()
        driver.Driver._came_up, driver.Driver._keep, driver.Driver._hand_out = came_up, keep, hand_out  # type: ignore[method-assign]
        seconds[count] = time.monotonic() - begun[0]
        cost = sum(one for one, _ in kept) / len(kept)
        print(f"{count} workers: driver {1000 * cost:.1f} ms and {kept[0][1]} bytes of answer a segment")
    print(f"two workers of one thread / one: {seconds[1] / seconds[2]:.2f} times as fast")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--size", default="160x90")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--log", type=Path, help="append each run to this file")
    parser.add_argument("--workers", action="store_true")
    given = parser.parse_args()

    def log(line: str) -> None:
        print(line, flush=True)
        if given.log is not None:
            with given.log.open("a") as file:
                file.write(line + "\n")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in ("one-scene", "scenes"):
            make(folder / f"{kind}.mp4", given.seconds, given.size, scenes=kind == "scenes")
        if given.workers:
            workers(folder / "scenes.mp4", folder)
            return 0
        for kind in ("one-scene", "scenes") if given.pairs else ():
            one_process(folder / f"{kind}.mp4", folder, given.pairs, log)
        difference(folder / "one-scene.mp4", folder, log)
    return 0


if __name__ == "__main__":
    sys.exit(main())
