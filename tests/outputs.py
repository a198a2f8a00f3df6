"""Frames with their number painted in, real inputs with small pictures, and what ffprobe says of an output."""

from __future__ import annotations

import json
import os
import subprocess
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from streamvsr.config import InputOptions, OutputOptions
from streamvsr.fidelity import losses
from streamvsr.frames import PIXEL_FORMATS, Frame, MediaInfo, PixelFormat, Plane, StreamInfo
from streamvsr.media.demux.container import ContainerSource
from streamvsr.media.mux import open_sink
from streamvsr.media.mux.container import ContainerSink

WIDTH, HEIGHT = 64, 48
BITS = 8
"""The number of a frame stands in the top half of its picture: eight columns, black for 0 and white for 1."""
CFR = [n * 3003 for n in range(30)]
"""Stamps of 30 frames at 30000/1001 a second, in 1/90000 s."""


def info(
    name: str = "yuv420p",
    width: int = WIDTH,
    height: int = HEIGHT,
    time_base: Fraction = Fraction(1, 90000),
    rate: Fraction | None = Fraction(30000, 1001),
    **more: Any,
) -> StreamInfo:
    return StreamInfo(width, height, PIXEL_FORMATS[name], time_base, rate, **more)


def painted(number: int, layout: PixelFormat, width: int = WIDTH, height: int = HEIGHT) -> tuple[Plane, ...]:
    """Planes that show ``number``; chroma and alpha are flat."""
    low, high = round(0.1 * layout.peak), round(0.9 * layout.peak)
    columns = (np.arange(width) * BITS // width).astype(int)
    line = np.where((number >> columns) & 1, high, low)
    planes: list[Plane] = []
    for place, (rows, wide) in enumerate(layout.plane_shapes(width, height)):
        plane = np.full((rows, wide), (layout.peak + 1) // 2, layout.dtype)
        if place == 0 or layout.family == "rgb":
            plane[: rows // 2] = line
        planes.append(plane)
    return tuple(planes)


def numbers(path: Path | str) -> list[int]:
    """The painted numbers, in the order in which the frames are shown."""
    found = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            grey = frame.to_ndarray(format="gray")[frame.height // 4]
            centres = (np.arange(BITS) * 2 + 1) * frame.width // (2 * BITS)
            found.append(sum(1 << bit for bit, x in enumerate(centres) if grey[x] > 128))
    return found


def frames(stream: StreamInfo, stamps: list[int], duration: int = 0) -> Iterator[Frame]:
    for number, pts in enumerate(stamps):
        planes = painted(number % (1 << BITS), stream.format, stream.width, stream.height)
        yield Frame(planes, stream.format, pts, stream.time_base, duration, stream.color)


def write(
    path: Path | str, stream: StreamInfo, stamps: list[int], *, duration: int = 0, media: Any = None, **options: Any
) -> list[str]:
    """Write frames with these stamps; the warnings, and what a run would say of losses."""
    warnings: list[str] = []
    output = OutputOptions(path=str(path), **options)
    media = replace(media or MediaInfo(stream), video=stream)
    sink = open_sink(output, media, on_warning=warnings.append)
    warnings += losses(media, [], output)
    for frame in frames(stream, stamps, duration):
        sink.write_frame(frame)
    sink.finish()
    return warnings


def remake(source: Path | str, path: Path | str, *, seconds: float = 1e9, **options: Any) -> list[str]:
    """Send a real file through a sink with everything it has, but with small pictures; the warnings."""
    warnings: list[str] = []
    output = OutputOptions(path=str(path), **options)
    reader = ContainerSource(InputOptions(path=str(source)), output)
    try:
        layout = PIXEL_FORMATS["yuv420p"]
        small = replace(reader.info.video, width=WIDTH, height=HEIGHT, format=layout)
        media = replace(reader.info, video=small)
        sink = open_sink(output, media, reader.streams, on_warning=warnings.append)
        warnings += losses(media, [], output)
        planes = painted(0, layout)
        for item in reader:
            if (item.seconds or 0) > seconds:
                continue
            if isinstance(item, Frame):
                sink.write_frame(replace(item, planes=planes, format=layout))
            elif sink.spool is not None:
                sink.spool.put(item)
        sink.finish()
    finally:
        reader.close()
    return warnings


class Shown:
    """ffprobe's answer."""

    def __init__(self, ffprobe: str, path: Path | str) -> None:
        self._ffprobe, self._path = ffprobe, str(path)
        self.whole = self._ask("-show_streams", "-show_chapters", "-show_format")
        self.streams: list[dict[str, Any]] = self.whole["streams"]

    def _ask(self, *arguments: str) -> dict[str, Any]:
        done = subprocess.run(
            [self._ffprobe, "-v", "error", "-of", "json", *arguments, self._path], capture_output=True, check=True
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [s for s in self.streams if s.get("codec_type") == kind]

    def packets(self, stream: dict[str, Any]) -> list[dict[str, Any]]:
        index = str(stream["index"])
        listed = self._ask("-select_streams", index, "-show_packets", "-show_data_hash", "md5")["packets"]
        return [p for p in listed if int(p["size"])]

    def times(self, stream: dict[str, Any]) -> list[Fraction]:
        """Presentation times of the packets, seconds, exact, in order."""
        base = Fraction(stream["time_base"])
        return sorted(int(p["pts"]) * base for p in self.packets(stream))

    def hashes(self, stream: dict[str, Any]) -> list[str]:
        return [p["data_hash"] for p in self.packets(stream)]


def median(values: list[Fraction]) -> Fraction:
    return sorted(values)[len(values) // 2]


def distance(before: Shown, after: Shown, kind: str = "audio", place: int = 0) -> Fraction:
    """By how many seconds a track has moved against the video: the median over all packets of both."""
    moved = []
    for one in (kind, "video"):
        # The input may have several videos; the largest is the one that is taken.
        old = before.of(kind)[place] if one == kind else max(before.of("video"), key=lambda s: s["width"])
        new = after.of(kind)[place] if one == kind else after.of("video")[0]
        a, b = before.times(old), after.times(new)
        assert len(a) == len(b), f"{one}: {len(a)} packets became {len(b)}"
        moved.append(median([y - x for x, y in zip(a, b, strict=True)]))
    return abs(moved[0] - moved[1])


def scheduling() -> set[tuple[int, int]]:
    """The policies and priorities that this process's threads have."""
    found = set()
    for thread in os.listdir("/proc/self/task"):
        # One may end meanwhile.
        with suppress(OSError):
            found.add((os.sched_getscheduler(int(thread)), os.sched_getparam(int(thread)).sched_priority))
    return found


def until(holds: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Wait for what other processes and threads do; how long that takes on this machine proves nothing."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def readable(path: Path, kind: str = "video") -> int:
    """How many packets of this kind a reader finds in a file that is still being written."""
    found = 0
    # Not there yet, without a stream yet, or with half a packet at its end.
    with suppress(av.FFmpegError, IndexError), av.open(str(path)) as container:
        for packet in container.demux():
            found += packet.size > 0 and packet.stream.type == kind
    return found


def unread(pipe: int) -> int:
    """Bytes in a pipe, of which this is one end, that its reader has not taken yet."""
    import fcntl
    import termios

    count = array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


def sink_for(path: Path | str, stream: StreamInfo | None = None, **options: object) -> ContainerSink:
    output = OutputOptions(path=str(path), **options)  # type: ignore[arg-type]
    return ContainerSink(output, MediaInfo(stream or info()), on_warning=lambda _: None)
