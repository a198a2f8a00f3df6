"""Looking at an input: what is measured is what was put in; the choice follows; what can be read once is left alone."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamvsr.config import InputOptions, OutputOptions
from streamvsr.errors import SourceError
from streamvsr.footage.choose import CLEAN, RESTORING, choose, hints
from streamvsr.footage.measure import Luma, blockiness, combing, detail, noise
from streamvsr.footage.sample import COMBED, CannotLookError, Footage, jpeg_step, look
from streamvsr.look.forecast import SETTLED_FRAMES, settled_rate, written_part
from tests.conftest import ROOT

pytestmark = pytest.mark.io

CLEAN_FOOTAGE = Footage(640, 360, "h264", 25.0, 10.0, 1.0, 28, 0.3, 1.05, 0.7, 12.0, False, False, 0.0)


@pytest.fixture(autouse=True)
def only_what_ships(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints that somebody has fetched would be chosen."""
    folder = tmp_path_factory.mktemp("empty")
    monkeypatch.setenv("STREAMVSR_CACHE", str(folder))
    monkeypatch.chdir(folder)


def scene(width: int = 320, height: int = 192, seed: int = 0) -> Luma:
    """Smooth ground with shapes on it, 8-bit codes."""
    rng = np.random.default_rng(seed)
    small = rng.uniform(60, 200, (height // 32, width // 32)).astype(np.float32)
    ground = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(12):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        cv2.circle(ground, (x, y), int(rng.integers(5, 20)), float(rng.uniform(40, 220)), -1, cv2.LINE_AA)
    return np.asarray(ground, np.float32)


def write(path: Path, frames: list[Luma], codec: str, **options: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = frames[0].shape
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            y = frame.clip(0, 255).round().astype(np.uint8)
            planes = np.vstack([y, np.full((y.shape[0] // 2, y.shape[1]), 128, np.uint8)])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(stream.encode(None))
    return path


def moving(count: int = 30) -> list[Luma]:
    wide = scene(384, 192)
    return [np.ascontiguousarray(wide[:, n : n + 320]) for n in range(count)]


@pytest.mark.parametrize("sigma", [0.0, 1.0, 3.0, 8.0])
def test_noise_is_measured(sigma: float) -> None:
    rng = np.random.default_rng(1)
    found = noise(np.asarray(scene() + rng.normal(0, sigma, (192, 320)), np.float32))
    assert abs(found - sigma) <= 0.15 * sigma + 0.15


def test_texture_everywhere_is_no_noise() -> None:
    rng = np.random.default_rng(3)
    ground = cv2.GaussianBlur(rng.normal(128, 90, (192, 320)).astype(np.float32), (0, 0), 1.2)
    assert noise(np.asarray(ground, np.float32)) == 0


def test_noise_of_frames_that_show_nothing() -> None:
    assert np.isnan(noise(np.zeros((64, 64), np.float32)))
    assert np.isnan(noise(np.full((8, 8), 100, np.float32)))


def test_blocks_are_found_wherever_their_grid_begins() -> None:
    rng = np.random.default_rng(2)
    ground = np.asarray(scene() + rng.normal(0, 1, (192, 320)), np.float32)
    blocks = rng.normal(0, 4, (25, 41)).astype(np.float32).repeat(8, 0).repeat(8, 1)
    assert blockiness(ground) < 1.2
    for shift in (0, 3):
        assert blockiness(np.asarray(ground + blocks[shift : shift + 192, shift : shift + 320], np.float32)) > 1.6
    assert blockiness(np.full((64, 64), 100, np.float32)) == 1
    assert blockiness(np.zeros((4, 4), np.float32)) == 1


def test_a_blurred_frame_has_less_detail() -> None:
    rng = np.random.default_rng(3)
    sharp = rng.uniform(0, 255, (128, 128)).astype(np.float32)
    blurred = np.asarray(cv2.GaussianBlur(sharp, (0, 0), 3), np.float32)
    assert detail(sharp) > 0.8
    assert detail(blurred) < 0.3
    assert np.isnan(detail(np.full((8, 8), 5, np.float32)))


def test_fields_of_two_moments_are_found(tmp_path: Path) -> None:
    shot = moving(64)[::4]
    woven = [early.copy() for early in shot[::2]]
    for early, late in zip(woven, shot[1::2], strict=True):
        early[1::2] = late[1::2]
    assert look(InputOptions(path=str(write(tmp_path / "woven.mkv", woven, "ffv1")))).combed
    assert not look(InputOptions(path=str(write(tmp_path / "whole.mkv", shot, "ffv1")))).combed


def test_lines_that_alternate_down_and_not_across() -> None:
    stripes = np.zeros((64, 64), np.float32)
    stripes[::2] = 200
    assert combing(stripes) > 0.9
    assert combing(np.ascontiguousarray(stripes.T)) == 0
    assert combing(np.random.default_rng(4).integers(0, 256, (200, 300)).astype(np.float32)) < COMBED
    assert combing(np.zeros((2, 3), np.float32)) == 0


def test_horizontal_lines_are_no_fields(tmp_path: Path) -> None:
    """The demo clip has a tower with louvres: every other line of it differs from both beside it."""
    assert not look(InputOptions(path=str(ROOT / "demo/city_180p.mp4"))).combed
    lines = []
    for n in range(30):
        frame = np.full((192, 320), 60, np.float32)
        frame[:, 100 + 2 * n : 220 + 2 * n][::2] = 200
        lines.append(frame)
    assert not look(InputOptions(path=str(write(tmp_path / "lines.mkv", lines, "ffv1")))).combed


@pytest.mark.parametrize(("codec", "options", "low", "high"), [
    ("libx264", {"qp": "14", "bf": "0"}, 11, 15),
    ("libx264", {"qp": "34", "bf": "0"}, 31, 35),
    ("mpeg4", {"qmin": "9", "qmax": "9"}, 8.5, 9.5),
    ("mpeg2video", {"qmin": "6", "qmax": "6"}, 5.5, 6.5),
])  # fmt: skip
def test_the_decoder_tells_the_quantiser(
    codec: str, options: dict[str, str], low: float, high: float, tmp_path: Path
) -> None:
    # The key frame of a constant x264 quantiser is a little finer than the others.
    path = write(tmp_path / "clip.mkv", moving(), codec, **options)
    found = look(InputOptions(path=str(path))).quantiser
    assert found is not None
    assert low <= found <= high


def test_clean_and_damaged_files_are_told_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    frames = moving()
    grainy = [np.asarray(f + rng.normal(0, 5, f.shape), np.float32) for f in frames]
    clips = {
        CLEAN: [write(tmp_path / "fine.mp4", frames, "libx264", crf="10"), write(tmp_path / "f.mkv", frames, "ffv1")],
        RESTORING: [
            write(tmp_path / "crf32.mp4", frames, "libx264", crf="32"),
            write(tmp_path / "mpeg4.avi", frames, "mpeg4", qmin="12", qmax="12"),
            write(tmp_path / "grain.mkv", grainy, "ffv1"),
        ],
    }
    for expected, paths in clips.items():
        for path in paths:
            footage = look(InputOptions(path=str(path)))
            assert choose(footage, gpu=False).model == expected, f"{path.name}: {footage}"


def test_repeats_and_length(tmp_path: Path) -> None:
    twice = [frame for frame in moving(20) for _ in range(2)]
    found = look(InputOptions(path=str(write(tmp_path / "twice.mkv", twice, "ffv1"))))
    assert 0.4 <= found.repeated <= 0.6
    assert found.frame_rate == 25
    assert found.seconds == pytest.approx(1.6, abs=0.1)
    assert (found.width, found.height) == (320, 192)


def test_a_folder_of_images(tmp_path: Path) -> None:
    for number, frame in enumerate(moving(4)):
        cv2.imwrite(str(tmp_path / f"{number:03}.png"), frame.clip(0, 255).astype(np.uint8))
    found = look(InputOptions(path=str(tmp_path)))
    assert (found.width, found.height, found.frames) == (320, 192, 4)
    assert choose(found, gpu=False).model == CLEAN


@pytest.mark.parametrize("path", ["-", "pipe:0", "rtsp://camera/1", "http://host/x.mp4"])
def test_what_can_be_read_once_is_not_opened(path: str) -> None:
    with pytest.raises(CannotLookError):
        look(InputOptions(path=path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_loses_nothing(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    received = []
    reader = threading.Thread(target=lambda: received.append(fifo.read_bytes()))
    with pytest.raises(CannotLookError, match="no regular file"):
        look(InputOptions(path=str(fifo)))
    reader.start()
    fifo.write_bytes(b"all of it")
    reader.join()
    assert received == [b"all of it"]


def test_errors_name_the_input(tmp_path: Path) -> None:
    (tmp_path / "rubbish.mp4").write_bytes(b"no video at all" * 50)
    for name in ("rubbish.mp4", "missing.mp4"):
        with pytest.raises(SourceError, match=name):
            look(InputOptions(path=str(tmp_path / name)))


def test_noise_of_the_colours_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for sigma, wanted in ((0.0, CLEAN), (4.0, RESTORING)):
        with av.open(str(tmp_path / f"{wanted}.mkv"), "w") as container:
            stream = container.add_stream("ffv1", rate=25)
            stream.height, stream.width, stream.pix_fmt = 192, 320, "yuv420p"
            for luma in moving(4):
                chroma = rng.normal(128, sigma, (96, 320)).round()
                planes = np.vstack([luma.round(), chroma]).clip(0, 255).astype(np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
            container.mux(stream.encode(None))
        choice = choose(look(InputOptions(path=str(tmp_path / f"{wanted}.mkv"))), gpu=False)
        assert choice.model == wanted
    assert choice.reason.startswith("noisy colours (deviation ")


def jpegs(folder: Path, quality: int) -> list[bytes]:
    folder.mkdir()
    done = []
    for n, frame in enumerate(moving(6)):
        _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
        (folder / f"{n}.jpg").write_bytes(data.tobytes())
        done.append(data.tobytes())
    return done


@pytest.mark.parametrize(("quality", "model"), [(90, CLEAN), (55, RESTORING)])
def test_jpegs_tell_their_quantiser(tmp_path: Path, quality: int, model: str) -> None:
    images = jpegs(tmp_path / "images", quality)
    footage = look(InputOptions(path=str(tmp_path / "images")))
    assert footage.quantiser == jpeg_step(images[0])
    # The standard's table, 11 in the middle of these, by the libraries' rule for qualities.
    assert footage.quantiser == pytest.approx(
        15 * (200 - 2 * quality if quality >= 50 else 5000 / quality) / 100, rel=0.1
    )
    assert choose(footage, gpu=False).model == model
    with av.open(str(tmp_path / "video.mkv"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width, stream.pix_fmt = 192, 320, "yuvj420p"
        for n, data in enumerate(images):
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, n, n, Fraction(1, 25)
            container.mux(packet)
    assert look(InputOptions(path=str(tmp_path / "video.mkv"))).quantiser == footage.quantiser


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xdb\x00\x43\x00short"])
def test_what_is_no_jpeg_has_no_step(data: bytes) -> None:
    assert jpeg_step(data) is None


@pytest.mark.parametrize("deep", [False, True])
def test_a_jpeg_that_is_cut_off_has_no_step(deep: bool) -> None:
    table = np.full(64, 9, ">u2" if deep else np.uint8).tobytes()
    whole = (
        b"\xff\xd8\xff\xe0\x00\x04\x00\x00\xff\xdb" + (3 + len(table)).to_bytes(2, "big") + bytes([deep << 4]) + table
    )
    assert jpeg_step(whole) == 9
    assert {jpeg_step(whole[:size]) for size in range(len(whole))} == {None}


def test_bits_a_pixel_are_those_of_the_whole_file(tmp_path: Path) -> None:
    # Its header states the most that it may have, or no number: 74 bits a pixel here.
    path = write(tmp_path / "old.mpg", moving(), "mpeg1video")
    footage = look(InputOptions(path=str(path)))
    assert footage.seconds is not None
    assert footage.frame_rate is not None
    frames, whole = footage.seconds * footage.frame_rate, footage.bits_per_pixel
    assert whole == pytest.approx(path.stat().st_size * 8 / (frames * 320 * 192))
    cut = look(InputOptions(path=str(path), duration=Fraction(1, 5)))
    assert cut.bits_per_pixel == whole


def test_a_rate_that_cannot_be_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "video.mp4", moving(), "libx264")
    monkeypatch.setattr("streamvsr.footage.sample.frame_rate", lambda _stream: Fraction(12))
    assert look(InputOptions(path=str(path))).frame_rate == 12


def test_flat_frames_are_not_blurred(tmp_path: Path) -> None:
    flat = [np.full((192, 320), value, np.float32) for value in (90, 100, 110, 120)]
    footage = look(InputOptions(path=str(write(tmp_path / "flat.mkv", flat, "ffv1"))))
    assert (footage.detail, hints(footage)) == (1, [])


def test_the_rate_of_a_trial_is_that_of_its_settled_part() -> None:
    """An encoder takes its first 48 frames at a hundred a second, and then ten."""
    start = [100 + n / 100 for n in range(SETTLED_FRAMES + 1)]
    moments = start + [start[-1] + n / 10 for n in range(1, 60)]
    assert settled_rate(moments, 99.0, 5.0) == pytest.approx(10), "none of them came before the encoder was full"
    few = [10 + n / 4 for n in range(20)]
    assert settled_rate(few, 9.0, 0.0) == pytest.approx(4)
    assert settled_rate(few, 9.0, 0.25) == pytest.approx(2), "all of them are still to be encoded"
    assert settled_rate([*start, start[-1] + 1], 99.0, 0.5) == pytest.approx(25 / (24 * (0.01 + 0.5) + 1))
    assert settled_rate([10.0, 12.0], 9.0, 0.0) == pytest.approx(0.5)
    assert settled_rate([10.0], 8.0, 0.5) == pytest.approx(0.4)
    assert settled_rate([], 8.0, 0.0) is None


@pytest.mark.parametrize(
    ("output", "part"),
    [
        (OutputOptions(), (0, 10, 250)),
        (OutputOptions(start=Fraction(4)), (4, 6, 150)),
        (OutputOptions(start=Fraction(4), duration=Fraction(2)), (4, 2, 50)),
        (OutputOptions(end=Fraction(3)), (0, 3, 75)),
        (OutputOptions(end=Fraction(30)), (0, 10, 250)),
        (OutputOptions(start=Fraction(30)), (30, 0, 0)),
        (OutputOptions(frames=5), (0, 0.2, 5)),
        (OutputOptions(frames=999), (0, 10, 250)),
        (OutputOptions(rate=Fraction(50)), (0, 10, 500)),
    ],
)
def test_a_forecast_is_for_what_is_written(output: OutputOptions, part: tuple[float, float, float]) -> None:
    assert written_part(output, CLEAN_FOOTAGE) == pytest.approx(part)


def test_a_forecast_without_a_length() -> None:
    endless = replace(CLEAN_FOOTAGE, seconds=None)
    assert written_part(OutputOptions(), endless) == (0, None, None)
    assert written_part(OutputOptions(duration=Fraction(2)), endless) == (0, 2, 50)
    assert written_part(OutputOptions(frames=50), endless) == (0, None, 50)
