"""Modulated deformable convolution in plain torch, in the place of mmcv's compiled operator.

IconVSR, BasicVSR++ and EDVR align features with it (Zhu et al., Deformable ConvNets v2, CVPR 2019, sec. 3.2). Slower
than the compiled one and for inference only, but it runs wherever torch does, in the type of what it is given.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


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
    taps, Ho, Wo). Outside of the picture lie zeros. ``ones`` and ``columns`` are room that is not needed.
    """
    count, channels, height, width = x.shape
    rows, row_columns = output.shape[2:]
    taps = kernel_h * kernel_w
    exact = torch.promote_types(x.dtype, torch.float32)
    # Deformable groups become pictures of their own: each has its own offsets.
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
