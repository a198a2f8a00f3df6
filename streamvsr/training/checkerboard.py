"""Output heads that draw no dots along edges.

A head that enlarges by four has sixteen outputs a plane, one for each phase of the enlarged pixels. Nothing makes its
phases agree: along an edge, where all low-resolution pixels are alike, they may differ, and the edge comes out as a row
of dots of that period. Where the response to what is constant does not depend on the phase, no such pattern arises
(Sugawara, Shiota and Kiya, "Super-resolution using convolutional neural networks without any checkerboard artifacts",
ICIP 2018). Here that holds along each axis by itself: what is constant along rows is constant along rows afterwards,
whatever it is down the columns.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class CheckerboardFree(nn.Module):
    """Parametrisation of the kernel or the bias of a head, whose outputs are the phases of ``planes`` in turn."""

    def __init__(self, planes: tuple[int, ...]) -> None:
        """``planes``: how many outputs belong to each, squares of 1, 2, 3..."""
        super().__init__()
        self.planes = planes

    def forward(self, weight: Tensor) -> Tensor:
        return checkerboard_free(weight, self.planes)


def checkerboard_free(weight: Tensor, planes: tuple[int, ...]) -> Tensor:
    """The nearest kernel (out, in, k, k), or bias (out,), that draws no pattern along rows or columns."""
    return torch.cat([_even(plane) for plane in torch.split(weight, list(planes))])


def _even(weight: Tensor) -> Tensor:
    if weight.ndim == 1:
        return weight.mean().expand_as(weight)
    side = math.isqrt(len(weight))
    kernel = weight.view(side, side, *weight.shape[1:])
    # The two projections act on different axes, so the second does not undo the first.
    for phase, tap in ((1, -1), (0, -2)):
        mean = kernel.mean(tap, keepdim=True)
        kernel = kernel - (mean - mean.mean(phase, keepdim=True))
    return kernel.reshape(weight.shape)
