"""Training from a teacher: what is prepared is prepared once, goes on where it stopped, and is what is learnt from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from streamvsr.errors import CheckpointError, StreamvsrError, UsageError
from streamvsr.models.basicvsr.network import BasicVSRNet
from streamvsr.models.registry import load_model, select
from streamvsr.models.rt import RTModel, load
from streamvsr.models.rt.color import PLANES, RTColorNet, fold, unfold
from streamvsr.models.rt.network import RTNet
from streamvsr.models.srvgg import SRVGGNet
from streamvsr.training.branches import branch, collapsed
from streamvsr.training.checkerboard import checkerboard_free
from streamvsr.training.losses import energy_loss, gradient_loss
from streamvsr.training.networks import BT601, halved_chroma, matrix_of, rgb, ycbcr
from streamvsr.training.options import TrainOptions, merged
from streamvsr.training.prepared import Teacher
from streamvsr.training.trainer import Trainer, train
from tests.test_training import log_of, options, pictures, same, write_pictures


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``frames/``, ten of them, ``photos/``, and two teachers: of one frame (colours), and recurrent (luma)."""
    folder = tmp_path_factory.mktemp("taught")
    write_pictures(folder / "frames", pictures(10))
    write_pictures(folder / "photos", pictures(1))
    torch.manual_seed(0)
    save_file(SRVGGNet(8, 1).state_dict(), folder / "teacher.safetensors")
    save_file(RTNet(4).state_dict(), folder / "luma.safetensors")
    return folder


def taught(material: Path, name: str, **more: Any) -> TrainOptions:
    given = {"teacher": str(material / "teacher.safetensors"), "color": True, "sequences": 3, "prepared_patch": 48}
    given |= {"data": (str(material / "frames"),), "degrade": "web", "temporal": 0.5, "energy": 1.0, "frames": 3}
    return options(material, name, **{**given, **more})


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_preparation_and_training_go_on_where_they_were_stopped(material: Path) -> None:
    whole, parts = taught(material, "whole", steps=6), taught(material, "parts", steps=6)
    uninterrupted = train(whole)
    asked = iter([False, True])
    stopped = train(parts, stopped=lambda: next(asked, True))
    assert (stopped.step, len(contents(parts.prepared_folder))) == (0, 2)  # one sequence and the record
    assert not Path(parts.out).exists()
    train(replace(parts, resume=True, stop_at=4))
    resumed = train(replace(parts, resume=True))
    assert same(uninterrupted, resumed)
    assert log_of(whole.run) == log_of(parts.run)
    assert log_of(whole.run)[0] == ["step", "pixel", "temporal", "teacher", "gradients", "energy", "changes", "lr"]
    assert contents(whole.prepared_folder) == contents(parts.prepared_folder)
    assert all(np.isfinite(float(cell)) for line in log_of(whole.run)[1:] for cell in line)


def test_what_was_prepared_is_used_again_and_only_for_the_same(material: Path) -> None:
    first = taught(material, "first", steps=1)
    train(first)
    before = contents(first.prepared_folder)
    again = taught(material, "again", steps=1, prepared=str(first.prepared_folder), sequences=4)
    train(again)
    after = contents(first.prepared_folder)
    assert after.keys() - before.keys() == {"00003.safetensors"}
    assert {name: after[name] for name in before} == before
    with pytest.raises(UsageError, match="was prepared with degrade 'web', not 'clean'"):
        train(taught(material, "other", prepared=str(first.prepared_folder), degrade="clean"))
    (first.prepared_folder / "00001.safetensors").write_bytes(b"cut")
    with pytest.raises(CheckpointError, match=r"00001\.safetensors: is damaged"):
        train(taught(material, "cut", prepared=str(first.prepared_folder), steps=9))


def test_prepared_sequences_hold_what_the_teacher_makes_of_the_input(material: Path) -> None:
    wanted = taught(material, "holds", steps=1)
    train(wanted)
    tensors = load_file(wanted.prepared_folder / "00002.safetensors")
    assert {name: tuple(value.shape) for name, value in tensors.items()} == {
        "low": (4, 12, 12, 3), "truth": (4, 48, 48, 3), "teacher": (2, 48, 48, 3)
    }  # fmt: skip
    teacher = load_model(select(checkpoint=wanted.teacher)).session()
    frames = tensors["low"].permute(0, 3, 1, 2).float() / 255
    made = torch.stack(list(teacher.window(frames[::2], 2, range(2)))).clamp(0, 1) * 255
    assert (made.permute(0, 2, 3, 1) - tensors["teacher"].float()).abs().max() <= 0.501


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ("rt", {"color": False}),
        ("rt", {"color": False, "teacher": "luma.safetensors"}),
        ("basicvsr", {"color": False, "steps": 2}),
    ],
)
def test_every_network_can_be_taught(material: Path, model: str, more: dict[str, Any]) -> None:
    if "teacher" in more:
        more = more | {"teacher": str(material / more["teacher"])}
    name = f"{model}-{Path(more.get('teacher', 'rgb')).stem}"
    wanted = taught(material, name, model=model, **{"steps": 3, **more})
    trainer = train(wanted)
    assert trainer.step == wanted.steps
    assert "teacher" in log_of(wanted.run)[0]
    assert load_model(select(checkpoint=wanted.out)).info.name == model


def test_teachers_that_cannot_teach_are_refused(material: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"luma\.safetensors: looks at luma alone"):
        train(taught(material, "luma", teacher=str(material / "luma.safetensors")))
    save_file(SRVGGNet(8, 1, scale=2).state_dict(), tmp_path / "twice.safetensors")
    with pytest.raises(UsageError, match="enlarges by 2"):
        train(taught(material, "twice", teacher=str(tmp_path / "twice.safetensors")))
    with pytest.raises(StreamvsrError, match="no such checkpoint"):
        train(taught(material, "none", teacher=str(tmp_path / "none.safetensors")))
    save_file(BasicVSRNet(8, 1).state_dict(), tmp_path / "few.safetensors")
    with pytest.raises(UsageError, match=r"few\.safetensors: needs --prepared-patch 256 or more"):
        train(taught(material, "few", teacher=str(tmp_path / "few.safetensors")))
    with pytest.raises(UsageError, match="--prepared-patch"):
        merged({"model": "rt", "out": "x.safetensors", "teacher": "x", "patch": 128, "prepared_patch": 64}, None)
    with pytest.raises(UsageError, match="--color"):
        merged({"model": "basicvsr", "out": "x.safetensors", "color": True}, None)


def test_a_recurrent_teacher_sees_the_frames_in_between(material: Path) -> None:
    teacher = Teacher(str(material / "luma.safetensors"), 1, 32, torch.device("cpu"))
    frames = torch.rand(5, 1, 8, 8)
    assert torch.equal(teacher.frames(frames, 2), teacher.frames(frames, 1)[::2])


@pytest.mark.parametrize("domain", ["ycbcr", "rgba"])
def test_a_teacher_gets_what_its_network_takes(domain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever that is, R'G'B' and luma go in and come out."""
    teacher = Teacher("rt-real", 3, 32, torch.device("cpu"))
    assert teacher.identity.startswith("rt-real.safetensors sha256:")
    given: list[Tensor] = []

    class Enlarging:
        def window(self, frames: Tensor, *_: object) -> Iterator[Tensor]:
            given.append(frames)
            return iter(F.interpolate(frames, scale_factor=4))

    monkeypatch.setattr(teacher, "_info", replace(teacher._info, domain=domain))
    monkeypatch.setattr(teacher._model, "session", Enlarging)
    frames = torch.rand(3, 3, 8, 8)
    torch.testing.assert_close(teacher.frames(frames, 2), F.interpolate(frames[::2], scale_factor=4))
    alpha = torch.ones(3, 1, 8, 8)
    torch.testing.assert_close(given[-1], ycbcr(frames, BT601) if domain == "ycbcr" else torch.cat((frames, alpha), 1))
    torch.testing.assert_close(teacher.frames(frames[:, :1], 1), F.interpolate(frames[:, :1], scale_factor=4))


def test_the_checkpoint_has_both_heads_and_training_goes_on_from_it(material: Path) -> None:
    wanted = taught(material, "shipped", steps=4, channels=8)
    trainer = train(wanted)
    state = load_file(wanted.out)
    assert not any("parametrizations" in key for key in state)
    for key in ("leave.weight", "leave.bias", "detail.weight", "detail.bias"):
        torch.testing.assert_close(state[key], checkerboard_free(state[key], PLANES), atol=1e-7, rtol=0)
    assert {"leave.weight", "detail.weight"} <= state.keys()
    with safe_open(wanted.out, "pt") as file:
        assert (file.metadata()["detail"], file.metadata()["channels"]) == ("0.5", "8")
    assert load_model(select(checkpoint=wanted.out)).info.domain == "ycbcr"
    further = Trainer(taught(material, "further", init=wanted.out, channels=8))
    for key, value in further.trained.weights(further.average).items():
        torch.testing.assert_close(value, state[key], atol=1e-6, rtol=0)
    # Without a teacher there is one head, the truth's.
    alone = Trainer(taught(material, "alone", init=wanted.out, channels=8, teacher=None))
    leave = alone.trained.weights(alone.average)["leave.weight"]
    torch.testing.assert_close(leave, state["leave.weight"], atol=1e-6, rtol=0)
    del trainer


def test_weights_for_luma_begin_one_with_colours(material: Path) -> None:
    start = Trainer(taught(material, "coloured", init=str(material / "luma.safetensors"), channels=4, blocks=2))
    state = start.trained.weights(start.average)
    frames = torch.rand(4, 3, 10, 12) - torch.tensor([0, 0.5, 0.5]).view(3, 1, 1)
    plain = load_file(material / "luma.safetensors")
    for key in ("leave.weight", "leave.bias"):
        plain[key] = checkerboard_free(plain[key], PLANES[:1])
    luma = load(plain, {})
    whole = torch.stack(list(load(state, {}).session().window(frames, 4, range(4))))
    alone = torch.stack(list(luma.session().window(frames[:, :1], 4, range(4))))
    torch.testing.assert_close(whole[:, :1], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("color", [False, True])
def test_a_wider_network_begins_as_the_narrow_one(material: Path, color: bool) -> None:
    narrow = str(material / "luma.safetensors")
    if color:
        made = Trainer(taught(material, "narrow", init=narrow, channels=6))
        narrow = str(material / "narrow.safetensors")
        made.export(Path(narrow))
    how = {} if color else {"color": False, "teacher": None}
    start = Trainer(taught(material, "wide", init=narrow, channels=9, blocks=3, **how))
    state = start.trained.weights(start.average)
    assert state["enter.weight"].shape[0] == 9
    assert state["enter.weight"][6:].abs().min() > 0, "the new channels look at something"
    frames = torch.rand(4, 3 if color else 1, 10, 12)
    before, after = (
        torch.stack(list(load(weights, {"detail": "1"}).session().window(frames, 4, range(4))))
        for weights in (load_file(narrow), state)
    )
    torch.testing.assert_close(after, before, atol=1e-5, rtol=0)
    if color:
        # A branch whose two parts are both zero would never learn.
        branches = {key: value for key, value in start.net.state_dict().items() if key.endswith(".expand")}
        assert all(value.any() for value in branches.values())
    with pytest.raises(CheckpointError, match="does not fit; give at least its --channels, and at least its --blocks"):
        Trainer(taught(material, "thin", init=narrow, channels=3, **how))


def test_bf16_trains_float32_weights(material: Path) -> None:
    wanted = taught(material, "half", steps=3, precision="bf16")
    trainer = train(wanted)
    assert {value.dtype for value in trainer.average.values()} == {torch.float32}
    assert all(np.isfinite(float(cell)) for line in log_of(wanted.run)[1:] for cell in line)


def test_branches_are_one_convolution() -> None:
    torch.manual_seed(1)
    net = RTColorNet(4, 1)
    seen, hidden = torch.rand(2, 9, 6, 7), torch.rand(2, 4, 6, 7)
    plain, _ = net(seen, hidden)
    count = sum(p.numel() for p in net.parameters())
    branch(net)
    assert sum(p.numel() for p in net.parameters()) > 2 * count
    torch.testing.assert_close(net(seen, hidden)[0], plain, atol=1e-6, rtol=0)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.05 * torch.randn_like(p))
    once = RTColorNet.from_state_dict(collapsed(net))
    torch.testing.assert_close(once(seen, hidden), net(seen, hidden), atol=1e-5, rtol=0)
    assert not torch.allclose(net(seen, hidden)[0], plain, atol=1e-2)


def test_the_kernel_without_a_checkerboard_is_the_nearest() -> None:
    weight = torch.randn(24, 5, 3, 3)
    even = checkerboard_free(weight, PLANES)
    for first, last, side in ((0, 16, 4), (16, 20, 2), (20, 24, 2)):
        kernel = even[first:last].view(side, side, 5, 3, 3)
        across, down = kernel.sum(-1), kernel.sum(-2)
        torch.testing.assert_close(across, across[:, :1].expand_as(across), atol=1e-5, rtol=0)
        torch.testing.assert_close(down, down[:1].expand_as(down), atol=1e-5, rtol=0)
    # What was taken away is at right angles to all that could have been kept.
    other = checkerboard_free(torch.randn_like(weight), PLANES)
    assert ((weight - even) * other).sum().abs() < 1e-3
    torch.testing.assert_close(checkerboard_free(even, PLANES), even, atol=1e-6, rtol=0)


def test_folded_planes_come_back_and_training_sees_what_the_filter_gives() -> None:
    luma, chroma = torch.rand(2, 1, 8, 12), torch.rand(2, 2, 4, 6)
    assert fold(luma, chroma).shape == (2, 24, 2, 3)
    assert all(torch.equal(a, b) for a, b in zip(unfold(fold(luma, chroma)), (luma, chroma), strict=True))
    frames = torch.rand(3, 1, 3, 8, 8)
    for step, red in ((0, 0.2126), (1, 0.299)):
        planes = ycbcr(frames, matrix_of(step))
        wanted = red * frames[:, :, 0] + (0.7152 if step == 0 else 0.587) * frames[:, :, 1]
        torch.testing.assert_close(planes[:, :, 0] - wanted, (0.0722 if step == 0 else 0.114) * frames[:, :, 2])
        torch.testing.assert_close(rgb(planes, matrix_of(step)), frames)
        halved = halved_chroma(planes)
        assert torch.equal(halved[:, :, 0], planes[:, :, 0])
        torch.testing.assert_close(halved.mean((3, 4)), planes.mean((3, 4)), atol=0.02, rtol=0)


def test_losses_on_edges_see_blur_and_not_place() -> None:
    x = torch.arange(-32.0, 32).expand(1, 1, 64, 64)
    sharp, soft, moved = (torch.sigmoid(s * (x - d)) for s, d in ((1.0, 4), (0.3, 4), (1.0, 5)))
    assert energy_loss(sharp, sharp) == gradient_loss(sharp, sharp) == 0
    assert energy_loss(moved, sharp) < 0.2 * energy_loss(soft, sharp)
    assert gradient_loss(soft, sharp) > 0
    blurred = F.avg_pool2d(sharp, 5, 1, 2).requires_grad_()
    energy_loss(blurred, sharp).backward()  # type: ignore[no-untyped-call]
    assert blurred.grad is not None
    assert blurred.grad.isfinite().all()


def test_a_colour_network_takes_its_size_from_its_weights() -> None:
    model = load({k: v.half() for k, v in RTColorNet(6, 3).state_dict().items()}, {"detail": "0.25"})
    assert isinstance(model, RTModel)
    assert (model.net.channels, len(model.net.blocks), model.info.domain) == (6, 3, "ycbcr")
    assert RTColorNet(32, 2).macs_per_pixel < 70_000
