"""Ground truth for training, straight from videos and pictures: nothing is extracted to disk.

A *clip* gives any stretch of its frames as uint8 (T, H, W, C): luma, 0 black to 255 white (C = 1), or R'G'B' (C = 3).
What fits into a budget is held in memory; the rest is read when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamvsr.config import VIDEOS
from streamvsr.errors import SourceError
from streamvsr.media.av_errors import source_error
from streamvsr.media.color.shrink import antialiased, split_shrink
from streamvsr.media.demux.image_sequence import SUFFIXES, natural_key
from streamvsr.media.open_container import open_container

SCALE = 4
"""All networks that are trained here enlarge by four: clips are cut to multiples of it."""

Frames = NDArray[np.uint8]


class Clip(Protocol):
    """Frames of one size."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, H, W, C)."""

    def read(self, first: int, count: int, stride: int = 1) -> Frames:
        """(count, H, W, C): frames first, first + stride, ..., which have to exist. Raises ``SourceError``."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldClip:
    """All of it in memory."""

    name: str
    frames: Frames

    @property
    def shape(self) -> tuple[int, int, int, int]:
        count, height, width, channels = self.frames.shape
        return count, height, width, channels

    def read(self, first: int, count: int, stride: int = 1) -> Frames:
        return self.frames[first : first + count * stride : stride]


@dataclass(frozen=True, slots=True, eq=False)
class PictureClip:
    """The pictures of a folder, decoded when they are read."""

    name: str
    members: tuple[Path, ...]
    factor: int
    shape: tuple[int, int, int, int]

    def read(self, first: int, count: int, stride: int = 1) -> Frames:
        wanted = self.members[first : first + count * stride : stride]
        pictures = [next(_decoded(member, self.factor, self.shape[3])) for member in wanted]
        return np.stack(pictures)


@dataclass(frozen=True, slots=True, eq=False)
class VideoClip:
    """A video, decoded from the key frame before the first frame that is read."""

    path: Path
    factor: int
    shape: tuple[int, int, int, int]
    stamps: tuple[int, ...]
    """The time stamps of its frames, in order."""

    @property
    def name(self) -> str:
        return self.path.name

    def read(self, first: int, count: int, stride: int = 1) -> Frames:
        wanted = self.stamps[first : first + count * stride : stride]
        found: list[Frames] = []
        for stamp, frame in _stamped(self.path, wanted[0]):
            if stamp in wanted:
                found.append(_to_pixels(frame, self.factor, self.shape[3]))
            if stamp >= wanted[-1]:
                break
        if len(found) != count:
            raise SourceError(f"{self.path}: frames from {first} on cannot be reached by seeking")
        return np.stack(found)


def shrink(planes: Tensor, factor: int) -> Tensor:
    """(N, C, H, W) float -> (N, C, H // factor, W // factor)."""
    return planes if factor == 1 else antialiased(planes, planes.shape[-2] // factor, planes.shape[-1] // factor)


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


def _to_pixels(frame: av.VideoFrame, factor: int, channels: int) -> Frames:
    """(H, W, C), shrunk and cut to multiples of four."""
    if channels == 1:
        planes = torch.from_numpy(luma_of(frame))[None, None]
    else:
        planes = torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)[None].float().div_(255)
    small = shrink(planes, factor)[0]
    rows, columns = (size // SCALE * SCALE for size in small.shape[-2:])
    bytes_ = (small[:, :rows, :columns] * 255).round_().clamp_(0, 255).byte()
    return np.ascontiguousarray(bytes_.permute(1, 2, 0).numpy())


def _stamped(path: Path, since: int | None = None) -> Iterator[tuple[int, av.VideoFrame]]:
    """(time stamp, frame) in order; with ``since``, from the key frame before that time on."""
    try:
        with open_container(str(path)) as container:
            if not container.streams.video:
                raise SourceError(f"{path}: has no video stream")
            stream = container.streams.video[0]
            if since is not None:
                container.seek(since, stream=stream)
            for number, frame in enumerate(container.decode(stream)):
                yield frame.pts if frame.pts is not None else number, frame
    except (av.FFmpegError, OSError) as error:
        raise source_error(error, str(path)) from error


def _decoded(path: Path, factor: int, channels: int) -> Iterator[Frames]:
    """The frames of a video or picture, all of one size. Raises ``SourceError`` also where there are none."""
    shape: tuple[int, ...] | None = None
    for _, frame in _stamped(path):
        pixels = _to_pixels(frame, factor, channels)
        if shape is not None and pixels.shape != shape:
            raise SourceError(_mixed(path, pixels.shape, shape))
        shape = pixels.shape
        yield pixels
    if shape is None:
        raise SourceError(f"{path}: has no frames")


def _mixed(path: Path, found: tuple[int, ...], before: tuple[int, ...]) -> str:
    return (
        f"{path}: {found[1]}x{found[0]} after frames of {before[1]}x{before[0]}; the frames of a clip have one size"
        " (pictures that do not belong together are given with --photos)"
    )


def members_of(path: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """(pictures, videos, folders) in a folder, or the one file that ``path`` is. Raises ``SourceError`` where none."""
    if path.is_dir():
        found = sorted((p for p in path.iterdir() if p.name[0] != "."), key=lambda p: natural_key(p.name))
    elif path.is_file():
        found = [path]
    else:
        raise SourceError(f"{path}: no such file or folder")
    pictures = [p for p in found if p.suffix.lower() in SUFFIXES and p.is_file()]
    videos = [p for p in found if (p.suffix.lower() in VIDEOS or p == path) and p.is_file() and p not in pictures]
    folders = [p for p in found if p.is_dir()]
    if not pictures and not videos and not folders:
        raise SourceError(f"{path}: no videos, pictures or folders of pictures in this folder")
    return pictures, videos, folders


class Budget:
    """How many bytes of frames may still be held in memory."""

    def __init__(self, total_bytes: int) -> None:
        self.left_bytes = total_bytes

    def hold(self, name: str, frames: Iterator[Frames]) -> HeldClip | None:
        """The frames as a clip in memory, or None as soon as they are too many."""
        held: list[Frames] = []
        used = 0
        for pixels in frames:
            used += pixels.nbytes
            if used > self.left_bytes:
                return None
            held.append(pixels)
        self.left_bytes -= used
        return HeldClip(name, np.stack(held))


def open_clips(specs: Sequence[str], channels: int, budget: Budget) -> list[Clip]:
    """The clips that ``specs`` (``PATH`` or ``PATH@N``) name: videos, folders of frames, and folders of such.

    The pictures of a folder are the frames of one clip, in the order of their names. Raises ``SourceError``.
    """
    clips: list[Clip] = []
    for spec in specs:
        path, factor = split_shrink(spec)
        clips += _clips_in(Path(path), factor, channels, budget)
    return clips


def _clips_in(path: Path, factor: int, channels: int, budget: Budget, depth: int = 0) -> list[Clip]:
    pictures, videos, folders = members_of(path)
    if depth and not pictures and not videos:
        raise SourceError(f"{path}: holds folders alone; name what lies in it, such as {folders[0]}")
    clips: list[Clip] = []
    if pictures:
        clips.append(_picture_clip(path, pictures, factor, channels, budget))
    clips += [_video_clip(video, factor, channels, budget) for video in videos]
    for folder in folders if depth == 0 else ():
        clips += _clips_in(folder, factor, channels, budget, depth + 1)
    return clips


def _picture_clip(path: Path, members: list[Path], factor: int, channels: int, budget: Budget) -> Clip:
    def frames() -> Iterator[Frames]:
        shape: tuple[int, ...] | None = None
        for member in members:
            pixels = next(_decoded(member, factor, channels))
            if shape is not None and pixels.shape != shape:
                raise SourceError(_mixed(member, pixels.shape, shape))
            shape = pixels.shape
            yield pixels

    held = budget.hold(path.name, frames())
    if held is not None:
        return held
    height, width, depth = next(_decoded(members[0], factor, channels)).shape
    # Now, and not hours later when the odd one is read.
    first = _size(members[0])
    for member in members:
        if (size := _size(member)) != first:
            raise SourceError(_mixed(member, size, first))
    return PictureClip(path.name, tuple(members), factor, (len(members), height, width, depth))


def _size(path: Path) -> tuple[int, int]:
    """(height, width) of a picture, from its header."""
    try:
        with open_container(str(path)) as container:
            stream = container.streams.video[0]
            return stream.height, stream.width
    except (av.FFmpegError, OSError, IndexError) as error:
        raise source_error(error, str(path)) from error


def _video_clip(path: Path, factor: int, channels: int, budget: Budget) -> Clip:
    held = budget.hold(path.name, _decoded(path, factor, channels))
    if held is not None:
        return held
    stamps = _stamps(path)
    height, width, depth = next(_decoded(path, factor, channels)).shape
    return VideoClip(path, factor, (len(stamps), height, width, depth), stamps)


def _stamps(path: Path) -> tuple[int, ...]:
    """The time stamps of a video's frames, read from its packets without decoding."""
    try:
        with open_container(str(path)) as container:
            packets = container.demux(video=0)
            stamps = sorted(p.pts for p in packets if p.pts is not None and p.size and not p.is_discard)
    except (av.FFmpegError, OSError) as error:
        raise source_error(error, str(path)) from error
    if not stamps:
        raise SourceError(f"{path}: has no time stamps to find its frames by, and is too large for --cache-mib")
    return tuple(stamps)


def open_photos(specs: Sequence[str], channels: int, budget: Budget) -> list[Clip]:
    """Every picture of the folders or files as a clip of one frame, of whatever size."""
    photos: list[Clip] = []
    for spec in specs:
        path, factor = split_shrink(spec)
        pictures = members_of(Path(path))[0]
        if not pictures:
            raise SourceError(f"{path}: no pictures")
        photos += [_photo(member, factor, channels, budget) for member in pictures]
    return photos


def _photo(path: Path, factor: int, channels: int, budget: Budget) -> Clip:
    pixels = next(_decoded(path, factor, channels))
    return budget.hold(path.name, iter([pixels])) or PictureClip(path.name, (path,), factor, (1, *pixels.shape))
