"""``rt`` with colours: the network of ``network.py`` for luma and chroma together, which cleans both.

One step sees Y'CbCr of three neighbouring low-resolution frames and what the step before left behind::

    previous, current, next ── enter ──┐
                                       + ── relu ── blocks ── clamp(-1, 1) ──┬── leave + detail ─────────┐
    hidden state ───────────── recur ──┘                                     ├── coarse ──┐              + ── output
          ▲                                                                  │  current ── + ── enlarged ──┘
          └──────────────────────────────────────────────────────────────────┘

Luma is enlarged by four, chroma by two from the luma's grid: twice what comes in as 4:2:0, and half of the output's
size, as 4:2:0 wants it. That takes 24 numbers a pixel where R'G'B' would take 48.

There are two output heads. ``leave`` was trained towards the truth, ``leave`` with ``detail`` towards
what a restoring teacher makes of the same input; for any share of the detail the two are one convolution when the
network runs. Only that part of the detail is used which the low resolution cannot hold: its means over each
low-resolution pixel are subtracted again (``coarse``), enlarged as the frame is. There the input says what is true, and
the teacher, who changes contrast and brightness too, does not (as in back-projection: Irani and Peleg, CVGIP 1991).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamvsr.models import fused
from streamvsr.models.rt.network import SCALE, ResidualBlock, added, bicubic_kernel, enlarge, in_rows, next_hidden
from streamvsr.models.state import check_fit

CHANNELS = 3
"""Y' 0..1, Cb and Cr -0.5..0.5."""
LUMA_OUT, CHROMA_OUT = SCALE * SCALE, 2 * (SCALE // 2) ** 2
OUTPUTS = LUMA_OUT + CHROMA_OUT
PLANES = (LUMA_OUT, CHROMA_OUT // 2, CHROMA_OUT // 2)
"""How many of the outputs belong to each of Y', Cb and Cr."""


def enlarging_kernel() -> Tensor:
    """(24, 3, 5, 5): bicubic x4 of Y' (a = -0.75) and bilinear x2 of Cb and Cr, one output phase a channel."""
    kernel = torch.zeros(OUTPUTS, CHANNELS, 5, 5)
    kernel[:LUMA_OUT, 0] = bicubic_kernel()[:, 0]
    row = torch.zeros(2, 5)
    row[0, 1:3], row[1, 2:4] = torch.tensor([0.25, 0.75]), torch.tensor([0.75, 0.25])
    bilinear = torch.einsum("pi,qj->pqij", row, row).reshape(-1, 5, 5)
    for plane in (1, 2):
        first = LUMA_OUT + (plane - 1) * len(bilinear)
        kernel[first : first + len(bilinear), plane] = bilinear
    return kernel


def fold(luma: Tensor, chroma: Tensor) -> Tensor:
    """(N, 1, 4H, 4W) and (N, 2, 2H, 2W) -> (N, 24, H, W), the layout in which the network leaves them."""
    return torch.cat((F.pixel_unshuffle(luma, SCALE), F.pixel_unshuffle(chroma, SCALE // 2)), 1)


def unfold(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of ``fold``."""
    luma, chroma = outputs[:, :LUMA_OUT], outputs[:, LUMA_OUT:]
    return F.pixel_shuffle(luma, SCALE), F.pixel_shuffle(chroma, SCALE // 2)


def squared(outputs: Tensor) -> Tensor:
    """(N, 24, H, W) -> Y'CbCr (N, 3, 4H, 4W), chroma in squares of four equal pixels."""
    if not fused.is_free(outputs) or not outputs.is_contiguous(memory_format=torch.channels_last):
        luma, chroma = unfold(outputs)
        return torch.cat((luma, F.interpolate(chroma, scale_factor=2, mode="nearest")), 1)
    # The same copies into one tensor, in runs: the general way takes five times as long.
    count, _, height, width = outputs.shape
    result = outputs.new_empty(count, CHANNELS, SCALE * height, SCALE * width)
    result[:, 0].view(count, height, SCALE, width, SCALE).copy_(in_rows(outputs[:, :LUMA_OUT]))
    small = F.pixel_shuffle(outputs[:, LUMA_OUT:], SCALE // 2)
    squares = result[:, 1:].view(count, 2, 2 * height, 2, 2 * width, 2)
    rows = squares[:, :, :, 0]
    rows[..., 0] = small
    rows[..., 1] = small
    squares[:, :, :, 1] = rows
    return result


def with_colors(luma: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of ``RTNet`` as those of a colour network that treats luma as it does, and only enlarges the chroma."""
    state = dict(luma)
    enter, leave, bias = (state[key] for key in ("enter.weight", "leave.weight", "leave.bias"))
    state["enter.weight"] = enter.new_zeros(enter.shape[0], 3 * CHANNELS, 3, 3)
    state["enter.weight"][:, ::CHANNELS] = enter
    state["leave.weight"] = torch.cat((leave, leave.new_zeros(CHROMA_OUT, *leave.shape[1:])))
    state["leave.bias"] = torch.cat((bias, bias.new_zeros(CHROMA_OUT)))
    return state


class RTColorNet(nn.Module):
    """One step of the recurrent network; see the module's text for the drawing."""

    base: Tensor

    def __init__(self, channels: int = 32, blocks: int = 2, detail: bool = True, coarse: bool = False) -> None:
        super().__init__()
        self.channels = channels
        self.enter = nn.Conv2d(3 * CHANNELS, channels, 3, padding=1)
        self.recur = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.blocks = nn.ModuleList(ResidualBlock(channels) for _ in range(blocks))
        self.leave = nn.Conv2d(channels, OUTPUTS, 3, padding=1)
        self.detail = nn.Conv2d(channels, OUTPUTS, 3, padding=1) if detail else None
        self.coarse = nn.Conv2d(channels, CHANNELS, 3, padding=1) if coarse else None
        self.register_buffer("base", enlarging_kernel(), persistent=False)
        # Start as plain enlargement with a quiet memory: training then only ever has to improve on it.
        with torch.no_grad():
            for way in (self.leave, self.detail):
                if way is not None:
                    nn.init.normal_(way.weight, std=0.01)
                    nn.init.zeros_(way.bias)  # type: ignore[arg-type]
            self.recur.weight.mul_(0.5)
            for block in self.blocks:
                assert isinstance(block, ResidualBlock)
                block.conv2.weight.mul_(0.5)

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor], share: float | None = None) -> RTColorNet:
        """The network whose weights these are, width and depth read off the keys.

        ``share``: of ``detail``, 0..2, which is then put into ``leave`` and ``coarse``, as the network runs; None: all
        stays as it is.
        """
        channels = state["enter.weight"].shape[0]
        blocks = len({key.split(".")[1] for key in state if key.startswith("blocks.")})
        state = {key: value.float() for key, value in state.items()}
        if share is not None and "detail.weight" in state:
            for part in ("weight", "bias"):
                detail = share * state.pop(f"detail.{part}")
                state[f"leave.{part}"] = state[f"leave.{part}"] + detail
                state[f"coarse.{part}"] = -torch.stack([plane.mean(0) for plane in torch.split(detail, list(PLANES))])
        net = cls(channels, blocks, "detail.weight" in state, "coarse.weight" in state)
        check_fit(net, state)
        net.load_state_dict(state)
        return net

    @property
    def macs_per_pixel(self) -> int:
        """Multiply-accumulate operations for one low-resolution pixel of one frame, as it runs: one head."""
        convs = [self.enter, self.recur, self.leave, self.coarse, *(c for b in self.blocks for c in b.children())]
        # The plain enlargement is one convolution too, and mostly zeros.
        return sum(c.weight.numel() for c in convs if isinstance(c, nn.Conv2d)) + self.base.numel()

    def initial_state(self, batch: int, height: int, width: int) -> Tensor:
        """The hidden state before the first frame: zeros (batch, channels, height, width), channels last in memory."""
        like = self.enter.weight
        zeros = torch.zeros(batch, self.channels, height, width, dtype=like.dtype, device=like.device)
        return zeros.contiguous(memory_format=torch.channels_last)

    def hidden(self, neighbours: Tensor, hidden: Tensor) -> Tensor:
        """The next hidden state; arguments as of ``forward``."""
        return next_hidden(self, neighbours, hidden)

    def enlarged(self, neighbours: Tensor, hidden: Tensor) -> Tensor:
        """The current frame, less what ``detail`` would add to it at the low resolution, enlarged: (N, 24, H, W)."""
        now = neighbours[:, CHANNELS : 2 * CHANNELS]
        if self.coarse is not None:
            now = now + self.coarse(hidden)
        return enlarge(now, self.base)

    def forward(self, neighbours: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """One frame.

        ``neighbours``: (N, 9, H, W), Y'CbCr of the previous, the current and the next frame, float32 where the weights
        are half precision. The first frame of a scene stands for its own previous one, the last for its own next one.
        ``hidden``: (N, channels, H, W), -1..1, from the step before or ``initial_state``.
        Returns Y'CbCr (N, 3, 4H, 4W), not clamped, in the type of ``neighbours``, chroma in squares of four equal
        pixels, without ``detail``; and the next hidden state in that of the weights. Any H and W from 1.
        """
        hidden = self.hidden(neighbours, hidden)
        return squared(added(self.enlarged(neighbours, hidden), hidden, self.leave, neighbours)), hidden
