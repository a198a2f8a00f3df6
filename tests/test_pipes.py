"""Pipes as a user lays them: ffmpeg on both sides, readers that leave, that stall, that never come."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import pytest

from tests.rtsp_server import make_clip

pytestmark = [pytest.mark.io, pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")]

ME = [sys.executable, "-m", "streamvsr", "--model", "identity", "--quiet"]
LOSSLESS = ["-c:v", "libx264", "-qp", "0", "-preset", "ultrafast"]

WIDTH, HEIGHT, FRAMES = 96, 64, 150

INTO = {
    "matroska": ["-c", "copy", "-f", "matroska"],
    "nut": ["-c", "copy", "-f", "nut"],
    "mpegts": ["-c", "copy", "-f", "mpegts"],
    "mp4, index first": ["-c", "copy", "-f", "mp4", "-movflags", "faststart"],
    "mp4, index last": ["-c", "copy", "-f", "mp4"],
    "mp4 in fragments": ["-c", "copy", "-f", "mp4", "-movflags", "frag_keyframe+empty_moov"],
    "yuv4mpegpipe": ["-f", "yuv4mpegpipe"],
    "rawvideo": ["-f", "rawvideo"],
}
RAW = ["-f", "rawvideo", "-s", f"{WIDTH}x{HEIGHT}", "-pix_fmt", "yuv420p", "-r", "25"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("pipes") / "clip.mp4", FRAMES / 25, width=WIDTH, height=HEIGHT)


def shown(ffmpeg: str, source: Path | IO[bytes], container: str = "") -> list[tuple[str, Fraction, str]]:
    """What ffmpeg makes of it: of each decoded picture and each packet of sound (which, seconds, hash)."""
    path, pipe = (str(source), None) if isinstance(source, Path) else ("-", source)
    before = RAW if container == "rawvideo" else []
    sound = ["-c:a", "copy", *(["-bsf:a", "aac_adtstoasc"] if container == "mpegts" else [])]
    words = [*before, "-i", path, "-map", "0:v", "-map", "0:a?", "-pix_fmt", "yuv420p", *sound]
    words += ["-fps_mode", "passthrough", "-f", "framemd5", "-"]
    done = subprocess.run([ffmpeg, "-v", "error", *words], stdin=pipe, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    ticks = {n: Fraction(t) for n, t in re.findall(r"#tb (\d+): (\S+)", done.stdout)}
    lines = [re.split(r",\s*", line) for line in done.stdout.splitlines() if not line.startswith("#")]
    found = [(line[0], int(line[2]) * ticks[line[0]], line[5]) for line in lines]
    first = min(seconds for which, seconds, _ in found if which == "0")
    return sorted((which, seconds - first, digest) for which, seconds, digest in found)


@pytest.mark.parametrize(
    ("into", "out"),
    [
        ("matroska", "nut"), ("nut", "matroska"), ("mpegts", "matroska"), ("mp4, index first", "mpegts"),
        ("mp4, index last", "nut"), ("mp4 in fragments", "mp4"), ("yuv4mpegpipe", "yuv4mpegpipe"),
        ("rawvideo", "rawvideo"),
    ],
)  # fmt: skip
def test_ffmpeg_on_both_sides_gives_the_same_as_files(
    clip: Path, tmp_path: Path, ffmpeg: str, into: str, out: str
) -> None:
    source, job = tmp_path / "source", tmp_path / f"job.{out}"
    subprocess.run([ffmpeg, "-v", "error", "-i", str(clip), *INTO[into], str(source)], check=True)
    raw = RAW if into == "rawvideo" else []
    how = [] if out in ("yuv4mpegpipe", "rawvideo") else LOSSLESS
    subprocess.run([*ME, *raw, str(source), *how, "-f", out, str(job)], check=True)

    # An ordinary mp4 is not written to a pipe by ffmpeg either.
    whole = into in ("mp4, index first", "mp4, index last")
    feed = ["cat", str(source)] if whole else [ffmpeg, "-v", "error", "-i", str(clip), *INTO[into], "-"]
    first = subprocess.Popen(feed, stdout=subprocess.PIPE)
    second = subprocess.Popen([*ME, *raw, "-", *how, "-f", out, "-"], stdin=first.stdout, stdout=subprocess.PIPE)
    assert first.stdout is not None
    assert second.stdout is not None
    found = shown(ffmpeg, second.stdout, out)
    assert (first.wait(), second.wait()) == (0, 0)

    assert found == shown(ffmpeg, job, out)
    pictures = [digest for which, _, digest in found if which == "0"]
    assert pictures == [digest for which, _, digest in shown(ffmpeg, clip) if which == "0"]
    assert len(pictures) == FRAMES
    sound = [digest for which, _, digest in found if which == "1"]
    if len(how) and into != "yuv4mpegpipe":
        assert sound == [digest for which, _, digest in shown(ffmpeg, clip) if which == "1"]


def test_an_encoder_that_looks_ahead_does_not_let_the_sound_run_off(clip: Path, tmp_path: Path, ffmpeg: str) -> None:
    """x264 holds 1.6 s of the video back, a muxer waits 1 s on a pipe, and a NUT out of order is read in part."""
    subprocess.run([*ME, str(clip), str(tmp_path / "job.nut")], check=True)
    writer = start(str(clip), "-f", "nut", "-", stdout=subprocess.PIPE)
    assert writer.stdout is not None
    found = shown(ffmpeg, writer.stdout)
    assert writer.wait(120) == 0
    assert found == shown(ffmpeg, tmp_path / "job.nut")
    assert len([which for which, _, _ in found if which == "0"]) == FRAMES


def start(*words: str, **more: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*ME, *words], stderr=subprocess.PIPE, **more)


def test_a_reader_that_stalls_holds_the_run_and_a_signal_ends_it(clip: Path) -> None:
    # 150 frames of 1.4 MB: all would fit into what is left of the machine, but not into a pipe and two rings.
    writer = start(str(clip), "-s", "1280x720", "-f", "rawvideo", "-", stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stdout.read(100_000)
    time.sleep(1)
    writer.send_signal(signal.SIGTERM)
    assert writer.wait(120) == 1
    assert writer.stderr is not None
    assert b"takes nothing" in writer.stderr.read()
    assert len(writer.stdout.read()) < 10 * 1280 * 720 * 3 // 2


def test_a_fifo_that_nobody_opens_ends_with_a_signal(clip: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    writer = subprocess.Popen(
        [w for w in ME if w != "--quiet"] + [str(clip), "-f", "nut", str(tmp_path / "fifo")], stderr=subprocess.PIPE
    )
    assert writer.stderr is not None
    assert b"96x64, libx264" in writer.stderr.readline()  # it runs
    writer.send_signal(signal.SIGTERM)
    assert writer.wait(120) == 1
    assert b"nobody reads it" in writer.stderr.read()


@pytest.mark.parametrize("out", ["mp4", "nut"])
def test_a_reader_that_leaves_ends_the_run_without_a_word(clip: Path, out: str) -> None:
    # Megabytes, of which a pipe holds a few: the run cannot be over before its reader has left.
    much = ["-vf", "scale=640:360,noise=alls=40:allf=t"]
    writer = start(str(clip), *much, *LOSSLESS, "-f", out, "-", stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stderr is not None
    assert writer.stdout.read(10_000)
    writer.stdout.close()
    assert writer.wait(120) == 141
    assert writer.stderr.read() == b""
