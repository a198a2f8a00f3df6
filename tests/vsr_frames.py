"""Frames for the tests of the ``vsr`` filter, and a filter run over them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from streamvsr.frames import Color, Frame, PixelFormat, Plane, StreamInfo
from streamvsr.vsr.filter import VsrFilter
from tests.fakes import numbered

LIMITED, FULL = Color(matrix=6, full_range=False), Color(matrix=6, full_range=True)


def info_of(frame: Frame) -> StreamInfo:
    return StreamInfo(frame.width, frame.height, frame.format, frame.time_base, Fraction(25), color=frame.color)


def run(vsr: VsrFilter, frames: list[Frame]) -> list[Frame]:
    vsr.configure(info_of(frames[0]))
    out = [made for frame in frames for made in vsr.push(frame)] + list(vsr.flush())
    vsr.close()
    return out


def number_of(frame: Frame) -> int:
    return int(frame.planes[0][0, 0])


def stream(count: int, cuts: set[int] | None = None) -> list[Frame]:
    return [numbered(i, discontinuity=i in (cuts or set())) for i in range(count)]


def noise(format: PixelFormat, width: int, height: int, color: Color, seed: int = 0) -> Frame:
    rng = np.random.default_rng(seed)
    shapes = format.plane_shapes(width, height)
    planes: tuple[Plane, ...] = tuple(rng.integers(0, format.peak + 1, s).astype(format.dtype) for s in shapes)
    return Frame(planes, format, 7, Fraction(1, 90000), 3, color)
