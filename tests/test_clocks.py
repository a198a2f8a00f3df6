"""Whole runs over clocks that jump, wrap and pause, in each container that has them: every frame, and a true length."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

from streamvsr.cli.app import main
from streamvsr.jobs.plan import MAX_CUTS, regular_borders

pytestmark = pytest.mark.io

SECONDS, RATE = 2, 25


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clocks")


def recorded(ffmpeg: str, folder: Path, name: str, offset: float = 0, seconds: int = SECONDS, *more: str) -> Path:
    """A recording whose clock begins at ``offset``."""
    path = folder / name
    if not path.exists():
        sources = f"-f lavfi -i testsrc2=s=64x48:r={RATE}:d={seconds} -f lavfi -i sine=d={seconds}"
        coding = "-c:v libx264 -preset ultrafast -bf 0 -g 25 -c:a aac -flvflags no_duration_filesize"
        words = [*sources.split(), *coding.split(), *more, "-output_ts_offset", str(offset), str(path)]
        subprocess.run([ffmpeg, "-v", "error", "-y", *words], check=True)
    return path


def flv(ffmpeg: str, folder: Path, offsets: list[int]) -> bytes:
    """Recordings behind each other: a header, and the tags of all."""
    parts = [recorded(ffmpeg, folder, f"{offset}.flv", offset).read_bytes() for offset in offsets]
    return parts[0] + b"".join(part[13:] for part in parts[1:])


def written(source: list[str], target: Path, ffprobe: str) -> tuple[int, float]:
    """(frames, seconds from the first to the end of the last) of what a run makes of it; its tracks can be read."""
    assert main(["-y", "-nostdin", *source, "-vf", "null", "-preset", "ultrafast", str(target)]) == 0
    command = [ffprobe, "-v", "error", "-show_entries", "packet=pts_time,stream_index", "-of", "csv=p=0", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not done.stderr
    rows = [line.split(",") for line in done.stdout.splitlines()]
    seconds = sorted(float(row[1]) for row in rows if row[0] == "0")
    assert seconds == sorted(set(seconds))
    # Sound is as long, so it has not been lost on the way.
    assert abs(max((float(row[1]) for row in rows if row[0] == "1"), default=seconds[-1]) - seconds[-1]) < 0.3
    return len(seconds), seconds[-1] - seconds[0] + 1 / RATE


def test_the_clock_of_a_transport_stream_wraps(folder: Path, tmp_path: Path, ffmpeg: str, ffprobe: str) -> None:
    """After 2 ** 33 ticks: 95,443.7 s, in the middle of this recording."""
    path = recorded(ffmpeg, folder, "wrap.ts", 95440, 6)
    frames, seconds = written([str(path)], tmp_path / "o.mkv", ffprobe)
    assert frames == 150
    assert seconds == pytest.approx(6, abs=0.05)


# Steps ahead stay in FLV, as in ffmpeg: its clock is that of a sender, which may have paused.
@pytest.mark.parametrize(("offsets", "gap"), [([3600, 0], 0), ([0, 0], 0), ([0, 3600], 3598), ([3600, 0, 3600], 3598)])
def test_flv(offsets: list[int], gap: int, folder: Path, tmp_path: Path, ffmpeg: str, ffprobe: str) -> None:
    """Steps back were taken for the wrap of a 32-bit clock: 4 s of recording became 50 days."""
    (tmp_path / "in.flv").write_bytes(flv(ffmpeg, folder, offsets))
    frames, seconds = written([str(tmp_path / "in.flv")], tmp_path / "o.mkv", ffprobe)
    assert frames == len(offsets) * SECONDS * RATE
    assert seconds == pytest.approx(len(offsets) * SECONDS + gap, abs=0.3)


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts", "flv"])
@pytest.mark.parametrize("offsets", [[0, 3600, 0], [3600, 0]])
def test_lists(suffix: str, offsets: list[int], folder: Path, tmp_path: Path, ffmpeg: str, ffprobe: str) -> None:
    """``-f concat``: whatever the clocks of its files, they lie behind each other as in ffmpeg."""
    names = [recorded(ffmpeg, folder, f"{offset}.{suffix}", offset) for offset in offsets]
    (tmp_path / "list.txt").write_text("".join(f"file '{name}'\n" for name in names))
    source = ["-f", "concat", "-safe", "0", str(tmp_path / "list.txt")]
    frames, seconds = written(source, tmp_path / "o.mkv", ffprobe)
    theirs = [*source[:2], "-safe", "0", "-i", source[-1], "-fps_mode", "passthrough", "-f", "framecrc", "-map", "0:v"]
    done = subprocess.run([ffmpeg, "-v", "error", *theirs, "-"], capture_output=True, text=True, check=True)
    stamps = [int(line.split(",")[2]) for line in done.stdout.splitlines() if line[0] != "#"]
    assert frames == len(offsets) * SECONDS * RATE == len(stamps)
    # The late clock is a pause at the beginning of an MP4, which FFmpeg 8 no longer counts in a list.
    wanted = len(offsets) * SECONDS if suffix == "mp4" else (max(stamps) - min(stamps) + 1) / RATE
    assert seconds == pytest.approx(wanted, abs=0.1)


def with_stamp(data: bytes, number: int, **stamps: int) -> bytes:
    """A transport stream whose ``number``-th frame with both stamps has these ones (``pts``, ``dts``; 33 bits)."""
    edited, seen = bytearray(data), -1
    for begin in range(0, len(data), 188):
        pes = data.find(b"\0\0\1\xe0", begin, begin + 188)
        if pes < 0 or not data[begin + 1] & 0x40 or data[pes + 7] & 0xC0 != 0xC0:
            continue
        seen += 1
        if seen == number:
            for place, name, prefix in ((pes + 9, "pts", 3), (pes + 14, "dts", 1)):
                if (stamp := stamps.get(name)) is not None:
                    top, middle, low = stamp >> 30 & 7, stamp >> 15 & 0x7FFF, stamp & 0x7FFF
                    edited[place] = prefix << 4 | top << 1 | 1
                    edited[place + 1 : place + 3] = (middle << 1 | 1).to_bytes(2, "big")
                    edited[place + 3 : place + 5] = (low << 1 | 1).to_bytes(2, "big")
            return bytes(edited)
    raise AssertionError(f"only {seen + 1} frames have both stamps")


@pytest.mark.parametrize("number", [2, 11])
@pytest.mark.parametrize(
    "stamps",
    [
        {"pts": 865_831_110, "dts": 3_534_435_931},
        {"pts": 3_534_435_931, "dts": 865_831_110},
        {"pts": 865_831_110},
        {"dts": 865_831_110},
        {"pts": 0},
        {"dts": 0},
        {"pts": (1 << 33) - 1},
        {"dts": (1 << 33) - 1},
    ],
    ids=str,
)
def test_one_damaged_time_stamp(
    number: int, stamps: dict[str, int], folder: Path, tmp_path: Path, ffmpeg: str, ffprobe: str
) -> None:
    """It moves one frame at most, and nothing behind it."""
    path = recorded(ffmpeg, folder, "reordered.ts", 0, SECONDS, "-bf", "2")
    (tmp_path / "i.ts").write_bytes(with_stamp(path.read_bytes(), number, **stamps))
    frames, seconds = written([str(tmp_path / "i.ts")], tmp_path / "o.mkv", ffprobe)
    assert frames == SECONDS * RATE
    assert seconds == pytest.approx(SECONDS, abs=0.05)


def test_a_pause_of_days(
    folder: Path, tmp_path: Path, ffmpeg: str, ffprobe: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Matroska keeps it; mp4 has 2 ** 31 ticks for it, and it is told. A run that keeps what is finished does not write
    thousands of empty segments."""
    pause = f"setpts='if(gte(N,{RATE}),PTS+500000/TB,PTS)'"
    path = recorded(ffmpeg, folder, "pause.mkv", 0, SECONDS, "-vf", pause, "-fps_mode", "vfr", "-an")
    frames, seconds = written([str(path)], tmp_path / "o.mkv", ffprobe)
    assert (frames, round(seconds)) == (50, 500_002)
    capfd.readouterr()
    frames, seconds = written([str(path)], tmp_path / "o.mp4", ffprobe)
    assert frames == 50
    assert 100_000 < seconds < 500_000
    assert "shortened by" in capfd.readouterr().err
    frames, seconds = written([str(path), "-video_track_timescale", "1000"], tmp_path / "o.mp4", ffprobe)
    assert (frames, round(seconds)) == (50, 500_002)


def test_a_length_that_nobody_can_have() -> None:
    """A header may state any: so many segments are planned at most."""
    for seconds in (60 * MAX_CUTS, 10**7, 10**12):
        cuts = regular_borders(Fraction(seconds))
        assert MAX_CUTS // 3 <= len(cuts) <= MAX_CUTS
        assert 0 < seconds - cuts[-1] < 3 * (cuts[1] - cuts[0])
