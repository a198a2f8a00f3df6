"""NanoVSR: both layouts against a plain reading of the published code, its windows against the whole sequence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from streamvsr.config import ModelOptions
from streamvsr.errors import CheckpointError, ModelError
from streamvsr.models import nanovsr
from streamvsr.models.checkpoint import read
from streamvsr.models.nanovsr import NanoVSRModel, NanoVSRSession, load
from streamvsr.models.nanovsr.network import NanoVSRNet, collapse
from tests.one_way import in_windows

EXACT = 1e-5


def training_weights(channels: int = 6, blocks: int = 2, seed: int = 0) -> dict[str, Tensor]:
    """As the published checkpoints are laid out: three branches a block, with batch normalisations."""
    generator = torch.Generator().manual_seed(seed)
    state = {}

    def put(key: str, *shape: int, scale: float = 0.2) -> None:
        state[key] = torch.randn(shape, generator=generator) * scale

    def norm(key: str, channels: int) -> None:
        put(f"{key}.bias", channels, scale=0.05)
        put(f"{key}.running_mean", channels, scale=0.1)
        state[f"{key}.weight"] = 0.5 + torch.rand(channels, generator=generator) / 4
        state[f"{key}.running_var"] = 0.5 + torch.rand(channels, generator=generator)
        state[f"{key}.num_batches_tracked"] = torch.tensor(150_000)

    def block(key: str, inputs: int, outputs: int) -> None:
        put(f"{key}.rbr_dense.0.weight", outputs, inputs, 3, 3, scale=0.1)
        put(f"{key}.rbr_1x1.0.weight", outputs, inputs, 1, 1)
        norm(f"{key}.rbr_dense.1", outputs)
        norm(f"{key}.rbr_1x1.1", outputs)
        if inputs == outputs:
            norm(f"{key}.rbr_identity", outputs)

    block("feat_extract", 3, channels)
    for branch in ("forward_net", "backward_net"):
        for n in range(blocks):
            block(f"{branch}.{n}", channels, channels)
    for key, inputs, outputs in (("upsample1", channels, channels), ("upsample2", channels, 32)):
        put(f"{key}.conv.weight", 4 * outputs, inputs, 3, 3)
        put(f"{key}.conv.bias", 4 * outputs)
        state[f"{key}.prelu.weight"] = torch.tensor([0.25])
    put("fusion.weight", channels, 2 * channels, 1, 1)
    put("fusion.bias", channels)
    put("conv_last.weight", 3, 32, 3, 3)
    put("conv_last.bias", 3)
    return state


def by_hand(state: dict[str, Tensor], frames: Tensor) -> Tensor:
    """The published network in its training layout, in evaluation mode, written out."""

    def norm(x: Tensor, key: str) -> Tensor:
        mean, variance = state[f"{key}.running_mean"], state[f"{key}.running_var"]
        return functional.batch_norm(x, mean, variance, state[f"{key}.weight"], state[f"{key}.bias"])

    def block(x: Tensor, key: str) -> Tensor:
        total = norm(functional.conv2d(x, state[f"{key}.rbr_dense.0.weight"], padding=1), f"{key}.rbr_dense.1")
        total = total + norm(functional.conv2d(x, state[f"{key}.rbr_1x1.0.weight"]), f"{key}.rbr_1x1.1")
        if f"{key}.rbr_identity.weight" in state:
            total = total + norm(x, f"{key}.rbr_identity")
        return functional.leaky_relu(total, 0.1)

    def branch(name: str, features: list[Tensor]) -> list[Tensor]:
        carried, states = torch.zeros_like(features[0]), []
        for x in features:
            carried = x + carried
            for n in range(len({key.split(".")[1] for key in state if key.startswith(name)})):
                carried = block(carried, f"{name}.{n}")
            states.append(carried)
        return states

    def enlarge(x: Tensor, key: str) -> Tensor:
        x = functional.conv2d(x, state[f"{key}.conv.weight"], state[f"{key}.conv.bias"], padding=1)
        return functional.prelu(functional.pixel_shuffle(x, 2), state[f"{key}.prelu.weight"])

    features = [block(frame[None], "feat_extract") for frame in frames]
    ahead, back = branch("forward_net", features), branch("backward_net", features[::-1])[::-1]
    pictures = []
    for frame, one, other in zip(frames, ahead, back, strict=True):
        x = functional.conv2d(torch.cat((one, other), 1), state["fusion.weight"], state["fusion.bias"])
        x = enlarge(enlarge(x, "upsample1"), "upsample2")
        x = functional.conv2d(x, state["conv_last.weight"], state["conv_last.bias"], padding=1)
        base = functional.interpolate(frame[None], scale_factor=4, mode="bilinear", align_corners=False)
        pictures.append((x + base)[0])
    return torch.stack(pictures)


def whole(model: NanoVSRModel, frames: Tensor) -> Tensor:
    return torch.stack(list(model.session().window(frames, len(frames), range(len(frames)))))


@pytest.fixture(scope="module")
def model() -> NanoVSRModel:
    return load(training_weights(), {})


def video(count: int, height: int = 12, width: int = 16) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (12, 16)])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_both_layouts_are_the_published_network(count: int, size: tuple[int, int]) -> None:
    state = training_weights()
    frames = video(count, *size)
    expected = by_hand(state, frames)
    assert torch.allclose(whole(load(state, {}), frames), expected, atol=EXACT)
    collapsed = collapse(state)
    assert not any("rbr_dense" in key or "running" in key for key in collapsed)
    assert torch.allclose(whole(load(collapsed, {}), frames), expected, atol=EXACT)


@pytest.mark.parametrize(
    ("blocks", "channels", "parameters"),
    [(3, 10, 22_107), (4, 12, 31_153), (8, 32, 225_797), (12, 48, 644_245), (20, 64, 1_709_605), (30, 96, 5_447_365)],
)
def test_the_published_sizes(blocks: int, channels: int, parameters: int) -> None:
    """The table of the published README: the collapsed network's values."""
    with torch.device("meta"):
        assert sum(p.numel() for p in NanoVSRNet(channels, blocks).parameters()) == parameters


@settings(max_examples=20, deadline=None)
@given(count=st.integers(1, 8), length=st.integers(1, 9), data=st.data())
def test_frames_that_see_the_end_are_exact(model: NanoVSRModel, count: int, length: int, data: st.DataObject) -> None:
    """Wherever the sequence is cut, the forward state is the whole sequence's."""
    overlap = data.draw(st.integers(0, length - 1))
    frames = video(count)
    expected = whole(model, frames)
    session, start, fed = model.session(), 0, 0
    while start < count:
        end = min(start + length, count)
        keep = range(end - start if end == count else length - overlap)
        for i, picture in zip(keep, session.window(frames[start:end], end - fed, keep), strict=True):
            assert picture.isfinite().all()
            if end == count:
                assert torch.allclose(picture, expected[start + i], atol=EXACT)
        start, fed = start + len(keep), end
    assert not session._features, "frames are kept after the last of them was given"


def test_more_lookahead_comes_closer(model: NanoVSRModel) -> None:
    frames = video(9)
    expected = whole(model, frames)
    made = [in_windows(model, frames, overlap + 2, overlap) for overlap in (0, 1, 3)]
    errors = [(m - expected).square().mean().item() for m in made]
    assert errors[0] > errors[1] > errors[2]


def test_three_hundred_frames() -> None:
    """In one window and in many: the carried state is the same at the end, and with a bound a still scene repeats."""
    model = load(training_weights(), {})
    still = video(1).expand(300, -1, -1, -1)
    model.tune(ModelOptions(max_history=0))
    one, many = whole(model, still), in_windows(model, still, 24, 8)
    assert torch.allclose(many[-8:], one[-8:], atol=1e-4)
    model.tune(ModelOptions(max_history=30))
    bounded = in_windows(model, still, 24, 8)
    assert bounded.isfinite().all()
    assert torch.allclose(bounded[:20], many[:20], atol=EXACT)
    # States begin every 20 frames, windows every 16: after 80 frames a still scene is where it was.
    assert torch.allclose(bounded[200:280], bounded[120:200], atol=EXACT)


def test_the_enlargements_tiles_change_nothing(model: NanoVSRModel, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = video(2, 21, 30)
    expected = whole(model, frames)
    for pixels in (1, 64, 200):
        monkeypatch.setattr(nanovsr, "TILE_PIXELS_CPU", pixels)
        assert torch.allclose(whole(model, frames), expected, atol=EXACT)


def test_session_holds_the_overlap_only_and_each_frame_is_worked_on_once(model: NanoVSRModel) -> None:
    session, count = model.session(), 0

    def counted(*_: object) -> None:
        nonlocal count
        count += 1

    hook = model.network.feat_extract.register_forward_hook(counted)
    frames = video(6)
    list(session.window(frames[:5], 5, range(3)))
    assert len(session._features) == 2
    list(session.window(frames[3:], 1, range(3)))
    hook.remove()
    assert count == 6


def test_misuse_is_named(model: NanoVSRModel) -> None:
    session = model.session()
    with pytest.raises(ModelError, match=r"has to be \(T, 3, H, W\)"):
        session.window(torch.rand(2, 1, 8, 8), 2, range(2))
    with pytest.raises(ModelError, match="knows 0"):
        session.window(video(2), 1, range(2))
    window = session.window(video(3), 3, range(2))
    next(window)
    window.close()  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match="reset"):
        session.window(video(3), 3, range(2))
    session.reset()
    list(session.window(video(2), 2, range(2)))
    with pytest.raises(ModelError, match="size changed"):
        session.window(video(2, 9, 9), 2, range(2))
    assert isinstance(session, NanoVSRSession)


def test_checkpoints_as_they_are_published(tmp_path: Path) -> None:
    """A plain table of weights, or one below ``params``; both layouts recognise themselves."""
    state = training_weights()
    for number, saved in enumerate((state, {"params": state}, collapse(state))):
        path = tmp_path / f"{number}.pth"
        torch.save(saved, path)
        assert read(path).architecture == "nanovsr"
        frames = video(2)
        assert torch.allclose(whole(load(read(path).state, {}), frames), by_hand(state, frames), atol=EXACT)
    lacking = {k: v for k, v in state.items() if k != "forward_net.1.rbr_1x1.1.running_var"}
    with pytest.raises(CheckpointError, match=r"missing: forward_net\.1\.rbr_1x1\.1\.running_var"):
        load(lacking, {})
    with pytest.raises(CheckpointError, match=r"missing: conv_last\.bias"):
        load({k: v for k, v in state.items() if k != "conv_last.bias"}, {})
