"""Change the size of planes: separable bicubic (Keys 1981, a = -0.5), any rational factor, any sample position.

Where samples lie. Along one axis a plane has a sample every ``d`` luma pixels (1 for luma, 2 for subsampled chroma),
sample ``j`` lying ``phase`` of that distance behind the left edge of its cell, so at ``d * (j + phase)``::

    luma pixel                 |   0   |   1   |   2   |   3   |      edges of pixels
    luma, or chroma in 4:4:4       x       x       x       x          d = 1, phase 1/2
    chroma, left (co-sited)        o               o                  d = 2, phase 1/4
    chroma, centre                     o               o              d = 2, phase 1/2

Two planes of one frame cover the same rectangle. With ``ratio`` output samples per input sample, output ``j`` lies
at input position ``(j + phase_out) / ratio - phase_in``. Left-sited 4:2:0 made four times larger and left-sited again
has both phases 1/4: ``(j + 1/4) / 4 - 1/4 = (2 * j - 1.5) / 8``. Positions outside take the nearest edge sample.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from math import ceil, floor

import torch
from torch import Tensor
from torch.nn import functional

from streamvsr.media.color.transfer import upload

KEYS_A = -0.5
"""The cubic's free parameter: third-order exact, as Pillow and MATLAB have it."""

HALF = Fraction(1, 2)
MANY_PHASES = 16
"""Above, the filter of an axis is applied tap by tap: 1280 to 1916 has 479 phases of 4 taps each."""


def resample(
    planes: Tensor,
    size: tuple[int, int],
    ratio: tuple[Fraction | int, Fraction | int],
    phase_in: tuple[Fraction, Fraction] = (HALF, HALF),
    phase_out: tuple[Fraction, Fraction] = (HALF, HALF),
) -> Tensor:
    """(N, H, W) float32, any values, to (N, *size), same values; each pair is (vertical, horizontal).

    Where the ratio is below 1 the kernel is stretched, so that nothing aliases. Ratio 1 with equal phases gives the
    input itself, not a copy. Constants stay constant; edges overshoot by up to 13 % of their height.
    """
    vertical, horizontal = (_Axis.make(Fraction(r), a, b) for r, a, b in zip(ratio, phase_in, phase_out, strict=True))
    x = planes[:, None]
    # Rows first where there are fewer of them afterwards: the other pass has less to do.
    if vertical.stride > vertical.phases:
        x = _along(_along(x, 2, vertical, size[0]), 3, horizontal, size[1])
    else:
        x = _along(_along(x, 3, horizontal, size[1]), 2, vertical, size[0])
    return x[:, 0]


class _Axis:
    """A polyphase filter: output ``phases * k + p`` is ``kernel[p] . input[stride * k + first :]``."""

    def __init__(self, phases: int, stride: int, first: int, kernel: Tensor, offsets: Tensor | None = None) -> None:
        self.phases = phases
        self.stride = stride
        self.first = first
        self.kernel = kernel
        """(phases, taps), float64; rows add up to 1."""
        self.offsets = offsets
        """(phases,): the place after ``first`` where the taps of each phase begin; None: there for all."""
        self.reach = kernel.shape[1] + (0 if offsets is None else int(offsets.max()))

    @staticmethod
    @lru_cache(maxsize=64)
    def make(ratio: Fraction, phase_in: Fraction, phase_out: Fraction) -> _Axis:
        phases, stride = ratio.numerator, ratio.denominator
        if ratio == 1 and phase_in == phase_out:
            return _Axis(1, 1, 0, torch.ones(1, 1, dtype=torch.float64))
        stretch = max(Fraction(1), 1 / ratio)
        centres = [(p + phase_out) / ratio - phase_in for p in range(phases)]
        firsts = [floor(c - 2 * stretch) + 1 for c in centres]
        first = min(firsts)
        if phases > MANY_PHASES:
            taps = max(ceil(c + 2 * stretch) - begin for c, begin in zip(centres, firsts, strict=True))
            places = zip(centres, firsts, strict=True)
            rows = [[cubic(float((begin + tap - c) / stretch)) for tap in range(taps)] for c, begin in places]
            kernel = torch.tensor(rows, dtype=torch.float64)
            offsets = torch.tensor(firsts) - first
            return _Axis(phases, stride, first, kernel / kernel.sum(1, keepdim=True), offsets)
        last = max(ceil(c + 2 * stretch) - 1 for c in centres)
        rows = [[cubic(float((tap - c) / stretch)) for tap in range(first, last + 1)] for c in centres]
        kernel = torch.tensor(rows, dtype=torch.float64)
        return _Axis(phases, stride, first, kernel / kernel.sum(1, keepdim=True))


def cubic(distance: float, a: float = KEYS_A) -> float:
    """The weight of a sample so many samples away (Keys 1981); ``a``: -0.5 here, in Pillow and MATLAB, -0.75 in OpenCV
    and torch."""
    x = abs(distance)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def _padded(x: Tensor, dim: int, axis: _Axis, wanted: int) -> Tensor:
    """``x`` with its edges replicated along ``dim`` as far as the taps of ``wanted`` outputs reach."""
    blocks = -(-wanted // axis.phases)
    before = max(0, -axis.first)
    reach = (blocks - 1) * axis.stride + axis.first + axis.reach
    after = max(0, reach - x.shape[dim])
    pad = (before, after, 0, 0) if dim == 3 else (0, 0, before, after)
    x = functional.pad(x, pad, mode="replicate")
    skip = max(0, axis.first)
    return x.narrow(dim, skip, x.shape[dim] - skip)


def _along(x: Tensor, dim: int, axis: _Axis, wanted: int) -> Tensor:
    """(N, 1, H, W), filtered along ``dim`` (2 or 3) to ``wanted`` samples."""
    if axis.kernel.shape == (1, 1):
        return x.narrow(dim, 0, wanted)
    x = _padded(x, dim, axis, wanted)
    if axis.phases == 1:
        return _weighted(x, dim, axis, wanted)
    if axis.offsets is not None or x.device.type != "cpu":
        # GPUs may compute convolutions in TF32: ten bits of mantissa, too few for frames of ten bits.
        return _gathered(x, dim, axis, wanted)
    weights = axis.kernel.to(x)
    weights = weights[:, None, None, :] if dim == 3 else weights[:, None, :, None]
    stride = (1, axis.stride) if dim == 3 else (axis.stride, 1)
    y = functional.conv2d(x, weights, stride=stride)
    n, p, h, w = y.shape
    y = y.permute(0, 2, 3, 1).reshape(n, 1, h, w * p) if dim == 3 else y.permute(0, 2, 1, 3).reshape(n, 1, h * p, w)
    return y.narrow(dim, 0, wanted)


def _gathered(x: Tensor, dim: int, axis: _Axis, wanted: int) -> Tensor:
    """Tap by tap, each output with its own inputs and weights: a kernel for many phases would be nearly all zeros."""
    shape = (1, 1, 1, wanted) if dim == 3 else (1, 1, wanted, 1)
    total = x.new_zeros([wanted if d == dim else n for d, n in enumerate(x.shape)])
    for places, weights in zip(*_taps(axis, wanted, x.device, x.dtype), strict=True):
        total.addcmul_(x.index_select(dim, places), weights.view(shape))
    return total


@lru_cache(maxsize=64)
def _taps(
    axis: _Axis, wanted: int, device: torch.device, dtype: torch.dtype
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """For each tap the input of every output, and its weight, on the device: sent there once, not with every frame."""
    # A tensor of inference mode could not be used where gradients are recorded.
    with torch.inference_mode(False):
        outputs = torch.arange(wanted)
        phases = outputs % axis.phases
        # _padded has cut off the inputs before the first tap, so that a block's taps begin at stride * block.
        begins = outputs // axis.phases * axis.stride
        begins = begins if axis.offsets is None else begins + axis.offsets[phases]
        places = begins + torch.arange(axis.kernel.shape[1])[:, None]
        weights = axis.kernel.t()[:, phases].to(dtype)
        return upload(places, device).unbind(), upload(weights, device).unbind()


def _weighted(x: Tensor, dim: int, axis: _Axis, wanted: int) -> Tensor:
    """One phase, tap by tap: torch's strided one-dimensional convolution is ten times slower on a CPU."""
    reach = (wanted - 1) * axis.stride + 1
    total: Tensor | None = None
    for tap, weight in enumerate(axis.kernel[0].tolist()):
        if weight == 0:
            continue
        samples = x.narrow(dim, tap, reach)
        samples = samples[:, :, :: axis.stride] if dim == 2 else samples[..., :: axis.stride]
        total = samples * weight if total is None else total.add_(samples, alpha=weight)
    assert total is not None
    return total
