"""AnimeSR: its step against a plain reading of the paper, its windows against the whole, its weights on a real clip."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from streamvsr.errors import CheckpointError, ModelError
from streamvsr.models.animesr import AnimeSRModel, load, shape_of
from streamvsr.models.animesr.network import AnimeSRNet, Shape
from streamvsr.models.checkpoint import read
from tests.one_way import assert_aligned, bicubic, in_windows, psnr, real_pair, sharpness, whole


def weights(shape: Shape, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    state = AnimeSRNet(shape).state_dict()
    return {key: torch.randn(value.shape, generator=generator) * 0.06 for key, value in state.items()}


@pytest.fixture(scope="module")
def small() -> AnimeSRModel:
    return load(weights(Shape(4, (3, 2, 1), 4)), {})


def by_hand(state: dict[str, Tensor], frames: Tensor) -> Tensor:
    """The published network of 5, 3 and 2 blocks, written out step by step."""

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        name = f"recurrent_cell.{name}"
        return functional.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride, 1)

    def leaky(x: Tensor) -> Tensor:
        return functional.leaky_relu(x, 0.1)

    def up(x: Tensor, factor: int) -> Tensor:
        return functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)

    def block(x: Tensor, size: int, n: int) -> Tensor:
        name = f"body_s{size}_first.{n}"
        return x + conv(conv(x, f"{name}.conv1").relu(), f"{name}.conv2")

    channels = state["recurrent_cell.conv_s1_first.0.bias"].numel()
    height, width = frames.shape[2:]
    picture, hidden = torch.zeros(1, 3, 4 * height, 4 * width), torch.zeros(1, channels, height, width)
    pictures = []
    for t in range(len(frames)):
        around = torch.cat((frames[max(t - 1, 0)], frames[t], frames[min(t + 1, len(frames) - 1)])).unsqueeze(0)
        a = leaky(conv(torch.cat((around, functional.pixel_unshuffle(picture, 4), hidden), 1), "conv_s1_first.0"))
        b = leaky(conv(a, "conv_s2_first.0", 2))
        c = leaky(conv(b, "conv_s4_first.0", 2))
        a = block(block(block(a, 1, 0), 1, 1), 1, 2)
        b = block(b, 2, 0)
        a, b, c = block(a + up(b, 2), 1, 3), block(b, 2, 1), block(c, 4, 0)
        a, b, c = block(a + up(b, 2) + up(c, 4), 1, 4), block(b + up(c, 2), 2, 2), block(c, 4, 1)
        fused = conv(leaky(conv(torch.cat((a, up(b, 2), up(c, 4)), 1), "fusion.0")), "fusion.2")
        picture, hidden = functional.pixel_shuffle(fused[:, :48], 4) + up(frames[t : t + 1], 4), leaky(fused[:, 48:])
        pictures.append(picture[0])
    return torch.stack(pictures)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_steps_are_those_of_the_paper(count: int) -> None:
    state = weights(Shape(8))
    frames = torch.rand(count, 3, 8, 12)
    assert torch.allclose(whole(load(state, {}), frames), by_hand(state, frames), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 9), length=st.integers(2, 6), data=st.data())
def test_no_bit_depends_on_the_windows(small: AnimeSRModel, count: int, length: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(1, length - 1))
    frames = torch.rand(count, 3, 5, 7, generator=torch.Generator().manual_seed(count))
    assert torch.equal(in_windows(small, frames, length, overlap), whole(small, frames))


def test_without_look_ahead_only_the_last_of_a_window_differs(small: AnimeSRModel) -> None:
    frames = torch.rand(4, 3, 8, 8)
    cut, one = in_windows(small, frames, 2, 0), whole(small, frames)
    assert torch.equal(cut[0], one[0])
    assert not torch.equal(cut[1], one[1])


def test_a_reset_forgets_everything(small: AnimeSRModel) -> None:
    session = small.session()
    frames = torch.rand(3, 3, 8, 8)
    first = list(session.window(frames, 3, range(3)))
    session.reset()
    again = list(session.window(frames, 3, range(3)))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(next(iter(session.window(frames, 3, range(3)))), first[0])


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (4, 6), (8, 8)])
def test_any_size(small: AnimeSRModel, size: tuple[int, int]) -> None:
    frames = torch.rand(2, 3, *size)
    before = frames.clone()
    outputs = whole(small, frames)
    assert outputs.shape == (2, 3, 4 * size[0], 4 * size[1])
    assert torch.equal(frames, before)
    grown = functional.pad(frames, (0, -size[1] % 4, 0, -size[0] % 4), mode="replicate")
    assert torch.equal(outputs, whole(small, grown)[..., : 4 * size[0], : 4 * size[1]])


def test_other_shapes_of_the_network() -> None:
    for shape in (Shape(4, (1, 1, 1), 2), Shape(6, (4, 4, 1), 4), Shape(4, (3, 2, 2), 1)):
        state = weights(shape)
        assert shape_of(state) == shape
        assert whole(load(state, {}), torch.rand(2, 3, 8, 8)).shape[-1] == 8 * shape.scale


def test_misuse_is_named(small: AnimeSRModel) -> None:
    session = small.session()
    for frames in (torch.rand(2, 1, 8, 8), torch.rand(3, 8, 8), torch.rand(0, 3, 8, 8)):
        with pytest.raises(ModelError, match=r"has to be \(T, 3, H, W\)"):
            session.window(frames, 1, range(1))
    with pytest.raises(ModelError, match="float64 on cpu"):
        session.window(torch.rand(1, 3, 8, 8).double(), 1, range(1))
    with pytest.raises(ModelError, match="do not fit a window of 2"):
        session.window(torch.rand(2, 3, 8, 8), 2, range(3))
    list(session.window(torch.rand(1, 3, 8, 8), 1, range(1)))
    with pytest.raises(ModelError, match="reset first"):
        session.window(torch.rand(1, 3, 8, 12), 1, range(1))


def test_weights_that_do_not_fit() -> None:
    state = weights(Shape(4, (2, 1, 1), 4))
    lacking = {k: v for k, v in state.items() if "body_s4" not in k}
    with pytest.raises(CheckpointError, match="no AnimeSR network has"):
        load(lacking, {})
    with pytest.raises(CheckpointError, match=r"missing: recurrent_cell\.body_s1_first\.0\.conv1\.bias"):
        load({k: v for k, v in state.items() if not k.endswith("first.0.conv1.bias")}, {})
    with pytest.raises(CheckpointError, match="make no image"):
        load(state | {"recurrent_cell.fusion.2.bias": torch.zeros(53)}, {})
    with pytest.raises(CheckpointError, match="weights are missing"):
        load({}, {})


def test_trained_weights_on_a_real_clip(shared_data: Path) -> None:
    """Sharper than interpolation, in place, and steady; a network trained to please the eye has a lower PSNR."""
    checkpoint = read(shared_data / "weights" / "AnimeSR_v2.pth")
    assert (checkpoint.architecture, shape_of(checkpoint.state)) == ("animesr", Shape(64, (5, 3, 2), 4))
    high, low = real_pair(shared_data / "clips" / "bbb_480p_30s.mp4", 300, 4, 320, 448)
    outputs = whole(load(checkpoint.state, checkpoint.config), low)
    assert_aligned(outputs[1:], high[1:])
    assert psnr(outputs[1:], high[1:]) > psnr(bicubic(low[1:]), high[1:]) - 3.5
    assert sharpness(outputs) > 1.1 * sharpness(bicubic(low))


def test_info() -> None:
    info = load(weights(Shape(4, (2, 1, 1), 4)), {}).info
    assert (info.name, info.scale, info.domain, info.causal_after) == ("animesr", 4, "rgb", 1)
