"""What becomes of every real clip, in MP4 and in Matroska: measured here, written to docs/compatibility.md.

    python -m tests.compatibility            # runs everything (minutes) and writes the page
    python -m tests.compatibility --quick    # large pictures without the network

ffprobe is the judge on both sides. A cell is ``yes`` where nothing is lost, or says what is, with a letter for the
reason below the table; a loss that no reason is known for is ``LOST``, and ``tests/test_compatibility.py`` fails on it.
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "compatibility.md"
FRAMES = 24
CONTAINERS = ("mp4", "mkv")
FOUR_K = "phone_4k60_portrait.mp4"
LARGE_PX = 100_000
"""From this size on the quick run leaves out the network: nothing in the table but the size depends on it."""

COLUMNS = ("frames", "pts error, ms", "audio", "subtitles", "chapters", "tags", "shape", "rotation", "colour")

REASONS = {
    "a": "the container cannot hold this codec where players expect it, so it is converted, and a line says so",
    "b": "bitmap subtitles cannot become MP4's text: they are left out, and a line says so; Matroska keeps them",
    "c": "MP4 has no place for these tags (FFmpeg writes a fixed set of keys)",
    "d": "there is no video in it, or none that FFmpeg can read: one error line, exit code 1, no output file",
    "e": "Matroska counts in milliseconds, and two stamps are each rounded to one",
    "f": "the file's own moment of creation is kept; tracks get the same in MP4, none in Matroska",
}

STALE = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}
"""Tags that describe the file that was read."""
MATROSKA_KEYS = {"vendor_id", "handler_name"}
UNKNOWN = {"unknown", "reserved", None}
MATRICES = {"bt470bg": "smpte170m"}
"""Two numbers of the same BT.601 matrix."""


@dataclass
class Row:
    """One clip in one container."""

    clip: str
    container: str
    cells: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    """Warnings, without the path."""


def clips(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_file())


def judge(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(["ffprobe", "-v", "error", "-of", "json", *arguments], capture_output=True, check=False)
    answer: dict[str, Any] = json.loads(done.stdout or "{}")
    return answer


def run(source: Path, target: Path, model: str) -> tuple[int, list[str]]:
    """The exit code, and what was said on the way."""
    from streamvsr.cli import main

    said = io.StringIO()
    words = [str(source), "-frames:v", str(FRAMES), "-preset", "ultrafast", "-y", "--model", model, str(target)]
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = main(words)
    lines = [line for line in said.getvalue().splitlines() if line.startswith(("warning:", "error:"))]
    return code, [line.replace(f"'{source}': ", "").replace(str(source.parent) + os.sep, "") for line in lines]


def row(clip: Path, container: str, quick: bool) -> Row:
    made = Row(clip.name, container)
    about = judge("-show_streams", "-show_chapters", "-show_format", str(clip))
    videos = [
        s
        for s in about.get("streams", [])
        if s["codec_type"] == "video" and s.get("width") and not s["disposition"]["attached_pic"]
    ]
    video = max(videos, key=lambda s: s["width"] * s["height"], default=None)
    large = video is not None and quick and video["width"] * video["height"] >= LARGE_PX
    model = "identity" if clip.name == FOUR_K or large else "bicubic"
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / f"out.{container}"
        code, made.said = run(clip, target, model)
        if code != 0:
            refused = code == 1 and not list(Path(folder).iterdir()) and len(made.said) == 1
            made.cells["frames"] = "refused (d)" if refused and "error: " in made.said[0] else "LOST"
            return made
        assert video is not None
        after = judge("-show_streams", "-show_chapters", "-show_format", str(target))
        compare(made, clip, target, about, after, video, 1 if model == "identity" else 4)
    return made


def compare(
    made: Row, clip: Path, target: Path, about: dict[str, Any], after: dict[str, Any], video: dict[str, Any], scale: int
) -> None:
    out = next(s for s in after["streams"] if s["codec_type"] == "video")
    before_pts, after_pts = frame_times(clip, video), frame_times(target, out)
    made.cells["frames"] = f"{len(before_pts)} in, {len(after_pts)} out" + (
        "" if len(before_pts) == len(after_pts) > 0 else " LOST"
    )
    tick = Fraction(out["time_base"])
    pairs = zip(before_pts, after_pts, strict=False)
    error = max((abs((b - after_pts[0]) - (a - before_pts[0])) for a, b in pairs), default=Fraction(0))
    reason = "" if error < Fraction(1, 10**5) else " (e)" if made.container == "mkv" and error <= tick else " LOST"
    made.cells["pts error, ms"] = f"{float(error * 1000):.2f}{reason}"
    made.cells["audio"] = tracks(made, "audio", clip, target, about, after)
    made.cells["subtitles"] = tracks(made, "subtitle", clip, target, about, after)
    step = max(b - a for a, b in pairwise(after_pts)) if len(after_pts) > 1 else tick
    made.cells["chapters"] = chapters(about, after, after_pts[-1] - after_pts[0] + step)
    made.cells["tags"] = tags(made, about, after, video, out)
    same_shape = Fraction(out["width"] * shape(out), out["height"]) == Fraction(
        video["width"] * shape(video), video["height"]
    )
    grown = (out["width"], out["height"]) == (scale * video["width"], scale * video["height"])
    ratio = shape(out)
    made.cells["shape"] = f"{ratio.numerator}:{ratio.denominator}" + ("" if same_shape and grown else " LOST")
    made.cells["rotation"] = "LOST" if rotation(video) != rotation(out) else str(rotation(out) or "none")
    made.cells["colour"] = colour(clip, target, video, out)


def frame_times(path: Path, stream: dict[str, Any]) -> list[Fraction]:
    """Presentation times of the first pictures; of a file of ours all of them, from its packets."""
    arguments = ["-select_streams", str(stream["index"])]
    base = Fraction(stream["time_base"])
    if path.stem == "out":
        packets = judge(*arguments, "-show_entries", "packet=pts", str(path))["packets"]
        return sorted(int(p["pts"]) * base for p in packets)
    # Packets of other streams count in the interval as well.
    arguments += ["-read_intervals", f"%+#{8 * FRAMES}", "-show_entries", "frame=best_effort_timestamp"]
    shown = judge(*arguments, str(path))["frames"]
    return [int(f["best_effort_timestamp"]) * base for f in shown][:FRAMES]


def tracks(made: Row, kind: str, clip: Path, target: Path, about: dict[str, Any], after: dict[str, Any]) -> str:
    ours = [s for s in after["streams"] if s["codec_type"] == kind]
    theirs = [s for s in about["streams"] if s["codec_type"] == kind]
    if not theirs:
        return "none"
    if len(ours) != len(theirs):
        bitmap = made.container == "mp4" and all(
            s["codec_name"] in ("dvd_subtitle", "hdmv_pgs_subtitle") for s in theirs
        )
        return "left out (b)" if bitmap and any("left out" in line for line in made.said) else "LOST"
    converted, count = set(), 0
    for a, b in zip(theirs, ours, strict=True):
        if a.get("tags", {}).get("language", "und") != b.get("tags", {}).get("language", "und"):
            return "LOST"
        same_codec = a["codec_name"] == b["codec_name"] or (a["codec_name"], b["codec_name"]) == ("mp2", "mp3")
        if not same_codec:
            converted.add(f"{a['codec_name']} to {b['codec_name']}")
            continue
        before, behind = hashes(clip, a), hashes(target, b)
        if behind != before[: len(behind)] or (before and not behind and kind == "audio"):
            return "LOST"
        count += len(behind)
    if converted:
        said = any("becomes" in line for line in made.said)
        return f"{', '.join(sorted(converted))} (a)" if said else "LOST"
    return f"yes, {len(ours)}" if len(ours) > 1 else "yes"


def hashes(path: Path, stream: dict[str, Any]) -> list[str]:
    # As much sound as could belong to the pictures; a packet of sound is a fiftieth of a second or so.
    near = ["-read_intervals", "%+30"]
    packets = judge(
        "-select_streams", str(stream["index"]), *near, "-show_packets", "-show_data_hash", "md5", str(path)
    )
    return [p["data_hash"] for p in packets.get("packets", [])]


def chapters(about: dict[str, Any], after: dict[str, Any], shown: Fraction) -> str:
    # What comes before zero (an encoder's priming samples) is sound only.
    begin = max(0.0, float(about["format"].get("start_time", 0)))
    wanted = [c for c in about["chapters"] if float(c["start_time"]) - begin < shown]
    if not about["chapters"]:
        return "none"
    there = after["chapters"]
    same = [c.get("tags", {}).get("title") for c in wanted] == [c.get("tags", {}).get("title") for c in there]
    starts = all(
        abs(float(a["start_time"]) - begin - float(b["start_time"])) <= 0.0011
        for a, b in zip(wanted, there, strict=False)
    )
    return "yes" if same and starts else "LOST"


def tags(made: Row, about: dict[str, Any], after: dict[str, Any], video: dict[str, Any], out: dict[str, Any]) -> str:
    whole, whole_after = about["format"].get("tags", {}), after["format"].get("tags", {})
    of_stream, of_stream_after = video.get("tags", {}), out.get("tags", {})
    lost = set(missing(whole, whole_after)) | set(missing(of_stream, of_stream_after))
    notes = []
    if moment(whole) not in (None, moment(whole_after)):
        lost.add("creation_time")
    if moment(of_stream) not in (None, moment(of_stream_after)):
        notes.append("the track's moment of creation (f)")
    fixed = {"title", "artist", "comment", "date", "language", "timecode"}
    if made.container == "mp4" and lost and not lost & {*fixed, "creation_time"}:
        notes.append(f"{', '.join(sorted(lost))} (c)")
        lost = set()
    if lost:
        return f"{', '.join(sorted(lost))} LOST"
    return f"without {', '.join(notes)}" if notes else "yes"


def moment(tags: dict[str, str]) -> str | None:
    """When a file or a track was made; None where that is not stated (MP4 says 0 then)."""
    text = {k.lower(): v for k, v in tags.items()}.get("creation_time", "1970").replace(" ", "T")[:19]
    return None if text.startswith(("1970", "1904")) else text


def missing(theirs: dict[str, str], ours: dict[str, str]) -> Iterator[str]:
    there = {key.lower(): text for key, text in ours.items()}
    for key, text in theirs.items():
        name = key.lower()
        if name in STALE or name.startswith(("_statistics", "number_of", "bps")) or name.split("-")[0] in STALE:
            continue
        if (
            name in {*MATROSKA_KEYS, "creation_time"}
            or there.get(name) == text
            or (name == "language" and text == "und")
        ):
            continue
        yield key


def shape(stream: dict[str, Any]) -> Fraction:
    text = stream.get("sample_aspect_ratio", "1:1").replace(":", "/")
    return Fraction(text) if not text.startswith("0") and "N" not in text else Fraction(1)


def rotation(stream: dict[str, Any]) -> int:
    return next((int(s["rotation"]) for s in stream.get("side_data_list", []) if "rotation" in s), 0)


def colour(clip: Path, target: Path, video: dict[str, Any], out: dict[str, Any]) -> str:
    for key in ("color_range", "color_space", "color_transfer", "color_primaries"):
        a, b = video.get(key), out.get(key)
        if a not in UNKNOWN and MATRICES.get(a, a) != MATRICES.get(b, b):
            return f"{key} {a} to {b} LOST"
    apart = max(abs(a - b) for a, b in zip(mean_rgb(clip, video), mean_rgb(target, out), strict=True))
    tagged = video.get("color_space") not in UNKNOWN
    return f"{'tags, ' if tagged else ''}{apart:.1f}" + ("" if apart <= 1.0 else " LOST")


def mean_rgb(path: Path, stream: dict[str, Any]) -> list[float]:
    """Means of the first picture's R', G', B' in codes of 8 bits, as its tags say."""
    import av
    import numpy as np

    from streamvsr.media.av_frames import color_of, from_av, resolve_color
    from streamvsr.media.color.yuv import to_rgb

    with av.open(str(path)) as container:
        found = next(s for s in container.streams.video if s.index == stream["index"])
        picture = next(container.decode(found))
    # Untagged pictures have the matrix of the input's size, which the output is tagged with.
    color = resolve_color(color_of(picture), picture.width, picture.height)
    frame = from_av(picture, pts=0, time_base=Fraction(1), color=color)
    return [float(np.mean(plane.numpy())) * 255 for plane in to_rgb(frame)[0]]


def _row(job: tuple[Path, str, bool]) -> Row:
    import torch

    torch.set_num_threads(1)
    return row(*job)


def table(folder: Path, *, quick: bool) -> list[Row]:
    """All rows, two at a time."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    before, os.environ["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS"), "1"
    jobs = [(clip, container, quick) for clip in clips(folder) for container in CONTAINERS]
    try:
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
            rows = []
            for one in pool.map(_row, jobs):
                rows.append(one)
                print(f"{one.clip} {one.container} {one.cells}", file=sys.stderr, flush=True)
            return rows
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def rendered(rows: Iterable[Row]) -> str:
    lines = ["| clip | to | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 2) + "|"]
    for one in rows:
        cells = [one.cells.get(column, "") for column in COLUMNS]
        lines.append(f"| {one.clip} | {one.container} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def reasons(rows: Iterable[Row]) -> str:
    used = {letter for one in rows for text in one.cells.values() for letter in REASONS if f"({letter})" in text}
    return "\n".join(f"- ({letter}) {REASONS[letter]}." for letter in sorted(used))


def lines_said(rows: Iterable[Row]) -> str:
    told: dict[str, list[str]] = {}
    for one in rows:
        for line in one.said:
            told.setdefault(line, []).append(f"{one.clip} ({one.container})")
    return "\n".join(f"- {', '.join(names)}: `{line}`" for line, names in told.items())


HEAD = """# Compatibility

Real clips, each to MP4 and to Matroska: the first {frames} frames, `--model bicubic` ({but} `identity`), x264.
Written by `python -m tests.compatibility`, judged by ffprobe {version} on both sides; the test suite runs it again and
compares.

- *frames*: pictures that went in and that came out. *pts error*: the largest distance of a picture's time, counted from
  the first picture, from what it was.
- *audio*, *subtitles*: `yes` where every packet that came out is the input's, byte for byte, from the first on, in the
  same order of tracks with the same languages (a number: so many tracks).
- *shape*: the sample aspect ratio, which has to be the input's, as has the size times four. *rotation*: degrees.
- *colour*: `tags` where the input has any (all are the same in the output), and how far the mean red, green and blue of
  the first picture are apart, in codes of 8 bits, after the network and x264 (at most 1 is let pass).

"""


def page(rows: list[Row], *, quick: bool = False) -> str:
    but = f"pictures of more than {LARGE_PX} pixels" if quick else "the 4K one"
    version = judge("-show_program_version").get("program_version", {}).get("version", "")
    head = HEAD.format(frames=FRAMES, version=version.partition("-")[0], but=f"{but} with")
    parts = [rendered(rows), "", reasons(rows), "", "## What was said", "", lines_said(rows), ""]
    return head + "\n".join(parts)


def verdicts(text: str) -> dict[tuple[str, str], list[str]]:
    """The cells of a page's table without the measured numbers that may differ from run to run."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == len(COLUMNS) + 2 and cells[1] in CONTAINERS:
            found[cells[0], cells[1]] = [re.sub(r"\d+\.\d+", "#", cell) for cell in cells[2:]]
    return found


def main() -> None:
    quick = "--quick" in sys.argv
    PAGE.write_text(page(table(ROOT.parent / "shared" / "data" / "clips", quick=quick), quick=quick))


if __name__ == "__main__":
    main()
