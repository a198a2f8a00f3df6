"""Mutated inputs: no crash, no hang, no "internal", no fewer frames than ffmpeg without a word.

    python -m tests.fuzz --runs 300 --seed 7         what `make fuzz` does
    python -m tests.fuzz --minutes 600 --keep DIR    a night; what failed is kept in DIR, and DIR/tally.json counts

Nights add up: the tally says how many of the million are done, and the same seed goes on where it was.

Every input follows from the seed and its number, so that a failure is made again by `--seed S --first N --runs 1`.
What failed once and is small is kept in tests/corpus, which tests/test_damage.py reads in each run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path

import av

from streamvsr.config import InputOptions, OutputOptions
from streamvsr.errors import StreamvsrError
from streamvsr.frames import Frame
from streamvsr.media.demux.container import ContainerSource
from streamvsr.part_file import write_file
from tests.damage import decoded_by_ffmpeg

MAX_SECONDS = 60
"""So long may a clip of a second take; many inputs wait for ffmpeg and for this beside each other."""

WANTED_INPUTS = 1_000_000
"""Of all nights together."""

RUN_EVERY = 20
"""A whole run takes the time of twenty that are only read."""

SEEDS = {
    "h264.mp4": "-c:v libx264 -preset ultrafast -bf 2 -g 8 -c:a aac",
    "h264.mkv": "-c:v libx264 -preset ultrafast -bf 2 -g 8 -c:a libopus",
    "h264.ts": "-c:v libx264 -preset ultrafast -g 8 -c:a aac",
    "h264.flv": "-c:v libx264 -preset ultrafast -g 8 -c:a aac",
    "hevc.mp4": "-c:v libx265 -preset ultrafast -x265-params log-level=none -g 8 -c:a aac",
    "mpeg2.mpg": "-c:v mpeg2video -g 8 -c:a mp2",
    "mpeg4.avi": "-c:v mpeg4 -bf 2 -g 8 -c:a libmp3lame",
    "vp8.webm": "-c:v libvpx -deadline realtime -g 8 -c:a libvorbis",
    "vp9.webm": "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 8 -c:a libopus",
    "mjpeg.mov": "-c:v mjpeg -c:a pcm_s16le",
    "wmv.asf": "-c:v wmv2 -g 8 -c:a wmav2",
    "theora.ogv": "-c:v libtheora -g 8 -c:a libvorbis",
    "prores.mov": "-c:v prores_ks -c:a pcm_s16le",
    "ffv1.nut": "-c:v ffv1 -c:a flac",
    "frag.mp4": "-c:v libx264 -preset ultrafast -g 8 -c:a aac -movflags frag_keyframe+empty_moov",
}


def make_seeds(ffmpeg: str, folder: Path) -> list[Path]:
    made = []
    for name, options in SEEDS.items():
        path = folder / name
        sources = "-f lavfi -i testsrc2=s=64x48:r=25:d=1 -f lavfi -i sine=d=1"
        command = [ffmpeg, "-v", "quiet", "-y", *sources.split(), *options.split(), "-strict", "-2", str(path)]
        if subprocess.run(command, capture_output=True).returncode == 0:
            made.append(path)
    return made


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Bytes overwritten, bits flipped, parts dropped, doubled, moved or zeroed, or the end cut."""
    made = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        at, length = rng.randrange(len(made)), min(rng.choice([1, 4, 16, 188, 2000]), len(made) // 4)
        kind = rng.randrange(7)
        if kind == 0:
            made[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            made[at : at + length] = rng.randbytes(len(made[at : at + length]))
        elif kind == 2:
            del made[at : at + length]
        elif kind == 3:
            made[at:at] = made[at : at + length]
        elif kind == 4:
            made[at : at + length] = bytes(len(made[at : at + length]))
        elif kind == 5:
            part = made[at : at + length]
            del made[at : at + length]
            to = rng.randrange(len(made))
            made[to:to] = part
        else:
            del made[max(at, 64) :]
        if len(made) < 64:
            return bytes(made + bytes(64))
    return bytes(made)


def read(path: str, threads: int, more: dict[str, str]) -> tuple[int, str]:
    """(the frames, the lines) of an input; runs in the process that may die of it. ``more``: options of the demuxer."""
    source = None
    try:
        options = InputOptions(path=path, options={"threads": str(threads), **more})
        source = ContainerSource(options, OutputOptions())
        return sum(isinstance(item, Frame) for item in source), " | ".join(source.warnings)
    except StreamvsrError as error:
        return 0, f"error: {error}"
    finally:
        if source is not None:
            source.close()


class Reader:
    """A process that reads many inputs, and another one where it dies or hangs."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        self._process = self._pool.submit(os.getpid).result()

    def __call__(self, path: Path, threads: int, **more: str) -> tuple[int, str]:
        """Raises ``RuntimeError`` with what happened."""
        try:
            return self._pool.submit(read, str(path), threads, more).result(MAX_SECONDS)
        except BaseException as error:
            self.close()
            self._start()
            if isinstance(error, TimeoutError):
                raise RuntimeError(f"did not end within {MAX_SECONDS} s") from error
            if isinstance(error, BrokenProcessPool):
                raise RuntimeError("the process died") from error
            raise RuntimeError(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._process, signal.SIGKILL)
        self._pool.shutdown(wait=False, cancel_futures=True)


def check(reader: Reader, path: Path, ffmpeg: str, threads: int) -> str:
    """What is wrong with how ``path`` is read; nothing where all is well."""
    try:
        ours, said = reader(path, threads)
    except RuntimeError as error:
        return str(error)
    if said:
        return ""  # Told. Whether frames are missing at all is for the tests of each kind of damage.
    wanted = len(decoded_by_ffmpeg(ffmpeg, path))
    if ours >= wanted or (ours + cut_out(path) >= wanted and not lacks(reader, path, ffmpeg, threads)):
        return ""
    return f"{ours} frames without a word, ffmpeg {wanted}"


def lacks(reader: Reader, path: Path, ffmpeg: str, threads: int) -> bool:
    """Whether frames are missing in silence where neither side heeds the edit list."""
    ours, said = reader(path, threads, ignore_editlist="1")
    return not said and ours < len(decoded_by_ffmpeg(ffmpeg, path, "-ignore_editlist", "1"))


def cut_out(path: Path) -> int:
    """How many packets the demuxer itself marks as outside of the edit list: of a damaged list, FFmpeg's versions read
    different things, so that its frames are compared without it."""
    with av.open(str(path)) as container:
        return sum(packet.is_discard for packet in container.demux(video=0))


def check_run(path: Path, threads: int) -> str:
    """The same for a whole run."""
    out = path.with_name("out.nut")
    command = [sys.executable, "-m", "streamvsr", "-nostdin", "-y", "-threads", str(threads), str(path)]
    command += ["-vf", "null", "-c:v", "ffv1", str(out)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MAX_SECONDS)
    except subprocess.TimeoutExpired:
        return f"the run did not end within {MAX_SECONDS} s"
    said = done.stderr
    parts = list(path.parent.glob(".out*"))
    for file in (*path.parent.glob("out*.nut"), *parts):
        file.unlink()
    if done.returncode not in (0, 1, 2) or "internal" in said or "in stage" in said or "Traceback" in said:
        return f"exit code {done.returncode}: {said[-300:]}"
    if done.returncode and not any(line.startswith("error:") for line in said.splitlines()):
        return f"exit code {done.returncode} without an error line: {said[-300:]}"
    return f"left behind: {parts[0].name}" if parts else ""


class Tally:
    """What was tried so far, in a folder that outlives a night."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "tally.json"
        folder.mkdir(parents=True, exist_ok=True)
        self.inputs = self.failed = 0
        self.reached: dict[str, int] = {}
        """Seed -> the number of its next input."""
        if self._path.exists():
            known = json.loads(self._path.read_text())
            self.inputs, self.failed, self.reached = known["inputs"], known["failed"], known["reached"]

    def add(self, seed: int, number: int, *, failed: bool) -> None:
        self.inputs += 1
        self.failed += failed
        self.reached[str(seed)] = max(number + 1, self.reached.get(str(seed), 0))
        if self.inputs % 100 == 0 or failed:
            self.save()

    def save(self) -> None:
        known = {"inputs": self.inputs, "failed": self.failed, "reached": self.reached}
        write_file(self._path, json.dumps(known, indent=1).encode())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=0, help="how many inputs (0: until --minutes are over)")
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, help="the number of the first input (0, or where the tally stands)")
    parser.add_argument("--keep", type=Path, help="a folder for what failed, and for the tally of all nights")
    given = parser.parse_args()
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        parser.error("ffmpeg is needed, to make inputs and to compare with")
    until = time.monotonic() + given.minutes * 60
    tally = None if given.keep is None else Tally(given.keep)
    reached = 0 if tally is None else tally.reached.get(str(given.seed), 0)
    first = reached if given.first is None else given.first
    failed = number = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seeds = make_seeds(ffmpeg, folder)
        number = first
        reader = Reader()
        while (not given.runs or number < first + given.runs) and time.monotonic() < until:
            rng = random.Random(f"{given.seed} {number}")
            seed = rng.choice(seeds)
            threads = rng.choice([1, 2, 4, 16])
            path = folder / "work" / f"{number}_{seed.name}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(mutated(seed.read_bytes(), rng))
            wrong = check(reader, path, ffmpeg, threads)
            if not wrong and number % RUN_EVERY == 0:
                wrong = check_run(path, threads)
            if wrong:
                failed += 1
                print(f"--seed {given.seed} --first {number} --runs 1 ({seed.name}, {threads} threads): {wrong}")
                if given.keep is not None:
                    shutil.copy(path, given.keep / path.name)
            if tally is not None:
                tally.add(given.seed, number, failed=bool(wrong))
            path.unlink()
            number += 1
        reader.close()
    print(f"{number - first} inputs, {failed} failed (seed {given.seed}, {os.cpu_count()} cores)")
    if tally is not None:
        tally.save()
        print(f"{tally.inputs} of {WANTED_INPUTS} inputs so far, {tally.failed} of them failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
