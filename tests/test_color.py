"""Planes to network input and back: every layout, depth, range and matrix, against float64 formulas in numpy."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamvsr.errors import FilterError
from streamvsr.frames import PIXEL_FORMATS, Color, Frame, PixelFormat, Plane
from streamvsr.media.color.resample import resample
from streamvsr.media.color.yuv import (
    FULL_GRID,
    KR_KB,
    Grid,
    chroma_grid,
    chroma_values,
    from_rgb,
    luma_coding,
    luma_values,
    move,
    plane_to_tensor,
    quantise,
    to_rgb,
)

BARS = np.array([[1, 1, 1], [1, 1, 0], [0, 1, 1], [0, 1, 0], [1, 0, 1], [1, 0, 0], [0, 0, 1], [0.2, 0.5, 0.7]]) * 0.75
"""R'G'B' of eight flat bars, 16 pixels wide."""


def reference_codes(rgb: NDArray[np.float64], format: PixelFormat, color: Color) -> NDArray[np.float64]:
    """(N, 3) R'G'B' to (N, 3) codes in the order of the planes, written down from H.273 independently."""
    if format.family == "rgb":
        return rgb * format.peak
    kr, kb = KR_KB[color.matrix]
    r, g, b = rgb.T
    y = kr * r + (1 - kr - kb) * g + kb * b
    cb, cr = 0.5 * (b - y) / (1 - kb), 0.5 * (r - y) / (1 - kr)
    n = format.bits
    if color.full_range:
        return np.stack([y * (2**n - 1), cb * (2**n - 1) + 2 ** (n - 1), cr * (2**n - 1) + 2 ** (n - 1)], 1)
    return np.stack([219 * y + 16, 224 * cb + 128, 224 * cr + 128], 1) * 2 ** (n - 8)


def frame_of(planes: tuple[Plane, ...], format: PixelFormat, color: Color) -> Frame:
    return Frame(planes, format, 0, Fraction(1, 25), color=color)


def bars(format: PixelFormat, color: Color) -> Frame:
    codes = np.floor(reference_codes(BARS, format, color) + 0.5)
    shapes = format.plane_shapes(128, 16)
    planes = []
    for index, (rows, columns) in enumerate(shapes):
        line = np.repeat(codes[:, index], columns // 8)
        planes.append(np.broadcast_to(line, (rows, columns)).astype(format.dtype))
    return frame_of(tuple(planes), format, color)


LAYOUTS = ["yuv420p", "yuv422p", "yuv440p", "yuv444p", "gbrp"]


@pytest.mark.parametrize("matrix", sorted(KR_KB))
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("suffix", ["", "10le", "12le"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_bars_come_back_within_one_code(layout: str, suffix: str, full: bool, matrix: int) -> None:
    format = PIXEL_FORMATS[layout + suffix]
    color = Color(matrix=matrix, full_range=full)
    frame = bars(format, color)
    rgb = to_rgb(frame)
    assert rgb.shape == (1, 3, 16, 128)
    inside = rgb[0, :, :, 8::16].numpy()  # bar middles: chroma of the neighbours reaches over the edges
    # Half a code of Y, Cb and Cr, as it appears in R', G' and B'.
    assert np.abs(inside - BARS.T[:, None, :]).max() <= 2.5 * 0.5 / (219 * 2 ** (format.bits - 8))
    back = from_rgb(rgb[0], format, color)
    for plane, given_plane in zip(back, frame.planes, strict=True):
        assert plane.dtype == format.dtype
        middle = slice(plane.shape[1] // 16, None, plane.shape[1] // 8)
        assert np.abs(plane[:, middle].astype(int) - given_plane[:, middle]).max() <= 1


@pytest.mark.parametrize("suffix", ["", "10le", "12le", "14le", "16le"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("family", ["gray", "yuv420p"])
def test_luma_is_exact_for_every_code_and_not_clamped(family: str, full: bool, suffix: str) -> None:
    format = PIXEL_FORMATS[family + suffix]
    color = Color(full_range=full)
    codes = np.arange(format.peak + 1, dtype=format.dtype).reshape(-1, 64)
    chroma = tuple(np.zeros(shape, format.dtype) for shape in format.plane_shapes(64, len(codes))[1:])
    frame = frame_of((codes, *chroma), format, color)
    luma = luma_values(frame)
    assert luma.shape == codes.shape
    unit = 2 ** (format.bits - 8)
    white, black = (format.peak, 0) if full else (235 * unit, 16 * unit)
    assert luma.flatten()[[black, white]].tolist() == pytest.approx([0, 1], abs=1e-6)
    if not full:
        assert luma.max() > 1.05
        assert luma.min() < -0.05
    assert np.array_equal(quantise(luma, *luma_coding(format, color), format), codes)


@pytest.mark.parametrize("name", ["gbrp", "gbrp10le", "gbrp16le"])
def test_rgb_and_grey_are_exact(name: str) -> None:
    format = PIXEL_FORMATS[name]
    plane = np.arange(min(format.peak + 1, 4096), dtype=format.dtype).reshape(-1, 64)
    frame = frame_of((plane, plane[::-1], plane.T.copy().reshape(plane.shape)), format, Color())
    for there, back in zip(frame.planes, from_rgb(to_rgb(frame)[0], format, Color()), strict=True):
        assert np.array_equal(there, back)


def test_rounding_is_half_to_even_and_clamped() -> None:
    format = PIXEL_FORMATS["gray"]
    codes = torch.tensor([[-3.0, 0.49, 0.5, 1.5, 254.5, 255.4, 300.0, 2.49]]) / 255
    coding = luma_coding(format, Color(full_range=True))
    assert quantise(codes, *coding, format).tolist() == [[0, 0, 0, 2, 254, 255, 255, 2]]


def test_grey_is_replicated() -> None:
    plane = np.arange(12, dtype=np.uint8).reshape(3, 4)
    rgb = to_rgb(frame_of((plane,), PIXEL_FORMATS["gray"], Color(full_range=True)))[0]
    assert torch.equal(rgb[0], rgb[1])
    assert torch.equal(rgb[0], rgb[2])


def test_yuv_to_rgb_agrees_with_float64() -> None:
    rng = np.random.default_rng(1)
    format = PIXEL_FORMATS["yuv444p10le"]
    rgb = rng.random((500, 3))
    for matrix in KR_KB:
        color = Color(matrix=matrix, full_range=False)
        codes = np.floor(reference_codes(rgb, format, color) + 0.5)
        planes = tuple(codes[:, i].reshape(20, 25).astype(np.uint16) for i in range(3))
        got = to_rgb(frame_of(planes, format, color))[0].flatten(1).T.numpy()
        kr, kb = KR_KB[matrix]
        y, cb, cr = ((codes / 4) - [16, 128, 128]).T / np.array([[219], [224], [224]])
        r, b = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
        want = np.stack([r, (y - kr * r - kb * b) / (1 - kr - kb), b], 1).clip(0, 1)
        assert np.abs(got - want).max() < 1e-6


@pytest.mark.parametrize("location", range(7))
@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p", "yuv440p", "yuv444p"])
def test_chroma_ramps_do_not_shift(layout: str, location: int) -> None:
    """A ramp over the picture, sampled where chroma lies, is the same ramp on the luma grid and four times larger."""
    format = PIXEL_FORMATS[layout]
    color = Color(matrix=1, chroma_location=location)
    width, height = 62, 38
    rows, columns = format.plane_shapes(width, height)[1]
    # Positions in luma pixels, from the upper left corner of the picture, after FFmpeg's table of locations.
    x = np.arange(columns) + 0.5
    y = np.arange(rows) + 0.5
    if format.log2_chroma_w:
        x = 2 * np.arange(columns) + (0.5 if location in (0, 1, 3, 5) else 1.0)
    if format.log2_chroma_h:
        y = 2 * np.arange(rows) + {3: 0.5, 4: 0.5, 5: 1.5, 6: 1.5}.get(location, 1.0)
    ramp = torch.tensor(x[None, :] + 100 * y[:, None], dtype=torch.float32)[None]
    grid = chroma_grid(format, color)

    full = move(ramp, grid, FULL_GRID, (height, width))[0]
    want = (np.arange(width) + 0.5)[None, :] + 100 * (np.arange(height) + 0.5)[:, None]
    inner = (slice(6, -6), slice(6, -6))
    assert np.abs(full.numpy() - want)[inner].max() < 1e-2

    shape = format.plane_shapes(4 * width, 4 * height)[1]
    large = move(ramp, grid, grid, shape, 4)[0]
    step_y, step_x = grid.step
    first_x, first_y = x[0], y[0]
    at_x = (step_x * np.arange(shape[1]) + first_x) / 4
    at_y = (step_y * np.arange(shape[0]) + first_y) / 4
    want = at_x[None, :] + 100 * at_y[:, None]
    inner = (slice(12, -12), slice(12, -12))
    assert np.abs(large.numpy() - want)[inner].max() < 1e-2

    back = move(torch.tensor(want_full(width, height))[None], FULL_GRID, grid, (rows, columns))[0]
    assert np.abs(back.numpy() - ramp[0].numpy())[5:-5, 5:-5].max() < 1e-2


def want_full(width: int, height: int) -> NDArray[np.float32]:
    ramp = (np.arange(width) + 0.5)[None, :] + 100 * (np.arange(height) + 0.5)[:, None]
    return ramp.astype(np.float32)


def test_left_sited_4_2_0_times_4_has_the_phase_of_the_derivation() -> None:
    grid = chroma_grid(PIXEL_FORMATS["yuv420p"], Color())
    columns = torch.arange(40, dtype=torch.float32).expand(1, 20, 40)
    large = move(columns, grid, grid, (80, 160), 4)[0, 40]
    want = (2 * np.arange(160) - 1.5) / 8
    assert np.abs(large.numpy() - want)[8:-8].max() < 1e-4


@pytest.mark.parametrize("location", [1, 2, 3])
def test_a_coloured_dot_stays_in_its_place(location: int) -> None:
    format = PIXEL_FORMATS["yuv420p"]
    color = Color(matrix=6, full_range=False, chroma_location=location)
    yy, xx = np.mgrid[0:48, 0:64].astype(np.float64) + 0.5
    dot = np.exp(-((xx - 31.3) ** 2 + (yy - 22.8) ** 2) / (2 * 3.0**2))
    rgb = torch.tensor(np.stack([0.2 + 0.6 * dot, np.full_like(dot, 0.2), np.full_like(dot, 0.2)]))
    frame = frame_of(from_rgb(rgb, format, color), format, color)
    chroma = chroma_values(frame)
    assert chroma is not None
    grid = chroma_grid(format, color)
    large = move(move(chroma, grid, grid, (96, 128), 4), grid, FULL_GRID, (192, 256))[1].numpy()
    weight = large - np.median(large)
    weight[weight < 0.02] = 0
    py, px = np.mgrid[0:192, 0:256] + 0.5
    assert (weight * px).sum() / weight.sum() == pytest.approx(4 * 31.3, abs=0.1)
    assert (weight * py).sum() / weight.sum() == pytest.approx(4 * 22.8, abs=0.1)


def direct(line: NDArray[np.float64], count: int, ratio: Fraction, phase: Fraction) -> NDArray[np.float64]:
    """Resampling by its definition: every output from every input, edges replicated."""

    def cubic(x: float) -> float:
        x = abs(x)
        return 1.5 * x**3 - 2.5 * x**2 + 1 if x <= 1 else (-0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0)

    stretch = float(max(Fraction(1), 1 / ratio))
    out = []
    for j in range(count):
        centre = float((j + phase) / ratio - phase)
        taps = range(int(np.floor(centre - 2 * stretch)), int(np.ceil(centre + 2 * stretch)) + 1)
        weights = np.array([cubic((t - centre) / stretch) for t in taps])
        values = np.array([line[min(max(t, 0), len(line) - 1)] for t in taps])
        out.append((weights * values).sum() / weights.sum())
    return np.array(out)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 5),
    st.integers(1, 5),
    st.sampled_from([Fraction(1, 4), Fraction(1, 2), Fraction(3, 4)]),
    st.booleans(),
)
def test_resample_agrees_with_the_definition(size: int, up: int, down: int, phase: Fraction, vertical: bool) -> None:
    ratio = Fraction(up, down)
    count = -(-size * up // down)
    line = np.random.default_rng(size * up).random(size)
    plane = torch.tensor(np.tile(line, (3, 1)), dtype=torch.float32)
    phases = (Fraction(1, 2), phase)
    if vertical:
        got = resample(plane.T[None], (count, 3), (ratio, 1), phases[::-1], phases[::-1])[0].T
    else:
        got = resample(plane[None], (3, count), (1, ratio), phases, phases)[0]
    assert got.shape == (3, count)
    assert np.abs(got.numpy() - direct(line, count, ratio, phase)).max() < 1e-5


def test_both_axes_at_once_and_odd_sizes() -> None:
    grid = Grid((2, 2), (Fraction(1, 2), Fraction(1, 4)))
    chroma = torch.rand(2, 9, 11)  # of a 21x17 picture
    large = move(chroma, grid, grid, (26, 32), 3)
    line = direct(chroma[1].double().numpy()[4], 32, Fraction(3), Fraction(1, 4))
    column = np.stack([direct(row, 32, Fraction(3), Fraction(1, 4)) for row in chroma[1].double().numpy()])
    want = np.stack([direct(c, 26, Fraction(3), Fraction(1, 2)) for c in column.T]).T
    assert line.shape == (32,)
    assert np.abs(large[1].numpy() - want).max() < 1e-5
    assert move(chroma, grid, grid, (9, 11)).data_ptr() == chroma.data_ptr()


@pytest.mark.parametrize("step", [1, -1])
def test_planes_of_decoders_are_copied_never_written(step: int) -> None:
    memory = np.arange(60, dtype=np.uint16).reshape(6, 10)
    plane = memory[::step, :7]
    plane.flags.writeable = False
    tensor = plane_to_tensor(plane)
    assert np.array_equal(tensor.numpy(), plane)
    tensor.zero_()
    assert memory.sum() > 0


def test_rgb_split_with_the_colours_matrix() -> None:
    frame = bars(PIXEL_FORMATS["gbrp"], Color(matrix=9))
    want = BARS @ np.array([0.2627, 0.678, 0.0593])
    assert np.abs(luma_values(frame)[0, ::16].numpy() - want).max() < 0.003


def test_a_matrix_that_is_none() -> None:
    frame = bars(PIXEL_FORMATS["yuv444p"], Color(matrix=1))
    with pytest.raises(FilterError, match="matrix 14"):
        to_rgb(replace(frame, color=Color(matrix=14)))


@pytest.mark.parametrize(("size", "wanted"), [((90, 160), (97, 173)), ((180, 320), (107, 211)), ((64, 37), (64, 38))])
def test_odd_factors_resize_as_pillow_does(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    """Factors of many phases take another way: the same kernel, checked against torch's own antialiased one."""
    small = torch.rand((1, 1, 12, 16), generator=torch.Generator().manual_seed(3))
    smooth = torch.nn.functional.interpolate(small, size=size, mode="bicubic")
    ratio = (Fraction(wanted[0], size[0]), Fraction(wanted[1], size[1]))
    ours = resample(smooth[0], wanted, ratio)
    theirs = torch.nn.functional.interpolate(smooth, size=wanted, mode="bicubic", antialias=True)[0]
    assert ours.shape == (1, *wanted)
    inside = (..., slice(6, -6), slice(6, -6))  # edges: theirs drops the taps outside, ours repeats the edge
    assert torch.allclose(ours[inside], theirs[inside], atol=1e-4)
    assert torch.allclose(resample(torch.ones(2, *size), wanted, ratio), torch.ones(2, *wanted), atol=1e-5)
