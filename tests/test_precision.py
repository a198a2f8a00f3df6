"""Half precision: what it costs, and what happens where it fails, or torch.compile does: one warning, no frame lost."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import streamvsr
from streamvsr.config import ModelOptions
from streamvsr.errors import ModelError
from streamvsr.frames import PIXEL_FORMATS, Color, Frame, StreamInfo
from streamvsr.models import registry
from streamvsr.models.basicvsr import BasicVSRModel
from streamvsr.models.basicvsr.network import BasicVSRNet
from streamvsr.models.basicvsr.session import BasicVSRSession
from streamvsr.models.checkpoint import read
from streamvsr.models.compiled import compiled
from streamvsr.models.precision import Flag, looks_broken
from streamvsr.models.rt import RTModel, load
from streamvsr.models.rt.color import RTColorNet
from streamvsr.models.rt.network import RTNet
from tests.conftest import ROOT
from tests.fakes import tuning, vsr_filter
from tests.test_basicvsr import EXACT, carried, random_model, video
from tests.test_rt import CHECKPOINT, lively_net, planes, run
from tests.vsr_frames import run as through

CPU = torch.device("cpu")


def half_model(said: list[str]) -> BasicVSRModel:
    model = random_model()
    model.to(CPU, torch.bfloat16)
    model.tune(*tuning(warn=said.append))
    return model


@pytest.mark.parametrize("spoil", [float("nan"), float("inf"), 0.0])
@pytest.mark.parametrize("at", [0, 2, 4])
def test_a_broken_frame_is_made_again_in_float32(monkeypatch: pytest.MonkeyPatch, at: int, spoil: float) -> None:
    said: list[str] = []
    frames = video(5).clamp(0.2, 0.9)
    expected = torch.stack([p for p, _ in carried(random_model().session(), frames, 3, 1)])
    original = BasicVSRNet.reconstruct
    types: list[torch.dtype] = []

    def reconstruct(self: BasicVSRNet, *args: Tensor) -> Tensor:
        result = original(self, *args)
        types.append(self.conv_last.weight.dtype)
        return result * 0 + spoil if len(types) == at + 1 else result

    monkeypatch.setattr(BasicVSRNet, "reconstruct", reconstruct)
    session = half_model(said).session()
    results = torch.stack([result for result, _ in carried(session, frames, 3, 1)])
    assert len(results) == 5
    assert said == ["half precision gave a broken frame: going on in fp32, no frame is lost"]
    assert types == [torch.bfloat16] * (at + 1) + [torch.float32] * (5 - at)
    assert results.dtype == torch.float32
    assert results.isfinite().all()
    assert (results - expected).abs().mean() < 0.05
    if at == 0:
        assert torch.allclose(results, expected, atol=EXACT), "the weights are those of before, to the last bit"


def test_half_precision_without_a_way_back_is_an_error() -> None:
    network = BasicVSRNet(8, 1)
    with torch.no_grad():
        network.conv_last.bias.fill_(float("nan"))
    from streamvsr.models.basicvsr.cleaning import RefineRule

    session = BasicVSRSession(network.bfloat16().eval(), None, RefineRule())
    with pytest.raises(ModelError, match="fp32"):
        list(session.window(video(2), 2, range(2)))


def test_black_is_broken_unless_the_frame_is() -> None:
    lit, dark = torch.full((1, 3, 8, 8), 0.5), torch.zeros(1, 3, 8, 8)
    assert not looks_broken(lit, lit)
    assert looks_broken(dark, lit)
    assert not looks_broken(dark, dark)
    assert looks_broken(lit * float("nan"), lit)
    assert Flag(looks_broken(lit * float("inf"), dark)).read()


def test_compilation_that_fails_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def broken(network: torch.nn.Module, **_: object) -> object:
        def call(x: Tensor) -> Tensor:
            raise RuntimeError("no C++ compiler found")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    frames = video(3)
    model = random_model()
    expected = list(model.session().window(frames, 3, range(3)))
    model.tune(*tuning(compile=True, cuda_graphs=True, warn=said.append))
    made = list(model.session().window(frames, 3, range(3)))
    assert all(torch.equal(a, b) for a, b in zip(made, expected, strict=True))
    assert len(said) == 2
    assert "--cuda-graphs needs a CUDA device" in said[0]
    assert "no C++ compiler" in said[1]


def test_what_is_compiled_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda network, **_: lambda x: network(x) + 1)
    layer = torch.nn.Identity()
    fast = compiled(layer, CPU, compile=True, graphs=False, warn=print)
    assert torch.equal(fast(torch.zeros(2)), torch.ones(2))
    assert compiled(layer, CPU, compile=False, graphs=False, warn=print) is layer


# --- rt and the compact networks: what half precision costs, and the way back


def decibels(size: str, frames: int, **network: Any) -> list[float]:
    """Of frames of the demo clip in bf16 against fp32, as they are written: luma and chroma in 8 bits."""
    clip = streamvsr.open(ROOT / "demo" / "city_180p.mp4", frames=frames)
    full, half = (
        [
            frame.raw.planes
            for frame in clip.filter(f"crop={size},vsr", precision=precision, steady="off", device="cpu", **network)
        ]
        for precision in ("fp32", "bf16")
    )
    errors = [
        np.concatenate([(a.astype(np.float64) - b).ravel() for a, b in zip(one, other, strict=True)])
        for one, other in zip(full, half, strict=True)
    ]
    return [float(10 * np.log10(255**2 / np.mean(error**2))) for error in errors]


@pytest.mark.parametrize("name", ["rt", "rt-real"])
def test_frames_in_bf16_are_within_50_db(name: str) -> None:
    """The state has ten frames to drift."""
    found = decibels("160:96", 10, model=name)
    assert min(found) > 50, found


@pytest.mark.parametrize("name", ["realesr-animevideov3.pth", "realesr-general-x4v3.fp16.safetensors"])
def test_so_are_those_of_the_compact_networks(shared_data: Path, name: str) -> None:
    found = decibels("64:48", 2, checkpoint=str(shared_data / "weights" / name))
    assert min(found) > 50, found


@pytest.mark.parametrize("name", ["rt", "rt-real"])
def test_ten_bit_video_keeps_its_levels_in_bf16(name: str) -> None:
    """A slow gradient, as in a sky: rounded to bfloat16 it would have a third of them."""
    format = PIXEL_FORMATS["yuv420p10le"]
    ramp = np.tile(np.arange(600, 760, dtype=np.uint16), (24, 1))
    neutral = np.full((12, 80), 512, np.uint16)
    frame = Frame((ramp, neutral, neutral), format, 0, Fraction(1, 25), color=Color(matrix=1, full_range=False))
    network = registry.load_model(registry.select(name))
    full, half = (
        len(np.unique(through(vsr_filter(network, dtype=dtype), [frame])[0].planes[0]))
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert full > 150
    assert half > 0.95 * full


@pytest.mark.parametrize("kind", [RTNet, RTColorNet])
def test_training_in_bf16_rounds_no_frame(kind: type[RTNet | RTColorNet]) -> None:
    """Losses on changes between frames would see the steps of eight bits."""
    net = lively_net(kind=kind)
    net.leave.requires_grad_(False)
    net.leave.weight.zero_()
    net.leave.bias.zero_()  # type: ignore[union-attr]
    neighbours = torch.rand(1, net.enter.in_channels, 8, 9)
    plain, _ = net(neighbours, net.initial_state(1, 8, 9))
    with torch.autocast("cpu", torch.bfloat16):
        result, hidden = net(neighbours, net.initial_state(1, 8, 9))
    assert hidden.dtype == torch.bfloat16
    assert torch.equal(result, plain)


@pytest.mark.parametrize("kind", [RTNet, RTColorNet])
@pytest.mark.parametrize("spoil", [float("nan"), float("inf"), 0.0])
@pytest.mark.parametrize("at", [0, 2, 4])
def test_a_frame_that_breaks_is_made_again_in_float32(
    monkeypatch: pytest.MonkeyPatch, kind: type[RTNet | RTColorNet], at: int, spoil: float
) -> None:
    network = RTModel(lively_net(kind=kind))
    frames = torch.rand(5, planes(network), 6, 7) * 0.5 + 0.5
    exact = run(network, frames)
    said: list[str] = []
    network.to(CPU, torch.bfloat16).tune(ModelOptions(), said.append)
    forward, types = kind.forward, list[torch.dtype]()

    def breaking(self: Any, neighbours: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        result, hidden = forward(self, neighbours, hidden)
        types.append(hidden.dtype)
        return (result * 0 + spoil, hidden + spoil) if len(types) == at + 1 else (result, hidden)

    monkeypatch.setattr(kind, "forward", breaking)
    results = torch.stack(list(network.session().window(frames, 5, range(5))))
    assert said == ["half precision gave a broken frame: going on in fp32, no frame is lost"]
    assert types == [torch.bfloat16] * (at + 1) + [torch.float32] * (5 - at)
    assert results.dtype == torch.float32
    assert results.isfinite().all()
    if at == 0:
        assert torch.equal(results, exact), "the very weights"


def test_the_rest_of_the_video_goes_on_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the filter; the network may be used again in either type."""
    network = load(load_file(CHECKPOINT), read(CHECKPOINT).config)
    exact = results_of(network, torch.float32)
    forward = RTNet.forward

    def breaking(self: RTNet, neighbours: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        result, hidden = forward(self, neighbours, hidden)
        return (result * float("nan"), hidden) if hidden.dtype == torch.bfloat16 else (result, hidden)

    with monkeypatch.context() as broken:
        broken.setattr(RTNet, "forward", breaking)
        assert len(results_of(network, torch.bfloat16)) == len(exact)
    half = results_of(network, torch.bfloat16)
    assert not np.array_equal(half, exact)
    assert np.array_equal(results_of(network, torch.float32), exact)


def results_of(network: RTModel, dtype: torch.dtype) -> np.ndarray:
    """Planes of twelve frames, each a ramp of its own."""
    format = PIXEL_FORMATS["gray16le"]
    vsr = vsr_filter(network, dtype=dtype)
    vsr.configure(StreamInfo(8, 6, format, Fraction(1, 25), Fraction(25)))
    ramp = np.arange(48, dtype=np.uint16).reshape(6, 8) * 500
    made = [f for n in range(12) for f in vsr.push(Frame((ramp + np.uint16(3000 * n),), format, n, Fraction(1, 25)))]
    made += vsr.flush()
    vsr.close()
    return np.stack([frame.planes[0] for frame in made])
