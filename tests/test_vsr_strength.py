"""``--strength``: the network's result mixed with plain bicubic."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Literal

import numpy as np
import pytest
import torch

from streamvsr.frames import PIXEL_FORMATS, Frame
from tests.fakes import FakeModel, FakeSession, vsr_filter
from tests.vsr_frames import FULL, LIMITED, noise, run

STRENGTH_FORMATS = ["yuv420p", "yuv420p10le", "gray", "gbrp", "gbrp10le"]


class Shifted(FakeModel):
    """The bicubic enlargement of its input, a tenth brighter: what a strength makes of it can be computed by hand."""

    def session(self) -> FakeSession:
        model = self

        class _Session(FakeSession):
            def window(self, frames: torch.Tensor, new: int, keep: range) -> Iterator[torch.Tensor]:
                size = frames.shape[2] * 4, frames.shape[3] * 4
                # A kernel that shares no code with the filter's.
                big = torch.nn.functional.interpolate(frames.float(), size, mode="bicubic", align_corners=False)
                return ((big[k] + 0.1).to(frames.dtype) for k in keep)

        return _Session(model)


@pytest.mark.parametrize("domain", ["luma", "rgb"])
@pytest.mark.parametrize("name", STRENGTH_FORMATS)
def test_strength_1_computes_nothing_and_changes_no_bit(
    name: str, domain: Literal["luma", "rgb"], monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = noise(PIXEL_FORMATS[name], 20, 14, FULL)
    (almost,) = run(vsr_filter(Shifted(scale=4, domain=domain), strength=1 - 2**-24), [frame])

    def none(*_: object) -> None:
        raise AssertionError("the plain enlargement was computed")

    monkeypatch.setattr("streamvsr.vsr.domains.Domain._plain", none)
    (full,) = run(vsr_filter(Shifted(scale=4, domain=domain), strength=1.0), [frame])
    for a, b in zip(almost.planes, full.planes, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(AssertionError, match="was computed"):
        run(vsr_filter(Shifted(scale=4, domain=domain), strength=0.5), [frame])


@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10le", "gray", "gray16le"])
def test_strength_0_is_the_bicubic_model(name: str) -> None:
    from streamvsr.models.plain import load_bicubic

    frame = noise(PIXEL_FORMATS[name], 20, 14, LIMITED)
    off = run(vsr_filter(FakeModel(scale=4), strength=0.0), [frame])
    bicubic = run(vsr_filter(load_bicubic({}, {})), [frame])
    for a, b in zip(off[0].planes, bicubic[0].planes, strict=True):
        # Two ways of adding up the same taps: a value just between two codes may round to either.
        assert np.abs(a.astype(int) - b.astype(int)).max() <= 1
        assert (a != b).mean() < 0.01


@pytest.mark.parametrize("name", ["gray", "gray10le", "gray16le"])
def test_strength_mixes_before_anything_is_rounded(name: str) -> None:
    format = PIXEL_FORMATS[name]
    frame = Frame((np.full((8, 8), format.peak // 2, format.dtype),), format, 0, Fraction(1, 25), color=FULL)
    (made,) = run(vsr_filter(Shifted(scale=4), strength=0.25), [frame])
    # A flat frame: its enlargement is itself, the network's result a tenth of the range brighter.
    expected = round(format.peak // 2 + 0.25 * 0.1 * format.peak)
    assert np.abs(made.planes[0].astype(int) - expected).max() <= 1


def test_strength_in_half_precision_keeps_ten_bits() -> None:
    format = PIXEL_FORMATS["gray10le"]
    ramp = np.tile(np.arange(1024, dtype=np.uint16), (4, 1))
    frame = Frame((ramp,), format, 0, Fraction(1, 25), color=FULL)
    (full,) = run(vsr_filter(FakeModel(scale=4), strength=0.0), [frame])
    (half,) = run(vsr_filter(FakeModel(scale=4), strength=0.0, dtype=torch.bfloat16), [frame])
    np.testing.assert_array_equal(full.planes[0], half.planes[0])


def test_strength_with_another_size() -> None:
    frame = noise(PIXEL_FORMATS["yuv420p"], 20, 14, LIMITED)
    (made,) = run(vsr_filter(FakeModel(scale=4), strength=0.5, size=(50, 36)), [frame])
    assert (made.width, made.height) == (50, 36)
