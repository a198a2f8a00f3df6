"""Sample values to what networks take, and back: exact, on whatever device the network is, in float32.

Codes and values (ITU-T H.273, 8.3), for n bits:

================  =============================================  ============================
plane             limited range                                  full range
================  =============================================  ============================
Y'                code = 2**(n-8) * (219 * value + 16)           code = (2**n - 1) * value
Cb, Cr            code = 2**(n-8) * (224 * value + 128)          code = (2**n - 1) * value + 2**(n-1)
R', G', B', A                                                    code = (2**n - 1) * value
================  =============================================  ============================

Y' = KR R' + KG G' + KB B', Cb = (B' - Y') / (2 - 2 KB), Cr = (R' - Y') / (2 - 2 KR). Values are nominally 0..1
(Cb, Cr: -0.5..0.5) and not clamped where they are read: the super-whites of limited range survive. Where they are
written, they are rounded half to even and clamped to the codes that there are. RGB planes are always full range,
whatever the colour says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache

import numpy as np
import torch
from torch import Tensor

from streamvsr.errors import FilterError
from streamvsr.frames import Color, Frame, PixelFormat, Plane
from streamvsr.media.color.resample import HALF, resample
from streamvsr.media.color.transfer import codes_of, download, keeps_codes, upload, with_codes

KR_KB = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.601, 625 lines
    6: (0.299, 0.114),  # BT.601, 525 lines
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020, non-constant luminance
    10: (0.2627, 0.0593),  # BT.2020, constant luminance: read as players read it
}
"""H.273 MatrixCoefficients to (KR, KB)."""

_LEFT, _CENTRE, _TOP_LEFT, _TOP, _BOTTOM_LEFT, _BOTTOM = range(1, 7)
_QUARTER = Fraction(1, 4)


def forward_matrix(matrix: int) -> Tensor:
    """(3, 3) float64, R'G'B' to Y'CbCr. ``FilterError`` for matrices that are no linear function of R'G'B'."""
    return _matrices(matrix)[0]


def inverse_matrix(matrix: int) -> Tensor:
    """(3, 3) float64, Y'CbCr to R'G'B'. Raises as ``forward_matrix``."""
    return _matrices(matrix)[1]


@cache
def _matrices(matrix: int) -> tuple[Tensor, Tensor]:
    if matrix not in KR_KB:
        raise FilterError(
            f"colour matrix {matrix} (ITU-T H.273) cannot be converted to RGB: tag the input with another"
        )
    kr, kb = KR_KB[matrix]
    kg = 1 - kr - kb
    y = torch.tensor([kr, kg, kb], dtype=torch.float64)
    red, _, blue = torch.eye(3, dtype=torch.float64)
    there = torch.stack([y, (blue - y) / (2 - 2 * kb), (red - y) / (2 - 2 * kr)])
    return there, torch.linalg.inv(there)


def luma_coding(format: PixelFormat, color: Color) -> tuple[float, float]:
    """(offset, scale) of Y', or of R', G', B': code = offset + scale * value. An unstated range is limited."""
    if format.family == "rgb" or color.full_range:
        return 0.0, float(format.peak)
    unit = 2.0 ** (format.bits - 8)
    return 16 * unit, 219 * unit


def chroma_coding(format: PixelFormat, color: Color) -> tuple[float, float]:
    """(offset, scale) of Cb and Cr."""
    scale = float(format.peak) if color.full_range else 224 * 2.0 ** (format.bits - 8)
    return 2.0 ** (format.bits - 1), scale


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the samples of a plane lie; pairs are (vertical, horizontal)."""

    step: tuple[int, int] = (1, 1)
    """Luma pixels from sample to sample."""
    phase: tuple[Fraction, Fraction] = (HALF, HALF)
    """Position in the sample's cell, see ``resample``."""


FULL_GRID = Grid()
Scale = Fraction | int | tuple[Fraction, Fraction]
"""How many times larger, or how many times higher and wider."""


def chroma_grid(format: PixelFormat, color: Color) -> Grid:
    """Where chroma lies. An unstated location is left, as in MPEG-2 and later; RGB and 4:4:4 lie on the luma."""
    where = color.chroma_location or _LEFT
    x = _QUARTER if format.log2_chroma_w and where in (_LEFT, _TOP_LEFT, _BOTTOM_LEFT) else HALF
    y = HALF
    if format.log2_chroma_h:
        y = {_TOP_LEFT: _QUARTER, _TOP: _QUARTER, _BOTTOM_LEFT: 3 * _QUARTER, _BOTTOM: 3 * _QUARTER}.get(where, HALF)
    return Grid((1 << format.log2_chroma_h, 1 << format.log2_chroma_w), (y, x))


def move(planes: Tensor, source: Grid, target: Grid, size: tuple[int, int], scale: Scale = 1) -> Tensor:
    """(N, h, w) samples at ``source`` of one frame to (N, *size) samples at ``target`` of its ``scale``-fold."""
    down, across = scale if isinstance(scale, tuple) else (scale, scale)
    ratio = (Fraction(source.step[0] * down, target.step[0]), Fraction(source.step[1] * across, target.step[1]))
    return resample(planes, size, ratio, source.phase, target.phase)


def plane_to_tensor(plane: Plane, device: torch.device | None = None) -> Tensor:
    """(H, W) uint8 or uint16 to float32 codes on ``device``: always a copy, planes may belong to a decoder."""
    if (there := codes_of(plane)) is not None:
        return there.to(device or "cpu", torch.float32)
    codes = torch.from_numpy(np.array(plane))  # torch takes neither read-only nor bottom-up arrays
    return upload(codes, device).to(torch.float32)


def quantise(values: Tensor, offset: float, scale: float, format: PixelFormat) -> Plane:
    """(H, W) values to codes: clamp to 0..peak, round half to even as numpy does; uint8 or uint16 in main memory."""
    codes = values.to(torch.float32).mul(scale).add_(offset).clamp_(0, format.peak).round_()
    codes = codes.to(torch.uint8 if format.bits <= 8 else torch.uint16)
    plane: Plane = download(codes).numpy()
    return with_codes(plane, codes) if keeps_codes() else plane


def luma_values(frame: Frame, device: torch.device | None = None) -> Tensor:
    """Y' as (H, W) float32. RGB is converted with the colour's matrix."""
    if frame.format.family == "rgb":
        return _apply(forward_matrix(frame.color.matrix)[:1], _rgb_planes(frame, device))[0]
    offset, scale = luma_coding(frame.format, frame.color)
    return plane_to_tensor(frame.planes[0], device).sub_(offset).div_(scale)


def chroma_values(frame: Frame, device: torch.device | None = None) -> Tensor | None:
    """Cb, Cr as (2, h, w) float32 on the frame's own chroma grid (full size for RGB); None for grey."""
    if frame.format.family == "gray":
        return None
    if frame.format.family == "rgb":
        return _apply(forward_matrix(frame.color.matrix)[1:], _rgb_planes(frame, device))
    offset, scale = chroma_coding(frame.format, frame.color)
    codes = torch.stack([plane_to_tensor(plane, device) for plane in frame.planes[1:3]])
    return codes.sub_(offset).div_(scale)


def alpha_values(frame: Frame, device: torch.device | None = None) -> Tensor | None:
    """Alpha as (H, W) float32 in 0..1, or None."""
    return plane_to_tensor(frame.planes[-1], device).div_(frame.format.peak) if frame.format.alpha else None


def to_rgb(
    frames: Frame | Sequence[Frame], device: torch.device | None = None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Frames of one size to (T, 3, H, W): R'G'B', clamped to 0..1. Grey is replicated; alpha is left out."""
    frames = [frames] if isinstance(frames, Frame) else frames
    return torch.stack([_rgb_values(frame, device) for frame in frames]).clamp_(0, 1).to(dtype)


def from_rgb(rgb: Tensor, target: PixelFormat, color: Color) -> tuple[Plane, ...]:
    """(3, H, W) R'G'B', any floating type, to the planes of ``target``, read as ``color``; alpha is the caller's."""
    rgb = rgb.to(torch.float32).clamp(0, 1)
    if target.family == "rgb":
        return tuple(quantise(plane, 0.0, target.peak, target) for plane in rgb)
    luma, chroma = split_rgb(rgb, color)
    return from_ycbcr(luma, chroma, FULL_GRID, 1, target, color)


def split_rgb(rgb: Tensor, color: Color) -> tuple[Tensor, Tensor]:
    """(3, H, W) float32 R'G'B' to Y' (H, W) and Cb, Cr (2, H, W): linear, not clamped."""
    planes = _apply(forward_matrix(color.matrix), rgb)
    return planes[0], planes[1:]


def from_ycbcr(
    luma: Tensor, chroma: Tensor | None, grid: Grid, scale: Scale, target: PixelFormat, color: Color
) -> tuple[Plane, ...]:
    """Y' (H, W) and Cb, Cr (2, h, w) to the colour planes of ``target``, read as ``color``.

    Chroma lies at ``grid`` of a frame that ``luma`` is ``scale`` times as large as; it is brought to the target's
    own grid. None is neutral. For RGB targets ``color.matrix`` says what the values were made with.
    """
    luma = luma.to(torch.float32)
    size = (luma.shape[-2], luma.shape[-1])
    if target.family == "rgb":
        full = luma.new_zeros(2, *size) if chroma is None else move(chroma, grid, FULL_GRID, size, scale)
        rgb = _apply(inverse_matrix(color.matrix), torch.cat([luma[None], full]))
        return tuple(quantise(plane, 0.0, target.peak, target) for plane in rgb)
    first = quantise(luma, *luma_coding(target, color), target)
    if target.family == "gray":
        return (first,)
    shape = target.plane_shapes(size[1], size[0])[1]
    offset, units = chroma_coding(target, color)
    if chroma is None:
        neutral = constant_plane(shape, int(offset), target)
        return (first, neutral, neutral)
    moved = move(chroma, grid, chroma_grid(target, color), shape, scale)
    return (first, *(quantise(plane, offset, units, target) for plane in moved))


def constant_plane(shape: tuple[int, int], code: int, format: PixelFormat) -> Plane:
    plane: Plane = np.full(shape, code, np.uint8) if format.bits <= 8 else np.full(shape, code, np.uint16)
    return plane


def _rgb_planes(frame: Frame, device: torch.device | None) -> Tensor:
    return torch.stack([plane_to_tensor(plane, device) for plane in frame.planes[:3]]).div_(frame.format.peak)


def _rgb_values(frame: Frame, device: torch.device | None) -> Tensor:
    if frame.format.family == "rgb":
        return _rgb_planes(frame, device)
    luma, chroma = luma_values(frame, device), chroma_values(frame, device)
    if chroma is None:
        return luma.expand(3, -1, -1)
    size = (luma.shape[0], luma.shape[1])
    full = move(chroma, chroma_grid(frame.format, frame.color), FULL_GRID, size)
    return _apply(_matrices(frame.color.matrix)[1], torch.cat([luma[None], full]))


def _apply(matrix: Tensor, planes: Tensor) -> Tensor:
    """A (n, 3) matrix at every pixel of (3, H, W)."""
    rows = tuple(map(tuple, matrix.tolist()))
    return torch.mm(_on_device(rows, planes.device, planes.dtype), planes.flatten(1)).view(-1, *planes.shape[1:])


@lru_cache(maxsize=64)
def _on_device(rows: tuple[tuple[float, ...], ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """A matrix, sent to the device once and not with every frame."""
    with torch.inference_mode(False):
        return upload(torch.tensor(rows, dtype=torch.float64).to(dtype), device)
