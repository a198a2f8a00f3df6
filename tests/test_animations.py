"""Animated pictures in and out, and what is told of pictures that hold more than one frame."""

from __future__ import annotations

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from streamvsr.cli import main
from streamvsr.config import InputOptions, OutputOptions
from streamvsr.errors import UsageError
from streamvsr.frames import Frame
from streamvsr.media.demux import Source, open_source
from streamvsr.media.demux.animation import FRAMES_AT_ONCE, is_animated
from tests.outputs import info, write

COUNT = 2 * FRAMES_AT_ONCE + 3
pytestmark = pytest.mark.io


def level(number: int) -> int:
    return (number * 37 + 20) % 256


def animation(path: Path, *, alpha: bool = False, count: int = COUNT) -> list[int]:
    """Flat frames of durations that differ; the durations in ms."""
    if path.suffix == ".webp" and not hasattr(cv2, "imdecodeanimation"):
        pytest.skip("this OpenCV reads no animated WebP")
    frames = [Image.fromarray(np.full((8, 12, 4 if alpha else 3), level(n), np.uint8)) for n in range(count)]
    durations = [40 + 10 * (n % 3) for n in range(count)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, lossless=True)
    return durations


def read(path: Path, **options: object) -> tuple[Source, list[Frame]]:
    source = open_source(InputOptions(path=str(path), **options), OutputOptions())  # type: ignore[arg-type]
    return source, [f for f in source if isinstance(f, Frame)]


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_every_frame_of_an_animation_comes_at_its_time(suffix: str, tmp_path: Path) -> None:
    durations = animation(tmp_path / f"a{suffix}")
    source, frames = read(tmp_path / f"a{suffix}")
    assert [int(f.planes[1][3, 3]) for f in frames] == [level(n) for n in range(COUNT)]
    assert [f.seconds for f in frames] == [Fraction(sum(durations[:n]), 1000) for n in range(COUNT)]
    assert source.warnings == []


def test_alpha_rate_and_start_of_an_animated_webp(tmp_path: Path) -> None:
    animation(tmp_path / "a.webp", alpha=True, count=6)
    source, frames = read(tmp_path / "a.webp", rate=Fraction(10), start=Fraction(1, 4))
    assert source.info.video.format.name == "gbrap"
    assert [(f.seconds, int(f.planes[3][0, 0])) for f in frames] == [
        (Fraction(n, 10) - Fraction(1, 4), level(n)) for n in (3, 4, 5)
    ]


def test_a_damaged_animation_is_one_error(tmp_path: Path) -> None:
    animation(tmp_path / "a.webp")
    whole = (tmp_path / "a.webp").read_bytes()
    (tmp_path / "b.webp").write_bytes(whole[:60])
    with pytest.raises(Exception, match=r"b\.webp"):
        read(tmp_path / "b.webp")
    assert [is_animated(whole[:n]) for n in range(21)] == [""] * 21


def test_more_than_is_taken_of_a_picture_is_told(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    animation(tmp_path / "frames" / "1.webp", count=3)
    shutil.copy(tmp_path / "frames" / "1.webp", tmp_path / "frames" / "2.webp")
    source, frames = read(tmp_path / "frames")
    assert len(frames) == 2
    (line,) = source.warnings
    assert "1.webp' is animated" in line
    pages = [np.full((8, 8, 3), n, np.uint8) for n in range(4)]
    assert cv2.imwritemulti(str(tmp_path / "pages.tif"), pages)
    source, frames = read(tmp_path / "pages.tif")
    assert len(frames) == 1
    assert "has 4 pages" in source.warnings[0]


def test_one_name_for_many_frames_says_how_to_write_an_animation(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="-f webp writes an animation"):
        write(tmp_path / "a.webp", info(), [0, 3003])
    write(tmp_path / "b.webp", info(), [0, 3003, 6006], format="webp")
    with Image.open(tmp_path / "b.webp") as image:
        assert image.n_frames == 3
    if hasattr(cv2, "imdecodeanimation"):
        assert len(read(tmp_path / "b.webp")[1]) == 3


OUTPUTS = {"gif": "gif", "m2v": "mpeg2video", "m1v": "mpeg1video", "avif": "av1", "264": "h264", "265": "hevc"}
OUTPUTS |= {
    "mjpg": "mjpeg",
    "apng": "apng",
    "obu": "av1",
    "vob": "mpeg2video",
    "3gp": "h264",
    "swf": "flv1",
    "rm": "rv10",
}


@pytest.mark.parametrize("suffix", OUTPUTS)
def test_every_container_has_an_encoder_by_default(suffix: str, ffprobe: str, tmp_path: Path) -> None:
    path = tmp_path / f"o.{suffix}"
    # RV10 and MPEG-1 know few sizes and rates.
    write(path, info(width=352, height=288, rate=Fraction(25), time_base=Fraction(1, 25)), [0, 1, 2])
    command = [ffprobe, "-v", "error", "-count_frames", "-show_entries", "stream=codec_name,nb_read_frames"]
    said = subprocess.run([*command, "-of", "csv=p=0", str(path)], capture_output=True, text=True, check=True).stdout
    assert said.strip().strip(",") == f"{OUTPUTS[suffix]},3"


def test_gif_has_each_frame_s_own_colours(ffmpeg: str, tmp_path: Path) -> None:
    """With the same 256 colours for all frames, smooth areas came in bands: 21 dB."""
    source, out = tmp_path / "i.mkv", tmp_path / "o.gif"
    picture = "gradients=s=128x96:c0=orange:c1=navy:c2=olive:nb_colors=3:speed=0.05:seed=1:d=0.4:r=25"
    subprocess.run([ffmpeg, "-v", "error", "-f", "lavfi", "-i", picture, "-c:v", "ffv1", str(source)], check=True)
    assert main([str(word) for word in (source, "--model", "identity", "--quiet", out)]) == 0
    shown = []
    for path in (source, out):
        command = [ffmpeg, "-v", "error", "-i", str(path), "-fps_mode", "passthrough", "-pix_fmt", "rgb24"]
        done = subprocess.run([*command, "-f", "rawvideo", "-"], capture_output=True, check=True)
        shown.append(np.frombuffer(done.stdout, np.uint8).reshape(10, 96, 128, 3).astype(float))
    errors = ((shown[0] - shown[1]) ** 2).mean((1, 2, 3))
    assert 10 * np.log10(255**2 / errors.max()) > 30


def test_gif_keeps_transparency(ffmpeg: str, tmp_path: Path) -> None:
    source, out = tmp_path / "i.mkv", tmp_path / "o.gif"
    words = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.2", "-vf", "format=gbrap,geq=r='r(X,Y)':a='255*gt(X,31)'"]
    subprocess.run([ffmpeg, "-v", "error", *words, "-c:v", "ffv1", str(source)], check=True)
    assert main([str(word) for word in (source, "--model", "identity", "--quiet", out)]) == 0
    with Image.open(out) as made:
        for number in range(made.n_frames):
            made.seek(number)
            alpha = np.asarray(made.convert("RGBA"))[..., 3]
            assert not alpha[:, :32].any(), number
            assert alpha[:, 32:].all(), number
