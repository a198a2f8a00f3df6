"""Half precision that fails, and torch.compile that does: going on, told once, no frame lost."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from streamvsr.errors import ModelError
from streamvsr.models.basicvsr import BasicVSRModel
from streamvsr.models.basicvsr.network import BasicVSRNet
from streamvsr.models.basicvsr.session import BasicVSRSession
from streamvsr.models.compiled import compiled
from streamvsr.models.precision import Flag, looks_broken
from tests.fakes import tuning
from tests.test_basicvsr import EXACT, carried, random_model, video

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
    made = 0

    def reconstruct(self: BasicVSRNet, *args: Tensor) -> Tensor:
        nonlocal made
        picture = original(self, *args)
        made += 1
        if made == at + 1 and picture.dtype == torch.bfloat16:
            picture = picture * 0 + spoil
        return picture

    monkeypatch.setattr(BasicVSRNet, "reconstruct", reconstruct)
    session = half_model(said).session()
    pictures = [p for p, _ in carried(session, frames.bfloat16(), 3, 1)]
    assert len(pictures) == 5
    assert said == ["half precision gave a broken frame: going on in fp32, no frame is lost"]
    assert [p.dtype for p in pictures] == [torch.bfloat16] * at + [torch.float32] * (5 - at)
    assert torch.stack([p.float() for p in pictures]).isfinite().all()
    if at == 0:
        # The weights are those of before, to the last bit; of the frames only what half precision left of them.
        rounded = torch.stack([p for p, _ in carried(random_model().session(), frames.bfloat16().float(), 3, 1)])
        assert torch.allclose(torch.stack(pictures), rounded, atol=EXACT)
        assert (torch.stack(pictures) - expected).abs().mean() < 0.05


def test_half_precision_without_a_way_back_is_an_error() -> None:
    network = BasicVSRNet(8, 1)
    with torch.no_grad():
        network.conv_last.bias.fill_(float("nan"))
    from streamvsr.models.basicvsr.cleaning import RefineRule

    session = BasicVSRSession(network.bfloat16().eval(), None, RefineRule())
    with pytest.raises(ModelError, match="fp32"):
        list(session.window(video(2).bfloat16(), 2, range(2)))


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
