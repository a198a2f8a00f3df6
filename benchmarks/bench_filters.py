"""What does streamvsr cost as a plain transcoder? The same chains, the same encoder, through it and through ffmpeg.

    python benchmarks/bench_filters.py [INPUT] [--frames 600] [--preset veryfast] [--rounds 3]

The two take turns, ``--rounds`` times; of each the fastest round counts. Printed are seconds of the whole command and
of the processors, the ratio to ffmpeg (more is better), and the ratio without the start, which is timed with one frame.
Then what each filter took by itself, from ``--stats``. Python's bytecode is kept between the runs, as that of an
installed package is, whatever PYTHONDONTWRITEBYTECODE says.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DEMO = Path(__file__).resolve().parents[1] / "demo" / "city_180p.mp4"
CHAINS = ("null", "scale=4*iw:4*ih:flags=bicubic", "bwdif,unsharp=5:5:0.6,scale=2*iw:2*ih:flags=lanczos")


def timed(command: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Seconds on the clock and of the processors."""
    before, begin = os.times(), time.perf_counter()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, env=env)
    after = os.times()
    busy = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - begin, busy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", nargs="?", type=Path, default=DEMO)
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--preset", default="veryfast")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chain", nargs="+", default=CHAINS)
    a = parser.parse_args()
    if shutil.which("ffmpeg") is None:
        sys.exit("needs ffmpeg on the PATH to compare with")
    ours = [sys.executable, "-m", "streamvsr", "--quiet", "-y", str(a.input)]
    theirs = ["ffmpeg", "-v", "error", "-y", "-i", str(a.input)]
    encode = ["-an", "-c:v", "libx264", "-preset", a.preset, "-crf", "18"]
    print(f"{a.input.name}, {a.frames} frames, x264 {a.preset}")
    with tempfile.TemporaryDirectory() as folder:
        target = str(Path(folder) / "out.mkv")
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        env.setdefault("PYTHONPYCACHEPREFIX", str(Path(folder) / "bytecode"))
        timed([*ours, "-vf", "null", *encode, "-frames:v", "1", target], env)
        print(
            f"{'chain':52} {'ours s':>7} {'ffmpeg':>7} {'ratio':>6}   {'cpu s':>6} {'ffmpeg':>6} {'ratio':>6}   later"
        )
        for chain in a.chain:

            def rounds(frames: int, chain: str = chain) -> list[list[float]]:
                """[clock, processors] x [ours, theirs], the least of all rounds."""
                more = ["-vf", chain, *encode, "-frames:v", str(frames), target]
                pairs = [[timed([*start, *more], env) for start in (ours, theirs)] for _ in range(a.rounds)]
                return [[min(pair[n][k] for pair in pairs) for n in (0, 1)] for k in (0, 1)]

            (wall, busy), (wall_1, busy_1) = rounds(a.frames), rounds(1)
            clock, work = ((x[1] - y[1]) / (x[0] - y[0]) for x, y in ((wall, wall_1), (busy, busy_1)))
            print(
                f"{chain:52} {wall[0]:7.2f} {wall[1]:7.2f} {wall[1] / wall[0]:6.2f}"
                f"   {busy[0]:6.2f} {busy[1]:6.2f} {busy[1] / busy[0]:6.2f}   {clock:.2f}, cpu {work:.2f}",
                flush=True,
            )
        told = [word for word in ours if word != "--quiet"]
        chain = "bwdif,traditional=2,unsharp,canny"
        done = subprocess.run(
            [*told, "-vf", chain, "--stats", *encode, "-frames:v", "60", target], capture_output=True, check=True
        )
        print(f"\n{chain}")
        print("\n".join(line for line in done.stderr.decode().splitlines() if "frame=" not in line))


if __name__ == "__main__":
    main()
