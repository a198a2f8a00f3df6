"""The judge of damaged inputs: nothing that is missing is excused."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, cast

import pytest

from tests.damage import decoded_by_ffmpeg
from tests.fuzz import Reader, check, cut_out, read

pytestmark = pytest.mark.io


@pytest.fixture(scope="module")
def cut(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An mp4 whose edit list hides its first frames, as cutting without decoding leaves it."""
    folder = tmp_path_factory.mktemp("cut")
    whole, path = folder / "whole.mp4", folder / "cut.mp4"
    words = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=2", "-c:v", "libx264", "-g", "25", "-bf", "0"]
    subprocess.run([ffmpeg, "-v", "error", *words, str(whole)], check=True)
    subprocess.run([ffmpeg, "-v", "error", "-ss", "0.4", "-i", str(whole), "-c", "copy", str(path)], check=True)
    assert cut_out(path) == 10
    return path


@pytest.mark.parametrize(("lost", "lost_without_list", "said", "wrong"), [
    (0, 0, "", False), (5, 5, "", True), (5, 0, "", False), (11, 0, "", True), (5, 5, "told", False)
])  # fmt: skip
def test_what_an_edit_list_excuses(
    lost: int, lost_without_list: int, said: str, wrong: bool, cut: Path, ffmpeg: str
) -> None:
    """Frames that it hides, as far as they are there without it."""
    counts = [len(decoded_by_ffmpeg(ffmpeg, cut, *options)) for options in ([], ["-ignore_editlist", "1"])]
    assert counts == [40, 50]

    def reader(_path: Path, _threads: int, **more: str) -> tuple[int, str]:
        return (counts[1] - lost_without_list if more else counts[0] - lost), said

    assert bool(check(cast(Reader, cast(Any, reader)), cut, ffmpeg, 1)) == wrong


def test_ours_are_ffmpeg_s(cut: Path, ffmpeg: str) -> None:
    assert read(str(cut), 2, {}) == (len(decoded_by_ffmpeg(ffmpeg, cut)), "")
    assert read(str(cut), 2, {"ignore_editlist": "1"})[0] == 50
