"""What one driver does for each segment, and so how many workers it can feed (docs/scale.md).

    python benchmarks/bench_scale.py [--minutes 10] [--width 640]

Ratios are to decoding the whole clip once on the same machine, which is what a run does at least.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from pathlib import Path

from streamvsr.config import Config, InputOptions, ModelOptions, OutputOptions
from streamvsr.distributed import tasks
from streamvsr.frames import Frame, Packet
from streamvsr.jobs.plan import InputIdentity, Plan, Segment, regular_borders
from streamvsr.jobs.segments import plan_segments
from streamvsr.jobs.store import JobStore, read_packets
from streamvsr.media.demux import Source, open_source

SEGMENT_BYTES = 75 << 20
"""A minute at 10 Mbit/s."""


def seconds_of(do: Callable[[], object]) -> float:
    begin = time.perf_counter()
    do()
    return time.perf_counter() - begin


def planning(clip: Path, minutes: int) -> None:
    def opened() -> Source:
        return open_source(InputOptions(str(clip)), OutputOptions())

    def decode() -> None:
        with closing(opened()) as source:
            assert sum(isinstance(item, Frame) for item in source) > 0

    def index() -> None:
        with closing(opened()) as source:
            source.frame_index()

    borders = regular_borders(Fraction(60 * minutes))
    decoded = seconds_of(decode)
    read = seconds_of(index)
    made = seconds_of(lambda: plan_segments(opened, borders, (40, 2), 8.0))
    print(f"decoding {minutes} minutes: {decoded:.2f} s")
    print(f"reading its packets alone: {read / decoded:.3f} of that; the whole plan: {made / decoded:.3f}")


def a_segment(folder: Path) -> None:
    store = JobStore(folder / "job")
    payload = os.urandom(SEGMENT_BYTES // 1500)
    writer = store.writer(0)
    for n in range(1500):
        writer.write(Packet(0, payload, n, n, 1, Fraction(1, 25), keyframe=not n))
    record = writer.close()
    taken = seconds_of(lambda: store.adopt(0, writer.path, record))
    read = seconds_of(lambda: sum(len(p.data) for p in read_packets(store.packets_path(0))))
    store.close()
    print(f"taking a segment of {SEGMENT_BYTES >> 20} MB (hash, rename, record): {1000 * taken:.0f} ms")
    print(f"reading its packets for the muxer: {SEGMENT_BYTES / read / 1e6:.0f} MB/s, {1500 / read:.0f} packets/s")


def messages(clip: Path) -> None:
    for hours in (1, 10):
        segments = [Segment(n * 768000, (n + 1) * 768000, 40, 2, n * 768000 - 9000, n) for n in range(60 * hours)]
        plan = Plan(InputIdentity.of(str(clip)), {}, ("rt " + "0" * 64,), {}, Fraction(1, 12800), tuple(segments))
        config = Config(InputOptions(str(clip)), OutputOptions("out.mp4"), ModelOptions(model="rt"))
        job = tasks.encode(tasks.Job(config, plan, "/folder", "0" * 32))
        parsed = seconds_of(lambda job=job: tasks.decode_job(job))  # type: ignore[misc]
        print(f"a job of {hours} h: {len(job) / 1024:.0f} KiB once a worker, read in {1000 * parsed:.1f} ms")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--width", type=int, default=640)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = f"{given.width}x{given.width * 9 // 16 // 2 * 2}"
        made = f"testsrc2=s={size}:r=25:d={60 * given.minutes}"
        clip = folder / "in.mp4"
        subprocess.run(
            ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", made, "-c:v", "libx264", "-preset", "veryfast", str(clip)],
            check=True,
        )
        planning(clip, given.minutes)
        a_segment(folder)
        messages(clip)
    return 0


if __name__ == "__main__":
    sys.exit(main())
