"""Python: frames of one's own, arrays through a network, jobs that are watched and ended."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest

import streamvsr
from streamvsr.config import InputOptions, ModelOptions, OutputOptions
from streamvsr.typed_options import ReadOptions, Time, VsrOptions, WriteOptions
from tests.conftest import ROOT

RNG = np.random.default_rng(5)


def noise(count: int = 3, dtype: type = np.uint8) -> np.ndarray:
    return RNG.integers(0, np.iinfo(dtype).max + 1, (count, 18, 32, 3), dtype)


@pytest.mark.io
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_frames_come_out_as_they_went_in(dtype: type) -> None:
    given = noise(5, dtype)
    clip = streamvsr.from_frames(given, rate=12.5)
    for _ in range(2):
        frames = list(clip)
        np.testing.assert_array_equal([f.numpy() for f in frames], given)
        assert [f.seconds for f in frames] == [Fraction(2 * n, 25) for n in range(5)]
    assert iter(clip).info.frames_hint == 5
    np.testing.assert_array_equal(next(iter(clip.filter("hflip"))).numpy(), given[0][:, ::-1])


@pytest.mark.io
def test_a_generator_is_taken_bit_by_bit_and_written_to_a_file(tmp_path: Path) -> None:
    taken = []

    def frames() -> Iterator[np.ndarray]:
        for number in range(400):
            taken.append(number)
            yield np.full((18, 32, 3), number % 256, np.uint8)

    with iter(streamvsr.from_frames(frames(), rate=25)) as reader:
        next(reader)
    assert len(taken) < 100
    streamvsr.from_frames(frames(), rate=25).filter("trim=end_frame=30").write(tmp_path / "o.mkv")
    assert len(list(streamvsr.open(tmp_path / "o.mkv"))) == 30


def test_tensors() -> None:
    import torch

    given = torch.rand(2, 3, 18, 32)
    for tensors, most in ((given, 1 / 65535), ((given * 255).round().to(torch.uint8), 1 / 255)):
        frames = list(streamvsr.from_frames(tensors, rate=25))
        for frame, tensor in zip(frames, given, strict=True):
            assert (frame.torch() - tensor).abs().max() <= most


@pytest.mark.parametrize("model", ["rt", "rt-real"])
@pytest.mark.parametrize("floating", [False, True])
def test_tensors_of_a_device_stay_there(model: str, floating: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without a GPU the CPU stands in for one: what would go up again must not."""
    import torch

    from streamvsr.media.color import transfer, yuv

    given = torch.rand(4, 3, 18, 32)
    if not floating:
        given = (given * 255).round().to(torch.uint8)
    clip = streamvsr.from_frames(given, rate=25).filter("vsr", model=model)
    wanted = [(frame.numpy(), frame.torch()) for frame in clip]

    monkeypatch.setattr(transfer, "on_device", lambda tensor: True)
    first = next(iter(streamvsr.from_frames(given, rate=25)))
    assert all(torch.equal(transfer.codes_of(plane), torch.from_numpy(np.array(plane))) for plane in first.raw.planes)
    assert transfer.codes_of(first.raw.planes[0][1:]) is None
    sent: list[tuple[int, ...]] = []
    monkeypatch.setattr(yuv, "upload", lambda codes, device: sent.append(codes.shape) or codes)
    frames = list(clip)
    for frame, (array, tensor) in zip(frames, wanted, strict=True):
        np.testing.assert_array_equal(frame.numpy(), array)
        assert type(frame.numpy()) is np.ndarray
        assert torch.equal(frame.torch(), tensor)
    assert not [shape for shape in sent if shape[-2:] in ((18, 32), (72, 128))]
    # Behind a filter there are new planes, which the device has not seen.
    frames = list(clip.filter("vsr,hflip", model=model))
    assert torch.equal(
        frames[0].torch(), torch.from_numpy(frames[0].numpy()).permute(2, 0, 1) / frames[0].raw.format.peak
    )


@pytest.mark.io
@pytest.mark.parametrize(
    ("frames", "says"),
    [
        ([], "there are no frames"),
        ([np.zeros((4, 4), np.uint8)], "frame 0: expected an array"),
        ([np.zeros((4, 4, 3))], "not .* of float64"),
        ([np.zeros((0, 4, 3), np.uint8)], "frame 0: expected"),
        ([noise()[0], noise()[0][:4]], "frame 1 is 32x4 of uint8, and the first was 32x18 of uint8"),
        ([noise()[0], noise(1, np.uint16)[0]], "frame 1 is 32x18 of uint16"),
    ],
)
def test_what_is_no_frame(frames: list[np.ndarray], says: str) -> None:
    with pytest.raises(streamvsr.StreamvsrError, match=says):
        list(streamvsr.from_frames(frames, rate=25))
    with pytest.raises(streamvsr.StreamvsrError, match="rate=0"):
        streamvsr.from_frames(frames, rate=0)


def test_upscale_is_what_the_pipeline_gives() -> None:
    given = noise()
    made = streamvsr.upscale(given, model="rt")
    assert (made.shape, made.dtype) == ((3, 72, 128, 3), np.uint8)
    expected = [f.numpy() for f in streamvsr.from_frames(list(given), rate=25).filter("vsr", model="rt")]
    np.testing.assert_array_equal(made, expected)
    np.testing.assert_array_equal(streamvsr.upscale(list(given), model="rt"), made)
    assert streamvsr.upscale(given[0]).shape == (72, 128, 3)


@pytest.mark.io
def test_upscale_of_what_is_no_array_of_frames() -> None:
    for wrong in (iter([noise()]), noise()[0, 0], noise()[None]):
        with pytest.raises(streamvsr.StreamvsrError, match="upscale takes an array"):
            streamvsr.upscale(wrong)


@pytest.mark.io
class TestWriting:
    def clip(self, count: int = 2000) -> streamvsr.Clip:
        return streamvsr.from_frames((f for _ in range(count) for f in noise(1)), rate=25)

    def test_stopped_it_keeps_what_is_done(self, tmp_path: Path) -> None:
        writing = self.clip().filter("realtime").start(tmp_path / "o.mkv", crf=30.0)
        while writing.progress.frames_out < 3:
            assert not writing.wait(0.05)
        writing.stop()
        writing.result()
        assert 3 <= len(list(streamvsr.open(tmp_path / "o.mkv"))) < 500

    def test_cancelled_it_leaves_nothing(self, tmp_path: Path) -> None:
        writing = self.clip().filter("realtime").start(tmp_path / "o.mkv")
        writing.cancel()
        writing.result()
        assert list(tmp_path.iterdir()) == []

    def test_it_ends_with_the_program_and_leaves_nothing(self, tmp_path: Path) -> None:
        code = (
            "import numpy, streamvsr; frames = (numpy.zeros((18, 32, 3), numpy.uint8) for _ in range(9999)); "
            "job = streamvsr.from_frames(frames, rate=25).filter('realtime').start('o.mkv'); print(job)\n"
            "while not job.progress.frames_out: job.wait(0.05)\n"
            "raise SystemExit(7)"
        )
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (7, "Writing('o.mkv', 0 frames)\n"), done.stderr
        assert "the program ended before 'o.mkv' was written" in done.stderr
        assert list(tmp_path.iterdir()) == []

    def test_what_is_there_is_not_overwritten(self, tmp_path: Path) -> None:
        (tmp_path / "o.mkv").touch()
        with pytest.raises(streamvsr.StreamvsrError, match=r"exists already; .*overwrite=True"):
            self.clip(2).start(tmp_path / "o.mkv")

    def test_in_asyncio(self, tmp_path: Path) -> None:
        async def work() -> list[int]:
            writing = self.clip(40).start(tmp_path / "o.mkv")
            found = [progress.frames_out async for progress in writing]
            await writing
            return found

        found = asyncio.run(work())
        assert found[-1] == 40
        assert found == sorted(found)

    def test_what_goes_wrong_is_raised_at_the_end(self, tmp_path: Path) -> None:
        def frames() -> Iterator[np.ndarray]:
            yield noise()[0]
            yield noise()[0][:2]

        async def work() -> None:
            await streamvsr.from_frames(frames(), rate=25).start(tmp_path / "o.mkv")

        with pytest.raises(streamvsr.StreamvsrError, match="frame 1 is"):
            asyncio.run(work())
        assert list(tmp_path.iterdir()) == []


@pytest.mark.io
def test_type_checkers_know_the_options() -> None:
    times = {"start", "duration", "end", "rate"}
    for options, known, without in (
        (ModelOptions, VsrOptions, set[str]()),
        (InputOptions, ReadOptions, {"path", *times}),
        (OutputOptions, WriteOptions, {"path"}),
    ):
        hints = get_type_hints(options)
        declared = {f.name: Time | None if f.name in times else hints[f.name] for f in fields(options)}
        assert {name: hint for name, hint in declared.items() if name not in without} == get_type_hints(known)


@pytest.mark.io
def test_times_of_an_output_are_taken_as_those_of_an_input(tmp_path: Path) -> None:
    clip = streamvsr.from_frames(noise(6), rate=10)
    clip.write(tmp_path / "o.mkv", start=0.1, end="3/10", rate=10.0)
    assert [frame.seconds for frame in streamvsr.open(tmp_path / "o.mkv")] == [0, Fraction(1, 10)]
    with pytest.raises(streamvsr.StreamvsrError, match="start='soon': expected a number"):
        clip.write(tmp_path / "p.mkv", start="soon")
    with pytest.raises(streamvsr.StreamvsrError, match="did you mean crf"):
        clip.write(tmp_path / "p.mkv", crff=20)


@pytest.mark.io
def test_a_clip_says_briefly_what_it_is() -> None:
    assert repr(streamvsr.open("in.mp4").filter("hflip")) == "Clip('in.mp4', 'hflip')"
    assert repr(streamvsr.from_frames([], rate=25)) == "Clip('frames')"


@pytest.mark.io
def test_submodules_are_there_at_once() -> None:
    code = "import streamvsr; print(streamvsr.config.LiveOptions is streamvsr.LiveOptions, streamvsr.errors.UsageError)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("True")
