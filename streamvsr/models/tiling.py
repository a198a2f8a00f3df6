"""A convolutional network over a large frame, tile by tile, each with a halo that is thrown away.

    +--------------------+
    | halo   +------+    |    what is computed
    |        | tile |    |    what is kept
    |        +------+    |
    +--------------------+

With a halo of at least the network's reach the result is that of the whole frame but for rounding. Outside of the
frame lie the zeros of the network's own padding, as for the whole. Halos are thrown away, not blended.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt

import torch
from torch import Tensor

from streamvsr.config import LEAST_TILE_PX
from streamvsr.models.base import WORKING_MAPS
from streamvsr.models.memory import free_bytes, is_out_of_memory, release

USABLE = 0.5
"""Of the free memory; the rest is for what lives between two steps, and for others."""

AMPLE_PIXEL_BYTES = 65536
"""More than networks that were measured need for an input pixel (1 to 16 KiB): where that is free, none is measured."""

Network = Callable[[Tensor], Tensor]
Warn = Callable[[str], None]


def tiled(network: Network, x: Tensor, tile_px: int, halo_px: int, scale: int = 1) -> Tensor:
    """``network``: (N, C, H, W) -> (N, D, H * scale, W * scale), C, H, W of the input. ``tile_px`` and ``halo_px``
    are of the input, too; ``tile_px`` 0: the whole at once."""
    height, width = x.shape[-2:]
    if tile_px <= 0 or (height <= tile_px and width <= tile_px):
        return network(x)
    whole: Tensor | None = None
    for top in range(0, height, tile_px):
        for left in range(0, width, tile_px):
            bottom, right = min(top + tile_px, height), min(left + tile_px, width)
            above, before = min(halo_px, top), min(halo_px, left)
            part = network(x[..., top - above : bottom + halo_px, left - before : right + halo_px])
            if whole is None:
                shape = (x.shape[0], part.shape[1], height * scale, width * scale)
                last = part.is_contiguous(memory_format=torch.channels_last)
                layout = torch.channels_last if last else torch.contiguous_format
                whole = torch.empty(shape, dtype=part.dtype, device=part.device, memory_format=layout)
            rows = slice(above * scale, (above + bottom - top) * scale)
            columns = slice(before * scale, (before + right - left) * scale)
            whole[..., top * scale : bottom * scale, left * scale : right * scale] = part[..., rows, columns]
            del part
    assert whole is not None
    return whole


class TilePlan:
    """The tiles of one session: chosen once for a frame size, made smaller where memory runs out all the same.

    ``wanted_px``: a side, 0 for never, None for as the free memory asks for.
    """

    def __init__(self, wanted_px: int | None, warn: Warn) -> None:
        self._wanted_px = wanted_px
        self._warn = warn
        self._settled = wanted_px is not None
        self.tile_px = wanted_px or 0
        """0: whole frames."""

    def settle(self, x: Tensor, channels: int, halo_px: int, bytes_each: int) -> None:
        """Choose at the first frame, for its size, maps of ``channels`` and ``bytes_each`` of a number."""
        self.settle_for(x, lambda: WORKING_MAPS * channels * bytes_each, halo_px)

    def settle_for(self, x: Tensor, pixel_bytes_of: Callable[[], int], halo_px: int) -> None:
        """Choose for frames of the size of ``x`` by the memory that a network needs for one pixel of them.

        ``pixel_bytes_of`` is called once at most.
        """
        if self._settled:
            return
        self._settled = True
        free = free_bytes(x.device)
        if free is None:
            return
        height, width = x.shape[-2:]
        pixels = x.shape[0] * height * width
        if pixels * AMPLE_PIXEL_BYTES <= USABLE * free or pixels * (pixel_bytes := pixel_bytes_of()) <= USABLE * free:
            return
        side = isqrt(int(USABLE * free) // (pixel_bytes * x.shape[0])) - 2 * halo_px
        self.tile_px = max(LEAST_TILE_PX, side // LEAST_TILE_PX * LEAST_TILE_PX)
        self._warn(f"{width}x{height} is large for {free >> 20} MiB of free memory: working in tiles of {self.tile_px}")

    def shrink(self, x: Tensor) -> bool:
        """Memory has run out: halve the tiles; False where they are as small as they get, or not allowed."""
        if self._wanted_px == 0 or 0 < self.tile_px <= LEAST_TILE_PX:
            return False
        largest = max(x.shape[-2:])
        side = min(self.tile_px or largest, largest)
        if side <= LEAST_TILE_PX:
            return False
        self.tile_px = max(LEAST_TILE_PX, side // 2)
        self._warn(f"out of memory: going on in tiles of {self.tile_px} pixels")
        return True


class Tiled:
    """A network that falls back to smaller and smaller tiles of a shared plan; each time the step is repeated.

    ``multiple_px``: tiles begin at multiples of it, as far as the plan's are larger.
    """

    def __init__(self, network: Network, plan: TilePlan, halo_px: int, scale: int = 1, multiple_px: int = 1) -> None:
        self._network = network
        self._plan = plan
        self.halo_px = halo_px
        self._scale = scale
        self._multiple_px = multiple_px

    def __call__(self, x: Tensor) -> Tensor:
        while True:
            # Outside of the handler: while an error is handled, its traceback keeps the tensors alive.
            try:
                return tiled(self._network, x, self._tile_px(), self.halo_px, self._scale)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or not self._plan.shrink(x):
                    raise
            release(x.device)

    def _tile_px(self) -> int:
        side = self._plan.tile_px
        return side and max(self._multiple_px, side // self._multiple_px * self._multiple_px)
