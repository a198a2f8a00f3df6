"""``streamvsr compare``, ``split`` and ``merge`` as they are called, on small videos with painted numbers."""

from __future__ import annotations

import threading
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamvsr.cli import main
from streamvsr.frames import Color
from tests.outputs import info, numbers, write
from tests.probe import probe

pytestmark = pytest.mark.io

FAST = ("-preset", "ultrafast", "--quiet", "-y")


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write("small.mkv", info(rate=Fraction(25)), [n * 3600 for n in range(20)], duration=3600, crf=1.0)
    write("large.mp4", info(width=256, height=192, rate=Fraction(25)), [n * 3600 for n in range(12)], duration=3600)
    return tmp_path


def compare(*words: str) -> int:
    return main(["compare", *words, *FAST])


def size(path: str) -> tuple[int, int, int]:
    """(width, height, frames)"""
    with av.open(path) as container:
        pictures = [(f.width, f.height) for f in container.decode(video=0)]
    assert len(set(pictures)) == 1
    return (*pictures[0], len(pictures))


class TestCommand:
    def test_wipe(self, clips: Path, ffprobe: str) -> None:
        assert compare("small.mkv", "large.mp4", "out.mp4", "--no-labels") == 0
        width, height, count = size("out.mp4")
        assert (width, height) == (256, 192)
        assert count > 12 + 25 + 25
        stamps = probe(ffprobe, clips / "out.mp4").video_pts
        assert {round(b - a, 5) for a, b in pairwise(stamps)} == {Fraction(1, 25)}

    def test_every_mode_and_option(self, clips: Path) -> None:
        assert compare("small.mkv", "large.mp4", "a.mkv", "--mode", "side-by-side") == 0
        assert size("a.mkv") == (512, 192, 12)
        assert compare("small.mkv", "large.mp4", "b.mkv", "--mode=stacked", "--scale_filter", "lanczos") == 0
        assert size("b.mkv") == (256, 384, 12)
        assert (
            compare("small.mkv", "large.mp4", "c.mkv", "--mode", "split", "--label", "before", "--label", "after") == 0
        )
        assert size("c.mkv") == (256, 192, 12)
        assert compare("small.mkv", "large.mp4", "small.mkv", "large.mp4", "d.mkv", "--zoom", "0:0:64:48") == 0
        assert size("d.mkv") == (512, 384, 12)
        words = "--start-frame 2 --pause-frame 4 --repeat-when-pause 3 --slide-step 64 --line-width 2 --frame-rate 10"
        assert compare("small.mkv", "large.mp4", "e.mkv", *words.split()) == 0
        # There and nearly back by frame 11 (positions 0, 64 ... 254, 196 ... 68): pause, back, pause.
        assert size("e.mkv")[2] == 12 + 3 + 3 + 1 + 1 + 3

    def test_a_still_is_a_picture(self, clips: Path) -> None:
        assert compare("small.mkv", "large.mp4", "look.png", "--still", "5", "--no-labels") == 0
        picture = cv2.imread("look.png")
        assert picture.shape == (192, 256, 3)
        centres = (np.arange(8) * 2 + 1) * 16
        assert sum(1 << bit for bit, x in enumerate(centres) if picture[48, x, 0] > 128) == 5

    def test_a_still_behind_the_end(self, clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert compare("small.mkv", "large.mp4", "look.png", "--still", "12") == 2
        assert "the last frame is 11, counted from 0" in capsys.readouterr().err
        assert not (clips / "look.png").exists()

    @pytest.mark.parametrize("count", [1, 2])
    @pytest.mark.parametrize("mode", ["wipe", "side-by-side", "stacked", "split"])
    def test_clips_of_one_and_two_frames(self, count: int, mode: str, clips: Path) -> None:
        write("tiny.mkv", info(), [n * 3003 for n in range(count)])
        assert compare("tiny.mkv", "small.mkv", "out.mkv", "--mode", mode) == 0
        made = size("out.mkv")[2]
        assert made > 60 if mode == "wipe" else made == count

    def test_frames_pair_by_time_and_pictures_by_number(self, clips: Path) -> None:
        write("fast.mkv", info(rate=Fraction(50)), [n * 1800 for n in range(40)], duration=1800, crf=1.0)
        assert compare("small.mkv", "fast.mkv", "out.mkv", "--mode", "stacked", "--no-labels", "-crf", "1") == 0
        with av.open("out.mkv") as container:
            pictures = [f.to_ndarray(format="gray") for f in container.decode(video=0)]
        centres = (np.arange(8) * 2 + 1) * 4
        above, below = (
            [sum(1 << bit for bit, x in enumerate(centres) if p[row, x] > 128) for p in pictures] for row in (12, 60)
        )
        assert above == list(range(20))
        assert below == list(range(0, 40, 2))
        assert main(["split", "small.mkv", "p/", "--quiet"]) == 0
        assert compare("p/", "fast.mkv", "by_number.mkv", "--mode", "split", "--no-labels") == 0
        assert size("by_number.mkv")[2] == 20

    def test_chains_of_one_input(self, clips: Path) -> None:
        assert (
            compare("small.mkv", "--with", "hflip", "--with", "scale=128:96,vflip", "out.mkv", "--mode", "stacked") == 0
        )
        assert size("out.mkv") == (128, 192, 20)
        assert compare("small.mkv", "--with", "hflip", "one.mkv", "--mode", "split") == 0
        assert size("one.mkv") == (64, 48, 20)

    def test_parts(self, clips: Path) -> None:
        assert compare("-ss", "0.2", "-t", "0.2", "small.mkv", "large.mp4", "out.mkv", "--mode", "split") == 0
        assert numbers("out.mkv") == [5, 6, 7, 8, 9] or size("out.mkv")[2] == 5
        assert compare("small.mkv", "large.mp4", "-frames:v", "3", "three.mkv", "--mode", "split") == 0
        assert size("three.mkv")[2] == 3

    def test_mistakes_are_one_line_before_anything_is_written(
        self, clips: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (clips / "empty").mkdir()
        for words, code, message in (
            (["small.mkv"], 2, "compare takes inputs and an output"),
            (["small.mkv", "out.mkv"], 2, "needs two inputs"),
            (["small.mkv", "large.mp4", "large.mp4"], 2, "is one of the inputs"),
            (["small.mkv", "large.mp4", "--with", "vsr", "out.mkv"], 2, "--with compares several chains on one input"),
            (["small.mkv", "missing.mp4", "out.mkv"], 1, "missing.mp4"),
            (
                ["small.mkv", "--with", "hflip", "--with", "vfilp", "out.mkv"],
                2,
                "--with 'vfilp', at column 1",
            ),
            (["small.mkv", "--with", "crop=99:9", "out.mkv"], 1, "--with 'crop=99:9', at column 1: filter crop"),
            (["-ss", "9", "small.mkv", "large.mp4", "out.mkv"], 1, "-ss 9: the input ends before that"),
            (["empty/", "large.mp4", "out.mkv"], 1, "'empty/': has no pictures in it"),
            (["small.mkv", "large.mp4", "out.mkv", "--still", "x"], 2, "--still x: expected a whole number"),
            (["small.mkv", "large.mp4", "out.mkv", "--zoom"], 2, "--zoom needs a value"),
            (["small.mkv", "large.mp4", "out.mkv", "--no-labels=1"], 2, "takes no value"),
            (["small.mkv", "large.mp4", "out.mkv", "--mod", "wipe"], 2, "unknown option --mod"),
        ):
            assert compare(*words) == code, words
            lines = capsys.readouterr().err.splitlines()
            assert len(lines) == 1
            assert message in lines[0]
        assert not (clips / "out.mkv").exists()

    def test_an_input_that_breaks_on_the_way_fails_the_whole(
        self, clips: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (clips / "p").mkdir()
        for n in range(2):
            cv2.imwrite(f"p/{n}.png", np.zeros((48, 64, 3), np.uint8))
        (clips / "p" / "2.png").symlink_to("nowhere.png")
        assert compare("small.mkv", "p/", "out.mkv", "--mode", "split") == 1
        assert "2.png" in capsys.readouterr().err
        assert not (clips / "out.mkv").exists()
        assert not [t for t in threading.enumerate() if t.name.startswith("streamvsr-")]

    def test_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["compare", "--help"]) == 0
        text = capsys.readouterr().out
        assert all(len(line) < 80 for line in text.splitlines())
        assert "--repeat-when-pause" in text


def test_the_sound_of_the_first_is_kept_and_pauses_with_the_picture(
    shared_data: Path, ffprobe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clip = str(shared_data / "clips" / "water_cc0_360p.mp4")
    assert compare("-t", "1", clip, clip, "plain.mkv", "--mode", "split") == 0
    assert compare("-t", "1", clip, clip, "paused.mkv", "--pause-frame", "9", "--repeat-when-pause", "30") == 0
    plain, paused = (probe(ffprobe, tmp_path / name) for name in ("plain.mkv", "paused.mkv"))
    sound = [[stamp for stamp, _ in found.packets[found.of_type("audio")[0]["index"]]] for found in (plain, paused)]
    assert len(sound[0]) == len(sound[1]) > 40
    moved = [b - a for a, b in zip(*sound, strict=True)]
    # However far the input has read ahead: no packet after the pause stays where it was.
    pause, length = 9 * Fraction(1001, 30000), 30 * Fraction(1001, 30000)
    for stamp, step in zip(sound[0], moved, strict=True):
        assert abs(step - (length if stamp > pause + Fraction(1, 100) else 0)) < Fraction(1, 100) or (
            abs(stamp - pause) <= Fraction(1, 100)
        )
    assert main(["-t", "0.5", clip, "half.mkv", "-vf", "null", *FAST]) == 0
    assert compare("-t", "1", clip, "half.mkv", "shorter.mkv", "--mode", "split") == 0
    found = probe(ffprobe, tmp_path / "shorter.mkv")
    assert 0.4 < max(stamp for stamp, _ in found.packets[found.of_type("audio")[0]["index"]]) < 0.51
    assert compare("-t", "1", clip, clip, "silent.mkv", "--mode", "split", "-an") == 0
    assert not probe(ffprobe, tmp_path / "silent.mkv").of_type("audio")


class TestSplitAndMerge:
    def test_there_and_back(self, clips: Path) -> None:
        assert main(["split", "small.mkv", "p/", "--quiet"]) == 0
        assert len(list((clips / "p").iterdir())) == 20
        assert main(["merge", "p/", "back.mkv", "-r", "50", "-crf", "1", "--quiet"]) == 0
        assert numbers("back.mkv") == list(range(20))
        with av.open("back.mkv") as container:
            assert container.streams.video[0].average_rate == 50
        assert main(["split", "-ss", "0.2", "small.mkv", "q/%03d.png", "-frames:v", "2", "--quiet"]) == 0
        assert sorted(p.name for p in (clips / "q").iterdir()) == ["000.png", "001.png"]

    def test_everything_else_comes_from_the_video(self, shared_data: Path, ffprobe: str, tmp_path: Path) -> None:
        clip, pictures, back = shared_data / "clips" / "chapters.mp4", tmp_path / "p", tmp_path / "back.mp4"
        assert main(["split", str(clip), f"{pictures}/", "--quiet"]) == 0
        assert main(["merge", f"{pictures}/", "--audio-from", str(clip), str(back), *FAST]) == 0
        before, after = probe(ffprobe, clip), probe(ffprobe, back)
        assert after.video_pts == pytest.approx(before.video_pts, abs=0.001)
        assert len(after.of_type("audio")) == len(before.of_type("audio"))
        for a, b in zip(before.of_type("audio"), after.of_type("audio"), strict=True):
            assert [h for _, h in before.packets[a["index"]]] == [h for _, h in after.packets[b["index"]]]

    def test_tags_come_back(self, clips: Path, ffprobe: str) -> None:
        turned = info(rate=Fraction(25), rotation=90, mirrored=True, color=Color(5, 6, 6, False))
        write("turned.mp4", turned, [n * 3600 for n in range(5)], duration=3600)
        assert main(["split", "turned.mp4", "t/", "--quiet"]) == 0
        assert main(["merge", "t/", "back.mp4", "--audio-from", "turned.mp4", *FAST]) == 0
        before, after = (probe(ffprobe, clips / name).video for name in ("turned.mp4", "back.mp4"))
        for key in ("color_space", "color_primaries", "color_range", "pix_fmt"):
            assert after[key] == before[key], key
        # The pictures stand upright: turned once more they would lie.
        assert "side_data_list" not in after
        assert (after["width"], after["height"]) == (before["height"], before["width"])

    def test_a_cut_is_of_sound_and_pictures(
        self, shared_data: Path, clips: Path, ffprobe: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        clip, cut = str(shared_data / "clips" / "water_cc0_360p.mp4"), ("-ss", "0.5", "-t", "0.4")
        assert main(["split", "-t", "1", clip, "c/%d.jpg", "--quiet"]) == 0
        assert main(["merge", "c/%d.jpg", "some.mkv", "--audio-from", clip, *cut, *FAST]) == 0
        assert main([clip, "-vf", "null", *cut, "same.mkv", *FAST]) == 0
        some, same = probe(ffprobe, clips / "some.mkv"), probe(ffprobe, clips / "same.mkv")
        assert (some.video_pts, some.packets[1]) == (same.video_pts, same.packets[1])
        assert len(some.video_pts) == 12
        assert main(["merge", "-t", "1", "c/%d.jpg", "some.mkv", "--audio-from", clip, *FAST]) == 2
        assert "behind the pictures" in capsys.readouterr().err

    def test_what_is_wrong_with_the_video_is_told(
        self, shared_data: Path, clips: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["split", "-t", "0.1", "small.mkv", "p/", "--quiet"]) == 0
        clip = str(shared_data / "clips" / "chapters.mp4")
        assert main(["merge", "p/", "out.mkv", "--audio-from", clip, "-y"]) == 0
        assert "data stream 0:2 is left out" in capsys.readouterr().err

    def test_uneven_time_stamps_come_back(self, clips: Path, ffprobe: str) -> None:
        stamps = [0, 3600, 9000, 10800, 18000]
        write("uneven.mp4", info(rate=Fraction(25)), stamps, crf=1.0)
        assert main(["split", "uneven.mp4", "u/", "--quiet"]) == 0
        assert main(["merge", "u/", "again.mp4", "--audio-from", "uneven.mp4", *FAST]) == 0
        assert probe(ffprobe, clips / "again.mp4").video_pts == [Fraction(s, 90000) for s in stamps]
        assert main(["merge", "u/", "even.mp4", "-r", "10", "--audio-from", "uneven.mp4", *FAST]) == 0
        assert probe(ffprobe, clips / "even.mp4").video_pts == [Fraction(n, 10) for n in range(5)]

    def test_more_or_fewer_pictures_than_frames(self, clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["split", "small.mkv", "p/", "--quiet"]) == 0
        assert main(["merge", "p/", "--audio-from", "large.mp4", "more.mkv", "-y"]) == 0
        assert "there are 20 pictures for 12 frames" in capsys.readouterr().err
        assert size("more.mkv")[2] == 20
        for path in sorted((clips / "p").iterdir())[5:]:
            path.unlink()
        assert main(["merge", "p/", "--audio-from", "large.mp4", "fewer.mkv", "-y"]) == 0
        assert "goes on after the last of the 5 pictures" in capsys.readouterr().err
        assert size("fewer.mkv")[2] == 5

    def test_mistakes(self, clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["split", "small.mkv", "out.mp4"]) == 2
        assert "split writes pictures" in capsys.readouterr().err
        assert main(["merge", "p/"]) == 2
        assert main(["merge", "p/", "out.mkv", "--model", "rt"]) == 2
        assert "runs no network" in capsys.readouterr().err
        assert main(["split", "--help"]) == main(["merge", "--help"]) == 0
