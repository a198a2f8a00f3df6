"""Streams that begin after the opening, and tracks whose codec nobody knows: no video fails for them, each is told."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest

from streamvsr.config import InputOptions, OutputOptions
from streamvsr.frames import Frame
from streamvsr.media.demux import demuxer
from streamvsr.media.demux.container import ContainerSource
from streamvsr.media.demux.stdin import open_stdin

pytestmark = pytest.mark.io


def ffmpeg_made(ffmpeg: str, *arguments: str | Path) -> None:
    subprocess.run([ffmpeg, "-v", "error", "-y", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def parts(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a.ts: video and one sound track, more than is looked at; b.ts goes on with a second sound track."""
    folder = tmp_path_factory.mktemp("late")
    # Noise in intra frames: many bytes in few frames.
    noise = "nullsrc=s=320x240:r=25:d=8,geq=random(1)*255:128:128"
    video = ["-f", "lavfi", "-i", noise, "-f", "lavfi", "-i", "sine=d=8", "-c:v", "mpeg2video", "-g", "1", "-q:v", "1"]
    ffmpeg_made(ffmpeg, *video, "-c:a", "aac", folder / "a.ts")
    tone = ["-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=2", "-f", "lavfi", "-i", "sine=d=2"]
    mapped = ["-map", "0:v", "-map", "1:a", "-map", "1:a", "-c:v", "mpeg2video", "-c:a", "aac"]
    ffmpeg_made(ffmpeg, *tone, *mapped, "-output_ts_offset", "8", folder / "b.ts")
    return folder


def read(source: ContainerSource) -> tuple[int, set[int], str]:
    items = list(source)
    source.close()
    tracks = {item.track for item in items if not isinstance(item, Frame)}
    return sum(isinstance(item, Frame) for item in items), tracks, " | ".join(source.warnings)


def test_a_second_sound_track_that_appears_midway(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = (parts / "a.ts").read_bytes() + (parts / "b.ts").read_bytes()
    begin, end = os.pipe()

    def feed() -> None:
        with open(end, "wb") as pipe:
            pipe.write(data)

    threading.Thread(target=feed, daemon=True).start()
    monkeypatch.setattr(demuxer, "open_stdin", lambda: open_stdin(begin))
    frames, tracks, told = read(ContainerSource(InputOptions(path="-"), OutputOptions()))
    os.close(begin)
    assert (frames, tracks) == (250, {1})
    assert "began after the opening are left out (0:2 Audio: aac" in told


def test_sound_that_begins_late_is_looked_for(ffmpeg: str, parts: Path, tmp_path: Path) -> None:
    silent = ["-i", parts / "a.ts", "-itsoffset", "7", "-f", "lavfi", "-i", "sine=d=1", "-map", "0:v", "-map", "1:a"]
    ffmpeg_made(ffmpeg, *silent, "-c:v", "copy", "-c:a", "aac", tmp_path / "late.ts")
    source = ContainerSource(InputOptions(path=str(tmp_path / "late.ts")), OutputOptions())
    assert source.info.tracks[0].sample_rate == 44100
    frames, tracks, told = read(source)
    assert (frames, tracks, told) == (200, {1}, "")


@pytest.mark.parametrize(("tag", "name"), [(b"apac", ""), (b"ac-4", "ac4 (ac-4"), (b"mhm1", "mpegh_3d_audio (mhm1")])
def test_a_sound_track_without_a_decoder(ffmpeg: str, tmp_path: Path, tag: bytes, name: str) -> None:
    sources = ["-f", "lavfi", "-i", "testsrc2=s=64x48:d=1", "-f", "lavfi", "-i", "sine=d=1"]
    ffmpeg_made(ffmpeg, *sources, "-map", "0", "-map", "1", "-map", "1", "-c:a", "aac", tmp_path / "in.mp4")
    data = bytearray((tmp_path / "in.mp4").read_bytes())
    at = data.rfind(b"mp4a")
    data[at : at + 4] = tag
    at = data.find(b"esds", at)
    data[at : at + 4] = b"free"
    (tmp_path / "in.mp4").write_bytes(data)
    frames, tracks, told = read(ContainerSource(InputOptions(path=str(tmp_path / "in.mp4")), OutputOptions()))
    assert (frames, tracks) == (25, {1})
    assert f"stream 0:2 Audio: {name}" in told  # FFmpeg 9 has a name for apac, 8.1 has none.
    assert f"({tag.decode()} / " in told
    assert "-map 1:2 -c copy" in told
