"""Degradation: parameters that walk, kernels and noise of the right statistics, codecs that lose no frame."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamvsr.degrade import RECIPES, Frame, Walk
from streamvsr.degrade.blur import Blur, Sharpen, gaussian, ringing
from streamvsr.degrade.codec import CODECS, through
from streamvsr.degrade.fields import Interlace
from streamvsr.degrade.noise import ChromaNoise, Jpeg, Noise
from streamvsr.degrade.recipes import SHAPES
from streamvsr.degrade.resize import Resize
from streamvsr.training.options import DEGRADATIONS
from tests.conftest import ROOT
from tests.training_clips import low_resolution

STILL = Walk(0, 0, 0)


def texture(count: int, height: int = 64, width: int = 72, channels: int = 1) -> list[Frame]:
    """A pattern that slides by a pixel a frame."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    planes = [
        0.5 + 0.4 * np.sin((x + t) * (0.5 + c / 3)) * np.cos(y * 0.3) for t in range(count) for c in range(channels)
    ]
    return list(
        np.stack(planes).reshape(count, channels, height, width).transpose(0, 2, 3, 1).astype(np.float32).copy()
    )


def rms(a: list[Frame], b: list[Frame]) -> float:
    return float(np.sqrt(np.mean((np.stack(a) - np.stack(b)) ** 2)))


@settings(max_examples=50, deadline=None)
@given(st.floats(-5, 5), st.floats(0.1, 5), st.floats(0.01, 1), st.integers(0, 1000))
def test_a_walk_stays_within_its_bounds_and_steps(low: float, width: float, share: float, seed: int) -> None:
    step = share * width * 0.999
    steps = Walk(low, low + width, step).values(np.random.default_rng(seed))
    values = np.array([next(steps) for _ in range(50)])
    assert ((values >= low) & (values <= low + width)).all()
    assert (np.abs(np.diff(values)) <= step + 1e-9).all()
    assert len(set(values)) == 50


def test_walks_with_wrong_bounds_are_refused() -> None:
    for bounds in ((1, 0, 0.1), (0, 1, -1), (0, 1, 2)):
        with pytest.raises(ValueError, match="walk"):
            Walk(*bounds)


def test_walks_start_anywhere_and_do_not_stick_to_their_bounds() -> None:
    rng = np.random.default_rng(0)
    steps = [Walk(0, 1, 0.2).values(rng) for _ in range(400)]
    first = np.array([next(walk) for walk in steps])
    last = np.array([[next(walk) for _ in range(30)][-1] for walk in steps])
    for values in (first, last):
        counts = np.histogram(values, 4, (0, 1))[0]
        assert counts.min() > 70, counts


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_reproducible_and_leave_their_input_alone(name: str, channels: int) -> None:
    frames = texture(5, 72, 88, channels)
    before = np.stack(frames).copy()
    recipe = RECIPES[name]
    results = [recipe.degrade(frames, np.random.default_rng(seed)) for seed in (3, 3, 4)]
    assert np.array_equal(before, np.stack(frames))
    for result in results:
        assert [frame.shape for frame in result] == [(18, 22, channels)] * 5
        assert all(frame.dtype == np.float32 and frame.min() >= 0 and frame.max() <= 1 for frame in result)
    assert np.array_equal(results[0], results[1])
    assert name == "clean" or not np.array_equal(results[0], results[2])


def test_options_name_the_recipes() -> None:
    assert tuple(RECIPES) == DEGRADATIONS


def test_clean_is_what_evaluations_shrink_by() -> None:
    frames = texture(3)
    planes = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    clean = RECIPES["clean"].degrade(frames, np.random.default_rng(0))
    assert np.array_equal(np.stack(clean)[..., 0], low_resolution(planes)[:, 0].numpy())


def test_real_hurts_less_than_paper() -> None:
    frames = texture(4, channels=3)
    clean = RECIPES["clean"].degrade(frames, np.random.default_rng(0))
    errors = {
        name: np.mean([rms(RECIPES[name].degrade(frames, np.random.default_rng(s)), clean) for s in range(12)])
        for name in ("real", "paper")
    }
    assert 0.01 < errors["real"] < errors["paper"]


# --- blur


def test_kernels() -> None:
    row = cv2.getGaussianKernel(15, 1.7)
    np.testing.assert_allclose(gaussian(15, 1.7, 1.7, 0.4), row @ row.T, atol=1e-6)
    for kernel in (gaussian(21, 3, 1, 0.7, 0.5), gaussian(9, 1, 2, 0, 1.5, plateau=True), ringing(21, 1.2)):
        assert kernel.sum() == pytest.approx(1, abs=1e-5)
    wide = gaussian(21, 3, 0.8, 0)
    assert wide[10, 4] > 100 * wide[4, 10]  # along x, which is the second axis
    np.testing.assert_allclose(gaussian(21, 3, 0.8, np.pi / 2), wide.T, atol=1e-6)
    assert gaussian(21, 2, 2, 0, 4)[10, 11] > gaussian(21, 2, 2, 0, 0.5)[10, 11]  # flat-topped against pointed
    assert ringing(21, 1.2).min() < 0
    response = np.abs(np.fft.fft(ringing(21, np.pi / 3).sum(0), 420))
    assert response[:50].min() > 0.8  # of 70, which is the cutoff
    assert response[100:210].max() < 0.15


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_softens_and_keeps_the_level(shape: str) -> None:
    frames = texture(2, channels=3)
    blur = Blur(1.0, {shape: 1.0}, sigma=Walk(2, 2, 0), cutoff=Walk(1.0, 1.0, 0))  # type: ignore[dict-item]
    blurred = blur.apply(frames, np.random.default_rng(0))
    flat = blur.apply([np.full((40, 40, 1), 0.3, np.float32)], np.random.default_rng(0))
    assert np.abs(flat[0] - 0.3).max() < 1e-5
    assert rms(blurred, frames) > 0.01


# --- noise, JPEG, resizing


@pytest.mark.parametrize("gray", [True, False])
def test_gaussian_noise_has_its_strength(gray: bool) -> None:
    frames = [np.full((80, 80, 3), 0.5, np.float32)] * 4
    noise = Noise(1.0, Walk(8, 8, 0), STILL, kinds={"gaussian": 1.0}, gray_probability=float(gray))
    spoilt = np.stack(noise.apply(frames, np.random.default_rng(0))) - 0.5
    assert spoilt.std() * 255 == pytest.approx(8, rel=0.02)
    assert np.array_equal(spoilt[..., 0], spoilt[..., 1]) == gray
    assert abs(np.corrcoef(spoilt[0].ravel(), spoilt[1].ravel())[0, 1]) < 0.03  # fresh in each frame


def test_poisson_noise_grows_with_the_root_of_brightness() -> None:
    noise = Noise(1.0, STILL, Walk(1.5, 1.5, 0), kinds={"poisson": 1.0})
    for level in (0.1, 0.4, 0.9):
        spoilt = noise.apply([np.full((150, 150, 1), level, np.float32)], np.random.default_rng(1))[0]
        assert spoilt.std() == pytest.approx(1.5 * np.sqrt(level / 256), rel=0.03)
        assert spoilt.mean() == pytest.approx(level, abs=2e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_worse_at_lower_quality_and_keeps_colours_in_place(channels: int) -> None:
    frames = texture(2, channels=channels)
    fine, coarse = (Jpeg(1.0, Walk(q, q, 0)).apply(frames, np.random.default_rng(0)) for q in (95, 20))
    assert rms(fine, frames) < rms(coarse, frames) / 2
    red = [np.tile(np.array([0.9, 0.2, 0.1], np.float32)[:channels], (16, 16, 1))]
    np.testing.assert_allclose(Jpeg(1.0, Walk(95, 95, 0)).apply(red, np.random.default_rng(0))[0], red[0], atol=0.02)


def test_resizing_gives_the_size_back_and_applies_what_is_inside() -> None:
    frames = texture(3, channels=3)
    sizes = []

    class Look:
        def apply(self, inside: list[Frame], rng: np.random.Generator) -> list[Frame]:
            sizes.extend(frame.shape for frame in inside)
            return inside

    result = Resize(1.0, Walk(0.4, 0.6, 0.1), inside=(Look(),)).apply(frames, np.random.default_rng(0))
    assert [frame.shape for frame in result] == [(64, 72, 3)] * 3
    assert len(sizes) == 3
    assert all(0.38 * 64 <= height <= 0.62 * 64 for height, _, _ in sizes)


# --- codecs


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CODECS)
def test_codecs_keep_the_brightness(name: str, channels: int) -> None:
    codec, frames = CODECS[name], texture(3, channels=channels)
    shift = np.mean([np.mean(b - a) for a, b in zip(frames, through(codec, frames, codec.quality[0]), strict=True)])
    assert abs(shift) < 0.3 / 255


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CODECS)
def test_codecs_keep_every_frame_in_its_place(name: str, channels: int) -> None:
    codec = CODECS[name]
    count = 14
    # Each frame has a level of its own, at a size that is neither even nor a whole number of blocks.
    levels = np.linspace(0.2, 0.8, count)
    frames = [np.full((35, 45, channels), level, np.float32) for level in levels]
    decoded = through(codec, frames, codec.quality[0], gop=5)
    assert [frame.shape for frame in decoded] == [(35, 45, channels)] * count
    assert np.abs(np.array([frame.mean() for frame in decoded]) - levels).max() < 0.015
    moving = texture(8, 48, 64, channels)
    fine, coarse = (through(codec, moving, quality) for quality in codec.quality)
    assert rms(fine, moving) < rms(coarse, moving)
    assert np.array_equal(coarse, through(codec, moving, codec.quality[1]))


def digest_of_patches() -> str:
    """Of thirty noisy sequences through every codec; called in several processes."""
    digest = hashlib.sha256()
    rng = np.random.default_rng(0)
    ramp = rng.random((32, 32, 1)).cumsum(0).cumsum(1)
    for seed in range(30):
        level = (0.5 + seed / 80) / ramp.max()
        frames = [np.roll(ramp, t * (seed % 4), 0) * level + 0.02 * rng.standard_normal(ramp.shape) for t in range(9)]
        for codec in CODECS.values():
            decoded = through(codec, [frame.astype(np.float32) for frame in frames], codec.quality[0] + seed % 14, 12)
            digest.update(np.stack(decoded).tobytes())
    return digest.hexdigest()


def test_another_process_degrades_alike() -> None:
    code = "from tests.test_training_degrade import digest_of_patches; print(digest_of_patches())"
    words = [sys.executable, "-c", code]
    found = {subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout for _ in range(2)}
    assert found == {digest_of_patches() + "\n"}


def test_chroma_noise_leaves_luma_alone() -> None:
    frames = texture(4, channels=3)
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    for coarse in (1.0, 4.0):
        noise = ChromaNoise(1.0, sigma=Walk(8, 8, 0), coarseness=(coarse, coarse))
        added = np.stack(noise.apply(frames, np.random.default_rng(1))) - np.stack(frames)
        assert np.abs(added @ weights).max() < 1e-6
        # Enlarged noise is weaker, and like its neighbours.
        assert 0.3 * 8 < added[..., 0].std() * 255 < 1.1 * 8
        alike = np.corrcoef(added[:, :, 1:, 0].ravel(), added[:, :, :-1, 0].ravel())[0, 1]
        assert (alike > 0.7) == (coarse == 4.0), alike
    grey = texture(2)
    assert ChromaNoise(1.0, sigma=Walk(8, 8, 0)).apply(grey, np.random.default_rng(1)) is grey


def test_interlaced_frames_are_woven_from_two_moments() -> None:
    frames = texture(4)
    woven = Interlace(1.0).apply(frames, np.random.default_rng(0))
    for number, frame in enumerate(woven):
        assert np.array_equal(frame[::2], frames[number][::2])
        assert np.array_equal(frame[1::2], frames[min(number + 1, 3)][1::2])
    assert Interlace(0.0).apply(frames, np.random.default_rng(0)) is frames


def test_sharpening_undershoots_and_overshoots_at_edges() -> None:
    edge = np.full((32, 32, 3), 0.3, np.float32)
    edge[:, 16:] = 0.7
    (sharp,) = Sharpen(1.0, Walk(1.5, 1.5, 0)).apply([edge], np.random.default_rng(0))
    assert sharp.min() < 0.25
    assert sharp.max() > 0.75
    assert np.allclose(sharp[:, :4], 0.3, atol=1e-4)
    assert edge.max() == np.float32(0.7)
