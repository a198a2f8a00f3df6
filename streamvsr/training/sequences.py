"""Training sequences: patches cut from clips and from photos that are made to move, with their low resolution.

Everything random follows from the generator that is handed in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from streamvsr.degrade import Recipe
from streamvsr.errors import SourceError
from streamvsr.training.clips import Clip, Frames

MAX_PAN_PX = 10.0
"""The fastest pan over a photo, in ground-truth pixels a frame (2.5 low-resolution pixels)."""
STILL_SHARE = 0.08
"""The share of sequences in which nothing moves."""


@dataclass(frozen=True, slots=True)
class Sampler:
    """Draws sequences of patches."""

    clips: Sequence[Clip]
    photos: Sequence[Clip]
    photo_share: float
    """How often a photo is taken where there are both."""
    patch_px: int
    """Width and height in ground-truth pixels."""
    recipe: Recipe
    mirror: bool = False
    """Half of the frames are read; the other half is these backwards (RealBasicVSR, sec. 3.3)."""
    max_stride: int = 3
    """Clips are sped up by this at most."""

    def check(self, frames: int) -> None:
        """Raise ``SourceError`` unless every clip is large and long enough for sequences of ``frames``."""
        if not self.clips and not self.photos:
            raise SourceError("there is nothing to train on: name videos, folders of frames, or --photos")
        for clip in (*self.clips, *self.photos):
            _, height, width, _ = clip.shape
            if min(height, width) < self.patch_px:
                raise SourceError(
                    f"{clip.name}: {width}x{height} after shrinking; training patches need {self.patch_px} pixels"
                )
        needed = self.frames_read(frames)
        for clip in self.clips:
            if clip.shape[0] < needed:
                half = ", of which half are read" if self.mirror else ""
                raise SourceError(
                    f"{clip.name}: {clip.shape[0]} frames, but sequences of {frames}{half} take {needed}:"
                    " leave it out, or ask for fewer with --frames"
                )

    def frames_read(self, frames: int) -> int:
        """How many frames of a clip a sequence of ``frames`` takes."""
        return -(-frames // 2) if self.mirror else frames

    def sequence(self, frames: int, rng: np.random.Generator) -> Frames:
        """(frames, patch, patch, C)."""
        size, count = self.patch_px, self.frames_read(frames)
        if self.photos and (not self.clips or rng.random() < self.photo_share):
            photo = self.photos[int(rng.integers(len(self.photos)))].read(0, 1)[0]
            patch = (_zoom if rng.random() < 0.5 else _pan)(photo, count, size, rng)
        else:
            patch = _cut(self.clips[int(rng.integers(len(self.clips)))], count, size, self.max_stride, rng)
        if rng.random() < 0.5:
            patch = patch.transpose(0, 2, 1, 3)
        patch = patch[:, :: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
        return np.concatenate((patch, patch[::-1]))[:frames] if self.mirror else patch

    def batch(self, count: int, frames: int, seed: Sequence[int]) -> tuple[Tensor, Tensor]:
        """``count`` sequences: low resolution (frames, count, C, h, w) and truth (frames, count, C, 4h, 4w), 0..1."""
        rng = np.random.default_rng(tuple(seed))
        patches = [self.sequence(frames, rng) for _ in range(count)]
        truth = torch.from_numpy(np.ascontiguousarray(np.stack(patches, 1))).permute(0, 1, 4, 2, 3)
        low = np.stack([self._spoilt(patch, (*seed, n)) for n, patch in enumerate(patches, 1)], 1)
        return torch.from_numpy(low).permute(0, 1, 4, 2, 3).contiguous(), truth.float().div_(255).contiguous()

    def _spoilt(self, patch: Frames, seed: tuple[int, ...]) -> NDArray[np.float32]:
        clean = [frame.astype(np.float32) / np.float32(255) for frame in patch]
        return np.stack(self.recipe.degrade(clean, np.random.default_rng(seed)))


def _pan(photo: Frames, frames: int, size: int, rng: np.random.Generator) -> Frames:
    """A window that glides over a photo in whole pixels, which are quarter pixels of the low resolution."""
    room = np.array(photo.shape[:2]) - size
    # Squared, so that slow motion, where neighbouring frames help most, is the common case.
    speed = MAX_PAN_PX * rng.random() ** 2 * (rng.random() > STILL_SHARE)
    angle = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.1, frames))
    path = np.cumsum(speed * np.stack([np.sin(angle), np.cos(angle)], 1), 0) + rng.uniform(0, room)
    path = np.abs((path + room) % (2 * room + 1e-9) - room)  # turn round at the photo's edge
    return np.stack([photo[y : y + size, x : x + size] for y, x in path.round().astype(int)])


def _zoom(photo: Frames, frames: int, size: int, rng: np.random.Generator) -> Frames:
    """A window that glides, zooms and turns, resampled: a little softer than ``_pan``, but smooth however slow."""
    height, width, channels = photo.shape
    scale = rng.uniform(0.9, 1.4) * np.exp(rng.normal(0, 0.005) * np.arange(frames))
    angle = rng.uniform(-np.pi, np.pi) + rng.normal(0, 0.003) * np.arange(frames)
    speed = rng.normal(0, MAX_PAN_PX / 2, 2) * rng.random() ** 2
    margin = size * 0.75
    start = rng.uniform((margin, margin), (max(height - margin, margin + 1), max(width - margin, margin + 1)))
    centre = start + speed * np.arange(frames)[:, None]
    cos, sin = np.cos(angle) * scale * size, np.sin(angle) * scale * size
    theta = np.empty((frames, 2, 3), np.float32)
    theta[:, 0] = np.stack([cos / width, -sin / width, 2 * centre[:, 1] / width - 1], 1)
    theta[:, 1] = np.stack([sin / height, cos / height, 2 * centre[:, 0] / height - 1], 1)
    grid = F.affine_grid(torch.from_numpy(theta), [frames, channels, size, size], align_corners=False)
    source = torch.from_numpy(photo).permute(2, 0, 1).float().expand(frames, channels, height, width)
    moved = F.grid_sample(source, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
    result: Frames = moved.permute(0, 2, 3, 1).round_().clamp_(0, 255).byte().numpy()
    return result


def _cut(clip: Clip, frames: int, size: int, max_stride: int, rng: np.random.Generator) -> Frames:
    """A random patch and stretch of a clip: forwards or backwards, sometimes faster, sometimes frozen."""
    length = clip.shape[0]
    stride = int(rng.integers(1, max(1, min(max_stride, (length - 1) // max(1, frames - 1))) + 1))
    start = int(rng.integers(0, max(1, length - stride * (frames - 1))))
    still = rng.random() < STILL_SHARE
    y, x = (int(rng.integers(0, room + 1)) for room in np.array(clip.shape[1:3]) - size)
    backwards = rng.random() >= 0.5
    patch = clip.read(start, 1 if still else frames, stride)[:, y : y + size, x : x + size]
    if still:
        patch = patch.repeat(frames, 0)
    return patch[::-1] if backwards else patch


def triples(low: Tensor) -> Iterator[Tensor]:
    """What ``rt`` sees of (T, N, H, W): (N, 3, H, W) for each time; the ends stand for their own neighbours."""
    last = low.shape[0] - 1
    for t in range(last + 1):
        stacked = torch.stack([low[max(t - 1, 0)], low[t], low[min(t + 1, last)]], 1)
        yield stacked.contiguous(memory_format=torch.channels_last)
