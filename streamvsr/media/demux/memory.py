"""Frames from the caller's own program instead of a file."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sized
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from streamvsr.errors import SourceError
from streamvsr.frames import PIXEL_FORMATS, Color, Frame, MediaInfo, Plane, StreamInfo
from streamvsr.media.av_frames import RGB, resolve_color
from streamvsr.media.demux.base import Source

if TYPE_CHECKING:
    from torch import Tensor


class MemorySource(Source):
    """Arrays and tensors at a constant rate, the first at 0 s.

    Each is R'G'B', full range, all of one size and depth: a numpy array (height, width, 3) of uint8 or uint16, or a
    torch tensor (3, height, width), of a floating type in 0..1 or of uint8. Floating ones become 16 bits. What a GPU
    holds is given to a network there, not from main memory; a copy for all that looks at samples comes to the CPU.
    """

    def __init__(self, frames: Iterable[Any], rate: Fraction) -> None:
        """Takes the first frame. Raises ``SourceError`` where there is none, or it is none of the above."""
        super().__init__()
        rest = iter(frames)
        try:
            first = next(rest)
        except StopIteration:
            raise SourceError("there are no frames") from None
        self._frames, self._stop = chain([first], rest), threading.Event()
        planes = _planes(first, 0)
        height, width = planes[0].shape
        self._format = PIXEL_FORMATS["gbrp" if planes[0].dtype == np.uint8 else "gbrp16le"]
        color = resolve_color(Color(matrix=RGB, full_range=True), width, height)
        hint = len(frames) if isinstance(frames, Sized) else None
        video = StreamInfo(width, height, self._format, 1 / rate, rate, color=color, frames_hint=hint)
        self.info = MediaInfo(video, duration=None if hint is None else hint / rate)

    def __iter__(self) -> Iterator[Frame]:
        video = self.info.video
        for number, one in enumerate(self._frames):
            if self._stop.is_set():
                return
            planes = _planes(one, number)
            if planes[0].shape != (video.height, video.width) or planes[0].dtype != self._format.dtype:
                given = f"{planes[0].shape[1]}x{planes[0].shape[0]} of {planes[0].dtype}"
                first = f"{video.width}x{video.height} of {np.dtype(self._format.dtype)}"
                raise SourceError(f"frame {number} is {given}, and the first was {first}")
            yield Frame(planes, self._format, number, video.time_base, 1, video.color)

    def stop(self) -> None:
        self._stop.set()

    def close(self) -> None:
        self._stop.set()


def _planes(one: Any, number: int) -> tuple[Plane, ...]:
    """Contiguous copies of R, G and B: what the caller does with its array afterwards changes nothing here."""
    return _tensor_planes(one.detach(), number) if hasattr(one, "detach") else _array_planes(one, number)


def _array_planes(one: Any, number: int) -> tuple[Plane, ...]:
    array = np.asarray(one)
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape or array.dtype not in (np.uint8, np.uint16):
        raise SourceError(
            f"frame {number}: expected an array (height, width, 3) of uint8 or uint16, not {array.shape} of"
            f" {array.dtype}"
        )
    return tuple(_read_only(np.array(array[..., channel], order="C")) for channel in range(3))


def _tensor_planes(tensor: Tensor, number: int) -> tuple[Plane, ...]:
    import torch

    from streamvsr.media.color.transfer import on_device, with_codes

    floating = tensor.is_floating_point()
    if tensor.ndim != 3 or tensor.shape[0] != 3 or 0 in tensor.shape or not (floating or tensor.dtype == torch.uint8):
        raise SourceError(
            f"frame {number}: expected a tensor (3, height, width) in 0..1 or of uint8, not {tuple(tensor.shape)}"
            f" of {tensor.dtype}"
        )
    if floating:
        codes = (tensor.float().clamp(0, 1) * 65535).round().to(torch.uint16)
    else:
        codes = tensor.clone(memory_format=torch.contiguous_format)
    planes = tuple(_read_only(plane) for plane in codes.cpu().numpy())
    return tuple(map(with_codes, planes, codes)) if on_device(codes) else planes


def _read_only(plane: NDArray[Any]) -> Plane:
    plane.flags.writeable = False
    return cast(Plane, plane)
