"""Training: resumable to the bit, reproducible by seed, clear about wrong data, for every network it trains."""

from __future__ import annotations

import csv
import os
import re
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open

from streamvsr.cli import main
from streamvsr.cli.own_options import take
from streamvsr.degrade import RECIPES
from streamvsr.errors import CheckpointError, StreamvsrError, UsageError
from streamvsr.models.checkpoint import read
from streamvsr.models.registry import load_model, select
from streamvsr.training.clips import Budget, Frames, HeldClip, open_clips, open_photos
from streamvsr.training.options import TrainOptions, merged
from streamvsr.training.sequences import Sampler
from streamvsr.training.trainer import Trainer, train
from tests.conftest import ROOT
from tests.test_training_losses import small_vgg
from tests.training_clips import pictures, write_pictures, write_video

TINY = {"rt": {"channels": 4}, "basicvsr": {"channels": 4, "blocks": 1},
        "realbasicvsr": {"channels": 4, "blocks": 1, "cleaning_blocks": 1}}  # fmt: skip


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``clip.mkv``, ``frames/`` with the same ten frames, and ``photos/`` of two sizes."""
    folder = tmp_path_factory.mktemp("material")
    write_video(folder / "clip.mkv", pictures(10))
    write_pictures(folder / "frames", pictures(10))
    write_pictures(folder / "photos", pictures(1))
    write_pictures(folder / "photos", pictures(1, 72, 64), first=1)
    return folder


def options(material: Path, name: str, model: str = "rt", **more: Any) -> TrainOptions:
    data, photos = (str(material / "clip.mkv"), str(material / "frames")), (str(material / "photos"),)
    small: dict[str, Any] = {"patch": 32, "steps": 8, "batch": 2, "frames": 4, "log_every": 1, **TINY[model]}
    small |= {"data": data, "photos": photos, "out": str(material / f"{name}.safetensors")}
    return TrainOptions(**{"model": model, "run": str(material / name), **small, **more})


def log_of(run: str | None) -> list[list[str]]:
    """The log without the columns that tell the time."""
    with Path(str(run), "log.csv").open() as file:
        return [line[:-2] for line in csv.reader(file)]


def same(a: Trainer, b: Trainer) -> bool:
    return a.step == b.step and all(torch.equal(value, b.average[key]) for key, value in a.average.items())


# --- runs


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ("rt", {"degrade": "real", "long_frames": 6, "temporal": 0.5}),
        ("basicvsr", {"mirror": True, "steps": 5, "freeze_flow": 4}),
        (
            "realbasicvsr",
            {"degrade": "real", "sharpen": True, "gan": 0.05, "discriminator_channels": 4, "steps": 5, "frames": 2},
        ),
    ],
)
def test_a_resumed_run_ends_like_one_that_was_not_stopped(material: Path, model: str, more: dict[str, Any]) -> None:
    whole = options(material, f"{model}-whole", model, **more)
    parts = options(material, f"{model}-parts", model, **more)
    uninterrupted = train(whole)
    train(replace(parts, stop_at=3))
    resumed = train(replace(parts, resume=True))
    assert same(uninterrupted, resumed)
    # Nor is there a jump on the way: the log holds the same losses.
    assert log_of(whole.run) == log_of(parts.run)
    assert [line[0] for line in log_of(whole.run)] == ["step", *map(str, range(1, whole.steps + 1))]
    again = train(replace(whole, run=str(material / f"{model}-again")))
    assert same(uninterrupted, again)
    assert not same(uninterrupted, train(replace(whole, run=str(material / f"{model}-other"), seed=2)))
    assert load_model(select(model, checkpoint=whole.out)).info.name == model


KILLED = """
import os, signal, sys
from streamvsr.cli import main
from streamvsr.training.trainer import Trainer
whole = Trainer.advance
def advance(self, *batch):
    if self.step == 47:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(self, *batch)
Trainer.advance = advance
main(sys.argv[1:])
"""
"""Dies between two saves, however fast the machine is."""


def test_a_killed_run_goes_on_without_a_jump(material: Path) -> None:
    wanted = options(material, "never-killed", steps=60, save_every=20, degrade="real")
    killed = replace(wanted, run=str(material / "killed"), out=str(material / "killed.safetensors"))
    words = ["train", "rt", *wanted.data, "--photos", wanted.photos[0]]
    words += ["--out", killed.out, "--run", str(killed.run), "--patch", "32", "--steps", "60", "--batch", "2"]
    words += ["--frames", "4", "--channels", "4", "--save-every", "20", "--log-every", "1", "--degrade", "real"]
    # The same number of threads: sums in another order end in other last bits.
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run([sys.executable, "-c", KILLED, *words], env=env, stderr=subprocess.DEVNULL, check=False)
    assert done.returncode == -signal.SIGKILL
    assert 40 <= len(log_of(killed.run)) - 1 <= 47
    resumed = train(replace(killed, resume=True))
    assert same(train(wanted), resumed)
    # What was done after the last save is done, and logged, again: the same losses.
    expected = {line[0]: line for line in log_of(wanted.run)}
    assert all(line == expected[line[0]] for line in log_of(killed.run))


def test_the_command(material: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = material / "run.toml"
    config.write_text(
        f"model = 'rt'\ndata = ['{material / 'clip.mkv'}']\nframes = 4\npatch = 32\nsteps = 2\nchannels = 4\n"
        f"run = '{material / 'commanded'}'\nlr = 1e-3\n[notes]\nlicence = 'CC0'\n"
    )
    out = material / "commanded.safetensors"
    assert main(["train", "--config", str(config), "--out", str(out), "--note", "licence=CC0-1.0", "--batch", "1"]) == 0
    with safe_open(out, "pt") as file:
        metadata = file.metadata()
    assert metadata["training_data"] == "clip.mkv"
    assert (metadata["licence"], metadata["steps"], metadata["architecture"]) == ("CC0-1.0", "2 of 2", "rt")
    measured = ["evaluate", str(out), str(material / "clip.mkv"), "--degrade", "bicubic", "--metric", "psnr_y"]
    assert main([*measured, "-frames:v", "2"]) == 0
    assert main(["train", "--config", str(config), "--out", str(out)]) == 2
    assert "--resume" in capsys.readouterr().err
    assert main(["train", "--help"]) == 0
    assert "--degrade" in capsys.readouterr().out


def test_training_learns(material: Path) -> None:
    """A small BasicVSR comes nearer to the truth than what it starts from, bilinear enlargement and noise."""
    trainer = Trainer(options(material, "learns", "basicvsr", lr=3e-2, photos=(), frames=2))
    batch = trainer.batch(0)
    losses = [trainer.advance(batch)["pixel"] for _ in range(25)]
    assert losses[-1] < 0.8 * losses[0], losses


def test_frozen_flow_stays(material: Path) -> None:
    trainer = Trainer(options(material, "frozen", "basicvsr", freeze_flow=2))
    before = {key: value.clone() for key, value in trainer.net.state_dict().items()}
    for step in range(2):
        trainer.advance(trainer.batch(step))
    after = trainer.net.state_dict()
    assert {key.startswith("spynet.") for key in before if torch.equal(before[key], after[key])} == {True}
    trainer.advance(trainer.batch(2))
    assert any(not torch.equal(before[key], after[key]) for key in before if key.startswith("spynet.basic"))


def test_training_begins_with_given_weights(material: Path) -> None:
    start = options(material, "start", "basicvsr", steps=1)
    train(start)
    more = options(material, "deeper", "realbasicvsr", init=start.out, blocks=2)
    trainer = Trainer(more)
    for key, value in read(Path(start.out)).state.items():
        assert torch.equal(trainer.average[f"basicvsr.{key}"], value), key
    # The second block is new and gives nothing yet.
    assert not trainer.average["basicvsr.forward_resblocks.main.2.1.conv2.weight"].any()
    for wrong, words in (({"channels": 6}, "does not fit"), ({"model": "rt", "channels": 4}, "basicvsr network")):
        with pytest.raises(StreamvsrError, match=words):
            Trainer(replace(more, **wrong))


def test_perceptual_and_adversarial_training_runs(material: Path, tmp_path: Path) -> None:
    torch.save(small_vgg()[1], tmp_path / "vgg.pth")
    more = {"perceptual": 1.0, "gan": 0.05, "vgg": str(tmp_path / "vgg.pth"), "steps": 2}
    second = options(material, "second", "realbasicvsr", **more)
    trainer = train(second)
    assert set(log_of(second.run)[0]) == {"step", "pixel", "cleaning", "perceptual", "gan", "discriminator", "lr"}
    assert not any(key.startswith(("vgg", "discriminator")) for key in trainer.average)


def test_a_save_that_fails_leaves_what_was_there(material: Path) -> None:
    wanted = options(material, "full", steps=2)
    train(replace(wanted, stop_at=1))
    run, out = Path(str(wanted.run)), Path(wanted.out)
    (run / "plain").touch()
    assert out.stat().st_mode == (run / "plain").stat().st_mode
    before = [(path, path.read_bytes()) for path in (run / "state.pt", out)]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Nothing may be larger: as on a full disk, the beginning of a file can be written.
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        with pytest.raises(StreamvsrError, match=r"state\.pt': the file grows larger"):
            train(replace(wanted, resume=True))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert all(path.read_bytes() == content for path, content in before)
    assert not list(material.glob("**/*.part"))


def test_where_nothing_can_be_written_is_told_before_the_first_step(material: Path) -> None:
    clip = material / "clip.mkv"
    (material / "folder.safetensors").mkdir()
    for wrong, words in (
        ({"out": str(clip / "x.safetensors")}, "is a file, where a folder is needed"),
        ({"out": str(clip / "deeper" / "x.safetensors")}, "a part of the path is not a folder"),
        ({"run": str(clip)}, "is a file, where a folder is needed"),
        ({"out": str(material / "folder.safetensors")}, "is a folder; name a file in it"),
    ):
        with pytest.raises(StreamvsrError, match=words):
            train(replace(options(material, "nowhere"), **wrong), stopped=lambda: pytest.fail("a step was due"))


@pytest.mark.parametrize("spoil", ["cut", "empty", "text", "folder"])
def test_a_damaged_state_is_named(material: Path, tmp_path: Path, spoil: str) -> None:
    wanted = options(material, "damaged", steps=1, run=str(tmp_path), resume=True)
    state = tmp_path / "state.pt"
    if spoil == "folder":
        state.mkdir()
    else:
        Trainer(wanted).save(state)
        state.write_bytes({"cut": state.read_bytes()[:-3000], "empty": b"", "text": b"state"}[spoil])
    with pytest.raises(CheckpointError, match=r"state\.pt: is no state of a training, or it is damaged"):
        train(wanted)


def test_a_run_that_is_stopped_at_once_makes_no_checkpoint(material: Path) -> None:
    wanted = options(material, "at-once")
    assert train(wanted, stopped=lambda: True).step == 0
    assert not Path(wanted.out).exists()
    assert train(replace(wanted, resume=True)).step == wanted.steps


def test_log_and_metadata_tell_what_was_trained_for(material: Path) -> None:
    wanted = options(material, "told", steps=2, mirror=True)
    train(replace(wanted, stop_at=1))
    train(replace(wanted, resume=True, temporal=0.3, init=None))
    assert [line[0:3] for line in log_of(wanted.run)][::2] == [["step", "pixel", "lr"], ["step", "pixel", "temporal"]]
    with safe_open(wanted.out, "pt") as file:
        recipe = file.metadata()["recipe"]
    assert recipe.endswith("degradation clean, --frames 4, --mirror, --temporal 0.3"), recipe


# --- data


def test_frames_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number, picture in enumerate(pictures(11)):
        cv2.imwrite(str(tmp_path / f"frame{number}.png"), picture[..., ::-1])
    for size in (0, 1 << 30):
        (clip,) = open_clips([str(tmp_path)], 3, Budget(size))
        assert [int(frame[0, 0, 0]) for frame in clip.read(0, 11)] == [20 + 10 * n for n in range(11)]


def test_clips_are_read_alike_from_memory_video_and_pictures(material: Path) -> None:
    write_video(material / "keys.mp4", pictures(10), "libx264rgb", "rgb24", crf="0", g="4", bf="2")
    for channels in (1, 3):
        for name in ("clip.mkv", "keys.mp4", "frames"):
            held, read_ = (open_clips([str(material / name)], channels, Budget(size))[0] for size in (1 << 30, 0))
            assert isinstance(held, HeldClip)
            assert not isinstance(read_, HeldClip)
            assert held.shape == read_.shape == (10, 64, 80, channels)
            for where in ((0, 1), (3, 4), (9, 1), (0, 10), (1, 3, 3)):
                assert np.array_equal(held.read(*where), read_.read(*where)), (name, where)
        assert np.array_equal(held.read(0, 10), pictures(10)) or channels == 1
    assert open_clips([f"{material / 'clip.mkv'}@2"], 1, Budget(0))[0].shape == (10, 32, 40, 1)
    for size in (0, 1 << 30):
        photos = open_photos([str(material / "photos")], 3, Budget(size))
        assert [clip.read(0, 1).shape for clip in photos] == [(1, 64, 80, 3), (1, 72, 64, 3)]
        assert {type(clip) is HeldClip for clip in photos} == {size > 0}
    assert len(open_clips([str(material / "frames"), str(material / "clip.mkv")], 1, Budget(1 << 30))) == 2


def test_half_of_the_frames_are_read_and_played_back() -> None:
    class Counting(HeldClip):
        asked: ClassVar[list[int]] = []

        def read(self, first: int, count: int, stride: int = 1) -> Frames:
            self.asked.append(count)
            return super().read(first, count, stride)

    clip = Counting("clip", pictures(40))
    sampler = Sampler([clip], [], 0.0, 32, RECIPES["clean"], mirror=True)
    for seed in range(8):
        patch = sampler.sequence(10, np.random.default_rng(seed))
        assert patch.shape == (10, 32, 32, 3)
        assert np.array_equal(patch, patch[::-1])
    assert max(clip.asked) == 5
    low, truth = sampler.batch(2, 9, (1, 0))
    assert (low.shape, truth.shape) == ((9, 2, 3, 8, 8), (9, 2, 3, 32, 32))


def test_errors_name_the_input_and_the_way_out(material: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    (tmp_path / "empty").mkdir()
    write_pictures(tmp_path / "mixed", pictures(3))
    write_pictures(tmp_path / "mixed", pictures(2, 64, 64), first=3)
    write_pictures(tmp_path / "deep" / "a" / "b", pictures(1))
    family = {"model": "realbasicvsr", "perceptual": 1.0}
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"data": (str(tmp_path / "nowhere"),)}, "nowhere: no such file"),
        ({"data": (str(tmp_path / "empty"),)}, "empty: no videos, pictures or folders"),
        ({"data": (str(tmp_path / "broken.mp4"),)}, "broken.mp4': FFmpeg cannot make sense of it"),
        ({"data": (str(tmp_path / "mixed"),)}, "0003.png: 64x64 after frames of 80x64.*--photos"),
        ({"data": (str(tmp_path / "mixed"),), "cache_mib": 0}, "0003.png: 64x64 after"),
        ({"data": (f"{material / 'clip.mkv'}@4",)}, "clip.mkv: 20x16 after shrinking"),
        ({"data": (f"{material / 'clip.mkv'}@99",)}, "1 to 16"),
        ({"data": (), "photos": ()}, "nothing to train on"),
        ({"frames": 12}, "clip.mkv: 10 frames, but sequences of 13.*--frames"),
        ({"frames": 30, "mirror": True}, "clip.mkv: 10 frames, but sequences of 31, of which half"),
        ({"data": (str(material / "clip.mkv"), str(tmp_path / "deep"))}, "deep/a: holds folders alone; .*deep/a/b"),
        ({"photos": (str(material / "clip.mkv"),)}, "no pictures"),
        ({"resume": True}, "nothing to resume"),
        ({"device": "cuda:77"}, "--device"),
        ({**family, "vgg": str(tmp_path / "none.pth")}, "none.pth: no such file"),
        ({**family, "vgg": str(tmp_path / "broken.mp4")}, "cannot be read as weights"),
    )
    for wrong, words in cases:
        with pytest.raises(StreamvsrError, match=words) as caught:
            train(replace(options(material, "wrong"), **wrong))
        assert "\n" not in str(caught.value)
        assert not (material / "wrong").exists()


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    good = {"model": "rt", "out": "x.safetensors"}
    for wrong, words in (
        ({"model": "edvr"}, "rt, basicvsr"),
        ({"out": "x.pth"}, "safetensors"),
        ({"patch": 34}, "multiple of 4"),
        ({"lr": 0.0}, "learning rate"),
        ({"perceptual": 1.0}, "--vgg"),
        ({"gan": 1.0}, "luma alone"),
        ({"gan": 1.0, "model": "basicvsr", "patch": 36}, "--patch 36: --gan needs a multiple of 8"),
        ({"notes": ("licence=CC0", "scale=2")}, "--note scale=2: the checkpoint is read by"),
        ({"degrade": "none"}, "clean"),
        ({"batch": 0}, "--batch"),
    ):
        with pytest.raises(UsageError, match=words):
            merged({**good, **wrong}, None)
    file = tmp_path / "run.toml"
    for text, words in (("x = 1", "no option"), ("frames = 'many'", "not a whole number"), ("= 2", "not TOML"),
                        ("data = 'clips'", "not a list of texts"), ("ema = nan", "nan is no number")):  # fmt: skip
        file.write_text(text)
        with pytest.raises(UsageError, match=words):
            merged(good, str(file))
    assert main(["train", "rt", "--nonsense"]) == 2
    assert main(["train", "rt", "x", "--config"]) == 2


# --- the page


def test_the_page_names_options_that_there_are(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "training.md").read_text("utf-8")
    joined = page.replace("\\\n", " ")
    lines = [line.split() for line in joined.splitlines() if line.startswith("    streamvsr train ")]
    assert len(lines) >= 3
    for words in lines:
        given, paths = take(words[2:], TrainOptions)
        assert not [word for word in paths if word.startswith("-")], words
        merged({"model": paths[0], "data": tuple(paths[1:]), **given}, None)
    (tmp_path / "run.toml").write_text(re.findall(r"```toml\n(.*?)```", page, re.DOTALL)[0])
    assert merged({}, str(tmp_path / "run.toml")).long_frames == 15
    assert all(f"`{name}`" in page for name in RECIPES)
