"""HDR's static data: read from a decoded frame, written through the options of the encoders that can.

The network is fed with the codes as they are: PQ and HLG, like the gamma of SDR, are scales on which equal steps look
about equal.

FFmpeg hands such data from frames to encoders beside the samples, where PyAV cannot put anything. x265, x264 and
SVT-AV1 also take it as parameters, and write it into the stream itself; all other encoders lose it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from fractions import Fraction

import av
from av.sidedata.sidedata import Type

from streamvsr.frames import Mastering, StreamInfo
from streamvsr.media.av_frames import side_data

PQ, HLG = 16, 18
"""H.273 TransferCharacteristics of SMPTE ST 2084 and of ARIB STD-B67."""

MOVING = {
    Type.DYNAMIC_HDR_PLUS: "HDR10+ data",
    Type.DOVI_METADATA: "Dolby Vision data",
    Type.DYNAMIC_HDR_VIVID: "HDR Vivid data",
    Type.A53_CC: "closed captions",
    Type.STEREO3D: "the layout of stereo 3D",
    Type.SPHERICAL: "the projection of spherical video",
}
"""Side data of frames. PyAV cannot put it on a frame that a network or OpenCV has made."""

CARRIED_BY = {
    "closed captions": frozenset({"libx264", "mpeg2video"}),
    "the layout of stereo 3D": frozenset({"libx264", "mpeg2video"}),
    "fields": frozenset({"ffv1"}),
}
"""Encoders that write it, without being asked to, where it came through FFmpeg's own filters, or through none."""

_ST2086 = struct.Struct("<20i2I")
"""AVMasteringDisplayMetadata: ten rationals, then whether primaries and luminance are there."""

PARAMETERS = {"libx265": "x265-params", "libx264": "x264-params", "libsvtav1": "svtav1-params"}


def mastering_of(frame: av.VideoFrame) -> Mastering | None:
    """What a frame (or, through FFmpeg, its container) says of the display it was graded on."""
    primaries: tuple[tuple[Fraction, Fraction], ...] = ()
    luminance = light_levels = None
    display, light = (side_data(frame, k) for k in (Type.MASTERING_DISPLAY_METADATA, Type.CONTENT_LIGHT_LEVEL))
    if display is not None and len(display) >= _ST2086.size:
        *numbers, _, _ = _ST2086.unpack_from(display)
        values = [Fraction(a, b) if b else Fraction(0) for a, b in zip(numbers[::2], numbers[1::2], strict=True)]
        # FFmpeg flags values that it finds implausible; they are copied as they are.
        if any(values[:8]):
            primaries = tuple(zip(values[0:8:2], values[1:8:2], strict=True))
        if any(values[8:]):
            luminance = values[8], values[9]
    if light is not None and len(light) >= 8:
        light_levels = struct.unpack_from("<2I", light)
    result = Mastering(primaries, luminance, light_levels)
    return None if result == Mastering() else result


def moving_data(frame: av.VideoFrame) -> list[str]:
    """In words, what a frame carries of ``MOVING``."""
    return [words for kind, words in MOVING.items() if side_data(frame, kind) is not None]


def carried(words: str, codec: str) -> bool:
    """Whether an encoder writes this of ``CARRIED_BY`` from frames that have it."""
    return codec in CARRIED_BY.get(words, ())


def with_mastering(options: Mapping[str, str], codec: str, info: StreamInfo) -> dict[str, str]:
    """An encoder's options with the data of ``info``; what the user has stated goes before."""
    key = PARAMETERS.get(codec)
    if key is None or not is_kept(info):
        return dict(options)
    given = options.get(key, "")
    stated = {pair.partition("=")[0] for pair in given.split(":")}
    ours = [f"{name}={value}" for name, value in _parameters(codec, info.mastering) if name not in stated]
    return {**options, key: ":".join([*filter(None, [given]), *ours])} if ours else dict(options)


def is_kept(info: StreamInfo) -> bool:
    return info.mastering is not None and info.color.transfer in (PQ, HLG)


def _parameters(codec: str, mastering: Mastering | None) -> Iterator[tuple[str, str]]:
    assert mastering is not None
    names = {"libx265": ("master-display", "max-cll"), "libx264": ("mastering-display", "cll")}
    display, light = names.get(codec, ("mastering-display", "content-light"))
    # The encoders know the two halves of ST 2086 together only.
    if mastering.primaries and mastering.luminance is not None:
        units = (None, None) if codec == "libsvtav1" else (50_000, 10_000)
        red, green, blue, white = (",".join(_number(v, units[0]) for v in point) for point in mastering.primaries)
        least, most = (_number(v, units[1]) for v in mastering.luminance)
        yield display, f"G({green})B({blue})R({red})WP({white})L({most},{least})"
    if mastering.light_levels is not None:
        yield light, "{},{}".format(*mastering.light_levels)


def _number(value: Fraction, unit: int | None) -> str:
    """In whole parts of ``unit``, or as a decimal."""
    return f"{float(value):.6f}" if unit is None else str(round(value * unit))
