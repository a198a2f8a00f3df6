"""Clocks that jump, both ways, come back or pause: one time line, as long as what is shown, like ffmpeg's."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from streamvsr.config import InputOptions, OutputOptions
from streamvsr.frames import Frame
from streamvsr.media.decode.concat import TimestampConcat
from streamvsr.media.demux import open_source

pytestmark = pytest.mark.io

TICK = Fraction(1, 10)
VIDEO, AUDIO = 0, 1


def moved(concat: TimestampConcat, *given: tuple[int, float]) -> list[float]:
    """Where packets of one second each come to lie; (stream, seconds) each."""
    places = []
    for stream, seconds in given:
        dts = round(seconds * 10)
        places.append((dts + concat.ticks(stream, dts, 10, TICK)) / 10)
    return places


def both(begin: float, seconds: int) -> list[tuple[int, float]]:
    return [(stream, begin + n) for n in range(seconds) for stream in (VIDEO, AUDIO)]


def even(begin: float, seconds: int) -> list[float]:
    return [begin + n for n in range(seconds) for _ in (VIDEO, AUDIO)]


@pytest.mark.parametrize("jump", [-50.0, -2.5, 60.0, 3600.0, 95443.7])
def test_a_jump_in_all_streams_is_closed(jump: float) -> None:
    concat = TimestampConcat(clocks_jump=True)
    assert moved(concat, *both(100, 4), *both(104 + jump, 4)) == even(100, 8)
    assert concat.count == 1
    assert concat.last == 104
    assert sum("jump" in line for line in concat.report()) == concat.count


def test_a_stream_that_crosses_later_follows() -> None:
    concat = TimestampConcat(clocks_jump=True)
    # Sound is stored half a second behind, and begins 0.3 s after the picture in both recordings.
    given = [(VIDEO, 0.0), (AUDIO, 0.3), (VIDEO, 1.0), (VIDEO, 500.0), (AUDIO, 1.3), (AUDIO, 500.3), (VIDEO, 501.0)]
    assert moved(concat, *given) == [0, 0.3, 1, 2, 1.3, 2.3, 3]
    assert concat.count == 1


def test_an_advertisement_between_two_parts_of_a_film() -> None:
    concat = TimestampConcat(clocks_jump=True)
    assert moved(concat, *both(0, 30), *both(0, 4), *both(30, 30)) == even(0, 64)
    assert concat.count == 2


def test_an_advertisement_in_place_of_a_part_returns_to_the_clock() -> None:
    concat = TimestampConcat(clocks_jump=True)
    assert moved(concat, *both(0, 30), *both(9000, 4), *both(34, 5)) == even(0, 39)


def test_one_stray_packet_moves_nothing_behind_it() -> None:
    concat = TimestampConcat(clocks_jump=True)
    given = [*both(10, 10), (VIDEO, 13.0), (VIDEO, 20.0), (AUDIO, 20.0), (VIDEO, 21.0)]
    assert moved(concat, *given)[-2:] == [20, 21]


@pytest.mark.parametrize("seconds", [5, 60])
def test_sound_that_pauses_has_no_other_clock(seconds: int) -> None:
    concat = TimestampConcat(clocks_jump=True)
    alone = [(VIDEO, 4.0 + n) for n in range(seconds)]
    assert moved(concat, *both(0, 4), *alone, (AUDIO, 4.0 + seconds))[-1] == 4 + seconds
    assert concat.count == 0


def test_gaps_are_real_where_clocks_do_not_jump() -> None:
    concat = TimestampConcat()
    assert moved(concat, *both(0, 4), *both(3600, 2)) == [*even(0, 4), *even(3600, 2)]
    assert moved(concat, *both(0, 2)) == even(3602, 2)


def test_subtitles_go_with_the_nearest_clock() -> None:
    concat = TimestampConcat(clocks_jump=True)
    moved(concat, *both(0, 30))
    assert concat.sparse_ticks(295, TICK) == 0
    moved(concat, *both(1000, 4))
    assert concat.sparse_ticks(10010, TICK) == -9700
    assert concat.sparse_ticks(None, TICK) == -9700


Recorder = Callable[..., Path]


@pytest.fixture(scope="module")
def record(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    folder = tmp_path_factory.mktemp("recordings")

    def recorded(name: str, seconds: int, offset: float, *options: str) -> Path:
        path = folder / name
        if not path.exists():
            sources = [
                "-f",
                "lavfi",
                "-i",
                f"testsrc2=s=64x48:r=25:d={seconds}",
                "-f",
                "lavfi",
                "-i",
                f"sine=d={seconds}",
            ]
            coding = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", "25", "-c:a", "aac"]
            command = [ffmpeg, "-v", "error", "-y", *sources, *coding, "-output_ts_offset", str(offset), *options]
            subprocess.run([*command, str(path)], check=True)
        return path

    return recorded


def length(path: Path) -> tuple[int, float]:
    """(frames, seconds from the first to the end of the last)"""
    source = open_source(InputOptions(path=str(path)), OutputOptions())
    frames = [item for item in source if isinstance(item, Frame)]
    source.close()
    assert [f.pts for f in frames] == sorted({f.pts for f in frames})
    return len(frames), float(frames[-1].seconds - frames[0].seconds) + 1 / 25


@pytest.mark.parametrize("order", [(0, 3600), (3600, 0), (0, 3600, 2), (7200, 0, 3600), (0, 0, 0)])
def test_transport_streams_behind_each_other(record: Recorder, tmp_path: Path, ffmpeg: str, order: list[int]) -> None:
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(record(f"part{offset}.ts", 2, offset).read_bytes() for offset in order))
    frames, seconds = length(joined)
    assert frames == 50 * len(order)
    assert 2 * len(order) <= seconds < 2 * len(order) + 0.3
    # ffmpeg closes the same jumps.
    command = [
        ffmpeg,
        "-v",
        "error",
        "-i",
        str(joined),
        "-map",
        "0:v",
        "-fps_mode",
        "passthrough",
        "-f",
        "framecrc",
        "-",
    ]
    lines = [x for x in subprocess.run(command, capture_output=True, text=True).stdout.splitlines() if x[0] != "#"]
    stamps = [int(line.split(",")[2]) for line in lines]
    assert len(stamps) == frames
    assert abs((max(stamps) - min(stamps) + 1) / 25 - seconds) < 0.5


def test_a_playlist_with_an_advertisement(record: Recorder, tmp_path: Path) -> None:
    film, ad = record("film.ts", 12, 0), record("ad.ts", 4, 0)
    parts = tmp_path / "film%d.ts"
    split = ["-c", "copy", "-f", "segment", "-segment_time", "6", str(parts)]
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(film), *split], check=True)
    (tmp_path / "ad.ts").write_bytes(ad.read_bytes())
    names = [("film0.ts", 6), ("ad.ts", 4), ("film1.ts", 6)]
    lines = "#EXT-X-DISCONTINUITY\n".join(f"#EXTINF:{seconds},\n{name}\n" for name, seconds in names)
    text = f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:6\n{lines}#EXT-X-ENDLIST\n"
    (tmp_path / "film.m3u8").write_text(text)
    frames, seconds = length(tmp_path / "film.m3u8")
    assert frames == 16 * 25
    assert 16 <= seconds < 16.5


def test_streams_that_get_other_numbers_go_on(record: Recorder, tmp_path: Path) -> None:
    first = record("first.ts", 6, 0, "-streamid", "0:256", "-streamid", "1:257")
    second = record("second.ts", 6, 6, "-streamid", "0:300", "-streamid", "1:301")
    (tmp_path / "joined.ts").write_bytes(first.read_bytes() + second.read_bytes())
    frames, seconds = length(tmp_path / "joined.ts")
    # The last packet of the first recording is told apart from the next one only by a packet that never comes.
    assert 299 <= frames <= 300
    assert 11.9 < seconds < 12.5


def test_a_gap_in_other_containers_stays(record: Recorder, tmp_path: Path) -> None:
    early, late = record("early.mkv", 2, 0), record("late.mkv", 2, 3600)
    (tmp_path / "list.txt").write_text(f"file '{early}'\nduration 3600\nfile '{late}'\ninpoint 3600\n")
    copy = ["-f", "concat", "-safe", "0", "-i", str(tmp_path / "list.txt"), "-c", "copy", str(tmp_path / "gap.mkv")]
    subprocess.run(["ffmpeg", "-v", "error", *copy], check=True)
    frames, seconds = length(tmp_path / "gap.mkv")
    assert frames == 100
    assert seconds > 3600
