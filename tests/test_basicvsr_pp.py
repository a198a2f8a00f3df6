"""BasicVSR++ against mmedit's network, with an alignment that shares no code with ours; windows against the whole."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from streamvsr.config import ModelOptions
from streamvsr.errors import CheckpointError, ModelError
from streamvsr.models.basicvsr.spynet import SPyNet
from streamvsr.models.basicvsr_pp import BasicVSRPlusPlusModel, load
from streamvsr.models.basicvsr_pp.network import BasicVSRPlusPlusNet
from streamvsr.models.checkpoint import read
from streamvsr.models.deform import _plain, modulated_deform_conv
from tests.one_way import in_windows

TOLERANCE = 1e-4
EXACT = 1e-5


def randomise(network: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        # Flows of a few pixels: larger ones would point outside, and frames would not depend on each other at all.
        torch.nn.init.normal_(parameter, std=0.04 if "spynet" in name else 0.08, generator=generator)
    return network.eval()


def random_model(low_res: bool = True, without_future: bool = False) -> BasicVSRPlusPlusModel:
    network = randomise(BasicVSRPlusPlusNet(8, 1, low_res))
    if without_future:
        for name, parameter in network.named_parameters():
            if ".backward_" in name:
                torch.nn.init.zeros_(parameter)
    return load(network.state_dict(), {})


def video(count: int, height: int = 64, width: int = 64) -> Tensor:
    """Smooth random frames, so that the flow is not noise."""
    small = torch.rand((count, 3, 8, 8), generator=torch.Generator().manual_seed(count))
    return functional.interpolate(small, size=(height, width), mode="bicubic", align_corners=False)


def whole(model: BasicVSRPlusPlusModel, frames: Tensor) -> Tensor:
    return torch.stack(list(model.session().window(frames, len(frames), range(len(frames)))))


def by_gathering(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor, *geometry: Any) -> Tensor:
    """Modulated deformable convolution, 3x3, stride 1: the four neighbours of each position gathered by their index.

    Takes what mmcv's function takes; of ``geometry`` the last is the number of groups.
    """
    count, channels, height, width = x.shape
    groups = geometry[-1]
    offset = offset.view(count, groups, 9, 2, height, width)
    mask = mask.view(count, groups, 9, 1, height, width)
    flat = x.reshape(count, groups, channels // groups, height * width)
    columns = []
    for tap in range(9):
        y = torch.arange(height).view(-1, 1) + tap // 3 - 1 + offset[:, :, tap, 0]
        z = torch.arange(width) + tap % 3 - 1 + offset[:, :, tap, 1]
        total = torch.zeros(count, groups, channels // groups, height, width)
        for down in (0, 1):
            for right in (0, 1):
                row, column = y.floor() + down, z.floor() + right
                share = (1 - (y - row).abs()) * (1 - (z - column).abs())
                share = share * ((row >= 0) & (row < height) & (column >= 0) & (column < width))
                index = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).long().flatten(2)
                found = flat.gather(3, index.unsqueeze(2).expand(-1, -1, channels // groups, -1))
                total += found.view_as(total) * share.unsqueeze(2)
        columns.append((total * mask[:, :, tap]).reshape(count, channels, height, width))
    stacked = torch.stack(columns, dim=2)
    return torch.einsum("nckhw,ock->nohw", stacked, weight.flatten(2)) + bias.view(1, -1, 1, 1)


@pytest.fixture
def theirs(mm: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """mmedit's network, aligning by ``by_gathering``."""
    module = importlib.import_module("mmedit.models.backbones.sr_backbones.basicvsr_pp")
    monkeypatch.setattr(module, "modulated_deform_conv2d", by_gathering)
    return module.BasicVSRPlusPlus


@pytest.mark.parametrize("reach", [0.3, 3.0, 40.0])
def test_alignment_is_that_of_its_definition(reach: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x, weight, bias, offset, mask = (
        torch.randn(shape, generator=generator)
        for shape in ((2, 8, 9, 11), (5, 8, 3, 3), (5,), (2, 72, 9, 11), (2, 36, 9, 11))
    )
    expected = by_gathering(x, offset * reach, mask, weight, bias, 4)
    assert torch.allclose(_plain(x, weight, bias, offset * reach, mask, 4), expected, atol=1e-4)
    assert torch.allclose(modulated_deform_conv(x, weight, bias, offset * reach, mask, 4), expected, atol=1e-4)


@pytest.mark.mm
@pytest.mark.parametrize("size", [(64, 64), (66, 75)])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_mmedits_network(theirs: Any, count: int, size: tuple[int, int]) -> None:
    reference = randomise(theirs(8, 2))
    frames = video(count, *size)
    with torch.no_grad():
        expected = reference(frames[None])[0]
    assert torch.allclose(whole(load(reference.state_dict(), {}), frames), expected, atol=TOLERANCE, rtol=0)


@pytest.mark.mm
def test_mmedits_network_for_video_of_its_own_size(theirs: Any) -> None:
    """The layout of the checkpoints for compressed video, and an offset bound of another config."""
    reference = randomise(theirs(8, 1, max_residue_magnitude=3, is_low_res_input=False))
    frames = video(3, 256, 260)
    with torch.no_grad():
        expected = reference(frames[None])[0]
    model = load(reference.state_dict(), {"max_residue_magnitude": "3"})
    assert (model.info.scale, model.info.min_size_px) == (1, 256)
    assert torch.allclose(whole(model, frames), expected, atol=TOLERANCE, rtol=0)
    # mmedit takes multiples of four alone. A size that is none is grown by its edge.
    grown = functional.pad(frames[..., :257], (0, 3, 0, 0), mode="replicate")
    assert torch.equal(whole(model, frames[..., :257]), whole(model, grown)[..., :257])


@pytest.mark.mm
@pytest.mark.parametrize(("channels", "blocks", "low_res"), [(64, 7, True), (128, 25, True), (128, 25, False)])
def test_published_sizes_have_the_same_keys(theirs: Any, channels: int, blocks: int, low_res: bool) -> None:
    with torch.device("meta"):
        reference = theirs(channels, blocks, is_low_res_input=low_res).state_dict()
        ours = BasicVSRPlusPlusNet(channels, blocks, low_res).state_dict()
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in reference.items()}


@pytest.mark.parametrize("prefix", ["generator.", "generator_ema."])
def test_mmedits_checkpoints(tmp_path: Path, prefix: str) -> None:
    averaged, plain = (randomise(BasicVSRPlusPlusNet(8, 1, False), seed).state_dict() for seed in (1, 2))
    state = {f"{prefix}{key}": value for key, value in averaged.items()} | {"step_counter": torch.zeros(1)}
    if prefix == "generator_ema.":
        state |= {f"generator.{key}": value for key, value in plain.items()}
    path = tmp_path / "trained.pth"
    torch.save({"meta": {}, "state_dict": state}, path)
    found = read(path)
    assert found.architecture == "basicvsr_pp"
    model = load(found.state, {})
    assert all(torch.equal(value, averaged[key]) for key, value in model.network.state_dict().items())


def carried(model: BasicVSRPlusPlusModel, frames: Tensor, length: int, overlap: int) -> Iterator[Tensor]:
    session, start, fed = model.session(), 0, 0
    while start < len(frames):
        end = min(start + length, len(frames))
        keep = range(end - start if end == len(frames) else length - overlap)
        yield from session.window(frames[start:end], end - fed, keep)
        start, fed = start + len(keep), end
    assert not session._cleaned
    assert not session._features


@settings(max_examples=8, deadline=None)
@given(count=st.integers(1, 7), length=st.integers(1, 7), data=st.data())
def test_forward_states_are_carried_exactly(count: int, length: int, data: st.DataObject) -> None:
    """Without anything from the future the cuts between windows change nothing: both orders, both branches."""
    overlap = data.draw(st.integers(0, length - 1), label="overlap")
    model = random_model(without_future=True)
    frames = video(count)
    expected = whole(model, frames)
    made = torch.stack(list(carried(model, frames, length, overlap)))
    assert made.shape == expected.shape
    assert torch.allclose(made, expected, atol=EXACT)


def test_more_lookahead_comes_closer() -> None:
    model = random_model()
    frames = video(8)
    expected = whole(model, frames)
    made = [torch.stack(list(carried(model, frames, overlap + 2, overlap))) for overlap in (0, 1, 4)]
    errors = [(m - expected).square().mean().item() for m in made]
    assert errors[0] > errors[1] > errors[2] > 0
    assert torch.allclose(torch.stack(list(carried(model, frames, 8, 3))), expected, atol=EXACT)


def test_a_window_keeps_a_range_and_a_reset_forgets() -> None:
    model = random_model()
    frames = video(5)
    session = model.session()
    expected = whole(model, frames)
    for _ in range(2):
        assert torch.allclose(torch.stack(list(session.window(frames, 5, range(1, 4)))), expected[1:4], atol=EXACT)
        session.reset()


def test_three_hundred_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """States begin every 20 frames and windows every 16: after 80 frames a still scene is where it was."""
    network = randomise(BasicVSRPlusPlusNet(4, 1, groups=2, high_res_channels=4))
    still = video(1)
    # All pairs of the same two frames have the same flow, and finding it 600 times would be most of the work.
    with torch.no_grad():
        flow = network.spynet(still, still)
    model = load(network.state_dict(), {})
    monkeypatch.setattr(SPyNet, "forward", lambda self, reference, *_: flow.expand(len(reference), -1, -1, -1))
    model.tune(ModelOptions(max_history=30))
    made = in_windows(model, still.expand(300, -1, -1, -1), 24, 8)
    assert made.isfinite().all()
    assert torch.allclose(made[200:280], made[120:200], atol=EXACT)
    assert not torch.allclose(made[201:281], made[120:200], atol=EXACT), "nothing is carried that could drift"


def test_parts_of_a_window_when_memory_is_short() -> None:
    """A window in parts is as good as windows that short, and an error in one of them loses nothing."""
    model = random_model(without_future=True)
    frames = video(6)
    expected = whole(model, frames)
    session = model.session()
    propagate, calls = session._plus.propagate, 0

    def short(*arguments: Any) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 21:
            raise RuntimeError("not enough memory: a test")
        return propagate(*arguments)

    session._plus.propagate = short  # type: ignore[method-assign]
    made = torch.stack(list(session.window(frames, 6, range(6))))
    assert session._plus.part_frames == 3
    assert torch.allclose(made, expected, atol=EXACT)


def test_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    from streamvsr.models.basicvsr import session as session_module

    model = random_model()
    frames = video(3)
    expected = whole(model, frames)
    model.to(torch.device("cpu"), torch.bfloat16)
    made = whole(model, frames)
    assert made.dtype == torch.float32
    assert not torch.equal(made, expected)
    assert (made - expected).abs().mean() < 0.05 * expected.abs().mean()
    broken = iter([False, True])
    monkeypatch.setattr(session_module, "looks_broken", lambda *_: torch.tensor(next(broken)))
    again = list(model.session().window(frames, 3, range(3)))
    assert torch.equal(again[0], made[0])
    assert not torch.equal(again[1], made[1])
    assert model.network.conv_last.weight.dtype == torch.float32
    assert (again[2] - expected[2]).abs().mean() < 0.05 * expected.abs().mean()


def test_tiles_and_misuse() -> None:
    model = random_model()
    frames = video(2, 128, 128)
    expected = whole(model, frames)
    model.tune(ModelOptions(tile="64"))
    # One block a branch reaches 3 pixels, the reconstruction's five 11: within the halo.
    assert torch.allclose(whole(model, frames), expected, atol=EXACT)
    with pytest.raises(ModelError, match="at least 64"):
        model.session().window(video(2, 63, 64), 2, range(2))
    with pytest.raises(ModelError, match="at least 256"):
        random_model(low_res=False).session().window(video(2, 128, 256), 2, range(2))


def test_weights_that_do_not_fit() -> None:
    state = BasicVSRPlusPlusNet(8, 2).state_dict()
    with pytest.raises(CheckpointError, match="num_blocks = 4, but the weights have 2"):
        load(state, {"num_blocks": "4"})
    with pytest.raises(CheckpointError, match=r"missing: conv_last\.bias"):
        load({k: v for k, v in state.items() if k != "conv_last.bias"}, {})
    offsets = "deform_align.backward_1.conv_offset.6.weight"
    with pytest.raises(CheckpointError, match="offsets of 100 channels"):
        load(state | {offsets: torch.zeros(100, 8, 3, 3)}, {})


def test_a_new_network_has_numbers_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``torch.empty`` gives is whatever lay in memory: NaN here, so that nothing of it may be left."""
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *size, **how: empty(*size, **how).fill_(torch.nan))
    state = BasicVSRPlusPlusNet(4, 1, groups=2).state_dict()
    assert [name for name, value in state.items() if not value.isfinite().all()] == []
