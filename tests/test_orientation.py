"""Which way is up: rotated videos whose frames somebody looks at, and photographs turned by their EXIF data."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from streamvsr.cli.app import main
from streamvsr.config import InputOptions, OutputOptions
from streamvsr.frames import Frame
from streamvsr.media.decode.conform import orientation_of
from streamvsr.media.demux import open_source
from streamvsr.media.exif import exif_of, orientation, upright

SIZE = (48, 32)


def exif(turn: int, order: str = "<") -> bytes:
    """EXIF data with this orientation, behind a tag that says something else."""
    import struct

    head = b"II*\0" if order == "<" else b"MM\0*"
    entries = struct.pack(f"{order}HHIHH", 0x0100, 3, 1, 48, 0) + struct.pack(f"{order}HHIHH", 0x0112, 3, 1, turn, 0)
    return head + struct.pack(f"{order}IH", 8, 2) + entries + struct.pack(f"{order}I", 0)


def photograph(path: Path, turn: int) -> Path:
    """Four grey quarters, stored as a camera stores them that was held this way."""
    pixels = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    for number, level in enumerate((40, 100, 160, 220)):
        y, x = divmod(number, 2)
        pixels[y * 16 : y * 16 + 16, x * 24 : x * 24 + 24] = level
    Image.fromarray(pixels).save(path, exif=b"Exif\0\0" + exif(turn), quality=95, lossless=True)
    return path


@pytest.mark.io
@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_photographs_are_turned_as_their_exif_data_say(suffix: str, turn: int, tmp_path: Path) -> None:
    path = photograph(tmp_path / f"a{suffix}", turn)
    (frame,) = [f for f in open_source(InputOptions(path=str(path)), OutputOptions()) if isinstance(f, Frame)]
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert frame.planes[0].shape == expected.shape[:2]
    assert np.abs(frame.planes[0].astype(int) - expected[..., 0]).max() <= 3


@pytest.mark.io
@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_files_cut_anywhere_have_an_orientation_or_none(suffix: str, tmp_path: Path) -> None:
    whole = photograph(tmp_path / f"a{suffix}", 6).read_bytes()
    assert orientation(exif_of(whole)) == 6
    assert {orientation(exif_of(whole[:size])) for size in range(len(whole))} == {1, 6}
    assert exif_of(b"") == exif_of(b"RIFF\xff\xff\xff\xffWEBPEXIF\xff\xff\xff\xff") == b""


@pytest.mark.io
@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_is_read_in_both_byte_orders_and_never_fails(order: str) -> None:
    whole = exif(6, order)
    assert orientation(whole) == orientation(b"Exif\0\0" + whole) == 6
    assert [orientation(whole[:n]) for n in range(len(whole) - 10)] == [1] * (len(whole) - 10)
    assert orientation(exif(9, order)) == 1


@pytest.mark.io
def test_turning_keeps_every_sample() -> None:
    plane = np.arange(6, dtype=np.uint16).reshape(2, 3)
    assert upright(plane, 6).tolist() == [[3, 0], [4, 1], [5, 2]]
    assert upright(plane, 8).tolist() == [[2, 5], [1, 4], [0, 3]]
    assert upright(plane, 7).tolist() == [[5, 2], [4, 1], [3, 0]]


def portrait(ffmpeg: str, path: Path, turn: int = 90) -> Path:
    lying = path.with_name("lying.mp4")
    for arguments in (
        ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=0.3", "-c:v", "libx264", "-qp", "0", "-pix_fmt", "yuv420p"],
        ["-i", str(lying), "-c", "copy", "-metadata:s:v:0", f"rotate={turn}"],
    ):
        target = lying if "lavfi" in arguments else path
        subprocess.run([ffmpeg, "-v", "error", "-y", *arguments, str(target)], check=True)
    return path


CHAINS = ["crop=iw:ih/2", "scale=54:-2", "hflip", "vsr=scale=2,crop=iw:ih/2:0:0"]


@pytest.mark.parametrize("turn", [90, 180])
@pytest.mark.parametrize("chain", CHAINS)
def test_filters_see_upright_frames(chain: str, turn: int, ffmpeg: str, tmp_path: Path) -> None:
    source = portrait(ffmpeg, tmp_path / "in.mp4", turn)
    lossless = ["-c:v", "libx264", "-qp", "0"]
    model = ["--model", "bicubic"] if "vsr" in chain else []
    assert main(["-y", str(source), "-vf", chain, *model, *lossless, str(tmp_path / "ours.mkv")]) == 0
    theirs = chain.replace("vsr=scale=2", "scale=iw*2:ih*2")
    command = [ffmpeg, "-v", "error", "-i", str(source), "-vf", theirs, *lossless, str(tmp_path / "theirs.mkv")]
    subprocess.run(command, check=True)
    ours, expected = (pictures(tmp_path / f"{name}.mkv") for name in ("ours", "theirs"))
    assert [p.shape for p in ours] == [p.shape for p in expected]
    if "scale" not in chain:
        assert all((a == b).all() for a, b in zip(ours, expected, strict=True))


def pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        assert orientation_of(next(container.decode(video=0))).filters == ()
        container.seek(0)
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


@pytest.mark.parametrize(
    ("options", "name", "shape"),
    [
        (["-s", "54x72"], "o.mp4", (54, 72)),
        (["-s", "54x72", "-noautorotate"], "o.mp4", (72, 54)),
        ([], "o.mp4", (48, 64)),
        ([], "o.ts", (48, 64)),
        ([], "o.avi", (48, 64)),
        (["-f", "tee"], "a.mkv|b.ts", (48, 64)),
        ([], "frames/%03d.png", (48, 64)),
    ],
)
def test_sizes_are_those_of_the_upright_frame(
    options: list[str], name: str, shape: tuple[int, int], ffmpeg: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = portrait(ffmpeg, tmp_path / "in.mp4")
    monkeypatch.chdir(tmp_path)
    assert main([str(source), *options, "--model", "identity", "-y", name]) == 0
    for one in name.split("|"):
        shown = subprocess.run(
            [ffmpeg, "-v", "error", "-i", one, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "gray", "-vf",
             "showinfo", "-loglevel", "info", "-"], capture_output=True, check=True,
        ).stderr.decode()  # fmt: skip
        assert f" s:{shape[0]}x{shape[1]} " in shown, one


def test_split_and_merge_of_a_portrait_clip(ffmpeg: str, tmp_path: Path) -> None:
    source = portrait(ffmpeg, tmp_path / "in.mp4")
    assert main(["split", str(source), str(tmp_path / "frames") + "/"]) == 0
    assert cv2.imread(str(next((tmp_path / "frames").iterdir()))).shape[:2] == (64, 48)
    for name, folder in (("ours", "frames"), ("other", "lying")):
        if folder == "lying":
            command = [ffmpeg, "-v", "error", "-noautorotate", "-i", str(source)]
            (tmp_path / folder).mkdir()
            subprocess.run([*command, str(tmp_path / folder / "%d.png")], check=True)
        out = tmp_path / f"{name}.mp4"
        assert main(["merge", str(tmp_path / folder), str(out), "--audio-from", str(source)]) == 0
        probe = [ffmpeg, "-v", "error", "-i", str(out), "-frames:v", "1", str(tmp_path / f"{name}.png")]
        subprocess.run(probe, check=True)
        assert cv2.imread(str(tmp_path / f"{name}.png")).shape[:2] == (64, 48)


@pytest.mark.io
def test_the_shape_of_pixels_of_pictures(ffmpeg: str, tmp_path: Path) -> None:
    subprocess.run(
        [ffmpeg, "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.1,setsar=16/11", "-frames:v", "1",
         str(tmp_path / "a.png")], check=True,
    )  # fmt: skip
    source = open_source(InputOptions(path=str(tmp_path / "a.png")), OutputOptions())
    assert source.info.video.sample_aspect_ratio == Fraction(16, 11)
