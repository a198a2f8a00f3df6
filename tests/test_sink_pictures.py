"""Outputs of pictures: exact values, names, what is overwritten."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from streamvsr.config import OutputOptions
from streamvsr.errors import UsageError
from streamvsr.frames import PIXEL_FORMATS, Color, Frame, MediaInfo, StreamInfo
from streamvsr.sinks import open_sink
from streamvsr.sinks.picture_folder import PictureSink
from tests.outputs import frames, info, numbers

pytestmark = pytest.mark.io


def pictures(path: Path | str, stream: StreamInfo, count: int, **options: object) -> None:
    names = options.pop("names", None)
    output = OutputOptions(path=str(path), **options)  # type: ignore[arg-type]
    sink = open_sink(output, MediaInfo(stream), names=names, on_warning=lambda _: None)  # type: ignore[arg-type]
    assert sink.pixel_format in PIXEL_FORMATS
    for frame in frames(stream, list(range(count))):
        sink.write_frame(frame)
    sink.finish()


def _random(stream: StreamInfo) -> Frame:
    rng = np.random.default_rng(2)
    shapes = stream.format.plane_shapes(stream.width, stream.height)
    planes = tuple(rng.integers(0, stream.format.peak + 1, s).astype(stream.format.dtype) for s in shapes)
    return Frame(planes, stream.format, 0, stream.time_base, 1, stream.color)


@pytest.mark.parametrize(
    ("name", "suffix"), [("gbrp", "png"), ("gbrp16le", "png"), ("gbrap", "png"), ("gbrap16le", "png"), ("gbrp", "tiff")]
)
def test_rgb_is_written_exactly(tmp_path: Path, name: str, suffix: str) -> None:
    import cv2

    stream = info(name, color=Color(0, 1, 1, True))
    frame = _random(stream)
    output = OutputOptions(path=str(tmp_path / f"%d.{suffix}"))
    sink = open_sink(output, MediaInfo(stream), on_warning=lambda _: None)
    assert sink.pixel_format == name
    sink.write_frame(frame)
    sink.finish()
    blue, green, red, *alpha = np.moveaxis(cv2.imread(str(tmp_path / f"0.{suffix}"), cv2.IMREAD_UNCHANGED), -1, 0)
    for found, given in zip((red, green, blue, *alpha), frame.planes, strict=True):
        assert np.array_equal(found, given)


def test_pictures_are_named_like_the_original_script_does(tmp_path: Path) -> None:
    pictures(tmp_path / "new" / "folder", info(), 3)
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == [f"{n:08d}.png" for n in range(3)]


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "bmp"])
def test_a_pattern_names_the_pictures(tmp_path: Path, suffix: str) -> None:
    pictures(tmp_path / f"x_%03d.{suffix}", info(), 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"x_000.{suffix}", f"x_001.{suffix}"]
    assert numbers(tmp_path / f"x_001.{suffix}") == [1]


def test_names_of_the_input_are_used_again(tmp_path: Path) -> None:
    pictures(f"{tmp_path}/a/", info(), 3, names=["one.png", "sub/two.jpg"])
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["00000002.png", "one.png", "two.jpg"]
    (tmp_path / "b").mkdir()
    pictures(tmp_path / "b" / "%d.png", info(), 2, names=["one.jpg", "two.jpg"])
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == ["one.png", "two.png"]


def test_names_that_would_overwrite_each_other_are_not_used(tmp_path: Path) -> None:
    pictures(tmp_path / "%d.png", info(), 2, names=["one.jpg", "one.png"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.png", "1.png"]


def test_existing_pictures_are_overwritten_only_when_told(tmp_path: Path) -> None:
    pictures(tmp_path, info(), 2)
    with pytest.raises(UsageError, match="-y"):
        pictures(tmp_path, info(), 1)
    pictures(tmp_path, info(), 2, overwrite=True)
    pictures(tmp_path / "one.png", info(), 1)
    pictures(tmp_path / "one.png", info(), 1, overwrite=True)
    pictures(tmp_path / "50%_%03d.png", info(), 2)
    assert (tmp_path / "50%_001.png").exists()
    with pytest.raises(UsageError, match="%08d"):
        pictures(tmp_path / "two.png", info(), 2)


def test_deep_yuv_becomes_sixteen_bits_and_colours_are_right(tmp_path: Path) -> None:
    import cv2

    stream = info("yuv420p10le", color=Color(1, 1, 1, False))
    planes = tuple(
        np.full(s, 940 if n == 0 else 512, np.uint16) for n, s in enumerate(stream.format.plane_shapes(64, 48))
    )
    sink = open_sink(OutputOptions(path=str(tmp_path)), MediaInfo(stream), on_warning=lambda _: None)
    assert sink.pixel_format == "gbrp16le"
    sink.write_frame(Frame(planes, stream.format, 0, stream.time_base, 1, stream.color))
    sink.finish()
    white = cv2.imread(str(tmp_path / "00000000.png"), cv2.IMREAD_UNCHANGED)
    assert white.dtype == np.uint16
    assert int(white.min()) > 65000


def test_tracks_are_named_when_pictures_are_written(tmp_path: Path) -> None:
    from streamvsr.frames import Track

    warnings: list[str] = []
    media = replace(MediaInfo(info()), tracks=(Track(1, "audio", "aac", Fraction(1, 48000), {}),))
    open_sink(OutputOptions(path=str(tmp_path)), media, on_warning=warnings.append).abort()
    assert len(warnings) == 1


def test_one_named_picture_does_not_replace_the_input(tmp_path: Path) -> None:
    media = SimpleNamespace(video=SimpleNamespace(format=PIXEL_FORMATS["gbrp"]), tracks=())
    output = OutputOptions(path=str(tmp_path / "b.png"), overwrite=True)
    sink = PictureSink(output, media, names=["a.png"], on_warning=print)  # type: ignore[arg-type]
    assert sink._name(0) == "b.png"
