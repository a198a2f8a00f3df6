"""Ground truth for training and evaluation: luma straight from videos and pictures, nothing extracted to disk.

A *clip* is a uint8 array (T, H, W) of luma, 0 black to 255 white, held in memory. A photo is a clip of one frame; it
is made to move when a training sequence is cut from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from streamvsr.errors import SourceError, UsageError

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})
VIDEOS = frozenset({".mp4", ".mkv", ".mov", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m4v"})

Clip = NDArray[np.uint8]

MAX_PAN_PX = 10.0
"""The fastest pan over a photo, in ground-truth pixels a frame (2.5 low-resolution pixels)."""


def split_shrink(spec: str) -> tuple[Path, int]:
    """``"clip.mp4@2"`` -> (Path("clip.mp4"), 2): shrink by two before use. Without ``@N`` the factor is 1."""
    path, at, factor = spec.rpartition("@")
    if not at or not factor.isdecimal():
        return Path(spec), 1
    if not 1 <= int(factor) <= 16:
        raise UsageError(f"{spec}: the shrink factor after '@' must be 1 to 16")
    return Path(path), int(factor)


def shrink(luma: Tensor, factor: int) -> Tensor:
    """(N, 1, H, W) float -> (N, 1, H/factor, W/factor), antialiased bicubic (a = -0.5, as in the SR literature)."""
    if factor == 1:
        return luma
    size = (luma.shape[-2] // factor, luma.shape[-1] // factor)
    return F.interpolate(luma, size=size, mode="bicubic", antialias=True, align_corners=False)


def low_resolution(truth: Tensor) -> Tensor:
    """(N, 1, 4h, 4w) luma 0..1 -> (N, 1, h, w), shrunk and rounded to the 8 bits that a video would carry."""
    return (shrink(truth, 4) * 255).round_().clamp_(0, 255).div_(255)


def luma_of(frame: av.VideoFrame) -> NDArray[np.float32]:
    """The luma of a decoded frame: (H, W), 0 black to 1 white; BT.601 weights where the frame is RGB."""
    component = frame.format.components[0]
    if component.is_luma and frame.format.is_planar and component.bits <= 16:
        plane = frame.planes[0]
        dtype: np.dtype[np.uint8] | np.dtype[np.uint16] = np.dtype("u1" if component.bits == 8 else "<u2")
        rows = np.frombuffer(memoryview(plane), dtype).reshape(plane.height, -1)[:, : plane.width].astype(np.float32)
        unit = float(1 << (component.bits - 8))
        full = frame.color_range == 2 or frame.format.name.startswith(("yuvj", "gray"))
        low, span = (0.0, 256 * unit - 1) if full else (16 * unit, 219 * unit)
        return (rows - np.float32(low)) / np.float32(span)
    rgb = frame.to_ndarray(format="rgb24").astype(np.float32)
    luma: NDArray[np.float32] = rgb @ np.array([0.299, 0.587, 0.114], np.float32) / np.float32(255)
    return luma


def decode(path: Path, factor: int = 1, limit: int | None = None) -> Clip:
    """The first ``limit`` frames of a video or picture, shrunk by ``factor`` and cut to multiples of four pixels."""
    frames: list[Clip] = []
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise SourceError(f"{path}: has no video stream")
            for frame in container.decode(video=0):
                small = shrink(torch.from_numpy(luma_of(frame))[None, None], factor)[0, 0]
                rows, columns = small.shape[0] // 4 * 4, small.shape[1] // 4 * 4
                frames.append((small[:rows, :columns] * 255).round_().clamp_(0, 255).byte().numpy())
                if limit is not None and len(frames) >= limit:
                    break
    except (av.FFmpegError, OSError) as error:
        raise SourceError(f"{path}: cannot be decoded ({error})") from error
    if not frames:
        raise SourceError(f"{path}: has no frames")
    return np.stack(frames)


def _members(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise SourceError(f"{path}: no such file or folder")
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES | VIDEOS)
    if not found:
        raise SourceError(f"{path}: no videos or pictures in this folder; it must hold them directly")
    return found


def load_clips(specs: Sequence[str], least_px: int) -> list[Clip]:
    """Every video, and every picture as a photo of its own, that ``specs`` (``PATH`` or ``PATH@N``) name."""
    clips: list[Clip] = []
    for spec in specs:
        path, factor = split_shrink(spec)
        for member in _members(path):
            clip = decode(member, factor)
            if min(clip.shape[1:]) < least_px:
                raise SourceError(
                    f"{member}: {clip.shape[2]}x{clip.shape[1]} after shrinking by {factor};"
                    f" training patches need {least_px} pixels"
                )
            clips.append(clip)
    return clips


def load_sequence(spec: str, limit: int | None = None) -> Clip:
    """One video, or the pictures of a folder as its frames in the order of their names."""
    path, factor = split_shrink(spec)
    members = _members(path)
    if len(members) == 1:
        return decode(members[0], factor, limit)
    return np.concatenate([decode(member, factor, 1) for member in members[:limit]])


def _pan(photo: Clip, frames: int, size: int, rng: np.random.Generator) -> Clip:
    """A window that glides over a photo in whole pixels, which are quarter pixels of the low resolution."""
    room = np.array(photo.shape) - size
    # Squared, so that slow motion, where neighbouring frames help most, is the common case.
    speed = MAX_PAN_PX * rng.random() ** 2 * (rng.random() > 0.08)
    angle = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.1, frames))
    path = np.cumsum(speed * np.stack([np.sin(angle), np.cos(angle)], 1), 0) + rng.uniform(0, room)
    path = np.abs((path + room) % (2 * room + 1e-9) - room)  # turn round at the photo's edge
    return np.stack([photo[y : y + size, x : x + size] for y, x in path.round().astype(int)])


def _zoom(photo: Clip, frames: int, size: int, rng: np.random.Generator) -> Clip:
    """A window that glides, zooms and turns, resampled: a little softer than ``_pan``, but smooth however slow."""
    height, width = photo.shape
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
    grid = F.affine_grid(torch.from_numpy(theta), [frames, 1, size, size], align_corners=False)
    source = torch.from_numpy(photo).float().expand(frames, 1, height, width)
    moved = F.grid_sample(source, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
    result: Clip = moved[:, 0].round_().clamp_(0, 255).byte().numpy()
    return result


def _cut(clip: Clip, frames: int, size: int, rng: np.random.Generator) -> Clip:
    """A random patch and stretch of a video: forwards or backwards, sometimes faster, sometimes frozen."""
    length = clip.shape[0]
    stride = int(rng.integers(1, max(1, min(3, (length - 1) // (frames - 1))) + 1))
    start = int(rng.integers(0, max(1, length - stride * (frames - 1))))
    index = start + stride * np.arange(frames)
    index = np.abs((index + length - 1) % max(1, 2 * length - 2) - (length - 1))  # too short: play it back and forth
    if rng.random() < 0.08:
        index[:] = index[0]
    y, x = (int(rng.integers(0, room + 1)) for room in np.array(clip.shape[1:]) - size)
    return clip[index[:: 1 if rng.random() < 0.5 else -1], y : y + size, x : x + size]


def sequence(clips: Sequence[Clip], frames: int, size: int, rng: np.random.Generator, photos: float) -> Clip:
    """A training sequence (frames, size, size), from a photo with probability ``photos`` where there are both kinds."""
    moving = [c for c in clips if c.shape[0] > 1]
    still = [c for c in clips if c.shape[0] == 1]
    if still and (not moving or rng.random() < photos):
        photo = still[int(rng.integers(len(still)))][0]
        patch = (_zoom if rng.random() < 0.5 else _pan)(photo, frames, size, rng)
    else:
        patch = _cut(moving[int(rng.integers(len(moving)))], frames, size, rng)
    if rng.random() < 0.5:
        patch = patch.transpose(0, 2, 1)
    return patch[:, :: rng.choice((-1, 1)), :: rng.choice((-1, 1))]


def batch(
    clips: Sequence[Clip], count: int, frames: int, size: int, rng: np.random.Generator, photos: float = 0.75
) -> tuple[Tensor, Tensor]:
    """``count`` sequences: low resolution (frames, count, size/4, size/4) and truth (frames, count, size, size)."""
    patches = np.stack([sequence(clips, frames, size, rng, photos) for _ in range(count)], 1)
    truth = torch.from_numpy(np.ascontiguousarray(patches)).float().div_(255)
    small = low_resolution(truth.reshape(-1, 1, size, size))
    return small.reshape(frames, count, size // 4, size // 4), truth


def triples(low: Tensor) -> Iterator[Tensor]:
    """What the network sees of (T, N, H, W): (N, 3, H, W) for each time; the ends stand for their own neighbours."""
    last = low.shape[0] - 1
    for t in range(last + 1):
        stacked = torch.stack([low[max(t - 1, 0)], low[t], low[min(t + 1, last)]], 1)
        yield stacked.contiguous(memory_format=torch.channels_last)
