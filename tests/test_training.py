"""Training: resumable to the bit, reproducible by seed, clear about wrong data, for every network it trains."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import av
import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from streamvsr.cli import main
from streamvsr.cli.own_options import take
from streamvsr.errors import StreamvsrError, UsageError
from streamvsr.models.checkpoint import read
from streamvsr.models.registry import load_model, select
from streamvsr.training import evaluate_rt
from streamvsr.training.clips import Budget, Frames, HeldClip, load_sequence, open_clips, open_photos
from streamvsr.training.degrade import RECIPES
from streamvsr.training.discriminator import Discriminator
from streamvsr.training.losses import VGG_WEIGHTS, PerceptualLoss, sharpened, temporal_loss
from streamvsr.training.options import TrainOptions, merged
from streamvsr.training.sequences import Sampler
from streamvsr.training.trainer import Trainer, train
from tests.conftest import ROOT

TINY = {"rt": {"channels": 4}, "basicvsr": {"channels": 4, "blocks": 1},
        "realbasicvsr": {"channels": 4, "blocks": 1, "cleaning_blocks": 1}}  # fmt: skip


def pictures(count: int, height: int = 64, width: int = 80) -> Frames:
    """(count, height, width, 3): a coloured pattern that slides; the first column's red is the frame's number."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin((x + 2 * t) * (0.4 + c / 5)) * np.cos(y * 0.3) for t in range(count) for c in range(3)]
    planes = 128 + 100 * np.array(waves).reshape(count, 3, height, width)
    painted = planes.transpose(0, 2, 3, 1).round().astype(np.uint8)
    painted[:, :, :8] = 20 + 10 * np.arange(count)[:, None, None, None]
    return painted


def write_video(path: Path, frames: Frames, codec: str = "ffv1", pixels: str = "bgr0", **options: str) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        for picture in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(stream.encode(None))


def write_pictures(folder: Path, frames: Frames, first: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(frames, first):
        cv2.imwrite(str(folder / f"{number:04}.png"), picture[..., ::-1])


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
    assert evaluate_rt.main([str(out), str(material / "clip.mkv"), "--limit", "2"]) == 0
    assert main(["train", "--config", str(config), "--out", str(out)]) == 2
    assert "--resume" in capsys.readouterr().err
    assert main(["train", "--help"]) == 0
    assert "--degrade" in capsys.readouterr().out


def test_training_learns(material: Path) -> None:
    """A small BasicVSR comes nearer to the truth than what it starts from, bilinear enlargement and noise."""
    trainer = Trainer(options(material, "learns", "basicvsr", lr=3e-2, photos=(), frames=2))
    batch = trainer.batch(0)
    losses = [trainer.advance(*batch)["pixel"] for _ in range(25)]
    assert losses[-1] < 0.8 * losses[0], losses


def test_frozen_flow_stays(material: Path) -> None:
    trainer = Trainer(options(material, "frozen", "basicvsr", freeze_flow=2))
    before = {key: value.clone() for key, value in trainer.net.state_dict().items()}
    for step in range(2):
        trainer.advance(*trainer.batch(step))
    after = trainer.net.state_dict()
    assert {key.startswith("spynet.") for key in before if torch.equal(before[key], after[key])} == {True}
    trainer.advance(*trainer.batch(2))
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


# --- data


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
    assert [clip.shape[1:3] for clip in open_photos([str(material / "photos")], 3)] == [(64, 80), (72, 64)]
    assert len(open_clips([str(material / "frames"), str(material / "clip.mkv")], 1, Budget(1 << 30))) == 2
    assert load_sequence(str(material / "frames"), 3).shape == (3, 64, 80)


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
    (tmp_path / "sound.mkv").touch()
    family = {"model": "realbasicvsr", "perceptual": 1.0}
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"data": (str(tmp_path / "nowhere"),)}, "nowhere: no such file"),
        ({"data": (str(tmp_path / "empty"),)}, "empty: no videos, pictures or folders"),
        ({"data": (str(tmp_path / "broken.mp4"),)}, "broken.mp4: cannot be decoded"),
        ({"data": (str(tmp_path / "mixed"),)}, "0003.png: 64x64 after frames of 80x64.*--photos"),
        ({"data": (str(tmp_path / "mixed"),), "cache_mib": 0}, "0003.png: 64x64 after"),
        ({"data": (f"{material / 'clip.mkv'}@4",)}, "clip.mkv: 20x16 after shrinking"),
        ({"data": (f"{material / 'clip.mkv'}@99",)}, "1 to 16"),
        ({"data": (), "photos": ()}, "nothing to train on"),
        ({"frames": 12}, "clip.mkv: 10 frames, but sequences of 13.*--frames"),
        ({"frames": 30, "mirror": True}, "clip.mkv: 10 frames, but sequences of 31, of which half"),
        ({"photos": (str(material / "clip.mkv"),)}, "no pictures"),
        ({"resume": True}, "nothing to resume"),
        ({"device": "cuda:77"}, "--device"),
        ({**family, "vgg": str(tmp_path / "none.pth")}, "none.pth: no such file"),
        (
            {"model": "realbasicvsr", "perceptual": 1.0, "vgg": str(tmp_path / "broken.mp4")},
            "cannot be read as weights",
        ),
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
        ({"degrade": "none"}, "clean"),
        ({"batch": 0}, "--batch"),
    ):
        with pytest.raises(UsageError, match=words):
            merged({**good, **wrong}, None)
    file = tmp_path / "run.toml"
    for text, words in (("x = 1", "no option"), ("frames = 'many'", "wrong type"), ("= 2", "not TOML")):
        file.write_text(text)
        with pytest.raises(UsageError, match=words):
            merged(good, str(file))
    assert main(["train", "rt", "--nonsense"]) == 2
    assert main(["train", "rt", "x", "--config"]) == 2


# --- losses


def small_vgg() -> tuple[nn.Sequential, dict[str, torch.Tensor]]:
    """torchvision's layout of ``vgg19().features``, narrower."""
    layers: list[nn.Module] = []
    width = 3
    for block, convolutions in enumerate((2, 2, 4, 4, 4)):
        for _ in range(convolutions):
            layers += [nn.Conv2d(width, 2 + block, 3, padding=1), nn.ReLU()]
            width = 2 + block
        layers.append(nn.MaxPool2d(2, 2))
    net = nn.Sequential(*layers)
    return net, {f"features.{key}": value for key, value in net.state_dict().items()}


def test_perceptual_features_are_those_of_torchvision(tmp_path: Path) -> None:
    torch.manual_seed(1)
    net, state = small_vgg()
    torch.save(state | {"classifier.0.weight": torch.zeros(1)}, tmp_path / "vgg.pth")
    loss = PerceptualLoss.read(tmp_path / "vgg.pth")
    a, b = torch.rand(2, 2, 3, 32, 32)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = torch.zeros(())
    for n, weight in VGG_WEIGHTS.items():
        features = [net[: n + 1]((x - mean.view(3, 1, 1)) / std.view(3, 1, 1)) for x in (a, b)]
        expected = expected + weight * (features[0] - features[1]).abs().mean()
    torch.testing.assert_close(loss(a, b), expected)
    a.requires_grad_(True)
    loss(a, b).backward()
    assert a.grad is not None
    assert a.grad.any()
    with pytest.raises(StreamvsrError, match=r"features\.34"):
        PerceptualLoss({key: value for key, value in state.items() if "34" not in key})


def test_perceptual_and_adversarial_training_runs(material: Path, tmp_path: Path) -> None:
    torch.save(small_vgg()[1], tmp_path / "vgg.pth")
    second = options(
        material, "second", "realbasicvsr", perceptual=1.0, gan=0.05, vgg=str(tmp_path / "vgg.pth"), steps=2
    )
    trainer = train(second)
    assert set(log_of(second.run)[0]) == {"step", "pixel", "cleaning", "perceptual", "gan", "discriminator", "lr"}
    assert not any(key.startswith(("vgg", "discriminator")) for key in trainer.average)


def test_the_adversary_learns_to_tell() -> None:
    torch.manual_seed(0)
    adversary = Discriminator(8)
    optimiser = torch.optim.Adam(adversary.parameters(), 2e-3)
    real, fake = torch.rand(4, 3, 16, 24), torch.full((4, 3, 16, 24), 0.5)
    assert adversary(real).shape == (4, 1, 16, 24)
    for _ in range(30):
        loss = nn.functional.softplus(-adversary(real)).mean() + nn.functional.softplus(adversary(fake)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert adversary(real).mean() > 0.5 + adversary(fake).mean()


def test_sharpening_is_unsharp_masking_behind_a_soft_mask() -> None:
    picture = pictures(1)[0].astype(np.float32) / 255
    residue = picture - cv2.GaussianBlur(picture, (51, 51), 0)
    mask = cv2.GaussianBlur((np.abs(residue) * 255 > 10).astype(np.float32), (51, 51), 0)
    expected = mask * np.clip(picture + 0.5 * residue, 0, 1) + (1 - mask) * picture
    result = sharpened(torch.from_numpy(picture).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(result, expected, atol=1e-4)


def test_the_temporal_loss_sees_flicker_and_no_constant_error() -> None:
    truth = torch.rand(5, 1, 1, 8, 8)
    steady = list(truth + 0.1)
    flickering = [frame + 0.1 * (-1) ** t for t, frame in enumerate(truth)]
    assert temporal_loss(steady, truth) < 0.002
    assert temporal_loss(flickering, truth) == pytest.approx(0.2, abs=0.002)


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
