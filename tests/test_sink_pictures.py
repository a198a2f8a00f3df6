"""Outputs of pictures: exact values, names, what is overwritten."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from streamvsr.build import build
from streamvsr.config import Config, InputOptions, ModelOptions, OutputOptions
from streamvsr.errors import UsageError
from streamvsr.fidelity import losses
from streamvsr.frames import PIXEL_FORMATS, Color, Frame, MediaInfo, StreamInfo
from streamvsr.media.mux import open_sink, wanted_format
from streamvsr.media.mux.image_sequence import ImageSequenceSink
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
    ("name", "suffix"),
    [*((name, "png") for name in ("gbrp", "gbrp16le", "gbrap", "gbrap16le")), ("gbrp", "tiff"), ("gbrap16le", "tiff")],
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
    media = SimpleNamespace(video=info("gbrp"), tracks=())
    output = OutputOptions(path=str(tmp_path / "b.png"), overwrite=True)
    sink = ImageSequenceSink(output, media, names=["a.png"], on_warning=print)  # type: ignore[arg-type]
    assert sink._name(0) == "b.png"


@pytest.mark.parametrize(
    ("names", "pattern", "written"),
    [
        (["f_08.png", "f_09.png", "f_10.png"], "o_%04d.png", ["o_0008.png", "o_0009.png", "o_0010.png"]),
        (["s1e2_7_raw.png", "s1e2_9_raw.png"], "%d.png", ["7.png", "9.png", "10.png"]),
        (["a1.png", "b2.png"], "%d.png", ["a1.png", "b2.png", "2.png"]),
        (["1.png", "01.png"], "%d.png", ["0.png", "1.png", "2.png"]),
        ([], "100%%_%02d.png", ["100%_00.png", "100%_01.png", "100%_02.png"]),
    ],
)
def test_numbers_of_the_input_go_into_a_pattern(
    tmp_path: Path, names: list[str], pattern: str, written: list[str]
) -> None:
    pictures(tmp_path / pattern, info(), 3, names=names)
    assert {p.name for p in tmp_path.iterdir()} == set(written)


def test_start_number(tmp_path: Path) -> None:
    pictures(tmp_path / "%d.png", info(), 2, names=["8.png", "9.png"], options={"start_number": "1"})
    assert {p.name for p in tmp_path.iterdir()} == {"1.png", "2.png"}
    with pytest.raises(UsageError, match="start_number"):
        pictures(tmp_path / "%d.png", info(), 2, options={"start_number": "x"})


@pytest.mark.parametrize("pattern", ["", "%d.png", "a%d.png", "a1.png"])
def test_pictures_of_the_input_are_not_written_over(tmp_path: Path, pattern: str) -> None:
    names = [str(tmp_path / "a1.png"), str(tmp_path / "." / "b.png")]
    with pytest.raises(UsageError, match=r"a1\.png is a picture of the input"):
        pictures(tmp_path / pattern, info(), 2, names=names, overwrite=True)
    assert list(tmp_path.iterdir()) == []
    pictures(tmp_path / "other", info(), 2, names=names)


def test_what_pictures_cannot_have_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    output = OutputOptions(path=str(tmp_path / "%d.jpg"), crf=20, options={"q:v": "2", "start_number": "3"})
    open_sink(output, MediaInfo(info("gbrap")), on_warning=said.append).abort()
    assert said == ["pictures do not have these options: -crf, -q:v"]
    (line,) = losses(MediaInfo(info("gbrap")), [], output)
    assert line.startswith(".jpg cannot keep transparency: it is left out")


@pytest.mark.parametrize(
    ("given", "source", "made"),
    [("rgb24", "gbrap16le", "gbrp"), ("yuva420p10le", "gbrap", "gbrap16le"), ("yuv420p", "yuv420p10le", "gbrp")],
)
def test_depth_and_alpha_of_pictures_are_those_of_pix_fmt(tmp_path: Path, given: str, source: str, made: str) -> None:
    import cv2

    output, stream = OutputOptions(path=str(tmp_path), pixel_format=given), info(source, color=Color(1, 1, 1, False))
    sink = open_sink(output, MediaInfo(stream), on_warning=lambda _: None)
    assert sink.pixel_format == wanted_format(output, stream) == made
    sink.write_frame(_random(stream))
    picture = cv2.imread(str(tmp_path / "00000000.png"), cv2.IMREAD_UNCHANGED)
    assert (picture.dtype, picture.shape[2]) == (PIXEL_FORMATS[made].dtype, 4 if PIXEL_FORMATS[made].alpha else 3)


@pytest.mark.parametrize("target", ["a.png", "file:{0}/a.png", "file:{0}"])
def test_the_input_is_not_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.png").touch()
    source = str(tmp_path) if target.endswith("{0}") else "a.png"
    output = OutputOptions(path=target.format(tmp_path), overwrite=True)
    with pytest.raises(UsageError, match="is the input itself"):
        build(Config(InputOptions(path=source), output, ModelOptions(model="identity")), warn=print)
