"""Frames at uneven times in outputs of one rate: what moves is told, by as much as it moves, and nothing else is."""

from __future__ import annotations

import json
import re
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamvsr.cli import main
from streamvsr.media.encode.shift import Shifts

pytestmark = pytest.mark.io

RATE = 30
SOURCES = {
    "even": "N/30",
    "rounded": "round(N*33.3667)/1000",  # 30000/1001, in milliseconds
    "mixed": "if(lt(N,30),N/30,1+(N-30)/24)",
    "pause": "N/30+gte(N,20)*1.5",
    "bursts": "(N+mod(N,3)*0.3)/30",
}
OUTPUTS = ["avi", "mxf", "y4m", "yuv", "mpeg2.mkv", "m2v", "h264", "mkv", "mp4", "nut"]
COUNTED = {"mxf", "y4m", "yuv", "m2v", "h264"}
"""As they are shown: one frame after the other."""


def clip(ffmpeg: str, folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.mkv"
    times = f"settb=1/1000,setpts='({SOURCES[kind]})/TB'"
    words = ["-f", "lavfi", "-i", f"testsrc2=s=64x48:r={RATE}:d=2", "-vf", times, "-fps_mode", "passthrough"]
    words += ["-enc_time_base", "1/1000", "-c:v", "mpeg4", str(path)]
    subprocess.run([ffmpeg, "-v", "error", "-y", *words], check=True)
    return path


def times(ffprobe: str, path: Path) -> list[Fraction]:
    entries = ["-show_entries", "frame=best_effort_timestamp:stream=time_base", "-of", "json", str(path)]
    said = json.loads(subprocess.run([ffprobe, "-v", "error", *entries], capture_output=True, check=True).stdout)
    unit, stamps = Fraction(said["streams"][0]["time_base"]), [f.get("best_effort_timestamp") for f in said["frames"]]
    return [None if stamp is None else stamp * unit for stamp in stamps]


@pytest.mark.parametrize("suffix", OUTPUTS)
def test_what_moves_is_told_and_by_how_much(
    suffix: str, ffmpeg: str, ffprobe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in SOURCES:
        source, out = clip(ffmpeg, tmp_path, kind), tmp_path / f"{kind}_out.{suffix}"
        words = ["--model", "identity", "-pix_fmt", "yuv420p", *(["--resume"] if suffix == "avi" else [])]
        words += ["-c:v", "mpeg2video"] * suffix.startswith("mpeg2")
        assert main([str(word) for word in (source, *words, out)]) == 0
        told = re.findall(
            r"warning: \w+ shows ([\d.]+) frames a second.*: they are up to (.*) against", capsys.readouterr().err
        )
        wanted = times(ffprobe, source)
        with av.open(str(source)) as container:
            rate = Fraction(container.streams.video[0].average_rate or RATE)
        counted = [n / rate + wanted[0] for n in range(len(wanted))]
        shown = counted if suffix in COUNTED else times(ffprobe, out)
        late = [a - b for a, b in zip(shown, wanted, strict=True)]
        if max(late) - min(late) <= Fraction(6, 1000):
            assert not told, kind
            continue
        assert len(told) == 1, (kind, suffix, float(min(late)), float(max(late)))
        moved = {word: float(number) for number, word in re.findall(r"([\d.]+) s (early|late)", told[0][1])}
        assert moved.get("late", 0) == pytest.approx(max(0, max(late)), abs=0.0051), kind
        assert moved.get("early", 0) == pytest.approx(max(0, -min(late)), abs=0.0051), kind


def test_frames_of_a_wanted_rate_do_not_move(ffmpeg: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = clip(ffmpeg, tmp_path, "mixed")
    assert main([str(word) for word in (source, "--model", "identity", "-r", 30, tmp_path / "o.avi")]) == 0
    assert "uneven times" not in capsys.readouterr().err


@given(st.lists(st.tuples(st.integers(1, 90), st.booleans()), min_size=1, max_size=30))
def test_segments_that_are_joined_say_what_one_run_says(steps: list[tuple[int, bool]]) -> None:
    """Milliseconds to each frame, and whether it begins a segment."""
    step, at = Fraction(1, 25), 0
    whole, parts = Shifts(), [Shifts()]
    for milliseconds, begins in steps:
        at += milliseconds
        stamp = round(Fraction(at, 1000) / step) * step
        if begins:
            parts.append(Shifts())
        for shifts in (whole, parts[-1]):
            shifts.add(Fraction(at, 1000), stamp, step)
    joined = Shifts()
    for part in parts:
        joined.join(part, step)
    assert joined == whole


def test_raw_video_states_its_rate(ffmpeg: str, ffprobe: str, tmp_path: Path) -> None:
    """The milliseconds of a Matroska became the clock of raw H.264: 1000 frames a second."""
    source, out = clip(ffmpeg, tmp_path, "even"), tmp_path / "o.h264"
    assert main([str(word) for word in (source, "--model", "identity", out)]) == 0
    words = ["-show_entries", "stream=r_frame_rate", "-of", "csv=p=0", str(out)]
    done = subprocess.run([ffprobe, "-v", "error", *words], capture_output=True, text=True, check=True)
    assert Fraction(done.stdout.strip()) == pytest.approx(RATE, abs=0.1)
