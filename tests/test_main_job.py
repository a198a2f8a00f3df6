"""The main job on real clips, judged by ffprobe: everything that goes in comes out, at its own time."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from statistics import median

import pytest

from streamvsr.cli import main
from tests.probe import Probe, probe

MILLISECOND = Fraction(1, 1000)
FAST = ["-preset", "ultrafast", "--quiet", "-y"]
COLOUR = ("color_range", "color_space", "color_transfer", "color_primaries")

# name of the clip, suffix of the output, model, frames to stop after (None: all of them)
JOBS = [
    ("water_cc0_360p.mp4", "mp4", "bicubic", None),
    ("water_cc0_360p.mp4", "mkv", "rt", 30),
    ("nasa_multitrack.mp4", "mp4", "identity", None),
    ("nasa_multitrack.mp4", "mkv", "bicubic", 60),
    ("hdr10_hevc_1080p_vfr.mp4", "mp4", "identity", None),
    ("hdr10_hevc_1080p_vfr.mp4", "mkv", "bicubic", 2),
    ("chapters.mp4", "mp4", "identity", None),
    ("chapters.mp4", "mkv", "bicubic", 4),
    ("sub_srt.mkv", "mkv", "identity", None),
    ("sub_srt.mkv", "mkv", "bicubic", 4),
    ("odd_161x121.webm", "mkv", "bicubic", None),
    ("odd_161x121.webm", "mp4", "identity", None),
    ("city_cc0_405p.mpg", "mp4", "identity", None),
    ("city_cc0_405p.mpg", "mkv", "bicubic", 12),
    ("mpeg2_1080p.ts", "mp4", "identity", None),
    ("mpeg2_1080p.ts", "ts", "identity", None),
    ("mpeg2_1080p.ts", "mkv", "bicubic", 2),
]


def check_time(before: Probe, after: Probe, frames: int | None) -> None:
    expected = before.video_pts if frames is None else before.video_pts[:frames]
    assert len(after.video_pts) == len(expected)
    # A tick of the output, and half a microsecond that ffprobe's own rounding of edit lists may cost.
    for number, (a, b) in enumerate(zip(expected, after.video_pts, strict=True)):
        error = abs((b - after.video_pts[0]) - (a - before.video_pts[0]))
        assert error <= after.tick, f"frame {number} is off by {float(error * 1000):.3f} ms"


def check_audio(before: Probe, after: Probe, *, cut: bool) -> None:
    tracks_in, tracks_out = before.of_type("audio"), after.of_type("audio")
    assert len(tracks_in) == len(tracks_out)
    for a, b in zip(tracks_in, tracks_out, strict=True):
        # MP4 has one number for all layers of MPEG audio: ffprobe reads layer 2 back as "mp3", from ffmpeg too.
        assert a["codec_name"] == b["codec_name"] or (a["codec_name"], b["codec_name"]) == ("mp2", "mp3")
        assert a.get("tags", {}).get("language", "und") == b.get("tags", {}).get("language", "und")
        packets_in, packets_out = before.packets[a["index"]], after.packets[b["index"]]
        assert packets_out, "no audio packet came out"
        hashes = [h for _, h in packets_out]
        if cut:
            assert hashes == [h for _, h in packets_in][: len(hashes)]
            shown = after.video_pts[-1] - after.video_pts[0]
            assert packets_out[-1][0] - packets_out[0][0] >= shown - Fraction(1, 10), (
                "the sound ends before the picture"
            )
        else:
            assert hashes == [h for _, h in packets_in]
        moved = [
            (y - after.video_pts[0]) - (x - before.video_pts[0])
            for (x, _), (y, _) in zip(packets_in, packets_out, strict=False)
        ]
        assert abs(median(moved)) <= MILLISECOND, f"sound and picture moved apart by {float(median(moved)):.4f} s"


# The jobs without a network run wherever PyAV does.
@pytest.mark.parametrize(
    ("name", "suffix", "model", "frames"),
    [pytest.param(*job, marks=pytest.mark.io) if job[2] == "identity" else job for job in JOBS],
    ids=lambda v: str(v),
)
def test_everything_comes_out(
    name: str, suffix: str, model: str, frames: int | None, shared_data: Path, ffprobe: str, tmp_path: Path
) -> None:
    source, target = shared_data / "clips" / name, tmp_path / f"out.{suffix}"
    limit = [] if frames is None else ["-frames:v", str(frames)]
    scale = 1 if model == "identity" else 4
    size = [] if scale == 1 else ["--scale", str(scale)]
    assert main([str(source), *FAST, *limit, *size, "--model", model, str(target)]) == 0
    before, after = probe(ffprobe, source), probe(ffprobe, target)

    check_time(before, after, frames)
    check_audio(before, after, cut=frames is not None)
    assert (after.video["width"], after.video["height"]) == (
        scale * before.video["width"],
        scale * before.video["height"],
    )
    sar_in, sar_out = before.video.get("sample_aspect_ratio", "1:1"), after.video.get("sample_aspect_ratio", "1:1")
    assert sar_in.replace("0:1", "1:1") == sar_out.replace("0:1", "1:1")
    for tag in COLOUR:
        if before.video.get(tag, "unknown") not in ("unknown", "reserved"):
            assert after.video.get(tag) == before.video[tag], tag
    texts_in, texts_out = before.of_type("subtitle"), after.of_type("subtitle")
    assert len(texts_in) == len(texts_out)
    for a, b in zip(texts_in, texts_out, strict=True):
        assert a.get("tags", {}).get("language", "und") == b.get("tags", {}).get("language", "und")
        if frames is None and a["codec_name"] == b["codec_name"]:
            assert [h for _, h in before.packets[a["index"]]] == [h for _, h in after.packets[b["index"]]]
    if suffix != "ts" and frames is None:
        spans = [[(c["start_time"], c["end_time"], c.get("tags")) for c in p.chapters] for p in (before, after)]
        assert [s[2] for s in spans[0]] == [s[2] for s in spans[1]]
        for x, y in zip(spans[0], spans[1], strict=True):
            assert abs(float(x[0]) - float(y[0])) <= 0.001
            assert abs(float(x[1]) - float(y[1])) <= 0.001


def rotation(about: Probe) -> int:
    sides = about.video.get("side_data_list", [])
    return next((int(s["rotation"]) for s in sides if "rotation" in s), 0)


@pytest.mark.io
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize("name", ["bbb_1080p_rot90.mp4", "sar_64_45_vp9.mp4"])
def test_rotation_and_aspect(name: str, suffix: str, shared_data: Path, ffprobe: str, tmp_path: Path) -> None:
    source, target = shared_data / "clips" / name, tmp_path / f"out.{suffix}"
    assert main([str(source), *FAST, "-frames:v", "5", "--model", "identity", str(target)]) == 0
    before, after = probe(ffprobe, source), probe(ffprobe, target)
    assert rotation(after) == rotation(before)
    assert after.video.get("sample_aspect_ratio", "1:1") == before.video.get("sample_aspect_ratio", "1:1")


@pytest.mark.io
def test_subrip_becomes_mp4_text(shared_data: Path, ffprobe: str, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    assert main([str(shared_data / "clips" / "sub_srt.mkv"), *FAST, "--model", "identity", str(target)]) == 0
    after = probe(ffprobe, target)
    assert [s["codec_name"] for s in after.of_type("subtitle")] == ["mov_text"]
    assert after.packets[after.of_type("subtitle")[0]["index"]]


@pytest.mark.io
@pytest.mark.parametrize(("seek", "length"), [("4", "2"), ("0.5", "1.25")])
def test_a_piece_of_the_input(seek: str, length: str, shared_data: Path, ffprobe: str, tmp_path: Path) -> None:
    source, target = shared_data / "clips" / "nasa_multitrack.mp4", tmp_path / "out.mp4"
    assert main(["-ss", seek, "-t", length, str(source), *FAST, "--model", "identity", str(target)]) == 0
    before, after = probe(ffprobe, source), probe(ffprobe, target)
    start, end = Fraction(seek), Fraction(seek) + Fraction(length)
    wanted = [t for t in before.video_pts if start <= t - before.video_pts[0] < end]
    assert len(after.video_pts) == len(wanted)
    for a, b in zip(wanted, after.video_pts, strict=True):
        assert abs((a - wanted[0]) - (b - after.video_pts[0])) <= after.tick
    track = after.of_type("audio")[0]["index"]
    first_in = before.packets[before.of_type("audio")[0]["index"]]
    where = {digest: t for t, digest in first_in}
    moved = [(where[d] - wanted[0]) - (t - after.video_pts[0]) for t, d in after.packets[track]]
    assert abs(median(moved)) <= MILLISECOND
    inside = [t for t, _ in first_in if start <= t - before.video_pts[0] < end]
    assert len(after.packets[track]) == len(inside)
