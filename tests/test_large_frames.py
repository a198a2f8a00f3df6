"""Tiles, and what happens where memory runs out: told, and nothing is lost."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from streamvsr.config import Config, InputOptions, ModelOptions, OutputOptions, check
from streamvsr.errors import UsageError
from streamvsr.models import tiling
from streamvsr.models.basicvsr import BasicVSRModel
from streamvsr.models.basicvsr import parts as parts_module
from streamvsr.models.basicvsr import session as session_module
from streamvsr.models.basicvsr.network import BasicVSRNet
from streamvsr.models.memory import free_bytes, is_out_of_memory
from streamvsr.models.tiling import Tiled, TilePlan, tiled
from tests.fakes import tuning
from tests.test_basicvsr import EXACT, carried, random_model, video

OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: not enough memory: you tried to allocate"),
]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 24))
def test_tiles_with_the_reach_as_halo_are_the_whole(height: int, width: int, tile: int) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(4, 3, 3, padding=1)
    )
    x = torch.randn(1, 2, height, width)
    with torch.no_grad():
        assert torch.allclose(tiled(network, x, tile, 2), network(x), atol=1e-5)


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda e: type(e).__name__)
def test_tiles_shrink_until_they_fit(error: Exception) -> None:
    said: list[str] = []
    sizes: list[int] = []

    def network(x: Tensor) -> Tensor:
        if x.shape[-1] * x.shape[-2] > 110 * 110:
            raise error
        sizes.append(x.shape[-1])
        return x * 2

    x = torch.rand(1, 1, 300, 500)
    assert torch.equal(Tiled(network, TilePlan(None, said.append), 8)(x), x * 2)
    assert said == [f"out of memory: going on in tiles of {n} pixels" for n in (250, 125, 64)]
    assert max(sizes) <= 110
    said.clear()
    assert torch.equal(Tiled(network, TilePlan(4096, said.append), 8)(x), x * 2)
    assert len(said) == 3, "no try with tiles larger than the picture"
    with pytest.raises(type(error)):
        Tiled(network, TilePlan(0, said.append), 8)(x)


def test_other_errors_are_not_memory() -> None:
    assert all(map(is_out_of_memory, OUT_OF_MEMORY))
    assert not is_out_of_memory(RuntimeError("expected scalar type Half"))
    assert not is_out_of_memory(ValueError("out of memory"))
    with pytest.raises(ValueError, match="else"):
        Tiled(lambda x: (_ for _ in ()).throw(ValueError("else")), TilePlan(None, print), 8)(torch.rand(1, 1, 300, 300))


def test_tiles_are_chosen_from_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (free_bytes(torch.device("cpu")) or 0) > 1 << 20
    x, said = torch.empty(1, 3, 1080, 1920), []
    for free, tile in ((64 << 30, 0), (1 << 30, 512), (1 << 20, 64), (None, 0)):
        monkeypatch.setattr(tiling, "free_bytes", lambda device, free=free: free)
        plan = TilePlan(None, said.append)
        plan.settle(x, 64, 24, 4)
        assert plan.tile_px == tile
        plan.settle(torch.empty(1, 3, 4, 4), 64, 24, 4)
        assert plan.tile_px == tile, "chosen once"
    assert len(said) == 2


def run(model: BasicVSRModel, frames: Tensor, settings: tuple[Any, ...], length: int, overlap: int) -> Tensor:
    model.tune(*settings)
    return torch.stack([p for p, _ in carried(model.session(), frames, length, overlap)])


def test_tiles_change_nothing_that_could_be_seen() -> None:
    model, frames = random_model(), video(3, 90, 130)
    whole = run(model, frames, tuning(tile="off"), 3, 0)
    assert torch.allclose(run(model, frames, tuning(tile="64"), 3, 0), whole, atol=EXACT)


def spoiled(monkeypatch: pytest.MonkeyPatch, fits: Callable[[str, Tensor], bool]) -> None:
    """The steps of a network run out of memory unless ``fits``."""
    original: dict[str, Any] = {n: getattr(BasicVSRNet, n) for n in ("propagate", "reconstruct")}

    def spoil(name: str) -> Callable[..., Tensor]:
        def step(self: BasicVSRNet, *args: Any, **kwargs: Any) -> Tensor:
            if not fits(name, args[0] if name == "reconstruct" else args[1]):
                raise OUT_OF_MEMORY[0]
            made: Tensor = original[name](self, *args, **kwargs)
            return made

        return step

    for name in original:
        monkeypatch.setattr(BasicVSRNet, name, spoil(name))


@settings(max_examples=8, deadline=None)
@given(st.integers(3, 9), st.integers(2, 9), st.integers(2, 5), st.data())
def test_windows_get_shorter_and_no_frame_is_lost(count: int, length: int, bearable: int, data: st.DataObject) -> None:
    """Memory holds ``bearable`` backward states: what is run at once goes down to that, and every frame comes out."""
    overlap = data.draw(st.integers(0, length - 1))
    model, frames, said = random_model(cleaning=False), video(count), []
    with pytest.MonkeyPatch.context() as patch:
        backward = model.network.backward_resblocks
        steps = 0

        def propagate(
            self: parts_module.BasicVSRParts, frame: Tensor, state: Tensor | None, flow: Tensor | None
        ) -> Tensor:
            nonlocal steps
            steps = 1 if state is None else steps + 1
            if steps > bearable:
                raise OUT_OF_MEMORY[1]
            return self.network.propagate(backward, frame, state, flow)

        patch.setattr(parts_module.BasicVSRParts, "backward", propagate)
        made = run(model, frames, tuning(warn=said.append), length, overlap)
    assert len(made) == count
    assert made.isfinite().all()
    assert bool(said) == (min(length, count) > bearable)
    whole = run(model, frames, tuning(), count, 0)
    # Other look-ahead, the same frames: each is far nearer to its own than to its neighbours.
    for i, picture in enumerate(made):
        distances = [(picture - other).abs().mean().item() for other in whole]
        assert min(range(count), key=distances.__getitem__) == i


def test_an_error_in_the_middle_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The third picture does not fit while five states are alive: what is out stays out, the rest follows once."""
    model, frames, said = random_model(cleaning=False), video(6), []
    expected = run(model, frames, tuning(), 6, 0)
    calls = 0

    def fits(name: str, frame: Tensor) -> bool:
        nonlocal calls
        calls += name == "reconstruct"
        return name != "reconstruct" or calls not in range(3, 9)

    spoiled(monkeypatch, fits)
    made = run(model, frames, tuning(warn=said.append), 6, 0)
    assert said == ["out of memory: going on in windows of 2 frames"] or said[0].startswith("out of memory")
    assert len(made) == 6
    assert torch.allclose(made[:2], expected[:2], atol=EXACT)
    assert torch.allclose(made[-1], expected[-1], atol=EXACT), "the last frame's look-ahead is its own"


def test_a_short_scene_does_not_shorten_the_next_ones() -> None:
    model, said = random_model(cleaning=False), []
    model.tune(*tuning(warn=said.append))
    session, frames = model.session(), video(7)
    assert len(list(session.window(frames[:2], 2, range(2)))) == 2
    session.reset()
    after = list(session.window(frames, 7, range(7)))
    fresh = list(model.session().window(frames, 7, range(7)))
    assert all(torch.equal(a, b) for a, b in zip(after, fresh, strict=True))
    assert not said


def test_windows_are_shortened_before_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    model, said = random_model(cleaning=False), []
    model.tune(*tuning(warn=said.append))
    state_bytes = 8 * 64 * 64 * 4
    monkeypatch.setattr(parts_module, "free_bytes", lambda device: 2 * 5 * state_bytes)
    made = list(model.session().window(video(9), 9, range(9)))
    assert said == ["1 MiB of memory are free: windows of 5 frames"]
    assert len(made) == 9


def test_tile_option_is_checked() -> None:
    def made(tile: str) -> Config:
        return Config(InputOptions("a"), OutputOptions("b"), ModelOptions(tile=tile))

    for tile in ("auto", "off", "64", "512"):
        check(made(tile))
    for tile in ("63", "-1", "much", "1.5"):
        with pytest.raises(UsageError, match="--tile"):
            check(made(tile))


def test_the_first_window_is_in_tiles_from_its_first_frame_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a system kills who asks for too much memory, there is no second try."""
    monkeypatch.setattr(tiling, "free_bytes", lambda device: 1 << 20)
    model, said = random_model(), []
    seen: list[int] = []
    cleaning = model.network.get_submodule("image_cleaning")
    cleaning.register_forward_pre_hook(lambda _, args: seen.append(max(args[0].shape[2:])))
    model.tune(*tuning(warn=said.append))
    assert len(list(model.session().window(video(2, 200, 200), 2, range(2)))) == 2
    assert "working in tiles of 64" in said[0]
    assert max(seen) <= 64 + 2 * parts_module.HALO_PX


def test_the_upsampler_gets_smaller_tiles_and_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tried = random_model(cleaning=False), []
    original = BasicVSRNet.reconstruct

    def reconstruct(self: BasicVSRNet, *args: Any) -> Tensor:
        tried.append(args[3])
        if args[3] is None or args[3] > 200:
            raise OUT_OF_MEMORY[2]
        return original(self, *args)

    monkeypatch.setattr(BasicVSRNet, "reconstruct", reconstruct)
    session, frames = model.session(), video(3, 128, 128)
    assert len(list(session.window(frames, 3, range(3)))) == 3
    assert tried == [None, 512, 128, 128, 128], "a quarter of what did not fit, and that again for the next pictures"


def test_a_window_that_did_not_fit_is_gone_before_the_next_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the traceback of an error holds cannot be given back."""
    model, alive, left = random_model(cleaning=False), list[Any](), list[Tensor | None]()
    original = parts_module.BasicVSRParts.backward

    def backward(self: parts_module.BasicVSRParts, *args: Any) -> Tensor:
        if len(alive) == 3:
            alive.append(None)
            raise MemoryError
        state = original(self, *args)
        alive.append(weakref.ref(state))
        return state

    monkeypatch.setattr(parts_module.BasicVSRParts, "backward", backward)
    monkeypatch.setattr(session_module, "release", lambda device: left.extend(r() for r in alive[:3]))
    assert len(list(model.session().window(video(5), 5, range(5)))) == 5
    assert left == [None] * 3
