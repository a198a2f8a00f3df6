"""What ffprobe says of a file: the judge that our tests believe, because it shares no code with what wrote it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Probe:
    streams: list[dict[str, Any]]
    chapters: list[dict[str, Any]]
    format: dict[str, Any]
    video_pts: list[Fraction]
    """Presentation times of the video's frames, seconds, in order."""
    packets: dict[int, list[tuple[Fraction, str]]]
    """Of each audio and subtitle stream: (seconds, hash of the bytes)."""

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [s for s in self.streams if s.get("codec_type") == kind and not s["disposition"].get("attached_pic")]

    @property
    def video(self) -> dict[str, Any]:
        """The video stream that ffmpeg would take: the largest."""
        return max(self.of_type("video"), key=lambda s: s["width"] * s["height"])

    @property
    def tick(self) -> Fraction:
        return Fraction(self.video["time_base"])


def _json(ffprobe: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run([ffprobe, "-v", "error", "-of", "json", *arguments], capture_output=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def probe(ffprobe: str, path: Path) -> Probe:
    about = _json(ffprobe, "-show_streams", "-show_chapters", "-show_format", str(path))
    bare = Probe(about["streams"], about["chapters"], about["format"], [], {})
    index = bare.video["index"]
    shown = _json(
        ffprobe, "-select_streams", str(index), "-show_frames",
        "-show_entries", "frame=best_effort_timestamp", str(path),
    )  # fmt: skip
    video_pts = [int(f["best_effort_timestamp"]) * bare.tick for f in shown["frames"] if "best_effort_timestamp" in f]
    packets: dict[int, list[tuple[Fraction, str]]] = {}
    for stream in about["streams"]:
        if stream.get("codec_type") not in ("audio", "subtitle"):
            continue
        listed = _json(
            ffprobe, "-select_streams", str(stream["index"]), "-show_packets", "-show_data_hash", "md5", str(path)
        )
        base = Fraction(stream["time_base"])
        packets[stream["index"]] = [
            (int(p.get("pts", p.get("dts", 0))) * base, p["data_hash"]) for p in listed["packets"]
        ]
    return Probe(about["streams"], about["chapters"], about["format"], video_pts, packets)
