"""Convolutions in one pass with what follows them, on a CPU.

A residual block passes over its maps twice besides its convolutions, for an activation and a sum: a sixth of its time.
oneDNN, which computes torch's convolutions, does either while it still holds the result. torch calls that from compiled
graphs only and does not document the operators, so they are tried once, on a small map, against plain ones; where they
are missing or do not agree, plain ones it is. That holds for bfloat16 too, which oneDNN refuses on processors without
AVX-512. Without gradients.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

LEAST_NUMBERS = 20_480
"""Of a map, above which torch has oneDNN compute its convolution: below, its own sums are in another order."""
ROUNDED_TO = 16
"""oneDNN computes output channels in groups of so many (AVX-512), however few there are."""
TYPES = (torch.float32, torch.bfloat16)
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


def convolve_onto(base: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, *, relu: bool = False) -> Tensor:
    """``base`` plus the convolution of ``x``, then a ReLU where asked for; ``base`` (N, D, H, W) is overwritten unless
    gradients are recorded."""
    padding = weight.shape[-1] // 2
    if _fuses(x):
        return _convolve_onto(base, x, weight, bias, padding, relu)
    y = functional.conv2d(x, weight, bias, padding=padding)
    y = base + y if torch.is_grad_enabled() else base.add_(y)
    return y.relu_() if relu else y


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


def is_free(x: Tensor) -> bool:
    """Whether what is computed from ``x`` may be computed in another way: on a CPU, where nobody records how, for
    gradients, a compiler (which fuses by itself) or an export."""
    recorded = torch.is_grad_enabled() or torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
    return x.device.type == "cpu" and not recorded


def keeps_bits(x: Tensor) -> bool:
    """Whether the operators here give bit for bit what plain ones do, for maps that begin with ``x``; in bfloat16,
    where no bits are promised, whether they are there."""
    if not is_free(x) or x.dtype not in TYPES:
        return False
    return _available(x.dtype) if x.dtype != torch.float32 else x.numel() > LEAST_NUMBERS and _keeps_bits()


def _fuses(x: Tensor) -> bool:
    return is_free(x) and x.dtype in TYPES and _available(x.dtype)


def _convolve(x: Tensor, weight: Tensor, bias: Tensor, padding: int, leak: float | None) -> Tensor:
    after, numbers = ("none", []) if leak is None else ("leaky_relu", [leak]) if leak else ("relu", [])
    y: Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, weight, bias, [padding, padding], [1, 1], [1, 1], 1, after, numbers, ""
    )
    return y


def _convolve_onto(
    base: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, relu: bool = False
) -> Tensor:
    y: Tensor = torch.ops.mkldnn._convolution_pointwise_.binary(
        base, x, weight, bias, [padding, padding], [1, 1], [1, 1], 1, "add", None, "relu" if relu else None, [], ""
    )
    return y


@cache
def _available(dtype: torch.dtype) -> bool:
    """Whether the operators are there and do what plain ones do."""
    tried = _tried(dtype, 16, 9)
    # Of bfloat16's eight bits the plain way rounds twice where the fused one does once.
    atol, rtol = (1e-4, 0.0) if dtype == torch.float32 else (0.25, 2.0**-6)
    return all(torch.allclose(a.float(), b.float(), atol=atol, rtol=rtol) for a, b in tried) if tried else False


@cache
def _keeps_bits() -> bool:
    """Whether they give the very numbers, in float32, on a map that is large enough for plain ones to be oneDNN's."""
    tried = _tried(torch.float32, 32, 48)
    return all(torch.equal(a, b) for a, b in tried) if tried else False


def _tried(dtype: torch.dtype, channels: int, side: int) -> list[tuple[Tensor, Tensor]]:
    """What the operators give and what plain ones do, each in turn; nothing where they are not there."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return []
    with torch.inference_mode():
        generator = torch.Generator().manual_seed(0)
        shapes = (1, channels, side, side), (channels, channels, 3, 3), (channels,)
        x, weight, bias = (torch.rand(shape, generator=generator).mul_(2).sub_(1).to(dtype) for shape in shapes)
        x, weight = (value.contiguous(memory_format=torch.channels_last) for value in (x, weight))
        plain = functional.conv2d(x, weight, bias, padding=1)
        wanted = [plain, plain.relu(), functional.leaky_relu(plain, 0.1), plain + x]
        wanted.append((x + functional.conv2d(x, weight, padding=1)).relu_())
        try:
            found = [_convolve(x, weight, bias, 1, leak) for leak in (None, 0.0, 0.1)]
            found.append(_convolve_onto(x.clone(), x, weight, bias, 1))
            found.append(_convolve_onto(x.clone(), x, weight, None, 1, relu=True))
        except (RuntimeError, AttributeError, TypeError):
            return []
        return list(zip(found, wanted, strict=True))
