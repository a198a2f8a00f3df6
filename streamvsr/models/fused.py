"""Convolutions in one pass with what follows them, on a CPU.

A residual block passes over its maps twice besides its convolutions, for an activation and a sum: a sixth of its time.
oneDNN, which computes torch's convolutions, does either while it still holds the result. torch calls that from compiled
graphs only and does not document the operators, so they are tried once, on a small map, against plain ones; where they
are missing or do not agree, plain ones it is. Without gradients and in float32 only.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

ROUNDED_TO = 16
"""oneDNN computes output channels in groups of so many (AVX-512), however few there are."""
COLUMNS = 4
"""Neighbouring columns that ``convolve_to_few`` computes as channels of one position."""


def weights(conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that has both."""
    assert conv.bias is not None
    return conv.weight, conv.bias


def convolve(x: Tensor, weight: Tensor, bias: Tensor, leak: float | None = None) -> Tensor:
    """A convolution that keeps the size, then a leaky ReLU of slope ``leak`` (0: a ReLU; None: nothing).

    ``x`` (N, C, H, W), ``weight`` (D, C, k, k) with k odd, ``bias`` (D,); zeros outside. Returns (N, D, H, W).
    """
    padding = weight.shape[-1] // 2
    if _fuses(x):
        return _convolve(x, weight, bias, padding, leak)
    y = functional.conv2d(x, weight, bias, padding=padding)
    return y if leak is None else functional.leaky_relu_(y, leak) if leak else y.relu_()


def convolve_onto(base: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``base`` plus the convolution of ``x``; ``base`` (N, D, H, W) is overwritten unless gradients are recorded."""
    padding = weight.shape[-1] // 2
    if _fuses(x):
        return _convolve_onto(base, x, weight, bias, padding)
    y = functional.conv2d(x, weight, bias, padding=padding)
    return base + y if torch.is_grad_enabled() else base.add_(y)


def convolve_to_few(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``convolve`` to a few channels: four columns at a time, with kernels widened by zeros, for half of the work."""
    outputs, inputs, height, width = weight.shape
    if outputs * COLUMNS > ROUNDED_TO or x.shape[-1] % COLUMNS or not _fuses(x):
        return convolve(x, weight, bias)
    wide = weight.new_zeros((COLUMNS, outputs, inputs, height, width + COLUMNS - 1))
    for column in range(COLUMNS):
        wide[column, ..., column : column + width] = weight
    wide = wide.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    y = functional.conv2d(x, wide, bias.repeat(COLUMNS), stride=(1, COLUMNS), padding=width // 2)
    # (N, H, W / 4, columns x outputs) in memory is (N, H, W, outputs).
    return y.permute(0, 2, 3, 1).reshape(x.shape[0], x.shape[2], x.shape[3], outputs).permute(0, 3, 1, 2)


def _fuses(x: Tensor) -> bool:
    plain = x.device.type != "cpu" or x.dtype != torch.float32 or torch.is_grad_enabled()
    # torch.compile fuses by itself.
    return not plain and not torch.compiler.is_compiling() and _available()


def _convolve(x: Tensor, weight: Tensor, bias: Tensor, padding: int, leak: float | None) -> Tensor:
    after, numbers = ("none", []) if leak is None else ("leaky_relu", [leak]) if leak else ("relu", [])
    y: Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, weight, bias, [padding, padding], [1, 1], [1, 1], 1, after, numbers, ""
    )
    return y


def _convolve_onto(base: Tensor, x: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
    y: Tensor = torch.ops.mkldnn._convolution_pointwise_.binary(
        base, x, weight, bias, [padding, padding], [1, 1], [1, 1], 1, "add", None, None, [], ""
    )
    return y


@cache
def _available() -> bool:
    """Whether the operators are there and do what plain ones do."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    with torch.inference_mode():
        x = torch.linspace(-1, 1, 16 * 9 * 9).view(1, 16, 9, 9).contiguous(memory_format=torch.channels_last)
        weight, bias = torch.linspace(-1, 1, 16 * 16 * 9).view(16, 16, 3, 3), torch.linspace(-1, 1, 16)
        weight = weight.contiguous(memory_format=torch.channels_last)
        plain = functional.conv2d(x, weight, bias, padding=1)
        try:
            found = [_convolve(x, weight, bias, 1, leak) for leak in (None, 0.0, 0.1)]
            summed = _convolve_onto(x.clone(), x, weight, bias, 1)
        except (RuntimeError, AttributeError, TypeError):
            return False
        wanted = [plain, plain.relu(), functional.leaky_relu(plain, 0.1), plain + x]
        return all(torch.allclose(a, b, atol=1e-4) for a, b in zip([*found, summed], wanted, strict=True))
