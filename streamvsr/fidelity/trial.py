"""What an output keeps, found by writing a few small frames and reading them back.

Whether AVI states a range, MP4 the transparency of VP9, or Matroska the shape of AV1's pixels depends on codec,
container, options and FFmpeg's version alike; a table of it would be long and soon wrong.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from streamvsr.config import InputOptions, OutputOptions
from streamvsr.errors import StreamvsrError
from streamvsr.frames import Frame, MediaInfo, Plane, StreamInfo
from streamvsr.media.av_errors import FOREIGN
from streamvsr.media.av_frames import HD_HEIGHT, HD_WIDTH, target_format
from streamvsr.media.demux import open_source
from streamvsr.media.encode.options import encoder_name, output_format, split_options
from streamvsr.media.encode.pixel_formats import choose_format
from streamvsr.media.mux import kind_of, open_sink, outputs
from streamvsr.media.mux.atomic_file import STDOUT
from streamvsr.media.mux.image_sequence import place
from streamvsr.media.mux.options import inner_format, stream_tags
from streamvsr.media.mux.track_plan import ALIKE

FRAMES = 8
"""Enough for files of every container to be read: FFmpeg does not see what a shorter transport stream is."""

SMALL_PX = 96
"""Least side of a frame that is tried: smaller ones are refused by some encoders."""

WHOLE_SIZE = frozenset({"mpeg1video", "mpeg2video", "dnxhd", "dvvideo", "h261", "h263"})
"""Encoders that know some sizes only, or state the shape of a pixel through the size."""

TWO_PASS = frozenset({"pass", "passlogfile", "stats", "flags"})
"""Options of the encoder that a trial leaves out, as they would read or write the files of a first pass."""


_FAILURES: tuple[type[BaseException], ...] = (StreamvsrError, OSError, *FOREIGN)


@dataclass(frozen=True)
class Written:
    """What a reader finds in an output."""

    media: MediaInfo
    codec: str
    """The encoder; for image sequences, the suffix."""
    output: OutputOptions
    container: str
    """FFmpeg's name of the format; empty for image sequences."""
    tried: bool = True
    """False where nothing could be read back, and only the samples' format is known."""

    @property
    def name(self) -> str:
        return f"{self.codec} in {self.container}" if self.container else self.codec


def read_back(output: OutputOptions, media: MediaInfo) -> Iterator[Written]:
    """What each of the outputs keeps. ``media.video``: the frames that it will get."""
    for one in outputs(output):
        kind = kind_of(one)
        if kind == "pictures":
            yield _pictures(one, media)
        elif kind == "container":
            yield _container(one, media)


def _pictures(output: OutputOptions, media: MediaInfo) -> Written:
    suffix = Path(place(output.path)[1]).suffix.lower()
    plain = replace(output, format=None, options={}, metadata=(), video_codec=None, crf=None, bit_rate=None)
    made = _tried(replace(plain, path=f"%d{suffix}"), media, f"0{suffix}")
    return Written(made or media, suffix, output, "", made is not None)


def _container(output: OutputOptions, media: MediaInfo) -> Written:
    name = output_format(output, stdout=output.path in STDOUT)
    codec = encoder_name(output.video_codec, name)
    free = stream_tags(output.options)[0]
    inside = inner_format(name, output.path, free)
    video = split_options(free, codec, None).video
    options = {key: _one_pass(value) for key, value in video.items() if key not in TWO_PASS}
    info = media.video
    pixel_format = choose_format(codec, name, info.format, info.width, info.height, output.pixel_format)
    made = None
    if inside not in ("rawvideo", "null"):
        trial = f"trial.{inside.replace('matroska', 'mkv')}"
        alike = replace(output, path=trial, format=ALIKE.get(inside, inside), options=options, video_codec=codec)
        made = _tried(alike, media, trial, whole=codec in WHOLE_SIZE)
    return Written(made or _as_format(media, pixel_format), codec, output, inside, made is not None)


def _one_pass(value: str) -> str:
    """``-x264-params`` and the like without what reads or writes files."""
    return ":".join(part for part in value.split(":") if part.partition("=")[0] not in TWO_PASS)


def _as_format(media: MediaInfo, pixel_format: str) -> MediaInfo:
    return media.with_video(replace(media.video, format=target_format(pixel_format), mastering=None))


def _tried(output: OutputOptions, media: MediaInfo, reads: str, *, whole: bool = False) -> MediaInfo | None:
    """Write frames of ``media`` and describe the file; None where that is not possible, for whatever reason."""
    for info in [_small(media.video), media.video][whole:]:
        try:
            with _folder() as folder:
                there = replace(output, path=os.path.join(folder, output.path), overwrite=True)
                sink = open_sink(there, replace(media, video=info, tracks=()), on_warning=lambda _line: None)
                try:
                    for frame in _frames(info):
                        sink.write_frame(frame)
                    sink.finish()
                finally:
                    sink.abort()
                reading = OutputOptions(autorotate=False, deinterlace="off")
                source = open_source(InputOptions(path=os.path.join(folder, reads)), reading)
                source.close()
                return source.info
        except _FAILURES:
            continue
    return None


@contextmanager
def _folder() -> Iterator[str]:
    """A new folder for this process alone. (``tempfile`` would take longer to import than a trial takes.)"""
    there = os.environ.get("TMPDIR") or os.environ.get("TEMP") or "/tmp"  # noqa: S108 - exclusive, and no other user may look into it
    path = os.path.join(there, f"streamvsr-{os.getpid()}-{os.urandom(8).hex()}")
    os.mkdir(path, 0o700)
    try:
        yield path
    finally:
        for name in os.listdir(path):
            os.unlink(os.path.join(path, name))
        os.rmdir(path)


def _small(info: StreamInfo) -> StreamInfo:
    """A small size that readers take for the same kind (SD or HD), which decides about colours that are not stated."""
    hd = info.width >= HD_WIDTH or info.height >= HD_HEIGHT
    width, height = (HD_WIDTH, SMALL_PX) if hd else (2 * SMALL_PX, SMALL_PX)
    if width * height >= info.width * info.height:
        return replace(info, live=False)
    # Odd sizes get other pixel formats.
    return replace(info, width=width + info.width % 2, height=height + info.height % 2, live=False)


def _frames(info: StreamInfo) -> Iterator[Frame]:
    step = max(1, round(1 / (info.frame_rate or 25) / info.time_base))
    for number in range(FRAMES):
        planes: list[Plane] = []
        for shape in info.format.plane_shapes(info.width, info.height):
            # A ramp: of plain or opaque frames encoders may leave out colour, alpha, or the frame.
            ramp = np.linspace(info.format.peak // 4, info.format.peak // 2, shape[1]) + number
            planes.append(np.broadcast_to(ramp.astype(info.format.dtype), shape).copy())
        yield Frame(tuple(planes), info.format, number * step, info.time_base, step, info.color)
