"""Sound that a container does not take as it is becomes the nearest lossless form, sample for sample."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from streamvsr.config import InputOptions, OutputOptions
from streamvsr.media.demux import open_source
from streamvsr.media.mux.track_plan import plan_tracks
from tests.outputs import remake

pytestmark = pytest.mark.io

CASES = [
    ("pcm_alaw", "mov", "matroska", "flac"),
    ("pcm_mulaw", "mov", "mp4", "alac"),
    ("pcm_s8", "mov", "matroska", "pcm_s16le"),
    ("pcm_s16be", "mov", "avi", "pcm_s16le"),
    ("pcm_s24be", "mov", "mp4", "alac"),
    ("pcm_f64be", "mov", "matroska", "pcm_f64le"),
    ("adpcm_ms", "avi", "matroska", "flac"),
]
SUFFIX = {"matroska": "mkv"}


def samples(ffmpeg: str, path: Path) -> bytes:
    command = [ffmpeg, "-v", "error", "-i", str(path), "-map", "0:a", "-f", "s32le", "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout


@pytest.mark.parametrize(("codec", "source", "container", "becomes"), CASES)
def test_no_sample_is_lost(codec: str, source: str, container: str, becomes: str, ffmpeg: str, tmp_path: Path) -> None:
    given, out = tmp_path / f"in.{source}", tmp_path / f"out.{SUFFIX.get(container, container)}"
    command = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.4", "-f", "lavfi"]
    command += ["-i", "anoisesrc=r=8000:d=0.4:seed=1", "-c:v", "mpeg4", "-c:a", codec, str(given)]
    subprocess.run(command, check=True)
    warnings = remake(given, out)
    assert any(f"({codec}) becomes {becomes} (nothing is lost)" in line for line in warnings), warnings
    before, after = samples(ffmpeg, given), samples(ffmpeg, out)
    assert len(before) > 3000 * 4
    assert after == before


def test_what_is_said_is_true(ffmpeg: str, tmp_path: Path) -> None:
    command = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.2", "-f", "lavfi", "-i", "sine=d=0.2"]
    subprocess.run([*command, "-c:v", "mpeg4", "-c:a", "pcm_f32le", str(tmp_path / "f.mkv")], check=True)
    source = open_source(InputOptions(path=str(tmp_path / "f.mkv")), OutputOptions())
    tracks = source.info.tracks
    said: list[str] = []
    (plan,) = plan_tracks(tracks, source.streams, "mp4", OutputOptions(), said.append)
    assert (plan.codec, said) == (
        "alac",
        ["audio track 1 (pcm_f32le) becomes alac of 24 bits: it cannot be copied to mp4 as it is"],
    )
    (plan,) = plan_tracks(tracks, source.streams, "mp4", OutputOptions(audio_bit_rate="96k"), said.append)
    assert plan.codec == "aac"
    (plan,) = plan_tracks(tracks, source.streams, "matroska", OutputOptions(audio_codec="libopus"), said.append)
    assert plan.codec == "libopus"
