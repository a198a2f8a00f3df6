"""What is measured, against references that share no code with it."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch.nn import functional

from streamvsr.errors import CheckpointError, MissingExtraError, StreamvsrError, UsageError
from streamvsr.frames import PIXEL_FORMATS, Color, Frame, StreamInfo
from streamvsr.media.color.samples import chroma, cropped, luma, matrix_of, rgb
from streamvsr.metrics import natural, perceptual, tools
from streamvsr.metrics.fidelity import mse, psnr, ssim
from streamvsr.metrics.measure import Measure, pairs
from streamvsr.metrics.motion import find_motion, flicker, warping_error
from streamvsr.metrics.options import MeasureOptions

BT601, BT709 = 6, 1
LIMITED = Color(matrix=BT601, full_range=False)


def frame(name: str, planes: list[np.ndarray], color: Color = LIMITED, pts: int = 0) -> Frame:
    layout = PIXEL_FORMATS[name]
    return Frame(tuple(p.astype(layout.dtype) for p in planes), layout, pts, Fraction(1, 25), 1, color)


def picture(pixels: np.ndarray, pts: int = 0) -> Frame:
    """(H, W, 3) codes as a PNG would be read."""
    return frame("gbrp", [pixels[..., c] for c in range(3)], Color(matrix=0, full_range=True), pts)


def texture(seed: int, height: int, width: int) -> np.ndarray:
    """Smooth detail that motion can be found in, 40..200."""
    noise = np.random.default_rng(seed).normal(size=(height, width))
    soft = cv2.GaussianBlur(noise, (0, 0), 2)
    return (120 + 30 * soft / soft.std()).clip(40, 200).astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(11, 40), st.integers(11, 40), st.integers(0, 2**31), st.sampled_from([0.5, 4.0, 60.0]), st.booleans()
)
def test_psnr_and_ssim_are_those_of_scikit_image(height: int, width: int, seed: int, sigma: float, flat: bool) -> None:
    random = np.random.default_rng(seed)
    a = np.full((height, width), 128.0) if flat else random.uniform(0, 255, (height, width))
    b = (a + random.normal(0, sigma, a.shape)).clip(0, 255)
    a, b = a.astype(np.float32), b.astype(np.float32)
    assert psnr(mse(a, b)) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=255), abs=1e-4)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    double = a.astype(np.float64), b.astype(np.float64)
    assert ssim(a, b) == pytest.approx(structural_similarity(*double, **options), abs=1e-4)


def test_equal_images_and_tiny_ones() -> None:
    a = texture(0, 20, 20)
    assert (mse(a, a), psnr(mse(a, a))) == (0, 100)
    assert ssim(a, a) == pytest.approx(1)
    assert math.isnan(ssim(a[:10], a[:10]))


def test_luma_is_the_codes_of_8_bit_video() -> None:
    y = np.array([[16, 20, 128, 235, 255]])
    grey = [np.full((1, 5), 128)] * 2
    assert luma(frame("yuv444p", [y, *grey]), BT601) == pytest.approx(y)
    ten = [plane * 4 for plane in (y, *grey)]
    assert luma(frame("yuv444p10le", ten), BT601) == pytest.approx(y, abs=1e-4)
    full = luma(frame("yuv444p", [y, *grey], Color(matrix=BT601, full_range=True)), BT601)
    assert full == pytest.approx(16 + 219 * y / 255, abs=1e-4)


def test_luma_of_pictures_is_that_of_the_literature() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (6, 7, 3))
    expected = 16 + (pixels @ np.array([65.481, 128.553, 24.966])) / 255
    assert luma(picture(pixels), BT601) == pytest.approx(expected, abs=1e-3)
    assert rgb(picture(pixels)) == pytest.approx(pixels, abs=1e-3)


def test_chroma_of_pictures_is_that_of_the_literature() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (6, 7, 3))
    weights = np.array([[-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]])
    assert chroma(rgb(picture(pixels)), BT601) == pytest.approx(128 + (pixels @ weights.T) / 255, abs=1e-3)


def test_chroma_is_measured_apart_from_luma() -> None:
    """Blue noise on a grey image: the same luma, another Cb, and by BT.601's ratio a little of Cr."""
    rng = np.random.default_rng(2)
    grey = np.full((16, 16, 3), 128.0)
    cb = rng.normal(0, 10, (16, 16, 1))
    noisy = np.clip(np.rint(grey + cb * np.array([0, -0.344136, 1.772])), 0, 255).astype(int)
    measure = Measure(tools.load(MeasureOptions(metrics=("psnr_y", "psnr_cb", "psnr_cr")), reference=True), BT601)
    measure.add(picture(noisy), picture(grey.astype(int)))
    found = {name: measure.scores.mean(name) for name in ("psnr_y", "psnr_cb", "psnr_cr")}
    expected = 10 * np.log10(255**2 / np.mean((cb * 224 / 255) ** 2))
    assert found["psnr_cb"] == pytest.approx(expected, abs=0.1)
    assert found["psnr_y"] > 50 < found["psnr_cr"]


def test_another_matrix_is_converted_not_mistaken() -> None:
    """Pure green in BT.709 codes, measured beside a BT.601 reference."""
    green = frame("yuv444p", [np.full((4, 4), c) for c in (173, 42, 26)], Color(matrix=BT709, full_range=False))
    assert luma(green, BT709) == pytest.approx(173)
    assert luma(green, BT601) == pytest.approx(16 + 219 * 0.587, abs=1)


def test_a_grey_reference_has_no_matrix_of_its_own() -> None:
    """Whatever its size makes of it: beside pictures it is BT.601, beside video the video's."""
    kinds = {"gray": Color(matrix=BT709), "gbrp": Color(matrix=0), "yuv420p": Color(matrix=9)}
    gray, pictures, movie = (
        StreamInfo(1280, 720, PIXEL_FORMATS[name], Fraction(1, 25), None, color=color) for name, color in kinds.items()
    )
    assert [matrix_of(gray, beside) for beside in (gray, pictures, movie)] == [BT601, BT601, 9]
    assert [matrix_of(own, gray) for own in (pictures, movie)] == [BT601, 9]
    assert (matrix_of(gray), matrix_of(movie)) == (BT601, 9)


def test_the_border_is_left_out() -> None:
    values = np.arange(48, dtype=np.float32).reshape(6, 8)
    assert np.array_equal(cropped(values, 2), values[2:4, 2:6])
    with pytest.raises(StreamvsrError, match="nothing is left of frames of 8x6"):
        cropped(values, 3)


def test_motion_is_followed() -> None:
    big = texture(2, 80, 120)
    before, now = big[8:72, 8:104], big[8:72, 11:107]  # the camera pans by three pixels
    motion = find_motion(now, before)
    assert motion is not None
    assert motion.visible.mean() > 0.5
    assert warping_error(now, before, motion) < 0.02 * mse(now, before)
    # A fault that sticks to what moves is no flicker, one that stands still before it is.
    fault = texture(3, 80, 120) - 120
    sticking = flicker(fault[8:72, 11:107], fault[8:72, 8:104], motion)
    standing = flicker(fault[8:72, 8:104], fault[8:72, 8:104], motion)
    assert sticking < 0.15 * standing


def test_flicker_has_the_size_of_what_flickers() -> None:
    still = texture(4, 48, 64)
    motion = find_motion(still, still)
    even = np.zeros_like(still)
    assert flicker(even, even, motion) == 0
    assert flicker(even + 3, even - 1, motion) == pytest.approx(4, abs=1e-4)
    assert warping_error(still + 2, still, motion) == pytest.approx(4, abs=1e-2)


def test_no_motion_where_there_is_none_to_find() -> None:
    assert find_motion(texture(5, 12, 40), texture(5, 12, 40)) is None
    assert math.isnan(flicker(texture(5, 12, 40), texture(5, 12, 40), None))


@pytest.mark.parametrize(("shape", "draw"), [(2.0, "normal"), (1.0, "laplace")])
def test_the_fit_finds_the_distribution_again(shape: float, draw: str) -> None:
    random = np.random.default_rng(6)
    sizes = np.abs(getattr(random, draw)(size=200_000))
    for ratio in (1.0, 3.0):
        # The side that is as many times wider holds as many times more.
        right = random.random(sizes.size) < ratio / (1 + ratio)
        found, left_scale, right_scale = natural.asymmetric_fit(np.where(right, ratio, -1) * sizes)
        assert found == pytest.approx(shape, rel=0.03)
        assert right_scale / left_scale == pytest.approx(ratio, rel=0.03)


@pytest.fixture
def photo(shared_data: Path) -> np.ndarray:
    pixels = cv2.imread(str(shared_data / "gt" / "kodak" / "kodim08.png"))
    return np.asarray(pixels[..., ::-1], np.float32)


@pytest.fixture
def parameters(tmp_path: Path, shared_data: Path) -> Path:
    """NIQE's parameters of three photos; those of its authors are not ours to ship."""
    features = []
    for name in ("kodim01", "kodim13", "kodim22"):
        grey = cv2.imread(str(shared_data / "gt" / "kodak" / f"{name}.png"), cv2.IMREAD_GRAYSCALE)[:480, :672]
        whole = grey.astype(np.float64)
        half = natural._features(natural.halved(whole), 48)
        features.append(np.hstack([natural._features(whole, 96), half]))
    table = np.vstack(features)
    path = tmp_path / "parameters.npz"
    np.savez(path, mu_pris_param=table.mean(0)[None], cov_pris_param=np.cov(table, rowvar=False))
    return path


def damaged(photo: np.ndarray) -> dict[str, np.ndarray]:
    noise = np.random.default_rng(7).normal(0, 15, photo.shape).astype(np.float32)
    return {"blurred": cv2.GaussianBlur(photo, (0, 0), 2), "noisy": (photo + noise).clip(0, 255)}


def grey_codes(pixels: np.ndarray) -> np.ndarray:
    return luma(picture(pixels.round()), BT601)


def test_niqe_prefers_the_photo(photo: np.ndarray, parameters: Path) -> None:
    niqe = natural.Niqe(parameters)
    assert all(niqe(grey_codes(bad)) > niqe(grey_codes(photo)) for bad in damaged(photo).values())
    assert math.isnan(niqe(np.full((300, 300), 80, np.float32)))
    assert math.isnan(niqe(grey_codes(photo[:100, :100])))


def test_brisque_prefers_the_photo(photo: np.ndarray) -> None:
    brisque = natural.Brisque()
    good = brisque(grey_codes(photo))
    assert 0 < good < 40
    assert all(brisque(grey_codes(bad)) > good + 10 for bad in damaged(photo).values())
    assert math.isnan(brisque(np.full((64, 64), 80, np.float32)))


def test_ssimulacra2_orders_pictures(photo: np.ndarray) -> None:
    tool, small = perceptual.Ssimulacra2(), photo[:160, :160]
    assert tool(small, small) == pytest.approx(100)
    softer, softest = (tool(cv2.GaussianBlur(small, (0, 0), sigma), small) for sigma in (0.7, 2))
    assert 100 > softer > softest
    assert math.isnan(tool(small[:40], small[:40]))


@pytest.fixture
def lpips_files(tmp_path: Path) -> tuple[Path, Path]:
    """Weights of the right names and shapes, drawn at random."""
    torch.manual_seed(8)
    shapes = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}
    backbone = {f"features.{n}.weight": torch.randn(s) / math.prod(s[1:]) ** 0.5 for n, s in shapes.items()}
    backbone |= {f"features.{n}.bias": torch.randn(s[0]) * 0.1 for n, s in shapes.items()}
    linear = {f"lin{n}.model.1.weight": torch.rand(1, s[0], 1, 1) for n, s in enumerate(shapes.values())}
    torch.save(backbone, tmp_path / "alexnet.pth")
    torch.save(linear, tmp_path / "linear.pth")
    return tmp_path / "alexnet.pth", tmp_path / "linear.pth"


def test_lpips_is_what_its_paper_says(lpips_files: tuple[Path, Path]) -> None:
    pair = [torch.rand(3, 80, 96) * 255 for _ in range(2)]
    weights, linear = (torch.load(path, weights_only=True) for path in lpips_files)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = 0.0
    # ImageNet's normalisation, to the three decimals that the published constants have.
    x = [((p / 255 - mean[:, None, None]) / deviation[:, None, None])[None] for p in pair]
    for place, (n, stride, padding) in enumerate([(0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1)]):
        if n in (3, 6):
            x = [functional.max_pool2d(one, kernel_size=3, stride=2) for one in x]
        key = f"features.{n}"
        x = [
            functional.conv2d(one, weights[f"{key}.weight"], weights[f"{key}.bias"], stride, padding).clamp(0)
            for one in x
        ]
        a, b = (functional.normalize(one[0], dim=0) for one in x)
        expected += float(
            torch.einsum("chw,c->hw", (a - b) ** 2, linear[f"lin{place}.model.1.weight"].flatten()).mean()
        )
    tool = perceptual.Lpips(*lpips_files)
    arrays = [one.permute(1, 2, 0).numpy() for one in pair]
    assert tool(*arrays) == pytest.approx(expected, rel=1e-3)
    assert tool(arrays[0], arrays[0]) == 0


def test_wrong_weights_are_told(lpips_files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        perceptual.Lpips(tmp_path / "none.pth", lpips_files[1])
    with pytest.raises(CheckpointError, match="is not torchvision's AlexNet"):
        perceptual.Lpips(lpips_files[1], lpips_files[1])
    with pytest.raises(CheckpointError, match="holds no weights of LPIPS"):
        perceptual.Lpips(lpips_files[0], lpips_files[0])
    (tmp_path / "text.npz").write_text("no")
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        perceptual.Lpips(tmp_path / "text.npz", lpips_files[1])
    with pytest.raises(StreamvsrError, match="holds no parameters of NIQE"):
        natural.Niqe(tmp_path / "text.npz")
    with pytest.raises(UsageError, match="no such file"):
        natural.Niqe(tmp_path / "none.npz")


def test_what_cannot_be_had_is_left_out_or_refused() -> None:
    found = tools.load(MeasureOptions(), reference=False)
    assert "psnr_y" not in found.wanted
    assert any("niqe" in note and "--niqe-parameters" in note for note in found.notes)
    with pytest.raises(MissingExtraError, match="--niqe-parameters FILE"):
        tools.load(MeasureOptions(metrics=("niqe",)), reference=False)
    with pytest.raises(UsageError, match="psnr_y compares with a reference"):
        tools.load(MeasureOptions(metrics=("psnr_y",)), reference=False)
    with pytest.raises(UsageError, match="--metric psnr: there are psnr_y"):
        tools.load(MeasureOptions(metrics=("psnr",)), reference=True)


def measured(change: Callable[[np.ndarray, int], np.ndarray], names: tuple[str, ...], **more: object) -> Measure:
    """Five frames of a pan, changed, beside themselves."""
    wide = np.stack([texture(seed, 64, 128) for seed in (9, 10, 11)], -1).round()
    chosen = tools.load(MeasureOptions(metrics=names), reference=True)
    measure = Measure(chosen, BT601, **more)  # type: ignore[arg-type]
    for n in range(5):
        truth = wide[:, 2 * n : 2 * n + 96]
        measure.add(picture(change(truth, n), n), picture(truth, n))
    return measure


def test_one_clip() -> None:
    names = ("psnr_y", "psnr_rgb", "mse_rgb", "flicker", "ssim_y")
    even = measured(lambda x, n: x, names).scores
    assert {name: even.mean(name) for name in even.columns} == pytest.approx(
        {"psnr_y": 100, "psnr_rgb": 100, "mse_rgb": 0, "flicker": 0, "ssim_y": 1}
    )
    blinking = measured(lambda x, n: x + 4 * (n % 2), names, crop_border=8).scores
    assert blinking.mean("mse_rgb") == pytest.approx(2 * 16 / 5, abs=1e-2)
    assert blinking.mean("flicker") == pytest.approx(4 * 219 / 255, abs=0.01)
    assert math.isnan(blinking.columns["flicker"][0])
    worst = blinking.worst("psnr_y")
    assert worst is not None
    assert worst[0] == 1
    assert (blinking.size, len(blinking), list(blinking.seconds)[2]) == ((80, 48), 5, 0.08)


def test_costly_ones_at_some_frames_alone() -> None:
    scores = measured(lambda x, n: x, ("brisque", "mse_y"), at=frozenset({0, 3, 99})).scores
    assert [not math.isnan(value) for value in scores.columns["brisque"]] == [True, False, False, True, False]
    assert not any(math.isnan(value) for value in scores.columns["mse_y"])


def test_frames_are_paired_by_their_order() -> None:
    def frames(count: int) -> list[Frame]:
        return [picture(np.zeros((4, 4, 3)), n) for n in range(count)]

    for counts, short in (((2, 3), "'a' has 2 frames, 'b' has more"), ((3, 2), "'b' has 2 frames, 'a' has more")):
        given_frames = [iter(frames(count)) for count in counts]
        with pytest.raises(StreamvsrError, match=short):
            list(pairs(*given_frames, ("a", "b"), shortest=False))
        given_frames = [iter(frames(count)) for count in counts]
        assert [a.pts for a, b in pairs(*given_frames, ("a", "b"), shortest=True)] == [0, 1]
    assert len(list(pairs(iter(frames(2)), iter(frames(2)), ("a", "b"), shortest=False))) == 2


def test_sizes_have_to_be_one() -> None:
    measure = Measure(tools.load(MeasureOptions(metrics=("mse_y",)), reference=True), BT601)
    with pytest.raises(StreamvsrError, match="the result is 4x4, the reference 6x5"):
        measure.add(picture(np.zeros((4, 4, 3))), picture(np.zeros((5, 6, 3))))
