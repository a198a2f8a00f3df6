"""Another size than the network's: made after it, in float, with the picture's shape and colours kept."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamvsr.cli import main
from streamvsr.errors import FilterError
from streamvsr.frames import PIXEL_FORMATS, Frame
from tests.fakes import FakeModel, vsr_filter
from tests.test_vsr import patch
from tests.vsr_frames import FULL, LIMITED, info_of, noise, number_of, run, stream

SIZES = [(40, 26), (96, 64), (131, 57)]


@pytest.mark.parametrize("domain", ["luma", "rgb"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["yuv420p", "yuva444p10le", "gbrp", "gray"])
def test_flat_colours_stay_in_every_plane(name: str, size: tuple[int, int], domain: str) -> None:
    format = PIXEL_FORMATS[name]
    color = FULL if format.family in ("rgb", "gray") else LIMITED
    frame = patch((0.4, 0.4, 0.4) if name == "gray" else (0.7, 0.2, 0.3), format, color, 24, 16)
    vsr = vsr_filter(FakeModel(scale=4, domain=domain), size=size)  # type: ignore[arg-type]
    settled = vsr.configure(info_of(frame))
    (out,) = [*vsr.push(frame), *vsr.flush()]
    assert (settled.width, settled.height) == (out.width, out.height) == size
    for made, given, shape in zip(out.planes, frame.planes, format.plane_shapes(*size), strict=True):
        assert made.shape == shape
        assert np.abs(made.astype(int) - int(given[0, 0])).max() <= 1


@pytest.mark.parametrize("domain", ["luma", "rgb"])
@pytest.mark.parametrize("size", SIZES)
def test_a_frame_stays_where_it_is(size: tuple[int, int], domain: str) -> None:
    """The weight of a bright blob, in luma and in chroma, lies at the same part of the picture."""
    yy, xx = np.mgrid[0:32, 0:48] + 0.5
    blob = np.exp(-((xx - 20.3) ** 2 + (yy - 13.6) ** 2) / 18)
    luma = (40 + 150 * blob).astype(np.uint8)
    half = blob.reshape(16, 2, 24, 2).mean((1, 3))
    planes = (luma, (128 + 80 * half).astype(np.uint8), np.full((16, 24), 128, np.uint8))
    color = replace(LIMITED, chroma_location=2)
    frame = Frame(planes, PIXEL_FORMATS["yuv420p"], 0, Fraction(1, 25), color=color)
    (out,) = run(vsr_filter(FakeModel(scale=2, domain=domain), size=size), [frame])  # type: ignore[arg-type]
    for made in out.planes[:2]:
        weight = np.clip(made.astype(float) - made.min() - 6, 0, None)
        py, px = np.mgrid[0 : made.shape[0], 0 : made.shape[1]] + 0.5
        x, y = (weight * px).sum() / weight.sum() / made.shape[1], (weight * py).sum() / weight.sum() / made.shape[0]
        assert (x, y) == pytest.approx((20.3 / 48, 13.6 / 32), abs=0.012)


def test_the_shape_on_the_screen_stays() -> None:
    frame = noise(PIXEL_FORMATS["yuv420p"], 24, 16, LIMITED)
    for sar in (Fraction(1), Fraction(16, 11)):
        info = replace(info_of(frame), sample_aspect_ratio=sar)
        for size, wanted in (((48, 32), sar), ((96, 64), sar), ((64, 64), sar * Fraction(3, 2)), (None, sar)):
            settled = vsr_filter(FakeModel(scale=4), size=size).configure(info)
            assert settled.sample_aspect_ratio == wanted
            shape = Fraction(settled.width, settled.height) * settled.sample_aspect_ratio
            assert shape == Fraction(24, 16) * sar


def test_the_networks_own_size_is_not_resampled() -> None:
    frame = noise(PIXEL_FORMATS["yuv420p"], 24, 16, LIMITED)
    for domain in ("luma", "rgb"):
        (plain,) = run(vsr_filter(FakeModel(scale=2, domain=domain)), [frame])  # type: ignore[arg-type]
        (asked,) = run(vsr_filter(FakeModel(scale=2, domain=domain), size=(48, 32)), [frame])  # type: ignore[arg-type]
        assert all(np.array_equal(a, b) for a, b in zip(plain.planes, asked.planes, strict=True))


def test_every_frame_comes_out_and_sizes_that_cannot_be() -> None:
    out = run(vsr_filter(FakeModel(scale=2), size=(9, 5)), stream(7))
    assert [number_of(f) for f in out] == list(range(7))
    with pytest.raises(FilterError, match="0x5"):
        vsr_filter(FakeModel(), size=(0, 5))


@pytest.mark.parametrize(
    ("given", "options", "made"),
    [
        ((1200, 1000), "", (2592, 2160)),
        ((1000, 1200), "", (2160, 2592)),
        ((960, 540), "", (3840, 2160)),
        ((960, 540), "--scale 1.5", (1440, 810)),
        ((1200, 1000), "--scale 4", (4800, 4000)),
        ((1200, 1000), "-vf vsr", (4800, 4000)),
        ((4000, 16), "", (4000, 16)),
    ],
)
def test_frames_that_nobody_asked_to_be_huge_are_not(
    given: tuple[int, int], options: str, made: tuple[int, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "in.png", tmp_path / "out.png"
    assert cv2.imwrite(str(source), np.full((given[1], given[0], 3), 90, np.uint8))
    assert main([str(source), "--model", "bicubic", *options.split(), str(out)]) == 0
    assert cv2.imread(str(out)).shape[1::-1] == made
    told = (
        f"{made[0]}x{made[1]} instead of {4 * given[0]}x{4 * given[1]}, which few players show; --scale 4 writes that"
    )
    assert (told in capsys.readouterr().err) == (made not in ((3840, 2160), (1440, 810), (4800, 4000)))
