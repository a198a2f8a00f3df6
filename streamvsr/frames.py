"""What travels through the pipeline: frames, copied packets, and what is known about their streams.

Nothing here imports av or torch: the pipeline, the windows and the tests of both stay light.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How the planes of a frame are laid out; ``name`` is FFmpeg's name for the same layout."""

    name: str
    family: Literal["yuv", "rgb", "gray"]
    bits: int
    """Significant bits a sample, in the low bits: uint8 planes up to 8, else uint16 planes in native byte order."""
    log2_chroma_w: int = 0
    """Chroma planes are ``ceil(width / 2**log2_chroma_w)`` wide."""
    log2_chroma_h: int = 0
    alpha: bool = False
    """The last plane is alpha, at full size."""

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        return np.uint8 if self.bits <= 8 else np.uint16

    @property
    def peak(self) -> int:
        """The largest sample value, ``2**bits - 1``."""
        return int((1 << self.bits) - 1)

    def plane_shapes(self, width: int, height: int) -> tuple[tuple[int, int], ...]:
        """(rows, columns) of each plane. Order: Y[, U, V][, A] for yuv and gray; R, G, B[, A] for rgb."""
        full = (height, width)
        shapes: tuple[tuple[int, int], ...]
        if self.family == "gray":
            shapes = (full,)
        elif self.family == "rgb":
            shapes = (full, full, full)
        else:
            chroma = (-(-height >> self.log2_chroma_h), -(-width >> self.log2_chroma_w))
            shapes = (full, chroma, chroma)
        return (*shapes, full) if self.alpha else shapes

    def frame_bytes(self, width: int, height: int) -> int:
        """Of all planes of a frame."""
        samples = sum(rows * columns for rows, columns in self.plane_shapes(width, height))
        return samples if self.bits <= 8 else 2 * samples


def _formats() -> dict[str, PixelFormat]:
    depths = {8: "", 10: "10le", 12: "12le", 14: "14le", 16: "16le"}
    layouts = {"420": (1, 1), "422": (1, 0), "444": (0, 0), "440": (0, 1)}
    table: dict[str, PixelFormat] = {}
    for bits, suffix in depths.items():
        for layout, (w, h) in layouts.items():
            if layout == "440" and bits not in (8, 10, 12):
                continue
            table[f"yuv{layout}p{suffix}"] = PixelFormat(f"yuv{layout}p{suffix}", "yuv", bits, w, h)
        table[f"gbrp{suffix}"] = PixelFormat(f"gbrp{suffix}", "rgb", bits)
        table[f"gray{suffix}"] = PixelFormat(f"gray{suffix}", "gray", bits)
    for bits in (8, 10, 16):
        for layout, (w, h) in (("420", (1, 1)), ("422", (1, 0)), ("444", (0, 0))):
            name = f"yuva{layout}p{depths[bits]}"
            table[name] = PixelFormat(name, "yuv", bits, w, h, alpha=True)
    for bits in (8, 10, 12, 14, 16):
        table[f"gbrap{depths[bits]}"] = PixelFormat(f"gbrap{depths[bits]}", "rgb", bits, alpha=True)
    return table


PIXEL_FORMATS: Mapping[str, PixelFormat] = _formats()
"""The planar formats that frames travel in. Sources convert anything else to the nearest of these (``yuvj420p`` to
``yuv420p`` with full range, ``nv12`` to ``yuv420p``, ``rgb24`` to ``gbrp``...); sinks convert to what encoders take."""


@dataclass(frozen=True, slots=True)
class Color:
    """How sample values are to be read: the numbers of ITU-T H.273, as FFmpeg names and stores them; 2 = not stated."""

    matrix: int = 2
    """MatrixCoefficients: 0 RGB, 1 BT.709, 5/6 BT.601, 9 BT.2020."""
    primaries: int = 2
    transfer: int = 2
    full_range: bool | None = None
    """True for 0..peak, False for 16..235 (times 2**(bits-8)), None where the stream does not say (read as limited)."""
    chroma_location: int = 0
    """FFmpeg's AVChromaLocation: 0 not stated (read as left), 1 left, 2 centre, 3 top left."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The ``av.VideoFrame`` that planes were taken from. It knows what planes do not say: field order, picture type."""

    decoded: Any
    """From a decoder or a filter."""
    planes: tuple[Plane, ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame with its time stamp.

    ``planes`` are 2-D arrays shaped and typed as ``format`` states. They may be read-only views into a decoder's
    buffers: nobody writes into a plane; whoever wants to change a frame makes new planes.
    """

    planes: tuple[Plane, ...]
    format: PixelFormat
    pts: int
    """Presentation time in ``time_base`` ticks, counted from the start of the run (one offset for all streams)."""
    time_base: Fraction
    duration: int = 0
    """In ``time_base`` ticks; 0 where it is not known."""
    color: Color = field(default_factory=Color)
    discontinuity: bool = False
    """True on the first frame after a gap or a cut: nothing of the frames before it may influence this one."""
    origin: Origin | None = field(default=None, repr=False, compare=False)
    """Holds as long as its ``planes`` are this frame's very planes; whoever makes new planes need not care."""

    @property
    def height(self) -> int:
        return int(self.planes[0].shape[0])

    @property
    def width(self) -> int:
        return int(self.planes[0].shape[1])

    @property
    def nbytes(self) -> int:
        return sum(p.nbytes for p in self.planes)

    @property
    def seconds(self) -> Fraction:
        """Presentation time in seconds, exact."""
        return self.pts * self.time_base

    def with_planes(self, planes: tuple[Plane, ...], format: PixelFormat | None = None) -> Self:
        """A copy with other planes and the same time stamp."""
        return replace(self, planes=planes, format=format or self.format, origin=None)

    def __reduce__(self) -> tuple[Any, ...]:
        # Copied and pickled without ``origin``: PyAV's frames can be neither.
        values = (getattr(self, f.name) for f in fields(self) if f.name != "origin")
        return type(self), tuple(values)

    def __repr__(self) -> str:
        return (
            f"Frame({self.width}x{self.height} {self.format.name} pts={self.pts} time_base={self.time_base}"
            f"{' discontinuity' if self.discontinuity else ''})"
        )


@dataclass(frozen=True, slots=True)
class Mastering:
    """The display that an HDR video was graded on: SMPTE ST 2086, and CTA-861.3's light levels."""

    primaries: tuple[tuple[Fraction, Fraction], ...] = ()
    """CIE 1931 (x, y) of red, green, blue and white; empty where not stated."""
    luminance: tuple[Fraction, Fraction] | None = None
    """Least and greatest, in candelas a square metre."""
    light_levels: tuple[int, int] | None = None
    """MaxCLL and MaxFALL: the brightest pixel, and the brightest frame on average, in candelas a square metre."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What is known about a video stream before its first frame flows; filters turn one into the next."""

    width: int
    height: int
    format: PixelFormat
    time_base: Fraction
    frame_rate: Fraction | None
    """The nominal rate, a hint for encoders and players: time stamps decide. None where it is not known."""
    sample_aspect_ratio: Fraction = Fraction(1)
    color: Color = field(default_factory=Color)
    rotation: int = 0
    """Degrees counter-clockwise that a player turns the frame by, as PyAV gives it; the pixels are not turned."""
    mirrored: bool = False
    """Then the player mirrors it left to right."""
    mastering: Mastering | None = None
    frames_hint: int | None = None
    """How many frames are expected, for the progress bar only: containers are often wrong about it."""
    live: bool = False
    interlaced: bool = False
    """Frames hold two fields each, which nobody de-interlaces."""


@dataclass(frozen=True, slots=True)
class Track:
    """A stream that is carried with the video: audio, subtitle, attachment. Plain data; PyAV's stream object is in
    ``Source.streams``."""

    index: int
    """The number that ``Packet.track`` refers to: the stream's index in the input."""
    kind: Literal["audio", "subtitle", "attachment", "data"]
    codec: str
    """The name of the codec itself, not of the decoder that FFmpeg happens to choose (mp3, not mp3float); of an
    attachment the MIME type."""
    time_base: Fraction
    metadata: Mapping[str, str]
    disposition: int = 0
    profile: str = ""
    extradata: bytes = b""
    """What the container stores for the decoder, once for all packets."""
    sample_rate: int = 0
    """Hz; 0 for what is no sound, and where it was not known when the input was opened."""
    channels: int = 0
    layout: str = ""
    """FFmpeg's name of the channels' places."""
    bitmap: bool = False
    """Subtitles that are images, not text."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One compressed packet of a track, copied byte for byte."""

    track: int
    data: bytes
    pts: int | None
    dts: int | None
    duration: int
    time_base: Fraction
    keyframe: bool = True
    side_data: tuple[tuple[str, bytes], ...] = ()
    """Packet side data (samples to skip, padding to discard) as (FFmpeg's name, bytes)."""

    @property
    def seconds(self) -> Fraction | None:
        """Decoding time in seconds (presentation time where there is none), exact."""
        stamp = self.dts if self.dts is not None else self.pts
        return None if stamp is None else stamp * self.time_base


@dataclass(frozen=True, slots=True)
class Chapter:
    start: int
    end: int
    time_base: Fraction
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """Everything a sink has to know of an input before the first frame arrives."""

    video: StreamInfo
    tracks: tuple[Track, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    video_metadata: Mapping[str, str] = field(default_factory=dict)
    video_disposition: int = 0
    chapters: tuple[Chapter, ...] = ()
    duration: Fraction | None = None
    """Seconds that this run is expected to cover, for the progress bar only."""
    frame_data: tuple[str, ...] = ()
    """In words, what frames carry that no encoder can be given: captions, HDR10+ data, the layout of 3D."""

    def with_video(self, video: StreamInfo) -> Self:
        """The same input after filters have changed its frames."""
        return replace(self, video=video)
