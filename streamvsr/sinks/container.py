"""Anything that FFmpeg's muxers write: files, pipes, network streams.

Order of things: everything that can be refused is refused in the constructor, which opens the encoders and writes the
header (to a temporary file, or to memory for pipes). One thread writes: two muxing threads crash FFmpeg now and then.
"""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import av
from av.container import OutputContainer

from streamvsr.config import OutputOptions
from streamvsr.errors import SinkError, StreamvsrError, UsageError
from streamvsr.frames import Frame, MediaInfo, Packet, StreamInfo
from streamvsr.media.av_errors import FOREIGN, sink_error
from streamvsr.media.encoder_options import (
    MOV_FAMILY,
    close_names,
    encoder_name,
    option_names,
    output_format,
    split_options,
)
from streamvsr.media.ffmpeg_log import listening
from streamvsr.media.passthrough import plan_tracks
from streamvsr.media.pixel_choice import choose_format, planar_twin
from streamvsr.media.stamps import Stamps
from streamvsr.media.tracks import AudioWriter, CopyWriter, SubtitleWriter, TrackWriter
from streamvsr.media.video_encoder import ASSUMED_RATE, VideoEncoder, plausible_rate
from streamvsr.sinks.base import Sink
from streamvsr.sinks.target import STDOUT, Target, is_url, local_path, refuse_existing

BUFFER_BYTES = 1 << 20
"""What FFmpeg collects before it writes; the bytes that a killed recording loses at most, beside the muxer's own."""

LIVE_INTERLEAVE_MICROSECONDS = 1_000_000
"""How long the muxer waits for a silent track before it writes the others, on pipes and live. FFmpeg's 10 s would show
as a stall; on files they cost nothing."""

LIVE_GOP_SECONDS = 2
"""Fragments begin at key frames: what a killed recording loses, and what a reader of a pipe waits for."""

CHAPTERED = MOV_FAMILY | {"matroska", "webm", "nut", "ogg"}
ROTATED = MOV_FAMILY | {"matroska", "webm"}
SEVERAL_FILES = frozenset({"hls", "dash", "segment", "stream_segment", "image2", "tee"})

STALE_TAGS = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder"})
"""Container tags that describe the file that was read, in lower case."""


def wanted_format(output: OutputOptions, info: StreamInfo) -> str:
    """The planar format nearest to what the encoder will be fed with, known before the sink is opened.

    The size in ``info`` may be that of the input, so odd sizes make no difference here.
    """
    container = output_format(output, stdout=output.path in STDOUT)
    codec = encoder_name(output.video_codec, container)
    return planar_twin(choose_format(codec, container, info.format, 0, 0, output.pixel_format))


class ContainerSink(Sink):
    """One output container with one encoded video and any number of copied or converted tracks."""

    def __init__(self, output: OutputOptions, media: MediaInfo, *, on_warning: Callable[[str], None]) -> None:
        """``media.video`` describes the frames that will come, after all filters."""
        self._path = local_path(output.path) if output.path.lower().startswith("file:") else output.path
        self._warn = on_warning
        info = media.video
        name = output_format(output, stdout=self._path in STDOUT)
        codec = encoder_name(output.video_codec, name)
        self.pixel_format = choose_format(codec, name, info.format, info.width, info.height, output.pixel_format)
        self._say_choice(info, codec, given=output.pixel_format is not None)
        free, stream_tags = _stream_tags(output.options)
        plans = plan_tracks(media.tracks, name, output, on_warning)
        converted = next((p.codec for p in plans if p.action == "convert" and p.track.kind == "audio"), None)
        split = split_options(free, codec, converted)
        self._frames = 0
        self._size = info.width, info.height
        self._live = info.live
        self._target: Target | None = None
        self._container: OutputContainer | None = None
        self._writers: dict[int, TrackWriter] = {}
        direct = is_url(self._path) or name in SEVERAL_FILES
        if direct and not is_url(self._path):
            refuse_existing(self._path, output.overwrite)
        try:
            with self._translated():
                self._target = None if direct else Target(self._path, output.overwrite, in_place=info.live)
                streamed = direct or (self._target is not None and self._target.streamed)
                muxer, own, fragmented = _muxer_options(name, split.muxer, info, streamed=streamed)
                if output.gop is None and (fragmented or info.live):
                    gop = round((plausible_rate(info.frame_rate) or ASSUMED_RATE) * LIVE_GOP_SECONDS)
                    output = replace(output, gop=gop)
                self._container = container = av.open(
                    self._path if self._target is None else self._target.file,
                    "w",
                    format=name,
                    options=muxer,
                    container_options=own,
                    buffer_size=BUFFER_BYTES,
                )
                self._video = VideoEncoder(container, codec, split.video, output, media, self.pixel_format)
                for plan in plans:
                    if plan.action == "copy":
                        writer: TrackWriter = CopyWriter(container, plan, fragmented=fragmented)
                    elif plan.action == "convert" and plan.track.kind == "audio":
                        writer = AudioWriter(container, plan, output, split.audio, on_warning)
                    elif plan.action == "convert":
                        writer = SubtitleWriter(container, plan, on_warning)
                    else:
                        continue
                    self._writers[plan.track.index] = writer
                self._describe(container, name, media, output)
                for kind, place, key, value in stream_tags:
                    for stream in [s for s in container.streams if s.type == kind][place]:
                        stream.metadata[key] = value
                unknown = _start(container, muxer)
                if unknown:
                    known = option_names(codec) | {*COMMON_MUXER_OPTIONS}
                    raise UsageError(
                        f"unknown option -{unknown}: neither {codec} nor {name} knows it{close_names(unknown, known)}"
                    )
                self._stamps = {s.index: Stamps(s, container.format.flags, on_warning) for s in container.streams}
        except BaseException:
            self.abort()
            raise

    def _say_choice(self, info: StreamInfo, codec: str, *, given: bool) -> None:
        if given:
            return
        if info.format.alpha and not planar_twin(self.pixel_format).startswith(("yuva", "gbra")):
            self._warn(f"{codec} cannot keep transparency: it is left out")
        if (info.width % 2 or info.height % 2) and "420" in info.format.name and "420" not in self.pixel_format:
            self._warn(
                f"{codec} holds {info.width}x{info.height} as {self.pixel_format} only, which few players play: "
                "use -vf scale or crop for an even size"
            )

    def _describe(self, container: OutputContainer, name: str, media: MediaInfo, output: OutputOptions) -> None:
        tags = {key: value for key, value in media.metadata.items() if key.lower() not in STALE_TAGS}
        for given in output.metadata:
            key, equals, value = given.partition("=")
            if not key or not equals:
                raise UsageError(f"-metadata {given}: give it as key=value")
            tags.pop(key, None)
            if value:
                tags[key] = value
        container.metadata.update(tags)
        if media.chapters and name in CHAPTERED:
            chapters: list[Any] = [
                {"id": n, "start": c.start, "end": c.end, "time_base": c.time_base, "metadata": dict(c.metadata)}
                for n, c in enumerate(media.chapters)
            ]
            container.set_chapters(chapters)
        elif media.chapters:
            self._warn(f"{name} cannot hold chapters: {len(media.chapters)} left out")
        if media.video.rotation and name not in ROTATED:
            self._warn(f"{name} cannot hold the rotation by {media.video.rotation} degrees: it is lost")

    def write_frame(self, frame: Frame) -> None:
        if (frame.width, frame.height) != self._size:
            # PyAV would scale it without a word.
            raise SinkError(
                f"a picture of {frame.width}x{frame.height} came into a video of {'x'.join(map(str, self._size))}"
            )
        with self._translated():
            self._release()
            self._frames += 1
            for packet in self._video.encode(frame):
                self._mux(packet)

    def write_packet(self, packet: Packet) -> None:
        writer = self._writers.get(packet.track)
        if writer is None:
            return
        with self._translated():
            self._release()
            for made in writer.write(packet):
                self._mux(made)

    def _release(self) -> None:
        if self._target is not None:
            self._target.file.release()

    def _mux(self, packet: av.Packet[Any]) -> None:
        assert self._container is not None
        self._container.mux(self._stamps[packet.stream_index].apply(packet))

    def finish(self) -> None:
        try:
            with self._translated():
                if not self._frames:
                    raise SinkError("no picture came, so there is nothing to write")
                for packet in self._video.flush():
                    self._mux(packet)
                for writer in self._writers.values():
                    for made in writer.finish():
                        self._mux(made)
                assert self._container is not None
                self._container.close()
                if self._target is not None:
                    self._target.commit()
        except BaseException:
            self.abort()
            raise
        self._container = None

    def abort(self) -> None:
        container, self._container = self._container, None
        target, self._target = self._target, None
        if target is not None and not self._live:
            # First, so that PyAV does not write a trailer to what is thrown away.
            target.discard()
        if container is not None:
            with suppress(Exception):
                container.close()
        if target is not None and self._live:
            target.discard()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except StreamvsrError:
            raise
        except FOREIGN as exc:
            # What our file object met says more than what FFmpeg made of it.
            cause = self._target.file.error if self._target is not None else None
            raise sink_error(cause or exc, self._path) from exc
        if self._target is not None and self._target.file.error is not None:
            # Swallowed by FFmpeg: the last fragment of an mp4 to a broken pipe.
            raise sink_error(self._target.file.error, self._path)


def _muxer_options(
    name: str, given: Mapping[str, str], info: StreamInfo, *, streamed: bool
) -> tuple[dict[str, str], dict[str, str], bool]:
    """The user's muxer options, ours, and whether an mp4 will be written in fragments."""
    own: dict[str, str] = {}
    movflags = given.get("movflags", "")
    if name in MOV_FAMILY and "movflags" not in given:
        if streamed:
            # empty_moov would stretch the first audio packet; hybrid_fragmented on a pipe cannot be read.
            movflags = own["movflags"] = "frag_keyframe+delay_moov"
        elif info.live:
            # An ordinary mp4 once it is closed, and playable up to the last fragment if it never is.
            movflags = own["movflags"] = "hybrid_fragmented+delay_moov"
    if name == "yuv4mpegpipe" and "strict" not in given:
        # More than 8 bits are an extension that everybody reads.
        own["strict"] = "-1"
    if streamed or info.live:
        # Else a reader at the other end sees nothing of a quiet video for the first megabyte.
        own |= {"max_interleave_delta": str(LIVE_INTERLEAVE_MICROSECONDS), "flush_packets": "1"}
        own = {key: value for key, value in own.items() if key not in given}
    fragmented = any(word in movflags for word in ("frag_", "fragment", "empty_moov", "dash", "cmaf"))
    return dict(given), own, name in MOV_FAMILY and fragmented


def _stream_tags(options: Mapping[str, str]) -> tuple[dict[str, str], list[tuple[str, slice, str, str]]]:
    """Free options without ``-metadata:s:a:1 language=deu`` and its like, and those as (kind, which, key, value)."""
    free, tags = dict(options), []
    kinds = {"v": "video", "a": "audio", "s": "subtitle", "t": "attachment"}
    for given, text in options.items():
        match = re.fullmatch(r"metadata:s:([vast])(?::(\d+))?", given.lstrip("-"))
        if match is None:
            continue
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UsageError(f"-{given} {text}: give it as key=value")
        place = slice(None) if match[2] is None else slice(int(match[2]), int(match[2]) + 1)
        tags.append((kinds[match[1]], place, key, value))
        del free[given]
    return free, tags


class _Unused(logging.Handler):
    """PyAV tells only its log which muxer options nobody took."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.names: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        _, found, shown = record.getMessage().partition("Some options were not used: ")
        if found:
            self.names += list(ast.literal_eval(shown))


def _start(container: OutputContainer, options: Mapping[str, str]) -> str:
    """Write the header; returns the name of an option that the muxer does not know, or nothing."""
    log, listener = logging.getLogger("av"), _Unused()
    propagate, log.propagate = log.propagate, False
    log.addHandler(listener)
    try:
        with listening() as said:
            container.start_encoding()
    except ValueError as exc:
        if options and said:
            raise UsageError(f"{container.format.name} refuses its options: {said[-1]}") from exc
        raise
    finally:
        log.removeHandler(listener)
        log.propagate = propagate
    return next((name for name in listener.names if name in options and name != "strict"), "")


COMMON_MUXER_OPTIONS = (
    *("movflags", "fflags", "max_interleave_delta", "muxrate", "frag_duration", "video_track_timescale", "brand"),
    *("timecode", "avoid_negative_ts", "write_tmcd", "hls_time", "hls_list_size", "rtsp_transport"),
    *("crf", "preset", "tune", "profile", "metadata", "map"),
)
"""For "did you mean": FFmpeg does not list its muxers' options through PyAV."""
