"""One suite over every model: what ``models.base`` promises holds for whatever the registry can load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamvsr.config import ModelOptions
from streamvsr.models import registry
from streamvsr.models.animesr.network import AnimeSRNet, Shape
from streamvsr.models.base import Model
from streamvsr.models.basicvsr.network import BasicVSRNet, RealBasicVSRNet
from streamvsr.models.basicvsr_pp.network import BasicVSRPlusPlusNet
from streamvsr.models.nanovsr.network import NanoVSRNet
from streamvsr.models.rt.color import RTColorNet
from streamvsr.models.srvgg import SRVGGNet
from streamvsr.vsr.windows import Windows
from tests.conftest import missing


def small(network: torch.nn.Module, seed: int = 0) -> dict[str, torch.Tensor]:
    """The network's weights, random and small enough that nothing grows over time."""
    generator = torch.Generator().manual_seed(seed)
    return {k: torch.randn(v.shape, generator=generator) * 0.03 for k, v in network.state_dict().items()}


def shipped() -> Model:
    return registry.load_model(registry.select("rt"))


def by_spandrel() -> Model:
    if find_spec("spandrel") is None:
        missing("spandrel")
    return registry.ENTRIES["spandrel"].load(small(SRVGGNet(8, 2, 4)), {})


MAKE: dict[str, Callable[[], Model]] = {
    "rt": shipped,
    "rt with colours": lambda: registry.ENTRIES["rt"].load(small(RTColorNet(8, 1)), {}),
    "realbasicvsr": lambda: registry.ENTRIES["realbasicvsr"].load(small(RealBasicVSRNet(8, 1, 1)), {}),
    "basicvsr": lambda: registry.ENTRIES["basicvsr"].load(small(BasicVSRNet(8, 1)), {}),
    "basicvsr_pp": lambda: registry.ENTRIES["basicvsr_pp"].load(small(BasicVSRPlusPlusNet(8, 1)), {}),
    "nanovsr": lambda: registry.ENTRIES["nanovsr"].load(small(NanoVSRNet(8, 2)), {}),
    "animesr": lambda: registry.ENTRIES["animesr"].load(small(AnimeSRNet(Shape(4, (3, 2, 1), 4))), {}),
    "srvgg": lambda: registry.ENTRIES["srvgg"].load(small(SRVGGNet(8, 2, 4)), {}),
    "spandrel": by_spandrel,
    "bicubic": lambda: registry.load_model(registry.select("bicubic")),
    "identity": lambda: registry.load_model(registry.select("identity")),
}


def test_every_model_is_here() -> None:
    assert {name.split()[0] for name in MAKE} == set(registry.ENTRIES)


@pytest.fixture(scope="module", params=MAKE)
def model(request: pytest.FixtureRequest) -> Model:
    return MAKE[request.param]()


def clip(model: Model, count: int) -> torch.Tensor:
    size = max(model.info.min_size_px, 9)
    channels = 1 if model.info.domain == "luma" else 3
    generator = torch.Generator().manual_seed(count)
    return torch.rand(count, channels, size, size + 3, generator=generator)


def in_windows(
    model: Model, frames: torch.Tensor, length: int, overlap: int, way: Literal["carry", "window"]
) -> Iterator[torch.Tensor]:
    session, windows, given = model.session(), Windows(length, overlap, way), 0
    for number in range(len(frames) + 1):
        step = windows.push() if number < len(frames) else windows.cut()
        if step is None:
            continue
        if step.reset:
            session.reset()
            given = step.start
        yield from session.window(frames[step.start : step.stop], step.stop - max(given, step.start), step.keep)
        given = step.stop


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_any_windows_give_each_frame_once(model: Model, data: st.DataObject) -> None:
    count, length = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 5))
    overlap = data.draw(st.integers(0, length - 1))
    way = data.draw(st.sampled_from(["carry", "window"]))
    frames = clip(model, count)
    before = frames.clone()
    with torch.inference_mode():
        made = list(in_windows(model, frames, length, overlap, way))
    scale = model.info.scale
    assert [tuple(m.shape) for m in made] == [
        (frames.shape[1], frames.shape[2] * scale, frames.shape[3] * scale)
    ] * count
    assert all(torch.isfinite(m).all() for m in made)
    assert torch.equal(frames, before), "a session changed its input"


@settings(max_examples=6, deadline=None)
@given(st.integers(1, 8), st.integers(2, 5), st.data())
def test_enough_look_ahead_changes_nothing(model: Model, count: int, length: int, data: st.DataObject) -> None:
    """``causal_after`` frames of overlap are as good as all of them; without the promise, a window of everything is."""
    frames, needed = clip(model, count), model.info.causal_after
    with torch.inference_mode():
        whole = torch.stack(list(in_windows(model, frames, count, 0, "carry")))
        if needed is None:
            length, needed = count, 0
        elif needed >= length:
            return
        overlap = data.draw(st.integers(needed, length - 1))
        made = torch.stack(list(in_windows(model, frames, length, overlap, "carry")))
    assert torch.allclose(made, whole, rtol=0, atol=1e-5)


def test_a_reset_forgets_everything(model: Model) -> None:
    frames = clip(model, 4)
    with torch.inference_mode():
        session = model.session()
        fresh = [m.clone() for m in session.window(frames[:3], 3, range(3))]
        session.reset()
        list(session.window(frames[1:], 3, range(3)))
        session.reset()
        again = list(session.window(frames[:3], 3, range(3)))
    assert all(torch.equal(a, b) for a, b in zip(fresh, again, strict=True))


@pytest.mark.parametrize("name", sorted(MAKE.keys() - {"bicubic", "identity"}))
def test_half_precision_leaves_what_is_only_enlarged_as_it_is(name: str) -> None:
    """Without weights every network here gives the plain enlargement; in bfloat16 that would have eight bits."""
    model = MAKE[name]()
    networks = [value for value in vars(model).values() if isinstance(value, torch.nn.Module)]
    frames = clip(model, 3)
    with torch.inference_mode():
        for weight in (weight for network in networks for weight in network.parameters()):
            weight.zero_()
        exact = torch.stack(list(model.session().window(frames, 3, range(3))))
        half = torch.stack(list(model.to(torch.device("cpu"), torch.bfloat16).session().window(frames, 3, range(3))))
    assert exact.std() > 0.1
    if model.info.name == "spandrel":
        assert half.dtype == torch.bfloat16, "networks of others are half precision throughout"
    else:
        assert torch.equal(half, exact)


@pytest.mark.parametrize("name", sorted(MAKE.keys() - {"bicubic", "identity", "nanovsr"}))
def test_what_overflows_in_fp16_is_computed_in_float32(name: str) -> None:
    """Numbers past 65504 behind the first layer: infinite in float16, and no number behind the next."""
    model, said = MAKE[name](), list[str]()
    networks = [value for value in vars(model).values() if isinstance(value, torch.nn.Module)]
    first = next(m for network in networks for m in network.modules() if isinstance(m, torch.nn.Conv2d))
    assert first.bias is not None
    with torch.no_grad():
        first.bias[::2], first.bias[1::2] = 1e5, -1e5
    frames = clip(model, 3)
    with torch.inference_mode():
        exact = torch.stack(list(model.session().window(frames, 3, range(3))))
        model.to(torch.device("cpu"), torch.float16).tune(ModelOptions(), said.append)
        found = torch.stack(list(model.session().window(frames, 3, range(3))))
    assert said == ["half precision gave a broken frame: going on in fp32, no frame is lost"]
    assert exact.isfinite().all()
    assert torch.equal(found, exact)
