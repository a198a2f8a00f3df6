"""Sound that begins late or pauses is heard at its time in every container, or a line says that it is not.

ffmpeg makes the inputs and decodes the outputs by their time stamps; where there is sound is read off the samples.
"""

from __future__ import annotations

import json
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamvsr.cli import main

pytestmark = pytest.mark.io

RATE = 8000
HEARD = [(0.7, 1.2), (1.7, 2.4)]
"""Seconds in which there is a tone: it begins late, and there is a hole in it."""

CASES = [
    *(("pcm_s16le", "avi", [], True), ("pcm_u8", "avi", [], True), ("pcm_alaw", "avi", [], True)),
    *(("pcm_s16le", "mov", [], True), ("pcm_s24be", "mov", [], True), ("pcm_s16le", "mkv", [], True)),
    *(("pcm_s16le", "mp4", [], True), ("pcm_s16le", "wmv", [], True), ("libmp3lame", "mkv", [], True)),
    *(("libmp3lame", "avi", [], False), ("ac3", "avi", [], False), ("libmp3lame", "mov", [], True)),
    *(("libmp3lame", "avi", ["-c:a", "libmp3lame"], True), ("aac", "mov", ["-c:a", "pcm_s16le"], True)),
    *(("flac", "avi", ["-c:a", "pcm_u8"], True), ("libmp3lame", "wmv", [], True)),
]


TOLERANCE = 0.11
"""A FLAC packet of 4608 samples, and a window."""


def clip(ffmpeg: str, path: Path, codec: str) -> Path:
    chosen = "+".join(f"between(t,{a},{b})" for a, b in HEARD)
    sound = ["-f", "lavfi", "-i", f"sine=f=600:r=48000:d={HEARD[-1][1]},aselect='{chosen}'"]
    video = ["-f", "lavfi", "-i", f"testsrc2=s=64x48:r=25:d={HEARD[-1][1]}"]
    words = ["-c:v", "mpeg4", "-bf", "2", "-c:a", codec, "-strict", "-2", "-copyts", str(path)]
    subprocess.run([ffmpeg, "-v", "error", *video, *sound, *words], check=True)
    return path


def heard(ffmpeg: str, path: Path) -> list[tuple[float, float]]:
    """When the tone is there, by the file's time stamps."""
    resample = ["-af", "aresample=async=1000:first_pts=0", "-ac", "1", "-ar", str(RATE), "-f", "s16le", "-"]
    # FFmpeg 5 does not see where H.264 in ASF begins, and would take the sound's beginning for that of the file.
    command = [ffmpeg, "-v", "error", "-copyts", "-i", str(path), "-map", "0:a", *resample]
    samples = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.int16).astype(float)
    window = RATE // 50
    loud = np.abs(samples[: len(samples) // window * window]).reshape(-1, window).mean(1) > 300
    edges = np.flatnonzero(np.diff(np.concatenate(([False], loud, [False])).astype(int)))
    spans = [(a / 50, b / 50) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return [(a, b) for a, b in spans if b - a > 0.1]


@pytest.mark.parametrize(("codec", "suffix", "words", "kept"), CASES)
def test_sound_is_heard_at_its_time_or_a_line_says_that_it_is_not(
    codec: str, suffix: str, words: list[str], kept: bool, ffmpeg: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    source, out = clip(ffmpeg, tmp_path / "in.mkv", codec), tmp_path / f"out.{suffix}"
    assert np.allclose(heard(ffmpeg, source), HEARD, atol=TOLERANCE)
    assert main([str(word) for word in (source, "--model", "identity", *words, out)]) == 0
    said = capsys.readouterr().err
    found = heard(ffmpeg, out)
    same = len(found) == len(HEARD) and np.allclose(found, HEARD, atol=TOLERANCE)
    assert bool(same) == kept, found
    assert ("it is early from there on" in said) == (not kept), said


@pytest.mark.parametrize("suffix", ["wmv", "avi", "mkv"])
def test_frames_are_shown_at_their_times(suffix: str, ffmpeg: str, ffprobe: str, tmp_path: Path) -> None:
    source, out = clip(ffmpeg, tmp_path / "in.mkv", "libmp3lame"), tmp_path / f"out.{suffix}"
    assert main([str(word) for word in (source, "--model", "identity", "-c:v", "libx264", "--quiet", out)]) == 0

    def times(path: Path) -> list[Fraction]:
        entries = ["-show_entries", "frame=best_effort_timestamp:stream=time_base", "-select_streams", "v:0"]
        done = subprocess.run([ffprobe, "-v", "error", *entries, "-of", "json", str(path)], capture_output=True)
        answer: dict[str, Any] = json.loads(done.stdout)
        return [Fraction(answer["streams"][0]["time_base"]) * f["best_effort_timestamp"] for f in answer["frames"]]

    before, after = times(source), times(out)
    assert len(after) == len(before)
    # To the millisecond, in which Matroska and ASF count.
    assert max(abs(a - b) for a, b in zip(before, after, strict=True)) <= Fraction(1, 500)
