"""The compact Real-ESRGAN networks: shapes read off the weights, the way through them, and trained weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from streamvsr.errors import CheckpointError, ModelError
from streamvsr.models.checkpoint import read
from streamvsr.models.srvgg import SRVGGNet, load
from tests.one_way import assert_aligned, bicubic, in_windows, psnr, real_pair, sharpness, whole


def weights(channels: int = 4, convolutions: int = 2, scale: int = 4, factor: float = 0.1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    state = SRVGGNet(channels, convolutions, scale).state_dict()
    return {key: torch.randn(value.shape, generator=generator) * factor for key, value in state.items()}


def by_hand(state: dict[str, Tensor], frames: Tensor, scale: int) -> Tensor:
    x, layers = frames, 1 + max(int(key.split(".")[1]) for key in state)
    for n in range(layers):
        weight = state[f"body.{n}.weight"]
        x = functional.conv2d(x, weight, state[f"body.{n}.bias"], 1, 1) if n % 2 == 0 else functional.prelu(x, weight)
    nearest = functional.interpolate(frames, scale_factor=scale, mode="nearest")
    return functional.pixel_shuffle(x, scale) + nearest


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("convolutions", [0, 3])
def test_the_way_through_the_network(scale: int, convolutions: int) -> None:
    state = weights(5, convolutions, scale)
    model = load(state, {})
    assert model.info.scale == scale
    frames = torch.rand(3, 3, 5, 6)
    assert torch.allclose(whole(model, frames), by_hand(state, frames, scale), atol=1e-6)


def test_without_weights_every_pixel_is_repeated() -> None:
    frames = torch.rand(2, 3, 4, 5)
    outputs = whole(load(weights(factor=0.0), {}), frames)
    assert torch.equal(outputs, frames.repeat_interleave(4, 2).repeat_interleave(4, 3))


def test_frames_stand_alone() -> None:
    model = load(weights(), {})
    frames = torch.rand(5, 3, 4, 6)
    before = frames.clone()
    alone = in_windows(model, frames, 1, 0)
    assert torch.equal(whole(model, frames[2:3]), alone[2:3])
    # Longer windows are batches, which a convolution may add up in another order.
    assert torch.allclose(whole(model, frames), alone, rtol=0, atol=1e-6)
    assert torch.allclose(in_windows(model, frames, 3, 1), alone, rtol=0, atol=1e-6)
    assert torch.equal(frames, before)
    info = model.info
    assert (info.max_seq_len, info.overlap, info.causal_after, info.temporal) == (1, 0, 0, False)


def test_misuse_and_weights_that_do_not_fit() -> None:
    session = load(weights(), {}).session()
    with pytest.raises(ModelError, match=r"has to be \(T, 3, H, W\)"):
        session.window(torch.rand(2, 1, 8, 8), 2, range(2))
    with pytest.raises(CheckpointError, match="no compact network"):
        load(weights() | {"body.0.weight": torch.zeros(4, 2, 3, 3)}, {})
    with pytest.raises(CheckpointError, match="no compact network"):
        load({k: v for k, v in weights().items() if k != "body.6.weight" and k != "body.6.bias"} | {
            "body.5.bias": torch.zeros(4)}, {})  # fmt: skip
    with pytest.raises(CheckpointError, match="47 channels make no image"):
        load(weights() | {"body.6.bias": torch.zeros(47)}, {})
    with pytest.raises(CheckpointError, match=r"missing: body\.3\.weight"):
        load({k: v for k, v in weights().items() if k != "body.3.weight"}, {})
    with pytest.raises(CheckpointError, match="weights are missing"):
        load({}, {})


@pytest.mark.parametrize(
    ("name", "convolutions"), [("realesr-animevideov3.pth", 16), ("realesr-general-x4v3.fp16.safetensors", 32)]
)
def test_trained_weights_on_a_real_clip(shared_data: Path, name: str, convolutions: int) -> None:
    """One file has its tensors tagged as of a GPU, the other holds half precision."""
    checkpoint = read(shared_data / "weights" / name)
    assert checkpoint.architecture == "srvgg"
    model = load(checkpoint.state, checkpoint.config)
    assert len(model.network.body) == 2 * convolutions + 3
    assert {p.dtype for p in model.network.parameters()} == {torch.float32}
    high, low = real_pair(shared_data / "clips" / "bbb_480p_30s.mp4", 300, 2, 320, 448)
    outputs = whole(model, low)
    assert_aligned(outputs, high)
    assert psnr(outputs, high) > psnr(bicubic(low), high) - 4
    assert sharpness(outputs) > sharpness(bicubic(low))
