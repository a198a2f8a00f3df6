"""Models without a network that write down how they are called, and hold their caller to the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from streamvsr.config import ModelOptions
from streamvsr.frames import PIXEL_FORMATS, Color, Frame
from streamvsr.models.base import Model, ModelInfo, Session, silent
from streamvsr.vsr.filter import VsrFilter

UNIT = 1 / 65535
"""Frame number ``n`` is a flat grey of code ``n`` in 16 bits, full range."""


@dataclass
class Call:
    """One window as the session was given it."""

    frames: list[int]
    new: int
    keep: list[int]
    reset: bool
    shape: tuple[int, ...]


@dataclass
class Log:
    calls: list[Call] = field(default_factory=list)
    closed: int = 0
    grad: list[bool] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    moved: list[tuple[torch.device, torch.dtype]] = field(default_factory=list)


class FakeModel(Model):
    """Nearest-neighbour enlargement, with a memory.

    ``memory``: each picture is made brighter by that many codes per frame of its scene before it, by way of a state
    that is carried from window to window. ``ahead``: it is made darker by the number of the frame that many
    positions later, where its window holds it (a backward branch with that reach).
    """

    def __init__(
        self,
        *,
        scale: int = 1,
        domain: Literal["rgb", "luma", "ycbcr"] = "luma",
        max_seq_len: int = 4,
        overlap: int = 1,
        min_size_px: int = 1,
        memory: int = 0,
        ahead: int = 0,
    ) -> None:
        self.info = ModelInfo("fake", scale, domain, max_seq_len, overlap, min_size_px)
        self.memory = memory
        self.ahead = ahead
        self.log = Log()
        self.spoil: Literal["", "nan", "inf", "short", "long", "shape"] = ""

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        self.log.moved.append((device, dtype))
        return self

    def session(self) -> FakeSession:
        return FakeSession(self)


class FakeSession(Session):
    def __init__(self, model: FakeModel) -> None:
        self.model = model
        self.fresh = False
        self.state = 0
        self.next_start: int | None = None
        self.seen_to: int | None = None

    def reset(self, number: int = 0) -> None:
        self.fresh = True
        self.state = 0
        self.next_start = self.seen_to = None

    def window(self, frames: Tensor, new: int, keep: range) -> Iterator[Tensor]:
        info = self.model.info
        assert frames.ndim == 4
        assert frames.shape[1] == (1 if info.domain == "luma" else 3)
        assert min(frames.shape[2:]) >= info.min_size_px
        numbers = [round(float(f.flatten()[0]) / UNIT) for f in frames.float()]
        self.model.log.calls.append(Call(numbers, new, list(keep), self.fresh, tuple(frames.shape)))
        self.model.log.threads.append(torch.get_num_threads())
        assert keep.start >= 0
        assert len(keep) > 0
        assert keep.stop <= len(frames)
        if self.fresh:
            assert new == len(frames)
        else:
            assert numbers[0] == self.next_start, "a window begins right after the last kept frame"
            assert self.seen_to is not None
            assert numbers[-1] == self.seen_to + new
        self.fresh = False
        self.next_start, self.seen_to = numbers[keep.stop - 1] + 1, numbers[-1]
        return self._pictures(frames, keep)

    def _pictures(self, frames: Tensor, keep: range) -> Iterator[Tensor]:
        model, scale = self.model, self.model.info.scale
        wanted = keep[:-1] if model.spoil == "short" else [*keep, keep[-1]] if model.spoil == "long" else keep
        try:
            for position in wanted:
                model.log.grad.append(torch.is_grad_enabled())
                picture = frames[position].repeat_interleave(scale, 1).repeat_interleave(scale, 2)
                picture = picture + model.memory * self.state * UNIT
                if model.ahead and position + model.ahead < len(frames):
                    picture = picture - frames[position + model.ahead].flatten()[0]
                self.state += 1
                if model.spoil in ("nan", "inf"):
                    picture = picture.clone()
                    picture[0, -1, -1] = float(model.spoil)
                yield picture[:, 1:] if model.spoil == "shape" else picture
        finally:
            model.log.closed += 1


def numbered(number: int, *, width: int = 6, height: int = 4, discontinuity: bool = False) -> Frame:
    """A flat 16 bit grey frame that shows its number; its pts is 10 times that, plus a little jitter."""
    plane = np.full((height, width), number, np.uint16)
    pts = 10 * number + number % 3
    return Frame(
        (plane,),
        PIXEL_FORMATS["gray16le"],
        pts,
        Fraction(1, 250),
        10 - number % 2,
        Color(full_range=True),
        discontinuity,
    )


def vsr_filter(model: Model, **given: Any) -> VsrFilter:
    """A ``VsrFilter`` from fields of ``ModelOptions`` and its own arguments; scenes are looked for only when asked."""
    own = {f.name for f in fields(ModelOptions)} - {"device"}
    options = ModelOptions(**{"scene_threshold": 0.0} | {k: v for k, v in given.items() if k in own})
    return VsrFilter(model, options, **{k: v for k, v in given.items() if k not in own})


def tuning(*, warn: Callable[[str], None] = silent, **given: Any) -> tuple[ModelOptions, Callable[[str], None]]:
    """The arguments of ``Model.tune``."""
    return ModelOptions(**given), warn
