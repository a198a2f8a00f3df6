"""The streaming session against the whole sequence at once, and the parts of the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from streamvsr.errors import CheckpointError, ModelError
from streamvsr.models.basicvsr import BasicVSRModel, load
from streamvsr.models.basicvsr import network as network_module
from streamvsr.models.basicvsr.cleaning import RefineRule, clean
from streamvsr.models.basicvsr.layers import flow_warp
from streamvsr.models.basicvsr.network import BasicVSRNet, RealBasicVSRNet
from streamvsr.models.basicvsr.session import BasicVSRSession
from streamvsr.models.checkpoint import read

EXACT = 1e-5
"""Batches of another size round differently, no more."""


def random_model(cleaning: bool = True, rule: RefineRule | None = None) -> BasicVSRModel:
    generator = torch.Generator().manual_seed(0)
    network = RealBasicVSRNet(8, 1, 1) if cleaning else BasicVSRNet(8, 1)
    for name, parameter in network.named_parameters():
        # Flows of a few pixels: larger ones would point outside, and frames would not depend on each other at all.
        torch.nn.init.normal_(parameter, std=0.04 if "spynet" in name else 0.08, generator=generator)
    return BasicVSRModel(network, rule or RefineRule())


@pytest.fixture(scope="module")
def model() -> BasicVSRModel:
    return random_model()


def video(count: int, height: int = 64, width: int = 64) -> Tensor:
    """Smooth random pictures, so that the flow is not noise."""
    small = torch.rand((count, 3, 8, 8), generator=torch.Generator().manual_seed(count))
    return torch.nn.functional.interpolate(small, size=(height, width), mode="bicubic", align_corners=False)


def whole(model: BasicVSRModel, frames: Tensor) -> Tensor:
    with torch.no_grad():
        result: Tensor = model.network(frames[None])[0]
    return result


def carried(session: BasicVSRSession, frames: Tensor, length: int, overlap: int) -> Iterator[tuple[Tensor, int]]:
    """Windows as the contract draws them: each picture with the number of frames that its window saw after it."""
    start = fed = 0
    while start < len(frames):
        end = min(start + length, len(frames))
        keep = range(end - start if end == len(frames) else length - overlap)
        for i, picture in zip(keep, session.window(frames[start:end], end - fed, keep), strict=True):
            yield picture, end - start - 1 - i
        start, fed = start + len(keep), end


@pytest.mark.parametrize("size", [(64, 64), (67, 90)])
@pytest.mark.parametrize("cleaning", [True, False])
def test_one_window_is_the_whole_sequence(cleaning: bool, size: tuple[int, int]) -> None:
    model = random_model(cleaning)
    frames = video(4, *size)
    before = frames.clone()
    outputs = torch.stack(list(model.session().window(frames, 4, range(4))))
    assert outputs.shape == (4, 3, 4 * size[0], 4 * size[1])
    assert torch.allclose(outputs, whole(model, frames), atol=EXACT)
    assert torch.equal(frames, before), "the session wrote into its input"


@settings(max_examples=20, deadline=None)
@given(count=st.integers(1, 8), length=st.integers(1, 9), data=st.data())
def test_carry_gives_each_frame_once_and_the_end_exactly(count: int, length: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, length - 1), label="overlap")
    model = random_model()
    frames = video(count)
    expected = whole(model, frames)
    session = model.session()
    results = list(carried(session, frames, length, overlap))
    assert len(results) == count
    for i, (picture, seen_after) in enumerate(results):
        difference = (picture - expected[i]).abs().max().item()
        if i + seen_after == count - 1:
            assert difference <= EXACT, f"frame {i} saw the clip to its end, but is off by {difference}"
        assert picture.isfinite().all()
    assert not session._cleaned, "frames are kept after the last of them was given"


def test_more_lookahead_comes_closer(model: BasicVSRModel) -> None:
    frames = video(9)
    expected = whole(model, frames)
    errors = []
    for overlap in (0, 1, 3):
        pictures = [p for p, _ in carried(model.session(), frames, overlap + 2, overlap)]
        errors.append((torch.stack(pictures) - expected).square().mean().item())
    assert errors[0] > errors[1] > errors[2]


def test_session_holds_the_overlap_only(model: BasicVSRModel) -> None:
    session = model.session()
    frames = video(6)
    list(session.window(frames[:5], 5, range(3)))
    assert (len(session._cleaned), len(session._to_previous), len(session._to_next)) == (2, 2, 1)


def test_each_frame_and_pair_is_worked_on_once(model: BasicVSRModel) -> None:
    session = model.session()
    counts = {"cleaned": 0, "flows": 0}
    network = model.network
    assert isinstance(network, RealBasicVSRNet)

    def counting(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def count(_: nn.Module, inputs: tuple[Tensor, ...], __: Tensor) -> None:
            counts[name] += len(inputs[0])

        return count

    hooks = [
        network.image_cleaning.register_forward_hook(counting("cleaned")),
        network.basicvsr.spynet.register_forward_hook(counting("flows")),
    ]
    try:
        assert len(list(carried(session, video(8), 4, 2))) == 8
    finally:
        for hook in hooks:
            hook.remove()
    assert counts == {"cleaned": 8, "flows": 14}


def test_reset_forgets(model: BasicVSRModel) -> None:
    session = model.session()
    frames = video(3)
    first = list(session.window(frames, 3, range(2)))
    session.reset()
    again = list(session.window(frames, 3, range(2)))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_independent_window_keeps_a_range(model: BasicVSRModel) -> None:
    frames = video(5)
    outputs = list(model.session().window(frames, 5, range(1, 4)))
    assert torch.allclose(torch.stack(outputs), whole(model, frames)[1:4], atol=EXACT)


def test_last_frame_taken_is_enough(model: BasicVSRModel) -> None:
    """Who takes exactly the kept pictures and closes the generator can go on with the next window."""
    frames = video(5)
    session = model.session()
    window = session.window(frames[:3], 3, range(2))
    taken = [next(window), next(window)]
    window.close()  # type: ignore[attr-defined]
    taken += session.window(frames[2:], 2, range(3))
    expected = [p for p, _ in zip(carried(model.session(), frames[:3], 3, 1), range(2), strict=False)]
    assert torch.equal(taken[0], expected[0][0])
    assert len(taken) == 5


def test_window_left_early_asks_for_a_reset(model: BasicVSRModel) -> None:
    frames = video(4)
    session = model.session()
    window = session.window(frames[:3], 3, range(2))
    next(window)
    window.close()  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match="reset"):
        session.window(frames[2:], 1, range(2))
    session.reset()
    assert len(list(session.window(frames, 4, range(4)))) == 4


@pytest.mark.parametrize(
    ("frames", "new", "keep", "message"),
    [
        (torch.zeros(2, 3, 63, 64), 2, range(2), "at least 64"),
        (torch.zeros(2, 1, 64, 64), 2, range(2), r"\(T, 3, H, W\)"),
        (torch.zeros(2, 3, 64, 64, dtype=torch.float64), 2, range(2), "float64"),
        (torch.zeros(2, 3, 64, 64), 1, range(2), "knows 0"),
        (torch.zeros(2, 3, 64, 64), 2, range(3), "do not fit a window"),
    ],
)
def test_misuse_is_named(model: BasicVSRModel, frames: Tensor, new: int, keep: range, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        model.session().window(frames, new, keep)


def test_size_change_needs_a_reset(model: BasicVSRModel) -> None:
    session = model.session()
    list(session.window(video(2), 2, range(2)))
    with pytest.raises(ModelError, match="size changed"):
        session.window(video(2, 70, 64), 2, range(2))


@pytest.mark.parametrize("pixels", [1, 9 * 64, 1 << 20])
def test_the_upsamplers_tiles_change_nothing(
    monkeypatch: pytest.MonkeyPatch, model: BasicVSRModel, pixels: int
) -> None:
    frames = video(2, 70, 67)
    # With gradients the upsampler runs as it was trained: whole, with torch's own pixel shuffle.
    network = model.network
    expected = network(frames[None])[0].detach()
    monkeypatch.setattr(network_module, "TILE_PIXELS_CPU", pixels)
    assert torch.allclose(whole(model, frames), expected, atol=EXACT)


def test_half_precision_stays_close() -> None:
    model = random_model()
    frames = video(3)
    expected = whole(model, frames)
    model.to(torch.device("cpu"), torch.bfloat16)
    outputs = torch.stack(list(model.session().window(frames, 3, range(3))))
    assert outputs.dtype == torch.float32
    error = (outputs - expected).abs().mean() / expected.abs().mean()
    assert error < 0.05, f"bfloat16 is off by {error:.1%} on average"


def test_refinement_is_decided_by_each_frame() -> None:
    """A pass takes away half of the frame: dim frames stop after one, bright ones go on to three."""
    cleaner = torch.nn.Conv2d(3, 3, 1, bias=False)
    torch.nn.init.dirac_(cleaner.weight)
    cleaner.weight.data /= -2
    frames = [torch.full((1, 3, 4, 4), level) for level in (0.05, 0.9, 0.3)]
    rule = RefineRule(threshold=0.1 * 255)
    with torch.no_grad():
        together = clean(cleaner, frames, rule, batch=2)
        apart = [clean(cleaner, [frame], rule, batch=1)[0] for frame in frames]
    passes = [round(torch.log2(f.mean() / c.mean()).item()) for f, c in zip(frames, together, strict=True)]
    assert passes == [1, 3, 2]
    assert all(torch.allclose(a, b) for a, b in zip(together, apart, strict=True))
    assert frames[0].max() == pytest.approx(0.05), "the input was changed in place"


def test_warp_moves_whole_pixels_and_fills_the_outside() -> None:
    picture = torch.arange(24.0).view(1, 1, 4, 6)
    flow = torch.zeros(1, 2, 4, 6)
    flow[:, 0] = 1
    moved = flow_warp(picture, flow)
    assert torch.allclose(moved[..., :-1], picture[..., 1:], atol=1e-4)
    assert moved[..., -1].abs().max() < 1e-3
    assert torch.allclose(flow_warp(picture, flow, border=True)[..., -1], picture[..., -1], atol=1e-4)
    with pytest.raises(ValueError, match="another size"):
        flow_warp(picture, flow[..., 1:])


def test_warp_in_half_precision_hits_distant_columns() -> None:
    columns = torch.arange(4000, dtype=torch.float32).view(1, 1, 1, 4000) / 4000
    flow = torch.full((1, 2, 1, 4000), 0.0)
    moved = flow_warp(columns.half(), flow.half())
    assert torch.equal(moved, columns.half())


def test_sizes_are_read_off_the_weights() -> None:
    built = load(RealBasicVSRNet(12, 3, 2, 16).state_dict(), {"mid_channels": "12", "num_blocks": "3"})
    assert built.info.name == "realbasicvsr"
    with pytest.raises(CheckpointError, match="num_blocks = 4, but the weights have 3"):
        load(RealBasicVSRNet(12, 3, 2).state_dict(), {"num_blocks": "4"})
    with pytest.raises(CheckpointError, match="dynamic_refine_thres has to be a number, not 'off'"):
        load(RealBasicVSRNet(12, 3, 2).state_dict(), {"dynamic_refine_thres": "off"})


def test_weights_that_do_not_fit_are_named() -> None:
    state = BasicVSRNet(8, 2).state_dict()
    del state["conv_last.bias"], state["forward_resblocks.main.2.1.conv1.weight"]
    state["extra"] = torch.zeros(1)
    state["upsample1.upsample_conv.weight"] = torch.zeros(3, 3)
    with pytest.raises(CheckpointError) as caught:
        load(state, {})
    for part in ("missing: conv_last.bias", "unknown: extra", "upsample1.upsample_conv.weight", "(3, 3) instead of"):
        assert part in str(caught.value)
    state = BasicVSRNet(8, 1).state_dict()
    state["conv_hr.bias"] = state["conv_hr.bias"] * float("nan")
    with pytest.raises(CheckpointError, match=r"not finite: conv_hr\.bias"):
        load(state, {})


def test_trained_weights_beat_bicubic(shared_data: Path) -> None:
    """On a crop of real ground truth, carried over windows; and the seams stay far above what is visible."""
    import av
    import numpy as np

    def frames(folder: str, box: tuple[slice, slice]) -> Tensor:
        found = []
        for path in sorted((shared_data / "gt" / "roof_540p" / folder).glob("*.png"))[:8]:
            with av.open(str(path)) as picture:
                found.append(next(picture.decode(video=0)).to_ndarray(format="rgb24")[box])
        return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2) / 255

    low = frames("lr_x4", (slice(40, 104), slice(60, 124)))
    high = frames("gt", (slice(160, 416), slice(240, 496)))
    model = load(read(shared_data / "weights" / "BasicVSR_REDS4.pth").state, {})
    windows = torch.stack([p for p, _ in carried(model.session(), low, 5, 2)])
    full = torch.stack(list(model.session().window(low, 8, range(8))))
    bicubic = torch.nn.functional.interpolate(low, scale_factor=4, mode="bicubic", align_corners=False)

    def psnr(a: Tensor, b: Tensor) -> float:
        return -10 * torch.log10((a.clamp(0, 1) - b.clamp(0, 1)).square().mean()).item()

    assert psnr(windows, high) > psnr(bicubic, high) + 1
    assert psnr(windows, full) > 40
