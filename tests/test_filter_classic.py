"""The classical filters against references that share no code with OpenCV: every depth, colour and alpha kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from streamvsr.errors import FilterError
from streamvsr.filters.base import Filter
from streamvsr.filters.cv.classic import Gaussian, Laplacian, Mean, Median, UnsharpMask
from streamvsr.filters.cv.edges import Canny, Sobel
from streamvsr.filters.cv.enlarge import Bicubic, Bilinear, Lanczos, Nearest
from streamvsr.filters.cv.equalize import Equalize
from streamvsr.filters.cv.traditional import Traditional
from streamvsr.filters.registry import ENTRIES
from streamvsr.frames import PIXEL_FORMATS, Color, Frame, PixelFormat, StreamInfo

ndimage = pytest.importorskip("scipy.ndimage")
exposure = pytest.importorskip("skimage.exposure")
feature = pytest.importorskip("skimage.feature")
skimage_data = pytest.importorskip("skimage.data")

BT709 = Color(matrix=1, primaries=1, transfer=1, full_range=False, chroma_location=1)
WIDTH, HEIGHT = 70, 46
Image = NDArray[np.float64]


def picture(format: str, width: int = WIDTH, height: int = HEIGHT, color: Color = BT709) -> Frame:
    """A part of a photograph in each plane, a different one each; codes over the whole range."""
    kind = PIXEL_FORMATS[format]
    photo = skimage_data.camera().astype(np.float64) / 255
    planes = []
    for n, (rows, columns) in enumerate(kind.plane_shapes(width, height)):
        part = photo[60 + 31 * n : 60 + 31 * n + rows, 200 + 17 * n : 200 + 17 * n + columns]
        fine = np.random.default_rng(n).uniform(-0.5, 0.5, part.shape) * (1 << max(0, kind.bits - 8)) * (kind.bits > 8)
        plane = np.clip(np.rint(part * kind.peak + fine), 0, kind.peak).astype(kind.dtype)
        plane.flags.writeable = False
        planes.append(plane)
    return Frame(tuple(planes), kind, 7, Fraction(1, 25), 1, color)


def info_of(frame: Frame) -> StreamInfo:
    return StreamInfo(
        frame.width, frame.height, frame.format, frame.time_base, Fraction(25),
        sample_aspect_ratio=Fraction(8, 9), color=frame.color,
    )  # fmt: skip


def through(link: Filter, frame: Frame) -> Frame:
    """One picture through a filter, which has to say beforehand what it gives, and to give it at once."""
    info = link.configure(info_of(frame))
    (out,) = link.push(frame)
    assert list(link.flush()) == []
    assert link.lookahead == 0
    assert (out.width, out.height, out.format, out.color) == (info.width, info.height, info.format, info.color)
    assert (out.pts, out.time_base, out.duration) == (frame.pts, frame.time_base, frame.duration)
    for plane, shape in zip(out.planes, out.format.plane_shapes(out.width, out.height), strict=True):
        assert plane.shape == shape
        assert plane.dtype == out.format.dtype
        assert plane.max() <= out.format.peak
    link.close()
    return out


def rounded(values: Image, format: PixelFormat) -> Image:
    return np.clip(np.floor(values + 0.5), 0, format.peak)


CROSS = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], float)
BLOCK = np.array([[1, 1, 1], [1, -8, 1], [1, 1, 1]], float)


def gaussian_window(size: int, sigma: float) -> Image:
    x = np.arange(size) - (size - 1) / 2
    w = np.exp(-(x**2) / (2 * sigma**2))
    return np.outer(w, w) / w.sum() ** 2


REFERENCES: dict[str, tuple[Filter, Callable[[Image, int], Image]]] = {
    "laplacian": (Laplacian(), lambda x, _: x - ndimage.convolve(x, CROSS, mode="nearest")),
    "laplacian 8": (Laplacian(0.5, "8"), lambda x, _: x - 0.5 * ndimage.convolve(x, BLOCK, mode="nearest")),
    "unsharp_mask": (
        UnsharpMask(1.5, 0.8), lambda x, _: x + 0.8 * (x - ndimage.gaussian_filter(x, 1.5, mode="nearest")),
    ),
    "unsharp_mask threshold": (
        UnsharpMask(1.0, 1.0, 4.0),
        lambda x, unit: x + (d := x - ndimage.gaussian_filter(x, 1.0, mode="nearest")) * (np.abs(d) >= 4 * unit),
    ),
    "mean": (Mean(5, "luma"), lambda x, _: ndimage.uniform_filter(x, 5, mode="nearest")),
    "gaussian": (Gaussian(5, planes="luma"), lambda x, _: ndimage.convolve(x, gaussian_window(5, 1.1), mode="nearest")),
    "gaussian wide": (
        Gaussian(13, 2.5, "luma"), lambda x, _: ndimage.convolve(x, gaussian_window(13, 2.5), mode="nearest"),
    ),
    "median": (Median(5, "luma"), lambda x, _: ndimage.median_filter(x, 5, mode="nearest")),
    "traditional without the last step": (
        Gaussian(5, planes="luma"), lambda x, _: ndimage.convolve(x, gaussian_window(5, 1.1), mode="nearest"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("format", ["yuv420p", "yuva422p10le", "gray", "gbrp12le", "yuv444p16le", "gbrap"])
def test_sharpening_and_smoothing(name: str, format: str) -> None:
    link, reference = REFERENCES[name]
    frame = picture(format)
    out = through(link, frame)
    kind = frame.format
    done = 3 if kind.family == "rgb" else 1
    for n, (before, after) in enumerate(zip(frame.planes, out.planes, strict=True)):
        if n >= done:
            assert np.array_equal(before, after), "chroma and alpha are not this filter's"
            continue
        wanted = rounded(reference(before.astype(float), 1 << (kind.bits - 8)), kind)
        # Half a code may fall to either side in single precision; a threshold may be met or not.
        difference = np.abs(after - wanted)
        assert (difference > 1).mean() < (0.01 if "threshold" in name else 1e-9)
        assert (difference > 0).mean() < 0.02


@pytest.mark.parametrize("link", [Mean(3), Gaussian(5), Median(3), Laplacian(planes="all"), UnsharpMask(planes="all")])
def test_all_planes_means_chroma_too_but_never_alpha(link: Filter) -> None:
    frame = picture("yuva420p")
    out = through(link, frame)
    same = [np.array_equal(a, b) for a, b in zip(frame.planes, out.planes, strict=True)]
    assert same == [False, False, False, True]


KERNELS: dict[str, tuple[Any, int, Callable[[Image], Image]]] = {
    "bilinear": (Bilinear, 1, lambda x: np.maximum(1 - np.abs(x), 0)),
    "bicubic": (
        Bicubic, 2,
        lambda x: np.where(
            np.abs(x) <= 1,
            1.25 * np.abs(x) ** 3 - 2.25 * x**2 + 1,
            np.where(np.abs(x) < 2, -0.75 * (np.abs(x) ** 3 - 5 * x**2 + 8 * np.abs(x) - 4), 0),
        ),
    ),
    "lanczos": (Lanczos, 4, lambda x: np.where(np.abs(x) < 4, np.sinc(x) * np.sinc(x / 4), 0)),
}  # fmt: skip


def resized(plane: Image, shape: tuple[int, int], factors: tuple[float, float], phases: tuple[float, float],
            reach: int, kernel: Callable[[Image], Image]) -> Image:  # fmt: skip
    """The formula, written out: rows, then columns."""
    for axis, (count, factor, phase) in enumerate(zip(shape, factors, phases, strict=True)):
        centre = (np.arange(count) + phase) / factor - phase
        first = np.floor(centre).astype(int)
        total = np.zeros((count, plane.shape[1 - axis]))
        weight_sum = np.zeros(count)
        for tap in range(1 - reach, reach + 1):
            weight = kernel(centre - (first + tap))
            at = np.clip(first + tap, 0, plane.shape[axis] - 1)
            total += (
                weight[:, None] * plane.take(at, axis).reshape(-1, plane.shape[1])
                if axis == 0
                else (weight[:, None] * plane[:, at].T)
            )
            weight_sum += weight
        total /= weight_sum[:, None]
        plane = total if axis == 0 else total.T
    return plane


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(
    ("format", "location", "size"),
    [
        ("yuv420p", 1, 4.0), ("yuv420p", 2, 2.0), ("yuv420p10le", 3, 4.0), ("yuv422p", 0, 2.0), ("yuv444p12le", 0, 3.0),
        ("gbrap", 0, 4.0), ("yuva420p16le", 1, 2.0), ("gray", 0, (210, 92)), ("yuv420p", 1, (140, 138)),
        ("yuv420p", 1, 1.5),
    ],
)  # fmt: skip
def test_enlarging(name: str, format: str, location: int, size: float | tuple[int, int]) -> None:
    make, reach, kernel = KERNELS[name]
    frame = picture(format, color=replace(BT709, chroma_location=location))
    out = through(make(size), frame)
    kind = frame.format
    factors = (out.height / HEIGHT, out.width / WIDTH)
    left, top = location in (0, 1, 3), location == 3
    for n, (before, after) in enumerate(zip(frame.planes, out.planes, strict=True)):
        sub = n in (1, 2)
        phases = (
            0.25 if sub and kind.log2_chroma_h and top else 0.5,
            0.25 if sub and kind.log2_chroma_w and left else 0.5,
        )
        wanted = rounded(resized(before.astype(float), after.shape, factors, phases, reach, kernel), kind)
        difference = np.abs(after.astype(float) - wanted) / (1 << (kind.bits - 8))
        # OpenCV's coefficients have 11 bits, and positions in chroma that is moved 5.
        assert difference.max() <= (12 if sub else 2.01), f"plane {n}"
        assert difference.mean() < (0.6 if sub else 0.3)


@pytest.mark.parametrize("format", ["yuv420p", "gbrp10le", "gray16le", "yuva444p"])
def test_nearest_makes_blocks(format: str) -> None:
    frame = picture(format)
    out = through(Nearest(3), frame)
    for before, after in zip(frame.planes, out.planes, strict=True):
        assert np.array_equal(before.repeat(3, 0).repeat(3, 1), after)


@pytest.mark.parametrize("make", [Nearest, Bilinear, Bicubic, Lanczos])
@pytest.mark.parametrize("format", sorted(PIXEL_FORMATS))
def test_flat_frames_stay_flat_when_enlarged(make: Any, format: str) -> None:
    kind = PIXEL_FORMATS[format]
    planes = tuple(np.full(s, kind.peak // (n + 2), kind.dtype) for n, s in enumerate(kind.plane_shapes(33, 21)))
    out = through(make(4.0), Frame(planes, kind, 7, Fraction(1, 25), 1, BT709))
    assert (out.width, out.height) == (132, 84)
    for before, after in zip(planes, out.planes, strict=True):
        assert (after == before[0, 0]).all()


def test_chroma_stays_where_it_belongs() -> None:
    """A left-sited edge at luma pixel 32 lies at pixel 128 of a picture four times larger, not 1.5 pixels beside."""
    kind = PIXEL_FORMATS["yuv420p"]
    luma = np.full((32, 64), 128, np.uint8)
    ramp = np.broadcast_to((np.arange(32) * 4 + 60).astype(np.uint8), (16, 32))
    out = through(Bilinear(4), Frame((luma, ramp, ramp), kind, 7, Fraction(1, 25), 1, BT709))
    # Sample j of the input lies at luma position 2 j + 1/2; the value is 60 + 4 j, so 60 + 2 * (position - 1/2).
    k = np.arange(20, 100)
    position = (2 * k + 0.5) / 4
    assert np.abs(out.planes[1][8, k] - (60 + 2 * (position - 0.5))).max() <= 0.51


def test_shape_and_tags_of_enlarged_frames() -> None:
    untagged = picture("yuv420p", color=Color())
    link = Bicubic((WIDTH * 2, HEIGHT * 4))
    info = link.configure(info_of(untagged))
    assert info.sample_aspect_ratio == Fraction(8, 9) * 2
    assert (info.color.matrix, info.color.full_range) == (6, False)
    with pytest.raises(FilterError, match="scale makes them smaller"):
        Lanczos((WIDTH - 1, HEIGHT)).configure(info_of(untagged))


def test_traditional_is_its_three_steps() -> None:
    frame = picture("yuv420p10le")
    step = through(Bicubic(4), through(Gaussian(5), through(Laplacian(), frame)))
    out = through(Traditional(), frame)
    assert (out.width, out.height) == (4 * WIDTH, 4 * HEIGHT)
    assert all(np.array_equal(a, b) for a, b in zip(step.planes, out.planes, strict=True))


def luma_range(kind: PixelFormat, color: Color) -> tuple[int, int]:
    unit = 1 << (kind.bits - 8)
    return (16 * unit, 235 * unit) if kind.family != "rgb" and color.full_range is False else (0, kind.peak)


@pytest.mark.parametrize("format", ["yuv420p", "yuva444p10le", "gray", "gray12le", "yuv422p16le"])
@pytest.mark.parametrize("full", [True, False])
def test_equalize_spreads_ranks(format: str, full: bool) -> None:
    frame = picture(format, color=replace(BT709, full_range=full))
    out = through(Equalize(), frame)
    black, white = luma_range(frame.format, frame.color)
    before = np.clip(frame.planes[0].astype(float), black, white)
    after = out.planes[0].astype(float)
    assert (after.min(), after.max()) == (black, white)
    # skimage puts a pixel at cdf(v); the first code at black moves that by its own share.
    bins = int(white - black + 1)
    hist, edges = np.histogram(before, bins, (black - 0.5, white + 0.5))
    cdf = np.interp(before, (edges[:-1] + edges[1:]) / 2, hist.cumsum() / before.size)
    first = cdf.min()
    wanted = black + (white - black) * (cdf - first) / (1 - first)
    assert np.abs(after - wanted).max() <= 0.51
    if full and frame.format.bits == 8:
        close = exposure.equalize_hist(before.astype(np.uint8)) * 255
        assert np.abs(after - close).mean() < 255 * first + 1
    assert all(np.array_equal(a, b) for a, b in zip(frame.planes[1:], out.planes[1:], strict=True))


def test_equalize_of_rgb_keeps_colour_differences() -> None:
    frame = picture("gbrp10le")
    out = through(Equalize(strength=0.5), frame)
    change = [b.astype(int) - a for a, b in zip(frame.planes, out.planes, strict=True)]
    free = np.all([(p > 0) & (p < 1023) for p in out.planes], axis=0)
    assert np.ptp(np.stack(change), axis=0)[free].max() <= 1
    assert np.abs(change[0]).max() > 20


def test_flat_frames_have_nothing_to_equalize() -> None:
    kind = PIXEL_FORMATS["yuv420p"]
    planes = tuple(np.full(s, 77, np.uint8) for s in kind.plane_shapes(32, 32))
    out = through(Equalize(), Frame(planes, kind, 7, Fraction(1, 25), 1, BT709))
    assert all(np.array_equal(a, b) for a, b in zip(planes, out.planes, strict=True))


def test_clahe_is_opencvs_for_eight_bits() -> None:
    cv2 = pytest.importorskip("cv2")
    for size in ((128, 96), (131, 97)):
        frame = picture("gray", *size, Color(full_range=True))
        out = through(Equalize(clahe=True, clip=3.0, tiles=4), frame)
        wanted = cv2.createCLAHE(3.0, (4, 4)).apply(np.ascontiguousarray(frame.planes[0]))
        assert np.array_equal(out.planes[0], wanted)
        deep = replace(frame, planes=(frame.planes[0].astype(np.uint16) * 257,), format=PIXEL_FORMATS["gray16le"])
        out = through(Equalize(clahe=True, clip=3.0, tiles=4), deep)
        assert np.abs(np.rint(out.planes[0] / 257) - wanted).max() <= 1


def test_clahe_against_skimage_and_at_sixteen_bits() -> None:
    frame = picture("gray", 256, 256, Color(full_range=True))
    out = through(Equalize(clahe=True, clip=2.56, tiles=8), frame).planes[0].astype(float)
    wanted = exposure.equalize_adapthist(frame.planes[0], 32, clip_limit=0.01, nbins=256) * 255
    # skimage gives the excess back several times over and stretches the result; the shape is the same.
    assert np.corrcoef(out.ravel(), wanted.ravel())[0, 1] > 0.99
    deep = replace(frame, planes=(frame.planes[0].astype(np.uint16) * 257,), format=PIXEL_FORMATS["gray16le"])
    sixteen = through(Equalize(clahe=True, clip=2.56, tiles=8), deep).planes[0].astype(float)
    assert np.abs(sixteen / 257 - out).max() < 1
    assert len(np.unique(sixteen)) > 10 * len(np.unique(out))


@pytest.mark.parametrize("format", ["yuv420p", "yuva420p10le", "gray16le", "gbrp"])
def test_sobel_is_the_gradients_magnitude(format: str) -> None:
    frame = picture(format)
    out = through(Sobel(0.5), frame)
    kind = frame.format
    if kind.family == "rgb":
        luma = sum(w * p.astype(float) for w, p in zip((0.2126, 0.7152, 0.0722), frame.planes, strict=True))
    else:
        luma = frame.planes[0].astype(float)
    magnitude = 0.5 * np.hypot(*(ndimage.sobel(luma, axis, mode="nearest") for axis in (0, 1)))
    black, white = luma_range(kind, frame.color)
    wanted = np.minimum(black + magnitude, white)
    assert np.abs(out.planes[0] - wanted).max() <= 0.51 + 1e-6 * kind.peak
    assert_drawing(frame, out)


def assert_drawing(frame: Frame, out: Frame) -> None:
    kind = frame.format
    if kind.family == "yuv":
        assert all((p == 1 << (kind.bits - 1)).all() for p in out.planes[1:3])
    if kind.family == "rgb":
        assert all(np.array_equal(out.planes[0], p) for p in out.planes[1:3])
    if kind.alpha:
        assert np.array_equal(out.planes[-1], frame.planes[-1])


@pytest.mark.parametrize("format", ["gray", "yuv420p10le", "gbrap12le", "gray16le"])
def test_canny_draws_skimages_lines(format: str) -> None:
    frame = picture(format, 240, 200, Color(full_range=True))
    out = through(Canny(60, 160, 1.4), frame)
    kind = frame.format
    black, white = luma_range(kind, frame.color)
    assert set(np.unique(out.planes[0])) == {black, white}
    assert_drawing(frame, out)
    luma = frame.planes[0].astype(float)
    if kind.family == "rgb":
        luma = sum(w * p.astype(float) for w, p in zip((0.2126, 0.7152, 0.0722), frame.planes[:3], strict=True))
    values = luma / (1 << (kind.bits - 8))
    theirs = feature.canny(values, 1.4, 60, 160, mode="nearest")
    ours = out.planes[0] == white
    near = np.ones((3, 3), bool)
    inner = np.zeros_like(ours)
    inner[2:-2, 2:-2] = True
    # To a pixel: OpenCV knows four directions of a gradient, skimage interpolates between pixels.
    for one, other in ((ours, theirs), (theirs, ours)):
        assert (ndimage.binary_dilation(other, near) | ~inner)[one].mean() > 0.93


@pytest.mark.parametrize("name", [own.name for own in ENTRIES.values() if own.name != "vsr"])
@pytest.mark.parametrize("format", sorted(PIXEL_FORMATS))
def test_every_filter_at_every_format(name: str, format: str) -> None:
    frame = picture(format, 31, 17)
    before = [plane.copy() for plane in frame.planes]
    through(ENTRIES[name].make({}), frame)
    assert all(np.array_equal(a, b) for a, b in zip(before, frame.planes, strict=True)), "nobody writes into a plane"


@pytest.mark.parametrize("name", [own.name for own in ENTRIES.values() if own.name != "vsr"])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 1)])
def test_tiny_frames(name: str, size: tuple[int, int]) -> None:
    through(ENTRIES[name].make({}), picture("yuv420p", *size))


def test_equalize_with_clahe_at_every_format() -> None:
    for format in PIXEL_FORMATS:
        through(Equalize(clahe=True), picture(format, 31, 17))
    through(Equalize(clahe=True), picture("yuv420p", 3, 2))
