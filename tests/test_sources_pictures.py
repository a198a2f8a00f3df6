"""Image sequences as an input."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from streamvsr.config import InputOptions, OutputOptions
from streamvsr.errors import StreamLostError
from streamvsr.frames import Frame
from streamvsr.media.demux import open_source
from streamvsr.media.demux.image_sequence import natural_key
from tests.test_sources import read

pytestmark = pytest.mark.io


def test_mixed_pictures(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.full((4, 6, 4), (3, 2, 1, 9), np.uint8))
    cv2.imwrite(str(tmp_path / "2.png"), np.full((4, 6), 77, np.uint8))
    first, second = (f for f in open_source(InputOptions(path=str(tmp_path)), OutputOptions()) if isinstance(f, Frame))
    assert [int(p[0, 0]) for p in first.planes] == [1, 2, 3, 9]
    assert [int(p[0, 0]) for p in second.planes] == [77, 77, 77, 255]


@pytest.mark.parametrize(
    ("other", "said"),
    [(np.full((4, 6, 3), 0x4D4D, np.uint16), "6x4 gbrp16le"), (np.full((6, 9, 3), 77, np.uint8), "9x6 gbrp")],
)
def test_a_picture_unlike_the_first_is_brought_to_it(tmp_path: Path, other: np.ndarray, said: str) -> None:
    for name in ("1.png", "3.png"):
        cv2.imwrite(str(tmp_path / name), np.full((4, 6, 3), (3, 2, 1), np.uint8))
    cv2.imwrite(str(tmp_path / "2.png"), other)
    source = open_source(InputOptions(path=str(tmp_path)), OutputOptions())
    frames, _ = read(source)
    assert [[int(p[2, 3]) for p in frame.planes] for frame in frames] == [[1, 2, 3], [77, 77, 77], [1, 2, 3]]
    assert {(f.width, f.height, f.format.name) for f in frames} == {(6, 4, "gbrp")}
    assert "2.png" in source.warnings[0]
    assert f"changes to {said}: brought to 6x4 gbrp" in source.warnings[0]


@pytest.mark.parametrize("bad", [[0], [2], [0, 1], [3, 4]])
def test_a_damaged_picture_is_told_and_the_one_before_it_shown(tmp_path: Path, bad: list[int]) -> None:
    for number in range(5):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((4, 6, 3), 10 * number, np.uint8))
    for number in bad:
        (tmp_path / f"{number}.png").write_bytes(b"" if number % 2 else b"no picture")
    source = open_source(InputOptions(path=str(tmp_path)), OutputOptions())
    frames, _ = read(source)
    first = next(number for number in range(5) if number not in bad)
    shown = [max((n for n in range(number + 1) if n not in bad), default=first) for number in range(5)]
    assert [int(frame.planes[0][0, 0]) // 10 for frame in frames] == shown
    assert [frame.pts for frame in frames] == list(range(5))
    told = [line for line in source.warnings if "the picture before it stands in its place" in line]
    assert [number for number in range(5) if any(f"{number}.png" in line for line in told)] == bad


def test_pictures_that_cannot_be_read_any_more_break_off(tmp_path: Path) -> None:
    for number in range(5):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((4, 6, 3), number, np.uint8))
    source = open_source(InputOptions(path=str(tmp_path)), OutputOptions())
    frames = iter(source)
    assert next(frames)
    for number in range(1, 5):
        (tmp_path / f"{number}.png").unlink()
    with pytest.raises(StreamLostError, match=r"1\.png.*picture 2 of 5"):
        next(frames)


def test_pictures_that_begin_grey(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.full((4, 6), 7, np.uint16))
    cv2.imwrite(str(tmp_path / "2.png"), np.full((4, 6, 3), (3, 2, 1), np.uint16))
    (tmp_path / "3.png").mkdir()
    source = open_source(InputOptions(path=str(tmp_path)), OutputOptions())
    frames = [frame for frame in source if isinstance(frame, Frame)]
    assert [[int(p[0, 0]) for p in frame.planes] for frame in frames] == [[7, 7, 7], [1, 2, 3]]
    assert {frame.format.name for frame in frames} == {source.info.video.format.name} == {"gbrp16le"}


def test_natural_order() -> None:
    names = ["a10.png", "a9.png", "b1.png", "a9b2.png", "1.png", "02.png"]
    assert sorted(names, key=natural_key) == ["1.png", "02.png", "a9.png", "a9b2.png", "a10.png", "b1.png"]


@pytest.mark.parametrize(
    ("pattern", "numbers", "missing"),
    [("p_%d.png", (98, 99, 100), 0), ("p_%d.png", (7, 9, 12), 3), ("100%%_%04d.png", (3, 5), 1)],
)
def test_a_gap_in_a_numbered_pattern_is_told(
    tmp_path: Path, pattern: str, numbers: tuple[int, ...], missing: int
) -> None:
    for number in numbers:
        cv2.imwrite(str(tmp_path / (pattern % number)), np.full((4, 6, 3), number, np.uint8))
    source = open_source(InputOptions(path=str(tmp_path / pattern)), OutputOptions())
    assert [frame.planes[0][0, 0] for frame in source if isinstance(frame, Frame)] == list(numbers)
    assert [line.split("': ")[1].split()[0] for line in source.warnings] == ([str(missing)] if missing else [])
