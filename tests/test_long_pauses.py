"""Pauses of hours and days: each container states them, or video and sound leave out the same part and a line says so.

ffmpeg makes the inputs, ffprobe reads the outputs.
"""

from __future__ import annotations

import json
import re
import subprocess
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamvsr.cli import main
from streamvsr.frames import Packet
from streamvsr.media.mux.pauses import Limits, Pauses, limits

pytestmark = pytest.mark.io

RATE, FRAMES = 25, 50
MINUTE, HOUR, DAY = 60, 3600, 86400
WRAP_90K = 2**33 / 90_000

CASES = [
    # (suffix, words, seconds, the longest pause that is kept)
    *(("mkv", [], 50 * DAY, None), ("mkv", ["-c:v", "mpeg4", "-bf", "2"], 27 * HOUR, None)),
    ("nut", [], 50 * DAY, None),
    # Readers pass over all time stamps of an mp4 in which a frame waits longer than 2 ** 28 ticks, 4.7 hours here.
    *(("mp4", [], 6 * HOUR, None), ("mp4", [], 27 * HOUR, 2**31 / 44_100), ("mov", ["-c:v", "mpeg4"], 6 * HOUR, None)),
    *(("ts", [], 14 * HOUR, None), ("ts", [], 27 * HOUR, WRAP_90K), ("m2ts", [], 27 * HOUR, WRAP_90K)),
    *(("mpg", [], 27 * HOUR, WRAP_90K), ("m3u8", [], 27 * HOUR, WRAP_90K)),
    *(("flv", [], 14 * MINUTE, None), ("flv", [], 20 * MINUTE, None), ("flv", [], 27 * HOUR, None)),
    *(("avi", [], 20 * MINUTE, None), ("avi", [], HOUR, 60_000 * 1024 / 44_100)),
    *(("avi", ["-c:a", "pcm_s16le"], HOUR, 60_000 / RATE),),
    *(("gif", [], 5 * MINUTE, None), ("gif", [], 20 * MINUTE, 655.35), ("apng", [], 6 * HOUR, 2**31 / 100_000)),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pauses")


def paused(ffmpeg: str, folder: Path, seconds: int) -> Path:
    """A second of video and sound, a pause of both, and another second."""
    path = folder / f"{seconds}.mkv"
    if not path.exists():
        sources = f"-f lavfi -i testsrc2=s=64x48:r={RATE}:d=2 -f lavfi -i sine=d=2"
        video = f"setpts='if(gte(N,{FRAMES // 2}),PTS+{seconds}/TB,PTS)'"
        sound = f"asetpts='if(gte(T,1),PTS+{seconds}/TB,PTS)'"
        words = [*sources.split(), "-vf", video, "-af", sound, "-fps_mode", "vfr", "-c:a", "aac"]
        subprocess.run([ffmpeg, "-v", "error", *words, str(path)], check=True)
    return path


def times(ffprobe: str, path: Path) -> list[list[float]]:
    """Of the frames, and of the packets of sound, from the first frame on."""
    asked = ["-show_entries", "frame=best_effort_timestamp_time", "-select_streams", "v", "-of", "json", str(path)]
    done = subprocess.run([ffprobe, "-v", "error", *asked], capture_output=True, text=True, check=True)
    stamps = [frame.get("best_effort_timestamp_time") for frame in json.loads(done.stdout)["frames"]]
    assert len(stamps) == FRAMES
    frames = [float(stamp) for stamp in stamps if stamp is not None]
    asked = ["-show_entries", "packet=pts_time", "-select_streams", "a", "-of", "json", str(path)]
    done = subprocess.run([ffprobe, "-v", "error", *asked], capture_output=True, text=True, check=True)
    sound = [float(packet["pts_time"]) for packet in json.loads(done.stdout).get("packets", [])]
    return [[time - frames[0] for time in stream] for stream in (frames, sound)]


@pytest.mark.parametrize(("suffix", "words", "seconds", "kept"), CASES)
def test_a_pause_of_all_streams(
    suffix: str, words: list[str], seconds: int, kept: float | None, folder: Path, ffmpeg: str, ffprobe: str,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    source, out = paused(ffmpeg, folder, seconds), tmp_path / f"o.{suffix}"
    assert main([str(word) for word in (source, "-vf", "null", *words, "--no-resume", "-y", out)]) == 0
    said = capsys.readouterr().err
    frames, sound = times(ffprobe, out)
    steps = [b - a for a, b in pairwise(frames)]
    pause = max(steps)
    # ffprobe knows the times of some frames of a program stream only, and AVI's first frame is at 0.
    if suffix != "mpg":
        assert steps.index(pause) == FRAMES // 2 - 1
        assert max(abs(step - 1 / RATE) for step in steps[1:] if step != pause) < 0.021
    if kept is None:
        assert pause == pytest.approx(seconds + 1 / RATE, abs=0.05)
        assert "shortened" not in said
    else:
        assert kept - 11 <= pause <= kept + 1
        told = re.search(r"a pause of (\d+) s.* shortened by (\d+) s", said)
        assert told is not None, said
        assert pause + int(told[2]) == pytest.approx(seconds + 1 / RATE, abs=1 if suffix == "mpg" else 0.05)
    # AVI's sound has no times of its own.
    if sound and suffix != "avi":
        holes = [b - a for a, b in pairwise(sound)]
        assert max(holes) == pytest.approx(pause, abs=0.1)
        assert sound[-1] - sound[0] == pytest.approx(frames[-1] - frames[0], abs=0.2)


@pytest.mark.parametrize(("suffix", "days"), [("flv", 25), ("asf", 50), ("ogv", 50)])
def test_a_clock_that_begins_anew_is_told(
    suffix: str, days: int, folder: Path, ffmpeg: str, ffprobe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = paused(ffmpeg, folder, days * DAY), tmp_path / f"o.{suffix}"
    assert main([str(word) for word in (source, "-an", "-vf", "null", "--no-resume", "-y", out)]) == 0
    assert f"{'ogg' if suffix == 'ogv' else suffix} counts time up to" in capsys.readouterr().err
    times(ffprobe, out)  # All frames are there.


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 500_000)), min_size=1, max_size=40),
    st.sampled_from(["mpegts", "gif", "mp4", "avi"]),
)
def test_streams_stay_in_step(steps: list[tuple[int, int]], container: str) -> None:
    """(which stream, milliseconds since the packet before): no pause stays longer than the limit, others keep their
    length, and what was at one time is so still, to the tick of a stream."""
    units = [Fraction(1, 90_000), Fraction(1, 48_000), Fraction(1, 500)]
    longest = limits(container, units, units[0])
    said: list[str] = []
    pauses, now, before, shown = Pauses(container, longest, said.append), Fraction(0), None, None
    for track, milliseconds in steps:
        now += Fraction(milliseconds, 1000) ** 2
        packet = Packet(track, b"", round(now / units[track]), round(now / units[track]), 1, units[track])
        made = pauses.apply(packet)
        assert made.pts is not None
        time = made.pts * made.time_base
        if before is not None and shown is not None:
            assert longest.pause is not None
            wanted, given_ = now - before, time - shown
            if wanted <= longest.pause - 1:
                assert abs(given_ - wanted) <= Fraction(1, 250)
            else:
                assert min(wanted, longest.pause) - Fraction(101, 100) <= given_ <= longest.pause + Fraction(1, 250)
        before, shown = now, time
    pauses.finish()
    assert len(said) <= 1


def test_frames_that_come_seldom_are_no_pauses(ffmpeg: str, ffprobe: str, tmp_path: Path) -> None:
    """A frame each quarter of an hour: an encoder for each would make a key frame of each."""
    source, out = tmp_path / "i.mkv", tmp_path / "o.mkv"
    words = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1", "-vf", "setpts=N*900/TB", "-fps_mode", "passthrough"]
    subprocess.run([ffmpeg, "-v", "error", *words, "-c:v", "ffv1", str(source)], check=True)
    assert main([str(word) for word in (source, "-vf", "null", "--no-resume", "--quiet", out)]) == 0
    asked = ["-show_entries", "packet=pts_time,flags", "-of", "csv=p=0", str(out)]
    done = subprocess.run([ffprobe, "-v", "error", *asked], capture_output=True, text=True, check=True)
    rows = [line.split(",") for line in done.stdout.splitlines()]
    assert sorted(float(row[0]) for row in rows) == [900 * n for n in range(25)]
    assert sum("K" in row[1] for row in rows) <= 2


def test_no_limits() -> None:
    assert limits("matroska", [Fraction(1, 1000)], Fraction(1, 1000)) == Limits()
