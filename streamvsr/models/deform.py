"""Modulated deformable convolution: torchvision's where that is really there, else in plain torch.

IconVSR, BasicVSR++ and EDVR align features with it (Zhu et al., Deformable ConvNets v2, CVPR 2019, sec. 3.2). Plain
torch is slower than a compiled operator and for inference only, but runs wherever torch does, in the type of what it is
given; it also stands in the place of mmcv's compiled operator.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def modulated_deform_conv(x: Tensor, weight: Tensor, bias: Tensor, offset: Tensor, mask: Tensor, groups: int) -> Tensor:
    """3x3, stride 1, zeros outside: (N, C, H, W) -> (N, O, H, W) in the type of ``x``.

    ``weight``: (O, C, 3, 3). ``offset``: (N, groups * 9 * 2, H, W) in pixels, for each tap how far down, then how far
    right; ``mask``: (N, groups * 9, H, W); both float32 or the type of ``x``. ``groups``: parts of the channels, each
    with offsets of its own.
    """
    compiled = _compiled(x.device, x.dtype)
    if compiled is not None:
        y: Tensor = compiled(x, offset.to(x.dtype), weight, bias, padding=1, mask=mask.to(x.dtype))
        return y
    return _plain(x, weight, bias, offset, mask, groups)


def _plain(x: Tensor, weight: Tensor, bias: Tensor, offset: Tensor, mask: Tensor, groups: int) -> Tensor:
    output = x.new_empty((x.shape[0], weight.shape[0], *x.shape[2:]))
    one = {f"{name}_{side}": 1 for name in ("stride", "pad", "dilation") for side in "hw"}
    modulated_deform_conv_forward(
        x, weight, bias, x, offset, mask, output, x,
        kernel_h=3, kernel_w=3, **one, group=1, deformable_group=groups, with_bias=True,
    )  # fmt: skip
    return output


@cache
def _compiled(device: torch.device, dtype: torch.dtype) -> Callable[..., Any] | None:
    """torchvision's operator, where it works here and does what ours does. Half precision needs its positions exact."""
    if dtype not in (torch.float32, torch.float64) or find_spec("torchvision") is None:
        return None
    before = set(sys.modules)
    try:
        operator: Callable[..., Any] = import_module("torchvision.ops").deform_conv2d
        generator = torch.Generator().manual_seed(0)
        shapes = ((1, 4, 5, 6), (3, 4, 3, 3), (3,), (1, 36, 5, 6), (1, 18, 5, 6))
        x, weight, bias, offset, mask = (torch.rand(s, generator=generator).to(device, dtype) for s in shapes)
        found = operator(x, offset * 4 - 2, weight, bias, padding=1, mask=mask)
        wanted = _plain(x, weight, bias, offset * 4 - 2, mask, 2)
        return operator if torch.allclose(found, wanted, atol=1e-4) else None
    except (ImportError, RuntimeError, NotImplementedError, AttributeError, OSError):
        # Built for another torch, or for one without this device. What it left half imported would trip others up.
        for name in set(sys.modules) - before:
            if name.split(".")[0] == "torchvision":
                del sys.modules[name]
        return None


def modulated_deform_conv_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,  # noqa: ARG001
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,  # noqa: ARG001
    *,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Fill ``output`` (N, O, Ho, Wo); names, order and layout of the arguments are the compiled operator's.

    ``x``: (N, C, H, W). ``weight``: (O, C / group, kernel_h, kernel_w). ``offset``: (N, deformable_group * taps * 2,
    Ho, Wo), for each tap of the kernel how far down, then how far right, in pixels. ``mask``: (N, deformable_group *
    taps, Ho, Wo). Outside of the frame lie zeros. ``ones`` and ``columns`` are room that is not needed.
    """
    count, channels, height, width = x.shape
    rows, row_columns = output.shape[2:]
    taps = kernel_h * kernel_w
    exact = torch.promote_types(x.dtype, torch.float32)
    # Deformable groups become images of their own: each has its own offsets.
    groups = x.reshape(count * deformable_group, channels // deformable_group, height, width).to(exact)
    offset = offset.reshape(count * deformable_group, taps, 2, rows, row_columns).to(exact)
    mask = mask.reshape(count * deformable_group, taps, 1, rows, row_columns).to(exact)
    down = torch.arange(rows, device=x.device, dtype=exact).unsqueeze(1) * stride_h - pad_h
    right = torch.arange(row_columns, device=x.device, dtype=exact) * stride_w - pad_w
    total: Tensor | None = None
    for tap in range(taps):
        y = offset[:, tap, 0] + (down + tap // kernel_w * dilation_h)
        z = offset[:, tap, 1] + (right + tap % kernel_w * dilation_w)
        # grid_sample counts from -1 at the outer edge of the first pixel to 1 at that of the last.
        grid = torch.stack(((2 * z + 1) / width - 1, (2 * y + 1) / height - 1), dim=-1)
        seen = functional.grid_sample(groups, grid, "bilinear", "zeros", align_corners=False) * mask[:, tap]
        seen = seen.reshape(count, channels, rows, row_columns)
        kernel = weight[:, :, tap // kernel_w, tap % kernel_w, None, None].to(exact)
        part = functional.conv2d(seen, kernel, groups=group)
        total = part if total is None else total.add_(part)
    assert total is not None
    output.copy_(total + bias.to(exact).view(1, -1, 1, 1) if with_bias else total)
