"""The shipped network: exact however it is cut, better than bicubic, stable for hours."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file
from torch.nn import functional as F

from streamvsr.config import ModelOptions
from streamvsr.degrade.codec import CODECS, through
from streamvsr.errors import CheckpointError, ModelError
from streamvsr.media.color.shrink import antialiased
from streamvsr.metrics.evaluate import evaluate, methods, prepare
from streamvsr.metrics.options import EvaluateOptions
from streamvsr.models import fused
from streamvsr.models.checkpoint import read
from streamvsr.models.registry import known_checkpoint, select
from streamvsr.models.rt import RTModel, is_rt, load
from streamvsr.models.rt.color import RTColorNet, unfold
from streamvsr.models.rt.network import RTNet
from streamvsr.training.clips import Budget, open_clips
from streamvsr.training.networks import ycbcr
from tests.conftest import ROOT
from tests.training_clips import low_resolution

CHECKPOINT = ROOT / "checkpoints" / "rt.safetensors"
REAL = ROOT / "checkpoints" / "rt-real.safetensors"
HELD_OUT = (
    "clips/deer_1080p.mp4@2",
    "clips/phone_4k60_portrait.mp4@4",
    "clips/water_cc0_360p.mp4",
    "gt/roof_540p/gt",
)


Net = RTNet | RTColorNet


def lively_net(channels: int = 4, blocks: int = 1, kind: type[Net] = RTNet) -> Net:
    """Untrained, but with a memory and a residual large enough that a mistake in either shows."""
    torch.manual_seed(3)
    net = kind(channels, blocks)
    with torch.no_grad():
        net.leave.weight.normal_(std=0.3)
        net.recur.weight.normal_(std=0.5)
    return net


def planes(model: RTModel) -> int:
    return 1 if model.info.domain == "luma" else 3


@pytest.fixture(params=[RTNet, RTColorNet], ids=["luma", "ycbcr"])
def model(request: pytest.FixtureRequest) -> RTModel:
    return RTModel(lively_net(kind=request.param))


def run(model: RTModel, frames: torch.Tensor) -> torch.Tensor:
    """All of ``frames``; luma alone is grey to a network with colours, whose luma is given then."""
    if frames.shape[1] == 1 and planes(model) == 3:
        return run(model, F.pad(frames, (0, 0, 0, 0, 0, 2)))[:, :1]
    return torch.stack(list(model.session().window(frames, len(frames), range(len(frames)))))


@pytest.fixture(scope="module", params=[CHECKPOINT, REAL], ids=lambda path: path.stem)
def shipped(request: pytest.FixtureRequest) -> RTModel:
    return load(load_file(request.param), read(request.param).config)


# --- exactness


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_cutting_changes_no_bit(model: RTModel, data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 14), "length")
    window = data.draw(st.integers(2, 9), "window")
    overlap = data.draw(st.integers(1, window - 1), "overlap")
    height, width = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)), "size")
    frames = torch.rand(length, planes(model), height, width, generator=torch.Generator().manual_seed(length))
    session, done, given_before = model.session(), 0, 0
    parts: list[torch.Tensor] = []
    while done < length:
        end = min(done + window, length)
        kept = (end if end == length else end - overlap) - done
        parts += session.window(frames[done:end], end - max(given_before, done), range(kept))
        given_before, done = end, done + kept
    assert torch.equal(torch.stack(parts), run(model, frames))


def test_frames_before_keep_are_run_but_not_given(model: RTModel) -> None:
    frames = torch.rand(6, planes(model), 5, 6)
    whole = run(model, frames)
    session = model.session()
    assert torch.equal(torch.stack(list(session.window(frames[:5], 5, range(2, 4)))), whole[2:4])
    assert torch.equal(torch.stack(list(session.window(frames[4:], 1, range(2)))), whole[4:])


def test_more_than_one_frame_ahead_changes_nothing(model: RTModel) -> None:
    frames = torch.rand(6, planes(model), 5, 6)
    assert model.info.causal_after == 1
    changed = frames.clone()
    changed[4:] = 0
    a, b = run(model, frames), run(model, changed)
    assert torch.equal(a[:3], b[:3])
    assert not torch.equal(a[3], b[3])


def test_reset_forgets_and_frames_stay_untouched(model: RTModel) -> None:
    frames = torch.rand(4, planes(model), 5, 6)
    before = frames.clone()
    session = model.session()
    first = torch.stack(list(session.window(frames, 4, range(4))))
    second = torch.stack(list(session.window(frames, 4, range(4))))
    session.reset()
    third = torch.stack(list(session.window(frames, 4, range(4))))
    assert torch.equal(frames, before)
    assert torch.equal(first, third)
    assert not torch.equal(first, second)


def test_without_residual_it_is_plain_enlargement(model: RTModel) -> None:
    net = model.net
    with torch.no_grad():
        net.leave.weight.zero_()
    frames = torch.rand(2, planes(model), 7, 9)
    result = run(model, frames)
    assert result.shape == (2, planes(model), 28, 36)
    luma = F.interpolate(frames[:, :1], scale_factor=4, mode="bicubic", align_corners=False)
    torch.testing.assert_close(result[:, :1], luma, atol=1e-6, rtol=0)
    if planes(model) == 3:
        chroma = F.interpolate(frames[:, 1:], scale_factor=2, mode="bilinear", align_corners=False)
        torch.testing.assert_close(result[:, 1:, ::2, ::2], chroma, atol=1e-6, rtol=0)
        # Nothing is lost where the filter takes every second sample, or the mean of four.
        assert torch.equal(result[:, 1:, ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3), result[:, 1:])


def test_the_share_of_detail_lies_between_truth_and_teacher() -> None:
    net = lively_net(kind=RTColorNet)
    state = {key: value.clone() for key, value in net.state_dict().items()}
    frames = torch.rand(3, 3, 6, 7)
    truth, half, teacher = (run(load(state, {"detail": share}), frames) for share in ("0", "0.5", "1"))
    assert not torch.allclose(truth, teacher)
    torch.testing.assert_close(half, (truth + teacher) / 2, atol=1e-5, rtol=0)
    assert torch.equal(run(load(state, {}), frames), half)
    with pytest.raises(CheckpointError, match="detail 3"):
        load(state, {"detail": "3"})


def test_the_detail_changes_neither_brightness_nor_colour() -> None:
    """What the low resolution can hold is the truth's; here it is flat, so that each of its pixels' mean stays."""
    state = lively_net(kind=RTColorNet).state_dict()
    flat = torch.tensor([0.6, 0.1, -0.2]).view(1, 3, 1, 1).expand(3, 3, 24, 24)
    without, with_it = (run(load(state, {"detail": share}), flat)[..., 32:-32, 32:-32] for share in ("0", "1"))
    detail = with_it - without
    assert detail[:, 0].abs().max() > 1e-3
    assert F.avg_pool2d(detail, 4).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("shape", "new", "keep"),
    [
        ((2, 3, 4, 4), 2, range(2)),
        ((0, 1, 4, 4), 0, range(0)),
        ((2, 1, 4, 4), 3, range(2)),
        ((2, 1, 4, 4), 2, range(3)),
    ],
)
def test_wrong_windows_are_refused(shape: tuple[int, ...], new: int, keep: range) -> None:
    with pytest.raises(ModelError, match="window"):
        RTModel(lively_net()).session().window(torch.zeros(shape), new, keep)


def test_another_size_needs_a_reset() -> None:
    session = RTModel(lively_net()).session()
    list(session.window(torch.zeros(1, 1, 4, 4), 1, range(1)))
    with pytest.raises(ModelError, match="reset"):
        session.window(torch.zeros(1, 1, 4, 5), 1, range(1))


def test_half_precision_is_close(shipped: RTModel) -> None:
    frames = torch.rand(3, 1, 8, 8)
    whole = run(shipped, frames)
    half = RTModel(copy.deepcopy(shipped.net)).to(torch.device("cpu"), torch.bfloat16)
    result = run(half, frames)
    assert result.dtype == torch.float32
    assert (result - whole).abs().mean() < 0.02


def plainly(net: Net, neighbours: torch.Tensor, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A step in torch's own operators, one after the other."""
    features = F.relu(net.enter(neighbours) + net.recur(hidden))
    for block in net.blocks:
        features = block.conv2(F.relu(block.conv1(features))) + features
    hidden = features.clamp(-1, 1)
    if isinstance(net, RTColorNet):
        luma, chroma = unfold(net.leave(hidden) + net.enlarged(neighbours, hidden))
        return torch.cat((luma, F.interpolate(chroma, scale_factor=2, mode="nearest")), 1), hidden
    base = F.conv2d(F.pad(neighbours[:, 1:2], (2, 2, 2, 2), mode="replicate"), net.bicubic)
    return F.pixel_shuffle(net.leave(hidden) + base, 4), hidden


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (48, 47), (64, 106), (65, 107), (5, 1400), (72, 128), (180, 320)])
def test_what_is_joined_changes_no_bit(shipped: RTModel, size: tuple[int, int]) -> None:
    """Sizes on both sides of where torch has oneDNN compute, and of where the fused operators take over."""
    generator = torch.Generator().manual_seed(size[0])
    layout = torch.channels_last
    hidden = shipped.net.initial_state(1, *size)
    with torch.no_grad():
        for _ in range(2):
            neighbours = torch.rand(1, 3 * planes(shipped), *size, generator=generator).contiguous(memory_format=layout)
            wanted, there = plainly(shipped.net, neighbours, hidden)
            given, hidden = shipped.net(neighbours, hidden)
            assert torch.equal(given, wanted)
            assert torch.equal(hidden, there)


def test_fused_operators_that_give_other_bits_are_not_used(shipped: RTModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(base: torch.Tensor, *_: object) -> torch.Tensor:
        return base

    fused._keeps_bits.cache_clear()
    monkeypatch.setattr(fused, "_convolve_onto", other)
    try:
        test_what_is_joined_changes_no_bit(shipped, (72, 128))
        assert not fused._keeps_bits()
    finally:
        fused._keeps_bits.cache_clear()


# --- the checkpoint


@pytest.mark.parametrize(("path", "most_macs"), [(CHECKPOINT, 36_000), (REAL, 70_000)], ids=["rt", "rt-real"])
def test_checkpoint_and_its_metadata(path: Path, most_macs: int) -> None:
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    state = load_file(path)
    assert is_rt(state)
    model = load(state, metadata)
    assert metadata["architecture"] == model.info.name == "rt"
    assert (int(metadata["channels"]), int(metadata["blocks"])) == (model.net.channels, len(model.net.blocks))
    for key in ("scale", "training_data", "licence", "recipe", "command", "seed", "steps", "held_out_psnr_y"):
        assert metadata[key], key
    assert not any(word in text for text in metadata.values() for word in ("/work", "/home", "/tmp"))
    assert model.net.macs_per_pixel < most_macs
    assert known_checkpoint(path.stem).kmacs == round(model.net.macs_per_pixel / 1000)
    assert path.stat().st_size < 300_000
    card = path.with_suffix(".md").read_text()
    assert hashlib.sha256(path.read_bytes()).hexdigest() in card
    assert all(name.split("@")[0] in card for name in metadata["training_data"].split(", "))


def test_both_are_found_by_name() -> None:
    assert [select(name).path for name in ("rt", "rt-real")] == [CHECKPOINT, REAL]


def test_size_is_read_off_the_weights() -> None:
    net = lively_net(6, 2)
    model = load({k: v.half() for k, v in net.state_dict().items()}, {"scale": "4"})
    assert (model.net.channels, len(model.net.blocks)) == (6, 2)


@pytest.mark.parametrize("spoil", ["lacks", "shape", "scale"])
def test_wrong_weights_are_named(spoil: str) -> None:
    state, config = dict(lively_net().state_dict()), {}
    if spoil == "lacks":
        del state["recur.weight"]
    elif spoil == "shape":
        state["leave.weight"] = state["leave.weight"][:, :2]
    else:
        config["scale"] = "2"
    with pytest.raises(CheckpointError, match=r"(?i)rt") as caught:
        load(state, config)
    assert "\n" not in str(caught.value)


def test_beats_bicubic_on_held_out_clips(shared_data: Path) -> None:
    """Over the better one of both common coefficients, as in the card."""
    options = EvaluateOptions(metrics=("psnr_y",), degrade="bicubic", chains=("bicubic=4",))
    ways = methods("rt,bicubic", ModelOptions(), options.chains)
    gains = []
    for spec in HELD_OUT:
        plan = prepare(ways, str(shared_data / spec), options, 8)
        results = evaluate(plan, warn=pytest.fail, note=lambda _: None, progress_of=lambda _: lambda *_: None)
        psnr = {result.method: result.scores.mean("psnr_y") for result in results}
        gains.append(psnr.pop("rt") - max(psnr.values()))
    assert min(gains) > 0.3, gains
    assert sum(gains) / len(gains) >= 0.9, gains


def psnr_and_flicker(results: torch.Tensor, truth: torch.Tensor) -> tuple[float, float]:
    """Mean PSNR in dB, and how much the error changes from frame to frame: of luma (T, 1, H, W)."""
    error = results.clamp(0, 1) - truth
    return float(-10 * error.square().mean((1, 2, 3)).log10().mean()), float(error.diff(dim=0).abs().mean())


@pytest.mark.parametrize(("codes", "crf"), [(10, None), (5, 28)], ids=["noise", "noise-h264"])
def test_the_real_one_cleans_and_stays_near_the_truth(shared_data: Path, codes: float, crf: int | None) -> None:
    nets = [load(load_file(path), read(path).config) for path in (REAL, CHECKPOINT)]
    scores = []
    for spec in HELD_OUT:
        clip = open_clips([str(shared_data / spec)], 1, Budget(0))[0]
        truth = torch.from_numpy(clip.read(0, 10)).permute(0, 3, 1, 2).float() / 255
        small = low_resolution(truth).permute(0, 2, 3, 1).numpy()
        noisy = small + codes / 255 * np.random.default_rng(1).standard_normal(small.shape, np.float32)
        spoilt = list(noisy) if crf is None else through(CODECS["h264"], list(noisy), crf)
        low = torch.from_numpy(np.stack(spoilt)).permute(0, 3, 1, 2)
        bicubic = F.interpolate(low, scale_factor=4, mode="bicubic", align_corners=False)
        scores.append([psnr_and_flicker(x, truth) for x in (*(run(net, low) for net in nets), bicubic)])
    psnr, flicker = np.array(scores).transpose(2, 1, 0)
    if crf is None:
        assert (psnr[0] - psnr[2]).mean() > 0.4, psnr
        assert (flicker[0] < 0.85 * flicker[2]).all(), flicker
    else:
        assert (psnr[0] - psnr[2]).mean() > -0.4, psnr
        assert (flicker[0].mean() < 1.3 * flicker[2].mean()).all(), flicker


def test_the_real_one_takes_the_noise_out_of_the_colours(shared_data: Path) -> None:
    (clip,) = open_clips([str(shared_data / "gt" / "roof_540p" / "gt")], 3, Budget(0))
    truth = ycbcr(torch.from_numpy(clip.read(0, 8)).permute(0, 3, 1, 2)[:, None].float() / 255, 1)[:, 0]
    small = antialiased(truth, truth.shape[2] // 4, truth.shape[3] // 4)
    noisy = small + 8 / 255 * torch.randn(small.shape, generator=torch.Generator().manual_seed(1))
    result = run(load(load_file(REAL), read(REAL).config), noisy)
    bicubic = F.interpolate(noisy, scale_factor=4, mode="bicubic", align_corners=False)
    error, before = ((x - truth)[:, 1:].square().mean((0, 2, 3)) for x in (result, bicubic))
    assert (error < 0.6 * before).all(), (error, before)


# --- stability


def moving_picture(count: int, height: int = 36, width: int = 48) -> torch.Tensor:
    """Stripes and a bright square that come round again every 60 frames: (count, 1, height, width)."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    out = []
    for t in range(count):
        phase = 2 * np.pi * t / 60
        picture = 0.5 + 0.3 * np.sin(x * 1.1 + 6 * np.sin(phase)) * np.cos(y * 0.7)
        row, column = int(14 + 10 * np.sin(phase)), int(20 + 14 * np.cos(phase))
        picture[row : row + 6, column : column + 6] = 1
        out.append(picture)
    return torch.from_numpy(np.stack(out))[:, None].float()


@pytest.mark.parametrize("still", [True, False])
def test_long_runs_do_not_drift(shipped: RTModel, still: bool) -> None:
    one_round = moving_picture(60)
    if still:
        one_round = one_round[:1].expand(60, -1, -1, -1)
    session, grey = shipped.session(), F.pad(one_round, (0, 0, 0, 0, 0, planes(shipped) - 1))
    rounds = [torch.stack(list(session.window(grey, 60, range(60))))[:, :1] for _ in range(20)]
    # 1200 frames: neither wandering off (from round to round) nor far from a fresh start.
    assert (rounds[-1] - rounds[2]).abs().max() < 0.01
    fresh = run(shipped, one_round)
    assert (rounds[-1][30:] - fresh[30:]).abs().mean() < 0.005
    assert rounds[-1].mean() == pytest.approx(float(one_round.mean()), abs=0.01)


def test_flat_frames_stay_flat(shipped: RTModel) -> None:
    for level in (0.0, 0.25, 0.5, 1.0):
        result = run(shipped, torch.full((40, 1, 24, 24), level))[-1, 0, 32:-32, 32:-32]
        assert (result - level).abs().max() < 0.01


@pytest.mark.parametrize("detail", ["0", "2"])
def test_edges_along_rows_and_columns_have_no_dots(detail: str) -> None:
    """What is the same in all columns, or all rows, of the input stays so; it came out as rows of dots."""
    real = load(load_file(REAL), {**read(REAL).config, "detail": detail})
    torch.manual_seed(5)
    stripes = (torch.rand(3, 3, 24, 1) - torch.tensor([0, 0.5, 0.5]).view(3, 1, 1)).expand(-1, -1, -1, 64)
    for frames in (stripes, stripes.transpose(2, 3)):
        result = run(real, frames)
        middle = result[..., 112:-112] if frames is stripes else result[..., 112:-112, :].transpose(2, 3)
        assert middle.std(2).min() > 0.01
        torch.testing.assert_close(middle, middle[..., :1].expand_as(middle), atol=1e-5, rtol=0)


def test_noise_out_of_range_stays_bounded(shipped: RTModel) -> None:
    result = run(shipped, torch.randn(60, 1, 16, 16) * 3)
    assert result.isfinite().all()
    assert result.abs().max() < 30
