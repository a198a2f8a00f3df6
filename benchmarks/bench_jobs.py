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
from typing import Any

import av
import numpy as np

from streamvsr.build import open_job
from streamvsr.config import Config, InputOptions, ModelOptions, OutputOptions, RunOptions
from streamvsr.distributed import driver
from streamvsr.distributed import run as run_module
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


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Watched(driver.Driver):
    """Hands out nothing before all workers are up, and notes what they and the driver take from then on."""

    count = 1
    begun: float | None = None

    def __init__(self, *words: Any, **more: Any) -> None:
        super().__init__(*words, **more)
        self.kept: list[tuple[float, int]] = []
        """Seconds of the driver and bytes of the answer, for each segment."""
        self.first: dict[int, float] = {}
        self.spent: dict[int, float] = {}
        """CPU seconds of each worker since all were up, by process."""
        watched.append(self)

    def _came_up(self, *words: Any) -> None:
        super()._came_up(*words)
        places = [member.place for member in self._members if member.place is not None]
        if len(places) == self.count and self.begun is None:
            self.begun = time.monotonic()
            self.first = {place.pid: cpu_seconds(place.pid) for place in places}

    def _hand_out(self) -> None:
        if self.begun is not None:
            super()._hand_out()

    def _keep(self, number: int, data: bytes, packets: bytes | None) -> None:
        self.spent = {pid: cpu_seconds(pid) - before for pid, before in self.first.items()}
        begin = time.perf_counter()
        super()._keep(number, data, packets)
        self.kept.append((time.perf_counter() - begin, len(data)))


watched: list[Watched] = []


def workers(clip: Path, folder: Path) -> None:
    job_module.regular_borders = lambda duration: regular_borders(duration, 15)  # type: ignore[assignment]
    run_module.Driver = Watched  # type: ignore[misc]
    seconds, cpu = {}, {}
    for count in (1, 2):
        Watched.count = count
        config = replace(config_for(clip, folder / "out.mp4"), run=RunOptions(workers=count, restart=True))
        run = DistributedRun(open_job(config, warn=lambda _: None))
        run.start()
        while not run.wait(60):
            pass
        run.result()
        seen = watched[-1]
        assert seen.begun is not None
        seconds[count] = time.monotonic() - seen.begun
        cpu[count] = list(seen.spent.values())
        cost = sum(one for one, _ in seen.kept) / len(seen.kept)
        print(f"{count} workers: driver {1000 * cost:.1f} ms and {seen.kept[0][1]} bytes of answer a segment")
        each = ", ".join(f"{one:.1f}" for one in cpu[count])
        print(f"{count} workers: {seconds[count]:.1f} s; CPU time of each {each} s")
    print(f"two workers of one thread / one: {seconds[1] / seconds[2]:.2f} times as fast")
    print(f"by CPU time, that of the busier one of the two: {sum(cpu[1]) / max(cpu[2]):.2f}")


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
