"""One job, killed again and again at random moments and gone on with: its file is that of a run that was not disturbed.

    python -m tests.kills [--runs 50] [--seed 1] [--workers 2]

Kills with SIGKILL come from the clock, at a moment drawn from the whole run, and from inside, in front of a call
that matters: a plan written, a packet, a flush to the disk, a rename, a record, a packet of the final mux, the job's
removal. Exits with 1 where a file differs or a run fails.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

SECONDS = 2
"""Length of a segment."""

PLACES = {
    "plan": ("streamvsr.jobs.store", "JobStore", "begin", 1),
    "packet": ("streamvsr.jobs.store", "SegmentWriter", "write", 70),
    "flush to disk": ("os", None, "fsync", 9),
    "rename": ("os", None, "replace", 9),
    "segment": ("streamvsr.jobs.store", "JobStore", "finish", 3),
    "record": ("streamvsr.jobs.store", "JobStore", "_record", 3),
    "mux": ("streamvsr.media.mux.muxer", "Muxer", "write_video", 70),
    "mux finished": ("streamvsr.media.mux.muxer", "Muxer", "finish", 1),
    "removal": ("streamvsr.jobs.store", "JobStore", "remove", 1),
}
"""Name -> module, class, function, and how often a run calls it at most."""

PROGRAM = f"""
import importlib, os, signal, sys
from streamvsr.jobs import job, plan
regular = plan.regular_borders
job.regular_borders = lambda duration: regular(duration, {SECONDS})
module, owner, name, count = sys.argv[1:5]
if module:
    place = importlib.import_module(module)
    place = getattr(place, owner) if owner else place
    real, left = getattr(place, name), int(count)
    def deadly(*words, **more):
        global left
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*words, **more)
    setattr(place, name, deadly)
from streamvsr.cli import main
sys.exit(main(sys.argv[5:]))
"""


def make_clip(path: Path, ffmpeg: str = "ffmpeg", *, size: str = "32x24", seconds: float = 7) -> None:
    """Ten frames a second with sound, a key frame each second."""
    inputs = ["-f", "lavfi", "-i", f"testsrc2=s={size}:r=10:d={seconds}", "-f", "lavfi", "-i", f"sine=d={seconds}"]
    subprocess.run(
        [ffmpeg, "-v", "error", *inputs, "-c:v", "libx264", "-g", "10", "-c:a", "aac", str(path)], check=True
    )


def started(words: list[str], place: tuple[str, str | None, str, int] | None = None) -> subprocess.Popen[bytes]:
    module, owner, name, count = place or ("", None, "", 0)
    head = [module, owner or "", name, str(count)]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *head, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def kills(folder: Path, runs: int, seed: int, words: list[str], say: bool = True) -> Counter[str]:
    """Kill ``runs`` times; how often at which place. Raises ``AssertionError`` where the file is another one."""
    draw = random.Random(seed)
    clip, whole, out = folder / "in.mp4", folder / "whole.mp4", folder / "out.mp4"
    begin = time.monotonic()
    assert started([str(clip), str(whole), *words]).wait() == 0
    length = time.monotonic() - begin
    wanted, killed, completed = whole.read_bytes(), Counter[str](), 0
    names = [*PLACES, "clock"]
    while killed.total() < runs:
        name = names[killed.total() % len(names)]
        place = None
        if name != "clock":
            module, owner, function, most = PLACES[name]
            place = (module, owner, function, draw.randint(1, most))
        process = started([str(clip), str(out), *words], place)
        if name == "clock":
            try:
                process.wait(draw.uniform(0, length))
            except subprocess.TimeoutExpired:
                process.kill()
        said = process.communicate()[1].decode()
        assert process.returncode in (0, -9) or "exists already" in said, said
        if process.returncode == -9:
            killed[name] += 1
        if out.exists():
            assert out.read_bytes() == wanted, f"another file after a kill at: {name}"
            completed += 1
            out.unlink()
        elif process.returncode == 0:
            raise AssertionError("no file")
        if say:
            print(f"{killed.total()} kills, last: {name}; {completed} files, all the same", flush=True)
    process = started([str(clip), str(out), *words])
    said = process.communicate()[1].decode()
    assert process.returncode == 0, said
    assert out.read_bytes() == wanted
    assert sorted(p.name for p in folder.iterdir()) == ["in.mp4", "out.mp4", "whole.mp4"]
    return killed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int)
    given = parser.parse_args()
    words = ["--model", "bicubic", "-preset", "ultrafast", "--resume", "-nostdin"]
    if given.workers:
        words += ["--workers", str(given.workers)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_clip(folder / "in.mp4")
        try:
            killed = kills(folder, given.runs, given.seed, words)
        except AssertionError as error:
            print(f"seed {given.seed}: {error}")
            return 1
    print(", ".join(f"{place}: {count}" for place, count in sorted(killed.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
