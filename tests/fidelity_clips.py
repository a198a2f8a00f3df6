"""Runs and readings for the tests of fidelity."""

from __future__ import annotations

import json
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from streamvsr.cli import main
from streamvsr.media.av_frames import from_av

SIZE, RATE = "96x64", 25
LOSSLESS = ["-c:v", "ffv1", "--model", "identity", "-y", "--quiet"]


def run(*words: str | Path) -> int:
    return main([str(word) for word in words])


def pictures(path: Path) -> list[np.ndarray[Any, Any]]:
    """The luma of every picture, as PyAV decodes it."""
    with av.open(str(path)) as container:
        return [np.array(from_av(f, pts=0, time_base=Fraction(1)).planes[0]) for f in container.decode(video=0)]


def times(ffprobe: str, path: Path) -> list[Fraction]:
    entries = ["-show_entries", "frame=best_effort_timestamp:stream=time_base", "-of", "json"]
    done = subprocess.run([ffprobe, "-v", "error", "-select_streams", "v:0", *entries, str(path)], capture_output=True)
    answer = json.loads(done.stdout)
    base = Fraction(answer["streams"][0]["time_base"])
    return [f["best_effort_timestamp"] * base for f in answer["frames"]]


def moving(rate: int) -> list[str]:
    """Something that moves sideways, so that two fields of one picture show a comb."""
    return ["-f", "lavfi", "-i", f"testsrc2=s={SIZE}:r={rate}:d=1,scroll=h=0.04"]


def comb(picture: np.ndarray[Any, Any]) -> float:
    """How much every line differs from both its neighbours, beyond how these differ from each other."""
    a, b, c = (picture[k : -2 + k or None].astype(float) for k in range(3))
    return float(np.maximum(0, np.abs(b - (a + c) / 2) - np.abs(a - c) / 2).mean())


def oriented(path: Path, turn: int, mirrored: bool) -> Path:
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=RATE, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        stream.set_display_rotation(turn, hflip=mirrored)
        for number in range(3):
            picture = av.VideoFrame(48, 32, "yuv420p")
            for plane, step in zip(picture.planes, (3, 5, 7), strict=True):
                rows = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)
                rows[:] = (np.arange(rows.size).reshape(rows.shape) * step + 16 * number) % 200 + 20
            picture.pts, picture.time_base = number, Fraction(1, RATE)
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    return path


def frame_hashes(ffmpeg: str, path: Path) -> list[str]:
    command = [ffmpeg, "-v", "error", "-i", str(path), "-pix_fmt", "yuv420p", "-f", "framemd5", "-"]
    lines = subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()
    return [line.split(",")[-1] for line in lines if not line.startswith("#")]


def sound_and_pictures(ffprobe: str, path: Path) -> tuple[list[Fraction], list[Fraction]]:
    entries = ["-show_entries", "packet=pts:stream=time_base", "-of", "json", str(path)]
    found = []
    for kind in ("a:0", "v:0"):
        done = subprocess.run([ffprobe, "-v", "error", "-select_streams", kind, *entries], capture_output=True)
        answer = json.loads(done.stdout)
        base = Fraction(answer["streams"][0]["time_base"])
        found.append(sorted(int(p["pts"]) * base for p in answer["packets"]))
    return found[0], found[1]
