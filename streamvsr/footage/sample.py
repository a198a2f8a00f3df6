"""A few dozen frames of an input, from several places, and what they say about it.

Files are opened a second time, and sought in. What can be read only once (standard input, pipes, live streams) is never
touched: ``look`` says that it cannot look.
"""

from __future__ import annotations

import math
import os
import stat
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type

from streamvsr.config import InputOptions, LiveOptions, OutputOptions
from streamvsr.errors import SourceError
from streamvsr.footage.measure import Luma, Measures, measure
from streamvsr.frames import Frame
from streamvsr.media.av_errors import FOREIGN, source_error
from streamvsr.media.av_frames import side_data
from streamvsr.media.demux import open_source
from streamvsr.media.demux.container import SEEK_BACK_SECONDS
from streamvsr.media.demux.describe import frame_rate, start_of
from streamvsr.media.demux.image_sequence import find_pictures, is_pictures
from streamvsr.media.demux.options import demuxer_options
from streamvsr.media.filter_graph import FilterGraph
from streamvsr.media.open_container import open_container
from streamvsr.secrets import mask_url

PLACES = 4
"""Where frames are taken: evenly over the length."""
FRAMES = 7
"""At each place, one after another."""
PIXELS = 30_000_000
"""What is decoded at most for the look, in pixels: 1080p gives 14 frames, 4K three."""
WIDEST_PX, HIGHEST_PX = 960, 540
"""Of a larger frame the middle is measured."""


class CannotLookError(SourceError):
    """The input cannot be read twice; the message says why."""


@dataclass(frozen=True, slots=True)
class Footage:
    """What a video is like. Numbers are medians over the frames that were looked at."""

    width: int
    height: int
    codec: str
    """FFmpeg's name of the decoder; "" for images."""
    frame_rate: float | None
    seconds: float | None
    bits_per_pixel: float | None
    """Of the video stream, where the container tells its bit rate."""
    frames: int
    """How many were looked at."""
    noise: float
    blockiness: float
    detail: float
    """See ``Measures``; ``detail`` is 1 where nothing but flat frames was seen."""
    quantiser: float | None
    """Mean quantiser in the codec's own scale, where known: H.264 0 to 51, VP9 0 to 255, MPEG-1, -2, -4 and H.263
    1 to 31 (MPEG-2's linear scale), JPEG 1 to 255 (the step; see ``jpeg_step``)."""
    interlaced: bool
    """The decoder says so of a frame."""
    combed: bool
    """Lines of frames that are not said to be interlaced come from two moments."""
    repeated: float
    """The part of the frames that are the frame before, 0..1."""
    color_noise: float = 0.0
    """See ``Measures``."""


def look(input: InputOptions) -> Footage:
    """Raises ``CannotLookError`` for what can be read only once, ``SourceError`` for what cannot be read."""
    check_readable_twice(input)
    if is_pictures(input.path):
        return _of_images(input)
    try:
        with open_container(_file(input.path), "r", format=input.format, options=demuxer_options(input)) as container:
            return _of_container(container, input)
    except FOREIGN as exc:
        raise source_error(exc, input.path) from exc


def check_readable_twice(input: InputOptions, *, live: bool = False) -> None:
    """Raise ``CannotLookError`` where looking would take something away from the run."""
    path = input.path
    if path in ("-", "pipe:", "pipe:0"):
        raise CannotLookError("standard input can be read only once")
    if live or "://" in path:
        raise CannotLookError("a stream from the network is not opened twice")
    if is_pictures(path):
        return
    try:
        mode = os.stat(path).st_mode
    except OSError as exc:
        raise SourceError(f"'{mask_url(path)}': {exc.strerror}") from exc
    if not stat.S_ISREG(mode):
        raise CannotLookError(f"'{mask_url(path)}' is no regular file: it can be read only once")


def soonest_near_middle(input: InputOptions, lead: Fraction) -> Fraction | None:
    """Seconds into the run where a frame, and those of ``lead`` seconds before it, can be had with hardly another one
    decoded: behind the key frame nearest the middle. None where that is not between a quarter and three quarters of
    the length, or the input does not tell."""
    with (
        suppress(*FOREIGN),
        open_container(_file(input.path), "r", format=input.format, options=demuxer_options(input)) as container,
    ):
        stream = _video(container)
        begin, seconds = _range(container, stream, input)
        if not seconds:
            return None
        zero = (start_of(container) or 0) + (input.start or 0)
        found: list[Fraction] = []
        for backward in (True, False):
            with suppress(*FOREIGN, StopIteration):
                at = round((begin + seconds / 2) / stream.time_base)
                container.seek(at, stream=stream, backward=backward, any_frame=False)
                packet = next(container.demux(stream))
                if packet.is_keyframe and packet.pts is not None:
                    found.append(packet.pts * stream.time_base - zero)
        near = min(found, key=lambda key: abs(key - seconds / 2), default=None)
        if near is not None and 0.25 <= (soonest := near + SEEK_BACK_SECONDS[0] + lead) / seconds <= 0.75:
            return soonest
    return None


def _file(path: str) -> str:
    # FFmpeg takes "12:30.mp4" for a protocol called 12.
    return f"file:{path}" if ":" in os.path.splitdrive(path)[1] else path


def _of_container(container: Any, input: InputOptions) -> Footage:
    if not container.streams.video:
        raise SourceError(f"'{mask_url(input.path)}': there is no video in it")
    stream = _video(container)
    context = stream.codec_context
    context.options = {"export_side_data": "venc_params"}
    size = max(1, context.width * context.height)
    many = max(2, min(PLACES * FRAMES, PIXELS // size))
    begin, seconds = _range(container, stream, input)
    lumas, fields, quantisers = _Lumas(), _Fields(), list[float]()
    interlaced = False
    places = _places(begin, seconds, max(1, min(PLACES, many // 2)))
    for place in places:
        if place > 0:
            container.seek(round(place / stream.time_base), stream=stream, backward=True, any_frame=False)
        lumas.jump()
        fields.end()
        for taken, frame in enumerate(_decoded(container, stream, quantisers)):
            if taken >= many // len(places):
                break
            lumas.add(frame)
            fields.add(frame)
            interlaced = interlaced or bool(frame.interlaced_frame)
            if (quantiser := _quantiser(frame)) is not None:
                quantisers.append(quantiser)
    fields.end()
    if not lumas.measures:
        raise SourceError(f"'{mask_url(input.path)}': no frame could be decoded")
    stated = frame_rate(stream)
    rate = None if stated is None else float(stated)
    whole = _length(container, stream)
    # Of all streams together; MPEG-1's own is often the most that it may have, or no number at all.
    overall = container.size * 8 / whole if whole and container.size and container.size > 0 else None
    bit_rate = min(filter(None, [stream.bit_rate, overall]), default=None)
    return lumas.footage(
        context.width, context.height, context.name, rate, seconds,
        None if not bit_rate or not rate else bit_rate / (size * rate),
        float(np.mean(quantisers)) if quantisers else None, interlaced, fields.two_moments,
    )  # fmt: skip


def _decoded(container: Any, stream: Any, quantisers: list[float]) -> Iterator[Any]:
    """Frames; the quantisers of motion JPEG are in its packets."""
    for packet in container.demux(stream):
        if stream.codec_context.name == "mjpeg" and (step := jpeg_step(bytes(packet))) is not None:
            quantisers.append(step)
        yield from packet.decode()


def _video(container: Any) -> Any:
    return container.streams.best("video") or container.streams.video[0]


def _range(container: Any, stream: Any, input: InputOptions) -> tuple[float, float | None]:
    """(where the run begins in the stream's own time, its length), in seconds."""
    first = float((stream.start_time or 0) * stream.time_base)
    whole = _length(container, stream)
    start = float(input.start or 0)
    end = start + float(input.duration) if input.duration is not None else float(input.end) if input.end else None
    length = None if whole is None else max(0.0, (whole if end is None else min(end, whole)) - start)
    return first + start, length


def _length(container: Any, stream: Any) -> float | None:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / 1_000_000 if container.duration else None


def _places(begin: float, seconds: float | None, count: int) -> list[float]:
    if not seconds or seconds < 1:
        return [begin]
    # The first frames are often black, or a title.
    return [begin + seconds * (2 * n + 1) / (2 * count) for n in range(count)]


class _Lumas:
    """Takes frames of a decoder one after another."""

    def __init__(self) -> None:
        self.measures: list[Measures] = []
        self._before: Luma | None = None
        self._pairs = self._repeated = 0

    def jump(self) -> None:
        self._before = None

    def add(self, frame: Any) -> None:
        """An ``av.VideoFrame``."""
        name = frame.format.name
        shown = frame if name.startswith(("yuv", "gray", "nv12", "p010")) else frame.reformat(format="gray")
        bits = shown.format.components[0].bits
        planes = []
        # Chroma that is packed into one plane is not looked at.
        for plane in list(shown.planes)[: 3 if name.startswith("yuv") and "yuyv" not in name else 1]:
            buffer = np.frombuffer(plane, np.uint16 if bits > 8 else np.uint8)
            values = buffer.reshape(-1, plane.line_size // buffer.itemsize)[: plane.height, : plane.width]
            planes.append(np.asarray(values, np.float32) / np.float32(2 ** (bits - 8)))
        self.take(planes[0], planes[1:])

    def take(self, luma: Luma, chroma: Sequence[Luma] = ()) -> None:
        """(H, W) in 8-bit codes; of ``chroma`` at their own sizes."""
        luma = _middle(luma, HIGHEST_PX, WIDEST_PX)
        if self._before is not None and self._before.shape == luma.shape:
            self._pairs += 1
            if np.array_equal(luma, self._before):
                self._repeated += 1
                return
        self._before = luma
        self.measures.append(measure(luma, [_middle(p, HIGHEST_PX // 2, WIDEST_PX // 2) for p in chroma]))

    def footage(
        self, width: int, height: int, codec: str, rate: float | None, seconds: float | None,
        bits_per_pixel: float | None, quantiser: float | None, interlaced: bool, two_moments: bool,
    ) -> Footage:  # fmt: skip
        columns = list(zip(*self.measures, strict=True))
        noise, color_noise, blockiness, detail, combing = (_median(values) for values in columns)
        if not any(map(math.isfinite, columns[3])):
            detail = 1.0
        repeated = self._repeated / self._pairs if self._pairs else 0.0
        return Footage(
            width, height, codec, rate, seconds, bits_per_pixel, len(self.measures) + self._repeated, noise, blockiness,
            detail, quantiser, interlaced, two_moments and combing > COMBED, repeated,
            color_noise,
        )  # fmt: skip


def _middle(plane: Luma, height: int, width: int) -> Luma:
    """At most that much of it; the grid of blocks and the lines of fields stay where they were."""
    top, left = (max(0, (side - most) // 2) // 16 * 16 for side, most in zip(plane.shape, (height, width), strict=True))
    return np.ascontiguousarray(plane[top : top + height, left : left + width])


COMBED = 0.001
"""``Measures.combing`` of frames that show two moments, at least. Of 76 progressive clips four had more."""


class _Fields:
    """Whether frames hold two moments, by FFmpeg's ``idet``, which compares the lines of neighbours in time. It does
    not take horizontal lines for fields, but some motion; ``COMBED`` asks for the lines themselves."""

    def __init__(self) -> None:
        self._graph: FilterGraph | None = None
        self._found: Counter[str] = Counter()

    def add(self, frame: av.VideoFrame) -> None:
        """The next frame of a run of neighbours."""
        if self._graph is None:
            self._graph = FilterGraph([("idet", "")], frame, threads=1)
        self._count(frame)

    def end(self) -> None:
        """What comes is no neighbour."""
        if self._graph is not None:
            self._count(None)
            self._graph = None

    @property
    def two_moments(self) -> bool:
        found = self._found
        return found["tff"] + found["bff"] > max(1, found["progressive"])

    def _count(self, frame: av.VideoFrame | None) -> None:
        assert self._graph is not None
        self._found.update(seen.metadata["lavfi.idet.multiple.current_frame"] for seen in self._graph.run(frame))


_MPEG = 2
"""``AV_VIDEO_ENC_PARAMS_MPEG2``."""


def _median(values: Sequence[float]) -> float:
    there = [value for value in values if math.isfinite(value)]
    return float(np.median(there)) if there else 0.0


def _quantiser(frame: Any) -> float | None:
    """From FFmpeg's ``AVVideoEncParams``: the frame's quantiser plus the mean of its blocks' differences to it."""
    data = side_data(frame, Type.VIDEO_ENC_PARAMS)
    if data is None:
        return None
    # unsigned nb_blocks; size_t blocks_offset, block_size; int type, qp; ... then x, y, w, h, delta_qp of each.
    count, offset, size, kind, base = struct.unpack_from("@INNii", data)
    deltas = [struct.unpack_from("i", data, offset + n * size + 16)[0] for n in range(count)]
    mean = float(base + (sum(deltas) / count if count else 0))
    # FFmpeg gives twice the scale of the MPEG codecs.
    return mean / 2 if kind == _MPEG else mean


def _of_images(input: InputOptions) -> Footage:
    source = open_source(input, OutputOptions(deinterlace="off"), LiveOptions())
    try:
        lumas, info = _Lumas(), source.info.video
        for frame in _frames(iter(source), PLACES * FRAMES):
            lumas.jump()
            lumas.take(_luma(frame))
        if not lumas.measures:
            raise SourceError(f"'{mask_url(input.path)}': no image could be decoded")
        count, rate = info.frames_hint, info.frame_rate
        seconds = float(count / rate) if count and rate else None
        rate_shown = None if rate is None else float(rate)
        return lumas.footage(
            info.width, info.height, "", rate_shown, seconds, None, _jpegs(input.path), interlaced=False,
            two_moments=False,
        )  # fmt: skip
    finally:
        source.close()


def jpeg_step(data: bytes) -> float | None:
    """The mean step of the lowest frequencies in the first quantisation table of a JPEG, which is luma's: as large as
    H.264's of the same effect. None for what is none."""
    at = 2
    while data[:2] == b"\xff\xd8" and len(data) >= at + 4 and data[at] == 0xFF:
        marker, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDB:
            deep = len(data) > at + 4 and data[at + 4] >= 0x10
            table = data[at + 5 : at + 5 + 64 * (1 + deep)]
            if len(table) < 64 * (1 + deep):
                return None
            return float(np.frombuffer(table, ">u2" if deep else np.uint8)[:LOWEST].mean())
        at += 2 + size
    return None


LOWEST = 15
"""Frequencies of a block, of 64, that are strong in natural images."""


def _jpegs(path: str) -> float | None:
    """Of some of the images, where they are JPEGs."""
    names = find_pictures(path)
    found = []
    for name in names[:: max(1, len(names) // PLACES)]:
        with suppress(OSError), open(name, "rb") as file:
            found.append(jpeg_step(file.read(1 << 20)))
    steps = [step for step in found if step is not None]
    return float(np.mean(steps)) if steps else None


def _frames(items: Iterator[Any], count: int) -> Iterator[Frame]:
    for item in items:
        if isinstance(item, Frame):
            yield item
            count -= 1
            if not count:
                return


def _luma(frame: Frame) -> Luma:
    if frame.format.family != "rgb":
        return np.asarray(frame.planes[0], np.float32) / np.float32(2 ** (frame.format.bits - 8))
    red, green, blue = (np.asarray(p, np.float32) * np.float32(255 / frame.format.peak) for p in frame.planes[:3])
    luma: Luma = red * np.float32(0.299) + green * np.float32(0.587) + blue * np.float32(0.114)
    return luma
