"""What stands still is held still, what moves is left alone."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from streamvsr.config import ModelOptions
from streamvsr.frames import PIXEL_FORMATS, Color, Frame, StreamInfo
from streamvsr.models import registry
from streamvsr.models.plain import bicubic_x4
from streamvsr.vsr.filter import VsrFilter
from streamvsr.vsr.steady import CONTEXT_SETTLING_FRAMES, SETTLING_FRAMES, Steady


def flicker(frames: list[Tensor]) -> float:
    return float(torch.stack([(b - a).abs().mean() for a, b in pairwise(frames)]).mean())


def texture(height: int, width: int) -> Tensor:
    small = torch.rand(1, 1, height // 4, width // 4, generator=torch.Generator().manual_seed(3))
    return torch.nn.functional.interpolate(small, (height, width), mode="bicubic")[0].clamp(0.1, 0.9)


def noisy(scene: Tensor, count: int, codes: float) -> list[Tensor]:
    generator = torch.Generator().manual_seed(4)
    return [scene + torch.randn(scene.shape, generator=generator) * codes / 255 for _ in range(count)]


@pytest.mark.parametrize("model", ["rt", "rt-real"])
def test_a_noisy_still_scene_flickers_no_more_than_bicubic(model: str) -> None:
    sources = noisy(texture(48, 64), 24, 1.0)
    network = registry.load_model(registry.select(model))
    frames = torch.stack(sources)
    if network.info.domain == "ycbcr":
        frames = torch.cat((frames, torch.zeros(24, 2, 48, 64)), 1)
    session = network.session()
    results = [result[:1] for result in session.window(frames, 24, range(24))]
    steady = Steady()
    shown = [steady(result, source) for result, source in zip(results, sources, strict=True)]
    plain = [bicubic_x4(source[None])[0] for source in sources]
    settled = slice(SETTLING_FRAMES, None)
    assert flicker(shown[settled]) <= flicker(plain[settled])
    if model == "rt":
        assert flicker(results[settled]) > flicker(plain[settled]), "without it, it flickers more"
    # Held still, not blurred: as near to what the network makes without noise.
    still = texture(48, 64)[None].repeat(24, 1, 1, 1)
    still = torch.cat((still, frames[:, 1:]), 1)
    truth = list(session.window(still, 24, range(24)))[-1][:1]
    assert (shown[-1] - truth).square().mean() <= (results[-1] - truth).square().mean() * 1.02


@pytest.mark.parametrize("speed", [0.25, 1.0])
def test_what_moves_is_left_alone(speed: float) -> None:
    wide = texture(48, 256)

    def moved(pixels: float) -> Tensor:
        whole, part = int(pixels), pixels % 1
        return wide[..., whole : whole + 64] * (1 - part) + wide[..., whole + 1 : whole + 65] * part

    sources = [moved(speed * n) for n in range(20)]
    steady = Steady()
    generator = torch.Generator().manual_seed(5)
    for source in sources:
        result = bicubic_x4(source[None])[0] + torch.rand(1, 192, 256, generator=generator) * 0.1
        shown = steady(result, source)
        assert float((shown - result).abs().mean()) < 1e-4


def test_a_change_for_good_arrives() -> None:
    scene = texture(32, 32)
    steady = Steady()
    # The network's mind changes while its input stands still.
    for _ in range(8):
        steady(torch.zeros(1, 128, 128), scene)
    shown = torch.zeros(())
    for _ in range(100):
        shown = steady(torch.ones(1, 128, 128), scene)
    assert 0.9 < float(shown.min()) <= 1


def test_a_restart_forgets() -> None:
    scene, result = texture(32, 32), torch.ones(1, 128, 128)
    steady = Steady()
    for _ in range(8):
        steady(torch.zeros(1, 128, 128), scene)
    steady.restart()
    torch.testing.assert_close(steady(result, scene), result, rtol=0, atol=0)


def test_inside_a_scene_a_state_that_has_not_settled_is_not_held() -> None:
    scene = texture(32, 32)
    steady = Steady()
    steady.restart(inside_scene=True)
    for n in range(CONTEXT_SETTLING_FRAMES):
        result = torch.full((1, 128, 128), n / CONTEXT_SETTLING_FRAMES)
        torch.testing.assert_close(steady(result, scene), result, rtol=0, atol=0)
    assert float(steady(torch.zeros(1, 128, 128), scene).min()) > 0.5, "held from then on"


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 5), (17, 6)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size(size: tuple[int, int], channels: int) -> None:
    steady = Steady()
    for _ in range(SETTLING_FRAMES + 3):
        shown = steady(torch.rand(channels, size[0] * 2, size[1] * 2), torch.full((channels, *size), 0.5))
        assert shown.shape == (channels, size[0] * 2, size[1] * 2)
        assert shown.isfinite().all()


@pytest.mark.parametrize(("steady", "held"), [("auto", True), ("on", True), ("off", False)])
def test_the_option_decides(steady: str, held: bool) -> None:
    info_format, color = PIXEL_FORMATS["gray"], Color(full_range=True)
    frames = [
        Frame(((s[0] * 255).round().to(torch.uint8).numpy(),), info_format, n, Fraction(1, 25), 1, color)
        for n, s in enumerate(noisy(texture(48, 64), 16, 1.0))
    ]

    def made(options: ModelOptions) -> list[Tensor]:
        vsr = VsrFilter(registry.load_model(registry.select("rt")), options)
        vsr.configure(StreamInfo(64, 48, info_format, Fraction(1, 25), Fraction(25), color=color))
        out = [f for frame in frames for f in vsr.push(frame)] + list(vsr.flush())
        vsr.close()
        return [torch.from_numpy(np.array(f.planes[0])).float() for f in out]

    results = made(replace(ModelOptions(), steady="off"))
    shown = made(replace(ModelOptions(), steady=steady))  # type: ignore[arg-type]
    assert (flicker(shown[6:]) < 0.8 * flicker(results[6:])) == held
