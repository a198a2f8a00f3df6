"""Helpers for the tests of models that need no more than one frame of look-ahead."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from streamvsr.models.base import Model
from streamvsr.vsr.windows import Step, Windows


def whole(model: Model, frames: Tensor) -> Tensor:
    """All of ``frames`` in one window."""
    session = model.session()
    session.reset()
    return torch.stack(list(session.window(frames, len(frames), range(len(frames)))))


def in_windows(model: Model, frames: Tensor, length: int, overlap: int) -> Tensor:
    """The same in windows that carry their state on, as the filter cuts them."""
    plan, session, given = Windows(length, overlap), model.session(), 0
    outputs: list[Tensor] = []

    def run(step: Step | None) -> None:
        nonlocal given
        if step is None:
            return
        if step.reset:
            session.reset()
        # A copy: a session must not live on the buffer that it was given.
        buffer = frames[step.start : step.stop].clone()
        outputs.extend(session.window(buffer, step.stop - given, step.keep))
        given = step.stop
        buffer.fill_(torch.nan)

    for _ in frames:
        run(plan.push())
    run(plan.cut())
    return torch.stack(outputs)


def real_pair(path: Path, first: int, count: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """``count`` frames of a clip from number ``first`` on, cut to the size, and the same a quarter as large."""
    pictures = []
    with av.open(str(path)) as clip:
        for number, frame in enumerate(clip.decode(video=0)):
            if number >= first:
                pictures.append(frame.to_ndarray(format="rgb24")[:height, :width])
            if len(pictures) == count:
                break
    high = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    low = functional.interpolate(high, scale_factor=0.25, mode="bicubic", antialias=True).clamp(0, 1)
    return high, (low * 255).round() / 255


def bicubic(low: Tensor) -> Tensor:
    return functional.interpolate(low, scale_factor=4, mode="bicubic")


def psnr(a: Tensor, b: Tensor) -> float:
    return float(-10 * (a.clamp(0, 1) - b).square().mean().log10())


def sharpness(pictures: Tensor) -> float:
    """The mean step between neighbouring pixels."""
    return float(pictures.clamp(0, 1).diff(dim=-1).abs().mean())


def assert_aligned(pictures: Tensor, truth: Tensor) -> None:
    """Moved by a pixel in any direction the pictures fit worse."""
    inner = (..., slice(4, -4), slice(4, -4))
    here = psnr(pictures[inner], truth[inner])
    for shift in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        assert psnr(torch.roll(pictures, shift, (2, 3))[inner], truth[inner]) < here, shift
