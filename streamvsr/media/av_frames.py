"""av.VideoFrame to Frame and back, without copying where that is possible and without loss where it is not.

FFmpeg knows some 260 pixel formats, the pipeline about 40 planar ones (``frames.PIXEL_FORMATS``). A format of the
table is wrapped as it lies in the decoder's buffer; anything else is converted by swscale to the nearest format of the
table (``target_format``), which never has fewer bits, less chroma or less alpha.

Red, green and blue in a Frame are always full range. The ``Color`` of an RGB Frame with a matrix other than 0 tells
which YUV it came from and is to become again; with matrix 0 (stills, screen captures) it becomes limited-range YUV
with the matrix of its size, which is what players assume. Grey is full range unless it is tagged as limited: all of
FFmpeg reads it so.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any, Literal, cast

import av
import numpy as np
from av.sidedata.sidedata import Type
from av.video.format import VideoFormat
from av.video.reformatter import Interpolation

from streamvsr.errors import StreamvsrError
from streamvsr.frames import PIXEL_FORMATS, Color, Frame, Origin, PixelFormat, Plane

RGB, UNSTATED = 0, 2
"""Matrix coefficients of H.273 with a meaning of their own here."""

LIMITED, FULL = 1, 2
"""FFmpeg's AVColorRange."""

HD_WIDTH, HD_HEIGHT = 1280, 720
"""From this width or height on, players take untagged video as BT.709."""

_SWS_MATRIX = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
"""H.273 matrix to swscale's number for it; 5 and 6 are the same BT.601. Others are converted as BT.709."""

ACCURATE = int(
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)
"""How swscale converts without bias: plain bilinear makes what goes to 4:2:0 and back 1.2 codes darker, and
ACCURATE_RND without full chroma is off by two on flat colours."""

_PLANE_ORDER = {"rgb": (2, 0, 1, 3), "yuv": (0, 1, 2, 3), "gray": (0, 1)}
"""Where R, G, B, A (Y, U, V, A) lie in FFmpeg's planes: planar RGB is stored as G, B, R, A."""

_LAST_COLUMN_LOST = {"p010le": 6, "p016le": 0}
"""swscale leaves the last chroma column of odd widths unwritten when it makes these (seen in FFmpeg 8.1 and 9.0);
with the shift that puts the samples into the high bits."""

_ONE_THREAD = frozenset({"yuyv422", "uyvy422", "yvyu422"})
"""Packed 4:2:2: at widths that are no multiple of 16, swscale's vectors end behind a row, in the next one, which may be
another thread's and finished (FFmpeg 8.1: one run in a hundred); and slices of odd heights come out differently."""

_DEPTHS = {8: "", 10: "10le", 12: "12le", 14: "14le", 16: "16le"}


@cache
def target_format(av_format_name: str) -> PixelFormat:
    """The nearest format of the table: no fewer bits, no less chroma, no less alpha.

    ========================================  =====================================================================
    yuvj420p, nv12, yuyv422, p010le, be       the planar little-endian format of the same samples
    9 bits; float or 32 bits                  10 bits; 16 bits
    4:1:1, 4:1:0                              4:2:2, 4:2:0 (chroma is only ever added)
    rgb24, bgr0, rgb565le, bayer, xyz12le     gbrp of the same depth, at least 8 bits
    rgba64le, pal8, ya8, ya16le               gbrap (palettes may hold transparent colours; grey has no alpha here)
    monow, monob                              gray
    ========================================  =====================================================================
    """
    if av_format_name in PIXEL_FORMATS:
        return PIXEL_FORMATS[av_format_name]
    try:
        known = VideoFormat(av_format_name, 64, 64)
    except ValueError as exc:
        raise StreamvsrError(f"unknown pixel format {av_format_name!r}") from exc
    parts = known.components
    # swscale of FFmpeg 8 does not refuse yaf32: it ends the process with a failed assertion.
    if not parts or av_format_name.startswith("yaf"):
        raise StreamvsrError(f"pixel format {av_format_name!r} cannot be read here; decode to another one")
    bayer = av_format_name.startswith("bayer_")
    # A Bayer cell has one sample a pixel: its "components" count a quarter or half of the bits.
    bits = known.bits_per_pixel if bayer else max(part.bits for part in parts)
    depth = next((d for d in _DEPTHS if d >= bits), 16)
    alpha = any(part.is_alpha for part in parts) or known.has_palette
    if len(parts) - alpha == 1 and not known.has_palette and not alpha:
        return PIXEL_FORMATS[f"gray{_DEPTHS[depth]}"]
    if known.is_rgb or known.has_palette or len(parts) < 3 or av_format_name.startswith("xyz"):
        return PIXEL_FORMATS[f"gbr{'a' if alpha else ''}p{_DEPTHS[depth]}"]
    shrink = (known.chroma_width(64) < 64, known.chroma_height(64) < 64)
    layout = {(True, True): "420", (True, False): "422", (False, False): "444", (False, True): "440"}[shrink]
    for d in (d for d in _DEPTHS if d >= depth):
        name = f"yuv{'a' if alpha else ''}{layout}p{_DEPTHS[d]}"
        if name in PIXEL_FORMATS:
            return PIXEL_FORMATS[name]
    return PIXEL_FORMATS[f"yuv{'a' if alpha else ''}444p16le"]


def resolve_color(color: Color, width: int, height: int) -> Color:
    """``color`` with matrix and range as players read them: untagged is BT.601 below 1280x720 and BT.709 from there on,
    an unstated range is limited (full for RGB). Primaries and transfer stay as they are.

    The size that counts is that of the *input*: an upscaled untagged SD video stays BT.601.
    """
    matrix, full = color.matrix, color.full_range
    if matrix == UNSTATED:
        matrix = 1 if width >= HD_WIDTH or height >= HD_HEIGHT else 6
    return replace(color, matrix=matrix, full_range=matrix == RGB if full is None else full)


def color_after(color: Color, av_format: str, width: int, height: int) -> Color:
    """What ``to_av(..., av_format=av_format)`` tags its frame with, for an encoder that has to know beforehand."""
    family = _family(av_format)
    if family == "rgb":
        return replace(color, matrix=RGB, full_range=True, chroma_location=0)
    if color.matrix == RGB:
        color = replace(color, matrix=UNSTATED, full_range=False)
    color = resolve_color(color, width, height)
    return replace(color, full_range=True) if family == "gray" or av_format.startswith("yuvj") else color


def color_of(frame: av.VideoFrame) -> Color:
    """The colour tags of a decoded frame."""
    name, spans = frame.format.name, {LIMITED: False, FULL: True}
    matrix, full = int(frame.colorspace), spans.get(int(frame.color_range))
    family = _family(name)
    if family == "rgb":
        matrix, full = RGB, True
    elif matrix == RGB:
        # Grey PNGs are tagged so; the matrix would tell sinks that this was RGB.
        matrix = UNSTATED
    if name.startswith("yuvj") or (family == "gray" and full is None):
        full = True
    # PyAV 18 cannot tell where chroma lies.
    location = int(getattr(frame, "chroma_location", 0))
    return Color(matrix, int(frame.color_primaries), int(frame.color_trc), full, location)


def side_data(frame: av.VideoFrame, kind: Type) -> bytes | None:
    """What a decoded frame carries beside its samples, as FFmpeg's structure for it."""
    found = frame.side_data.get(kind.name)
    return None if found is None else bytes(cast(Any, found))


def from_av(
    frame: av.VideoFrame,
    *,
    pts: int,
    time_base: Fraction,
    duration: int = 0,
    color: Color | None = None,
    discontinuity: bool = False,
) -> Frame:
    """A Frame over the decoder's own memory where the format is of the table, else over a converted copy.

    The planes are read-only: decoders predict later frames from these very buffers. ``color`` replaces the tags of
    the frame.
    """
    tags = color_of(frame)
    layout = target_format(frame.format.name)
    if frame.format.name not in (layout.name, layout.name.replace("yuv", "yuvj")):
        frame = _convert(frame, layout.name, tags, tags)
    shapes = layout.plane_shapes(frame.width, frame.height)
    order = _PLANE_ORDER[layout.family][: len(shapes)]
    planes = tuple(_view(frame, index, shape, layout) for index, shape in zip(order, shapes, strict=True))
    return Frame(planes, layout, pts, time_base, duration, color or tags, discontinuity, Origin(frame, planes))


def as_av(frame: Frame, *, av_format: str | None = None) -> av.VideoFrame:
    """As ``to_av``, but the very ``av.VideoFrame`` that the frame was taken from, where it is unchanged: no copy, and
    field order, picture type and side data are kept. Nobody may write into it; filters of FFmpeg's copy what they
    change, as long as the frame or its planes are held by somebody.
    """
    origin, wanted = frame.origin, av_format or frame.format.name
    untouched = origin is not None and origin.planes is frame.planes
    if origin is None or not untouched or not origin.decoded.format.name == frame.format.name == wanted:
        return to_av(frame, av_format=av_format)
    decoded = cast(av.VideoFrame, origin.decoded)
    rgb = frame.format.family == "rgb"
    _tag(decoded, color_after(frame.color, frame.format.name, frame.width, frame.height) if rgb else frame.color)
    decoded.pts, decoded.time_base = frame.pts, frame.time_base
    return decoded


def to_av(frame: Frame, *, av_format: str | None = None) -> av.VideoFrame:
    """An av.VideoFrame of its own memory, in ``frame.format`` or converted to ``av_format``, with time and colour tags.

    Formats of the same samples (gbrp and rgb24, yuv420p and nv12) convert exactly; RGB to YUV takes the matrix and the
    range of ``frame.color`` (see ``color_after``).
    """
    result = av.VideoFrame(frame.width, frame.height, frame.format.name)
    order = _PLANE_ORDER[frame.format.family][: len(frame.planes)]
    for index, plane in zip(order, frame.planes, strict=True):
        _rows(result, index, frame.format)[:, : plane.shape[1]] = plane
    color = frame.color
    if av_format is not None and av_format != frame.format.name:
        color = color_after(color, av_format, frame.width, frame.height)
        if frame.format.family == "gray" and _family(av_format) == "yuv":
            # swscale takes all grey as full range: limited grey would lose contrast on its way to YUV.
            return to_av(_with_neutral_chroma(frame), av_format=av_format)
        result = _convert(result, av_format, frame.color, color)
    elif frame.format.family == "rgb":
        color = color_after(color, frame.format.name, frame.width, frame.height)
    _tag(result, color)
    result.pts, result.time_base = frame.pts, frame.time_base
    return result


def _with_neutral_chroma(frame: Frame) -> Frame:
    layout = target_format(frame.format.name.replace("gray", "yuv444p"))
    chroma: Plane = np.full_like(frame.planes[0], 1 << (layout.bits - 1))
    return frame.with_planes((frame.planes[0], chroma, chroma), layout)


def _family(av_format: str) -> Literal["yuv", "rgb", "gray"]:
    return target_format(av_format).family


def _view(frame: av.VideoFrame, index: int, shape: tuple[int, int], layout: PixelFormat) -> Plane:
    view = _rows(frame, index, layout)[: shape[0], : shape[1]]
    view.flags.writeable = False
    return view


def _rows(frame: av.VideoFrame, index: int, layout: PixelFormat) -> Plane:
    """A plane's memory as (rows, samples of a line with its padding)."""
    plane = frame.planes[index]
    line = abs(plane.line_size) // np.dtype(layout.dtype).itemsize
    rows = cast(Plane, np.frombuffer(cast(Any, plane), layout.dtype).reshape(-1, line))
    # Bottom-up frames (some AVI and BMP decoders) have negative line sizes.
    return rows[::-1] if plane.line_size < 0 else rows


def _tag(frame: av.VideoFrame, color: Color) -> None:
    frame.colorspace, frame.color_primaries, frame.color_trc = color.matrix, color.primaries, color.transfer
    frame.color_range = 0 if color.full_range is None else FULL if color.full_range else LIMITED
    if hasattr(frame, "chroma_location"):
        frame.chroma_location = color.chroma_location


def rescaled(
    frame: av.VideoFrame, width: int, height: int, av_format: str, source: Color, target: Color
) -> av.VideoFrame:
    """A decoded frame in another size, format, matrix and range, tagged with ``target``."""
    return _convert(frame, av_format, source, target, (width, height))


def padded(frame: av.VideoFrame, width: int, height: int, layout: PixelFormat, color: Color) -> av.VideoFrame:
    """A frame in ``layout`` in the middle of a black one, on whole chroma samples."""
    result = av.VideoFrame(width, height, layout.name)
    limited = layout.family != "rgb" and not color.full_range
    black = 16 << (layout.bits - 8) if limited else 0
    left = (width - frame.width) // 2 >> layout.log2_chroma_w << layout.log2_chroma_w
    top = (height - frame.height) // 2 >> layout.log2_chroma_h << layout.log2_chroma_h
    outer, inner = layout.plane_shapes(width, height), layout.plane_shapes(frame.width, frame.height)
    for number, index in enumerate(_PLANE_ORDER[layout.family][: len(outer)]):
        chroma, alpha = layout.family == "yuv" and number in (1, 2), layout.alpha and number == len(outer) - 1
        rows = _rows(result, index, layout)
        rows[:] = layout.peak if alpha else 1 << (layout.bits - 1) if chroma else black
        y, x = (top >> layout.log2_chroma_h, left >> layout.log2_chroma_w) if chroma else (top, left)
        height_in, width_in = inner[number]
        rows[y : y + height_in, x : x + width_in] = _rows(frame, index, layout)[:height_in, :width_in]
    _tag(result, color)
    return result


def _convert(
    frame: av.VideoFrame, av_format: str, source: Color, target: Color, size: tuple[int, int] | None = None
) -> av.VideoFrame:
    """swscale with every setting stated: left to itself it takes any RGB as BT.601 and any untagged frame as SD."""
    width, height = size or (frame.width, frame.height)
    planar = target_format(av_format).name
    if av_format in _LAST_COLUMN_LOST and frame.width % 2 and frame.format.name != planar:
        frame = _convert(frame, planar, source, target)
    families = _family(frame.format.name), _family(av_format)
    source = _for_swscale(source, families[0], target, frame)
    target = _for_swscale(target, families[1], source, frame)
    _tag(frame, source)
    try:
        result = frame.reformat(
            width,
            height,
            format=av_format,
            src_colorspace=_SWS_MATRIX.get(source.matrix),
            dst_colorspace=_SWS_MATRIX.get(target.matrix),
            src_color_range=FULL if source.full_range else LIMITED,
            dst_color_range=FULL if target.full_range else LIMITED,
            interpolation=ACCURATE,
            threads=0 if _ONE_THREAD.isdisjoint((frame.format.name, av_format)) else 1,
        )
    except OSError as exc:
        raise StreamvsrError(f"FFmpeg cannot convert pixel format {frame.format.name!r} to {av_format!r}") from exc
    if av_format in _LAST_COLUMN_LOST and frame.width % 2:
        shift, column = _LAST_COLUMN_LOST[av_format], frame.width // 2
        rows = _rows(result, 1, target_format(planar))
        for k in (0, 1):
            rows[:, 2 * column + k] = _rows(frame, 1 + k, target_format(planar))[:, column] << shift
    return result


def _for_swscale(color: Color, family: str, other: Color, frame: av.VideoFrame) -> Color:
    if family == "rgb":
        return replace(color, matrix=RGB, full_range=True)
    if color.matrix == RGB:
        color = replace(color, matrix=other.matrix if other.matrix != RGB else UNSTATED)
    color = resolve_color(color, frame.width, frame.height)
    return color if color.matrix in _SWS_MATRIX else replace(color, matrix=1)
