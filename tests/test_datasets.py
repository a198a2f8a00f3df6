"""Data sets in the layouts that there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamvsr.errors import SourceError, UsageError
from streamvsr.metrics.datasets import find_clips
from tests.test_evaluate import pictures, video


def named(clips: list[Any], root: Path) -> list[tuple[str, str | None, str | None]]:
    def short(path: str | None) -> str | None:
        return None if path is None else Path(path).relative_to(root).as_posix()

    return [(clip.name, short(clip.low_res), short(clip.truth)) for clip in clips]


def test_vid4_and_udm10(tmp_path: Path) -> None:
    for clip in ("walk", "city"):
        for kind in ("GT", "BIx4", "BDx4"):
            pictures(tmp_path / kind / clip, 1)
    found = named(find_clips(str(tmp_path), make=False, low_res="BDx4"), tmp_path)
    assert found == [("city", "BDx4/city", "GT/city"), ("walk", "BDx4/walk", "GT/walk")]
    with pytest.raises(UsageError, match="--lr bix4 or --lr bdx4"):
        find_clips(str(tmp_path), make=False)
    with pytest.raises(UsageError, match="--lr nowhere: there is no such folder"):
        find_clips(str(tmp_path), make=False, low_res="nowhere")
    assert named(find_clips(str(tmp_path), make=True), tmp_path)[0] == ("city", None, "GT/city")
    assert [c.name for c in find_clips(str(tmp_path), make=True, wanted=["walk"])] == ["walk"]
    with pytest.raises(UsageError, match="there are city, walk"):
        find_clips(str(tmp_path), make=True, wanted=["calendar"])


def test_reds4(tmp_path: Path) -> None:
    for clip in ("000", "001", "011", "239"):
        pictures(tmp_path / "train_sharp" / clip, 1)
        pictures(tmp_path / "train_sharp_bicubic" / "X4" / clip, 1)
    found = named(find_clips(str(tmp_path), make=False), tmp_path)
    assert found == [(c, f"train_sharp_bicubic/X4/{c}", f"train_sharp/{c}") for c in ("000", "011")]


def test_videolq_and_other_clips_without_a_truth(tmp_path: Path) -> None:
    for clip in ("10", "9"):
        pictures(tmp_path / "VideoLQ" / clip, 1)
    video(tmp_path / "VideoLQ" / "a.mp4", 1)
    found = named(find_clips(str(tmp_path / "VideoLQ"), make=False), tmp_path / "VideoLQ")
    assert found == [("9", "9", None), ("10", "10", None), ("a", "a.mp4", None)]
    assert [c.name for c in find_clips(str(tmp_path / "VideoLQ" / "9"), make=False)] == ["9"]


def test_one_clip_and_none(tmp_path: Path) -> None:
    pictures(tmp_path / "roof" / "gt", 1)
    pictures(tmp_path / "roof" / "lr_x4", 1)
    assert named(find_clips(str(tmp_path / "roof"), make=False), tmp_path) == [("roof", "roof/lr_x4", "roof/gt")]
    video(tmp_path / "v.mp4", 1)
    assert named(find_clips(str(tmp_path / "v.mp4"), make=True), tmp_path) == [("v", None, "v.mp4")]
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="holds no clips"):
        find_clips(str(tmp_path / "empty"), make=False)
    with pytest.raises(SourceError, match="no such file or folder"):
        find_clips(str(tmp_path / "none"), make=False)
    pictures(tmp_path / "half" / "gt" / "a", 1)
    with pytest.raises(UsageError, match="no folder of inputs: name it with --lr"):
        find_clips(str(tmp_path / "half"), make=False)
    pictures(tmp_path / "half" / "lr" / "b", 1)
    with pytest.raises(SourceError, match="no clip has both"):
        find_clips(str(tmp_path / "half"), make=False)


def test_a_folder_a_clip_with_its_truth_and_input(tmp_path: Path) -> None:
    """UDM10 as its authors gave it."""
    for clip in ("lake", "arch", "10", "9"):
        for kind in ("truth", "blur4"):
            pictures(tmp_path / clip / kind, 1)
    found = named(find_clips(str(tmp_path), make=False), tmp_path)
    assert found == [(clip, f"{clip}/blur4", f"{clip}/truth") for clip in ("9", "10", "arch", "lake")]
    assert named(find_clips(str(tmp_path), make=True, wanted=["lake"]), tmp_path) == [("lake", None, "lake/truth")]
    pictures(tmp_path / "arch" / "bix4", 1)
    with pytest.raises(UsageError, match=r"'.*arch' has several folders of inputs: choose one with --lr"):
        find_clips(str(tmp_path), make=False)
    assert find_clips(str(tmp_path / "lake"), make=False, low_res="blur4")[0].name == "lake"


def test_inputs_in_a_folder_of_their_own_and_data_that_lie_deeper(tmp_path: Path) -> None:
    pictures(tmp_path / "VideoLQ" / "Input" / "000", 1)
    found = named(find_clips(str(tmp_path / "VideoLQ"), make=False), tmp_path)
    assert found == [("000", "VideoLQ/Input/000", None)]
    pictures(tmp_path / "VideoLQ" / "001", 1)
    assert [clip.name for clip in find_clips(str(tmp_path / "VideoLQ"), make=False)] == ["001"]
    for kind in ("train_sharp", "train_sharp_bicubic/X4"):
        pictures(tmp_path / "REDS" / "train" / kind / "000", 1)
    with pytest.raises(SourceError, match=r"REDS': holds no clips itself; name what lies in it: '.*REDS/train'"):
        find_clips(str(tmp_path / "REDS"), make=False)
    assert [clip.name for clip in find_clips(str(tmp_path / "REDS" / "train"), make=False)] == ["000"]
