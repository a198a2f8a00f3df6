"""Cleaning of single frames before propagation, with a stop rule (RealBasicVSR, CVPR 2022, sec. 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

MAX_PASSES = 3
"""The paper's bound on cleaning passes."""
OFF = 255.0
"""The threshold, in 8-bit steps, from which on a frame is cleaned once and the residue is not looked at."""


@dataclass(frozen=True, slots=True)
class RefineRule:
    """When cleaning stops: after a pass whose mean absolute residue is below ``threshold``, and after three at most."""

    threshold: float = OFF
    """In steps of 1/255. The authors use 255 (off), 5 with the GAN-trained weights, 1.5 with those trained without."""
    scope: Literal["frame", "window"] = "frame"
    """``frame``: each frame decides for itself, so the result does not depend on how the video was cut. ``window``: the
    mean over all frames given at once decides, as the original does."""


def clean(network: Callable[[Tensor], Tensor], frames: Sequence[Tensor], rule: RefineRule, batch: int) -> list[Tensor]:
    """Clean single frames (1, 3, H, W), R'G'B', 0..1, ``batch`` at a time; the given tensors are not changed."""
    cleaned = list(frames)
    active = list(range(len(cleaned)))
    for _ in range(MAX_PASSES):
        magnitudes: list[Tensor] = []
        for start in range(0, len(active), batch):
            chunk = active[start : start + batch]
            before = torch.cat([cleaned[i] for i in chunk])
            residue: Tensor = network(before)
            for i, result in zip(chunk, (before + residue).unsqueeze(1), strict=True):
                cleaned[i] = result
            if rule.threshold < OFF:
                magnitudes.append(residue.float().abs().mean(dim=(1, 2, 3)))
        if rule.threshold >= OFF or not active:
            break
        # The only wait for the device, once a pass.
        means = torch.cat(magnitudes)
        if rule.scope == "window":
            means = means.mean().expand_as(means)
        active = [i for i, more in zip(active, (means >= rule.threshold / 255).tolist(), strict=True) if more]
        if not active:
            break
    return cleaned
