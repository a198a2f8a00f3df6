"""Between frames and a network: a frame to the network's input, its result to a frame of the wanted format.

======  ==============================================  =======================================  =================
input   ``luma`` network                                ``rgb`` network                          ``ycbcr`` network
======  ==============================================  =======================================  =================
yuv     Y' goes through; chroma is resized bicubically  to R'G'B', chroma brought to full size   chroma to full size
gray    Y' goes through                                 R' = G' = B' = Y'                        Cb = Cr = 0
rgb     to Y'CbCr in float, then as yuv at full chroma  goes through                             to Y'CbCr
======  ==============================================  =======================================  =================

A frame of another size than the network makes is resized in float on the network's device, before it is rounded to
codes: bicubic, with the kernel stretched where it gets smaller, so that nothing aliases. Chroma that did not go through
the network is brought from its own grid to the final one in a single step.

With a strength below 1 the result is mixed, in float32 and before it is resized or rounded, with the bicubic
enlargement of what the network was given: ``strength * result + (1 - strength) * plain``. At 1 nothing is computed.

Alpha is resized bicubically, or goes through an ``rgba`` network beside R'G'B'; it is opaque where only the output has
it. Nothing is rounded before the output's codes are.
What a network of scale 1 leaves alone stays bit for bit as it was: of its result in R'G'B' only the difference to its
input is brought to a YUV or grey output.

Colours. An untagged matrix is that of the *input's* size, and the output is tagged with it: players would take a large
untagged frame as BT.709. RGB frames keep their tags, and those made from YUV carry the tags of that YUV. RGB
becomes limited-range YUV; grey that was colour is full range (``av_frames.color_after``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

import torch
from torch import Tensor

from streamvsr.frames import Color, Frame, PixelFormat, Plane
from streamvsr.media.av_frames import RGB, UNSTATED, color_after, resolve_color
from streamvsr.media.color import yuv as convert
from streamvsr.media.color.resample import resample
from streamvsr.media.color.yuv import FULL_GRID
from streamvsr.models.base import ModelInfo


@lru_cache(maxsize=64)
def color_read(color: Color, format: PixelFormat, width: int, height: int) -> Color:
    """The matrix and range that a frame is read with; for RGB, those of the YUV that it becomes."""
    if format.family == "rgb":
        return color_after(color, "yuv444p", width, height)
    if format.family == "gray" and color.full_range is None:
        color = replace(color, full_range=True)
    if color.matrix == RGB:
        color = replace(color, matrix=UNSTATED, full_range=bool(color.full_range))
    return resolve_color(color, width, height)


def color_written(color: Color, source: PixelFormat, target: PixelFormat, width: int, height: int) -> Color:
    """The tags of an output in ``target`` of an input (width, height) in ``source``."""
    if source.family == target.family == "rgb":
        return color
    read = color_read(color, source, width, height)
    return replace(read, full_range=True) if target.family == "gray" != source.family else read


class Domain(ABC):
    """Conversions of one stream to and from what one network takes. Raises ``FilterError`` for unknown matrices."""

    def __init__(
        self,
        scale: int,
        target: PixelFormat,
        device: torch.device,
        size: tuple[int, int] | None = None,
        strength: float = 1.0,
    ) -> None:
        self._strength = strength
        self._scale: convert.Scale = scale
        self._size = size
        self._target = target
        self._device = device

    def to_tensor(self, frame: Frame) -> Tensor:
        """The network's input: (C, H, W), float32, on its device, nominally 0..1."""
        return self._to_tensor(self._as_read(frame))

    def to_frame(self, result: Tensor, frame: Frame, source: Tensor) -> Frame:
        """``result`` (C, H*scale, W*scale), any values, as the frame at the time of ``frame``, resized where asked for.

        ``source`` is what ``to_tensor`` returned for the frame.
        """
        result = result.to(torch.float32)
        if self._strength < 1:
            result = self._plain(result, frame, source).lerp(result, self._strength)
        if self._size is not None and self._size != tuple(result.shape[1:]):
            (height, width), (_, rows, columns) = self._size, result.shape
            result = resample(result, self._size, (Fraction(height, rows), Fraction(width, columns)))
            self._scale = (Fraction(height, frame.height), Fraction(width, frame.width))
        written = color_written(frame.color, frame.format, self._target, frame.width, frame.height)
        read = self._as_read(frame)
        planes = self._to_frame(result, read, source, read.color if self._target.family == "rgb" else written)
        if self._target.alpha:
            planes = (*planes, self._alpha(frame, result))
        return replace(frame, planes=planes, format=self._target, color=written)

    def _plain(self, result: Tensor, frame: Frame, source: Tensor) -> Tensor:
        """What the network was given, enlarged to the shape of ``result``."""
        height, width = result.shape[1:]
        return resample(source, (height, width), (Fraction(height, frame.height), Fraction(width, frame.width)))

    @abstractmethod
    def _to_tensor(self, frame: Frame) -> Tensor:
        pass

    @abstractmethod
    def _to_frame(self, result: Tensor, frame: Frame, source: Tensor, color: Color) -> tuple[Plane, ...]:
        pass

    def _as_read(self, frame: Frame) -> Frame:
        return replace(frame, color=color_read(frame.color, frame.format, frame.width, frame.height))

    def _alpha(self, frame: Frame, result: Tensor) -> Plane:
        """The alpha plane at the size of ``result``."""
        size = (result.shape[1], result.shape[2])
        alpha = convert.alpha_values(frame, self._device)
        if alpha is None:
            return convert.constant_plane(size, self._target.peak, self._target)
        alpha = convert.move(alpha[None], FULL_GRID, FULL_GRID, size, self._scale)[0]
        return convert.quantise(alpha, 0.0, self._target.peak, self._target)


class LumaDomain(Domain):
    """Y' alone goes through the network."""

    def _to_tensor(self, frame: Frame) -> Tensor:
        return convert.luma_values(frame, self._device)[None]

    def _to_frame(self, result: Tensor, frame: Frame, source: Tensor, color: Color) -> tuple[Plane, ...]:  # noqa: ARG002
        chroma = None if self._target.family == "gray" else convert.chroma_values(frame, self._device)
        grid = convert.chroma_grid(frame.format, frame.color)
        return convert.from_ycbcr(result[0], chroma, grid, self._scale, self._target, color)


class RgbDomain(Domain):
    """R'G'B' goes through the network."""

    def _to_tensor(self, frame: Frame) -> Tensor:
        return convert.to_rgb(frame, self._device)[0]

    def _to_frame(self, result: Tensor, frame: Frame, source: Tensor, color: Color) -> tuple[Plane, ...]:
        if self._scale != 1 or self._target.family == "rgb":
            return convert.from_rgb(result, self._target, color)
        luma, chroma = convert.split_rgb(result - source, frame.color)
        luma = luma + convert.luma_values(frame, self._device)
        if self._target.family == "gray":
            return convert.from_ycbcr(luma, None, FULL_GRID, 1, self._target, color)
        grid = convert.chroma_grid(self._target, color)
        shape = self._target.plane_shapes(frame.width, frame.height)[1]
        moved = convert.move(chroma, FULL_GRID, grid, shape)
        there = convert.chroma_values(frame, self._device)
        if there is not None:
            moved = moved + convert.move(there, convert.chroma_grid(frame.format, frame.color), grid, shape)
        return convert.from_ycbcr(luma, moved, grid, 1, self._target, color)


class RgbaDomain(RgbDomain):
    """R'G'B' and alpha go through the network; a frame without alpha is opaque."""

    def _to_tensor(self, frame: Frame) -> Tensor:
        rgb = super()._to_tensor(frame)
        alpha = convert.alpha_values(frame, self._device)
        return torch.cat((rgb, rgb.new_ones(1, *rgb.shape[1:]) if alpha is None else alpha[None]))

    def _to_frame(self, result: Tensor, frame: Frame, source: Tensor, color: Color) -> tuple[Plane, ...]:
        return super()._to_frame(result[:3], frame, source[:3], color)

    def _alpha(self, frame: Frame, result: Tensor) -> Plane:
        if not frame.format.alpha:
            return super()._alpha(frame, result)
        return convert.quantise(result[3], 0.0, self._target.peak, self._target)


class YcbcrDomain(Domain):
    """Y'CbCr goes through the network, in the matrix that the video has."""

    def _to_tensor(self, frame: Frame) -> Tensor:
        luma, chroma = convert.luma_values(frame, self._device), convert.chroma_values(frame, self._device)
        if chroma is None:
            chroma = luma.new_zeros(2, *luma.shape)
        elif chroma.shape[1:] != luma.shape:
            grid = convert.chroma_grid(frame.format, frame.color)
            chroma = convert.move(chroma, grid, FULL_GRID, (luma.shape[0], luma.shape[1]))
        return torch.cat((luma[None], chroma))

    def _to_frame(self, result: Tensor, frame: Frame, source: Tensor, color: Color) -> tuple[Plane, ...]:  # noqa: ARG002
        luma, chroma, scale = result[0], result[1:], 1
        if self._target.family == "gray":
            return convert.from_ycbcr(luma, None, FULL_GRID, 1, self._target, color)
        if luma.shape[0] % 2 == luma.shape[1] % 2 == 0:
            # There is nothing finer in it, and a quarter of the samples is a quarter of the work.
            chroma, scale = halved(chroma), 2
        return convert.from_ycbcr(luma, chroma, FULL_GRID, scale, self._target, color)


def halved(planes: Tensor) -> Tensor:
    """(N, H, W) to the means of squares of four; on a CPU five times as fast as torch's pooling."""
    rows = planes[:, ::2] + planes[:, 1::2]
    return (rows[..., ::2] + rows[..., 1::2]).mul_(0.25)


def domain_for(
    model: ModelInfo,
    target: PixelFormat,
    device: torch.device,
    size: tuple[int, int] | None = None,
    strength: float = 1.0,
) -> Domain:
    """``size``: (height, width) of the frames to give, where that is not what the network makes. ``strength``: how
    much of the network's result they have, 0..1; the rest is plain enlargement."""
    domains: dict[str, Callable[..., Domain]] = {
        "luma": LumaDomain,
        "rgb": RgbDomain,
        "rgba": RgbaDomain,
        "ycbcr": YcbcrDomain,
    }
    return domains[model.domain](model.scale, target, device, size, strength)
