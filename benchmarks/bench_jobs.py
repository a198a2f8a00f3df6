"""What cutting a run costs, and what workers bring: ratios to one uncut run of the same command on the same machine.

    python benchmarks/bench_jobs.py [--seconds 300] [--workers]

Two clips of five minutes, one with a scene every seven seconds and one without any, through ``rt`` in one process: time
(also of the CPUs alone, which a busy machine changes less) and size against ``--no-resume``. Then the largest
difference between the frames of both, encoded without loss. ``--workers``: two workers of one thread against one,
without the time that Ray and torch take to start.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import av
import numpy as np

from streamvsr.build import build, open_job
from streamvsr.config import Config, InputOptions, ModelOptions, OutputOptions, RunOptions
from streamvsr.distributed import driver
from streamvsr.distributed.run import DistributedRun
from streamvsr.jobs import job as job_module
from streamvsr.jobs.plan import regular_borders

SIZE, RATE, SCENE_SECONDS = "48x32", 25, 7


def make(path: Path, seconds: int, *, scenes: bool) -> None:
    filters = f"testsrc2=s={SIZE}:r={RATE}:d={seconds}"
    if scenes:
        # Another part of another picture every few seconds.
        change = f"floor(t/{SCENE_SECONDS})"
        filters += f",hue=h='{change}*97':b='6*sin({change}*2)'"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", filters, "-c:v", "libx264", str(path)]
    subprocess.run(command, check=True)


def timed(config: Config) -> tuple[float, float]:
    """(seconds, seconds of the CPUs) of a run."""
    begin, cpu = time.monotonic(), sum(os.times()[:2])
    run = build(config, warn=lambda _: None)
    for note in run.notes:
        print(f"  {note}")
    run.start()
    while not run.wait(60):
        pass
    run.result()
    return time.monotonic() - begin, sum(os.times()[:2]) - cpu


def config_for(clip: Path, out: Path, *, resume: bool, **written: object) -> Config:
    output = OutputOptions(str(out), overwrite=True, **written)  # type: ignore[arg-type]
    return Config(InputOptions(str(clip)), output, ModelOptions(model="rt", threads=1), RunOptions(resume=resume))


def one_process(clip: Path, folder: Path) -> None:
    whole, cut = folder / "whole.mp4", folder / "cut.mp4"
    timed(config_for(clip, whole, resume=False, duration=5))  # what is loaded once
    apart = [timed(config_for(clip, out, resume=resume)) for out, resume in ((whole, False), (cut, True))]
    size = cut.stat().st_size / whole.stat().st_size
    (wall, cpu), (cut_wall, cut_cpu) = apart
    print(f"{clip.stem}: cut / uncut: time {cut_wall / wall:.3f}, CPU time {cut_cpu / cpu:.3f}, size {size:.3f}")


def difference(clip: Path, folder: Path) -> None:
    outs = folder / "whole.mkv", folder / "cut.mkv"
    for out, resume in zip(outs, (False, True), strict=True):
        config = config_for(clip, out, resume=resume, video_codec="ffv1", duration=100)
        timed(config)
    most = 0
    with av.open(str(outs[0])) as one, av.open(str(outs[1])) as other:
        for a, b in zip(one.decode(video=0), other.decode(video=0), strict=True):
            apart = np.abs(a.to_ndarray().astype(int) - b.to_ndarray().astype(int)).max()
            most = max(most, int(apart))
    print(f"{clip.stem}: largest difference of a sample, cut and uncut: {most} of 255")


def workers(clip: Path, folder: Path) -> None:
    job_module.regular_borders = lambda duration: regular_borders(duration, 15)  # type: ignore[assignment]
    seconds = {}
    for count in (1, 2):
        config = config_for(clip, folder / "out.mp4", resume=True)
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--workers", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in ("scenes", "one-scene"):
            make(folder / f"{kind}.mp4", given.seconds, scenes=kind == "scenes")
        if given.workers:
            workers(folder / "scenes.mp4", folder)
            return 0
        one_process(folder / "scenes.mp4", folder)
        one_process(folder / "one-scene.mp4", folder)
        difference(folder / "one-scene.mp4", folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
