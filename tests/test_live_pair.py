"""The current frame before and after: of one moment, cheap, and not at all while nobody watches."""

from __future__ import annotations

import os
import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamvsr.frames import PIXEL_FORMATS, Frame
from streamvsr.look import live_pair
from streamvsr.look.live_pair import LivePair


def frame(number: int, width: int = 64) -> Frame:
    planes = (np.full((width * 3 // 4, width), number, np.uint8),)
    return Frame(planes, PIXEL_FORMATS["gray"], number, Fraction(1, 25), 1)


def watch(folder: Path, seconds_ago: float = 0.0) -> None:
    (folder / "watched").touch()
    then = time.time() - seconds_ago
    os.utime(folder / "watched", (then, then))


def test_nothing_is_written_while_nobody_watches(tmp_path: Path) -> None:
    pair = LivePair(tmp_path)
    pair.read(frame(0))
    pair.written(frame(0))
    assert list(tmp_path.iterdir()) == []
    watch(tmp_path, live_pair.WATCHED_SECONDS + 1)
    pair = LivePair(tmp_path)
    pair.read(frame(1))
    pair.written(frame(1))
    assert [path.name for path in tmp_path.iterdir()] == ["watched"]


def test_a_pair_is_one_moment(tmp_path: Path) -> None:
    watch(tmp_path)
    pair = LivePair(tmp_path)
    for number in (100, 101, 102):
        pair.read(frame(number))
    for number in (98, 99):
        pair.written(frame(number, 2000))
    assert not (tmp_path / "after.jpg").exists(), "written before the frame that was picked"
    pair.written(frame(100, 2000))
    before, after = (cv2.imread(str(tmp_path / f"{side}.jpg"), 0) for side in ("before", "after"))
    assert abs(int(before.mean()) - int(after.mean())) <= 1
    assert after.shape[1] <= live_pair.WIDEST_PX, "reduced"
    assert (tmp_path / "seconds").read_text() == "4.000"
    pair.read(frame(101))
    pair.written(frame(101))
    assert (tmp_path / "seconds").read_text() == "4.000", "not each frame"


def test_a_folder_that_is_gone_costs_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "pair"
    folder.mkdir()
    watch(folder)
    pair = LivePair(folder)
    pair.read(frame(0))
    (folder / "watched").unlink()
    folder.rmdir()
    pair.written(frame(0))
