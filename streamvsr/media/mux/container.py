"""Anything that FFmpeg's muxers write: files, pipes, segments, network streams.

Order of things: everything that can be refused is refused in the constructor, which opens the encoders and writes the
header (to a temporary file, to memory for pipes, to the server). One thread writes: two muxing threads crash FFmpeg now
and then.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import av
from av.container import OutputContainer

from streamvsr.config import OutputOptions
from streamvsr.errors import SinkError, StreamvsrError, UsageError, did_you_mean
from streamvsr.frames import Frame, MediaInfo, Packet, StreamInfo
from streamvsr.media.av_errors import FOREIGN, sink_error
from streamvsr.media.av_packets import av_packet
from streamvsr.media.encode.open_encoder import PacketEncoder, open_encoder
from streamvsr.media.encode.options import (
    MOV_FAMILY,
    encoder_name,
    option_names,
    output_format,
    split_options,
)
from streamvsr.media.encode.pixel_formats import choose_format, planar_twin
from streamvsr.media.encode.video_encoder import VideoEncoder
from streamvsr.media.mux.atomic_file import STDOUT, is_url, local_path
from streamvsr.media.mux.base import Sink
from streamvsr.media.mux.options import (
    COMMON_MUXER_OPTIONS,
    SEGMENT_OPTIONS,
    SEVERAL_FILES,
    inner_format,
    muxer_options,
    segment_seconds,
    stream_tags,
)
from streamvsr.media.mux.relay import Relay
from streamvsr.media.mux.track_plan import plan_tracks
from streamvsr.media.mux.tracks import AudioDecoder, AudioWriter, CopyWriter, SubtitleWriter, TrackWriter
from streamvsr.media.mux.transports import FileTransport, SegmentTransport, Transport, UrlTransport
from streamvsr.secrets import mask_url

CHAPTERED = MOV_FAMILY | {"matroska", "webm", "nut", "ogg"}
ROTATED = MOV_FAMILY | {"matroska", "webm"}

STALE_TAGS = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder"})
"""Container tags that describe the file that was read, in lower case."""


def wanted_format(output: OutputOptions, info: StreamInfo) -> str:
    """The planar format nearest to what the encoder will be fed with, known before the sink is opened.

    The size in ``info`` may be that of the input, so odd sizes make no difference here.
    """
    container = output_format(output, stdout=output.path in STDOUT)
    codec = encoder_name(output.video_codec, container)
    return planar_twin(choose_format(codec, container, info.format, 0, 0, output.pixel_format))


def holds_rotation(output: OutputOptions) -> bool:
    return output_format(output, stdout=output.path in STDOUT) in ROTATED


class ContainerSink(Sink):
    """One output container with one encoded video and any number of copied or converted tracks."""

    def __init__(
        self,
        output: OutputOptions,
        media: MediaInfo,
        *,
        on_warning: Callable[[str], None],
        encoder: PacketEncoder | None = None,
        decoders: dict[int, AudioDecoder] | None = None,
    ) -> None:
        """``media.video`` describes the frames that will come, after all filters.

        ``encoder``: an encoder that several outputs share, already open: this one is fed with ``write_video`` instead
        of ``write_frame``, and never makes the others wait for a connection. ``decoders``: those of the audio tracks,
        by index, which they share too.
        """
        decoders = {} if decoders is None else decoders
        self._path = local_path(output.path) if output.path.lower().startswith("file:") else output.path
        self._warn = on_warning
        info = media.video
        name = output_format(output, stdout=self._path in STDOUT)
        codec = encoder.codec if encoder is not None else encoder_name(output.video_codec, name)
        free, tags = stream_tags(output.options)
        if encoder is not None:
            self.pixel_format = encoder.pixel_format
        else:
            self.pixel_format = choose_format(codec, name, info.format, info.width, info.height, output.pixel_format)
        inside = inner_format(name, self._path, free)
        plans = plan_tracks(media.tracks, inside, output, on_warning)
        converted = next((p.codec for p in plans if p.action == "convert" and p.track.kind == "audio"), None)
        split = split_options(free, codec, converted)
        self._frames = 0
        self._size = info.width, info.height
        self._writers: dict[int, list[TrackWriter]] = {}
        """By track: -map may name one twice."""
        self._waiting: deque[Packet] = deque()
        """Packets whose time the encoder has not reached: as much of them as it holds frames."""
        self._video: VideoEncoder | None = None
        self._over = False
        self.transport = transport = self._open_transport(name, output, info, may_drop=encoder is not None)
        try:
            with self._translated():
                own, fragmented = muxer_options(name, split.muxer, info, streamed=transport.streamed)
                relayed = isinstance(transport, Relay)
                container = transport.open(name, split.muxer, own)
                if inside != name and inside in MOV_FAMILY and codec.startswith(("libx265", "hevc_")):
                    split.video.setdefault("tag", "hvc1")
                if encoder is None:
                    self._video = open_encoder(
                        container, codec, split.video, output, media, self.pixel_format,
                        live=relayed or (info.live and name in SEVERAL_FILES), short_gop=fragmented or info.live,
                        segment=segment_seconds(name, split.muxer),
                    )  # fmt: skip
                    self._stream: Any = self._video.stream
                else:
                    self._stream = _copied(container, encoder, inside)
                # What is not sought in, and fragments, must have a stream's parameters in the header.
                in_front = fragmented or (inside != name and inside in MOV_FAMILY)
                in_front = in_front or (transport.streamed and inside != "mpegts")
                for plan in plans:
                    if relayed and plan.track.kind == "attachment":
                        on_warning(f"attachments are not sent to '{mask_url(self._path)}'")
                        continue
                    if plan.action == "copy":
                        writer: TrackWriter = CopyWriter(container, plan, fragmented=in_front)
                    elif plan.action == "convert" and plan.track.kind == "audio":
                        context = plan.track.template.codec_context
                        decoder = decoders.setdefault(plan.track.index, AudioDecoder(context))
                        writer = AudioWriter(container, plan, output, split.audio, on_warning, decoder)
                    elif plan.action == "convert":
                        writer = SubtitleWriter(container, plan, on_warning)
                    else:
                        continue
                    self._writers.setdefault(plan.track.index, []).append(writer)
                self._describe(container, name, media, output, chapters=not relayed)
                for kind, which, key, value in tags:
                    for stream in [s for s in container.streams if s.type == kind][which]:
                        stream.metadata[key] = value
                unknown = transport.start(split.muxer)
                if unknown:
                    known = option_names(codec) | {*COMMON_MUXER_OPTIONS}
                    raise UsageError(
                        f"unknown option -{unknown}: neither {codec} nor {name} knows it{did_you_mean(unknown, known)}"
                    )
        except BaseException:
            self.abort()
            raise

    def _open_transport(self, name: str, output: OutputOptions, info: StreamInfo, *, may_drop: bool) -> Transport:
        if is_url(self._path):
            if os.name != "posix":
                # A process is talked to through pipes, which only POSIX can wait for.
                return UrlTransport(self._path, self._warn)
            return Relay(self._path, timeout=output.timeout, may_drop=may_drop, on_warning=self._warn)
        if name in SEVERAL_FILES:
            numbered = name in SEGMENT_OPTIONS and name not in ("hls", "dash")
            if numbered and "%" not in self._path:
                raise UsageError(f"-f {name} writes several files: give '{self._path}' a number, such as part_%03d.mkv")
            return SegmentTransport(self._path, output.overwrite, on_warning=self._warn)
        return FileTransport(self._path, output.overwrite, live=info.live, on_warning=self._warn)

    def _describe(
        self, container: OutputContainer, name: str, media: MediaInfo, output: OutputOptions, *, chapters: bool
    ) -> None:
        tags = {key: value for key, value in media.metadata.items() if key.lower() not in STALE_TAGS}
        for given in output.metadata:
            key, equals, value = given.partition("=")
            if not key or not equals:
                raise UsageError(f"-metadata {given}: give it as key=value")
            tags.pop(key, None)
            if value:
                tags[key] = value
        container.metadata.update(tags)
        if media.chapters and name in CHAPTERED and chapters:
            made: list[Any] = [
                {"id": n, "start": c.start, "end": c.end, "time_base": c.time_base, "metadata": dict(c.metadata)}
                for n, c in enumerate(media.chapters)
            ]
            container.set_chapters(made)

    def write_frame(self, frame: Frame) -> None:
        if (frame.width, frame.height) != self._size:
            # PyAV would scale it without a word.
            raise SinkError(
                f"a picture of {frame.width}x{frame.height} came into a video of {'x'.join(map(str, self._size))}"
            )
        assert self._video is not None, "frames go to the encoder that is shared"
        with self._translated():
            self.transport.release()
            self._frames += 1
            for packet in self._video.encode(frame):
                self._mux_video(packet)

    def write_video(self, packet: Packet) -> None:
        """One packet of the encoder that this output shares with others."""
        made = av_packet(packet)
        made.stream = self._stream
        with self._translated():
            self.transport.release()
            self._frames += 1
            self._mux_video(made)

    def write_packet(self, packet: Packet) -> None:
        if packet.track in self._writers:
            self._waiting.append(packet)

    def _mux_video(self, packet: av.Packet[Any]) -> None:
        """After all that has to be decoded before it. Encoders hold frames back for longer than a muxer waits for them
        on pipes, and readers of a NUT lose what comes out of order."""
        stamp = packet.dts if packet.dts is not None else packet.pts
        self._mux_waiting(
            None if stamp is None else Fraction(stamp * packet.time_base.numerator, packet.time_base.denominator)
        )
        self.transport.mux(packet)

    def _mux_waiting(self, until: Fraction | None) -> None:
        while self._waiting:
            seconds = self._waiting[0].seconds
            if until is not None and seconds is not None and seconds > until:
                return
            packet = self._waiting.popleft()
            for writer in self._writers[packet.track]:
                for made in writer.write(packet):
                    self.transport.mux(made)

    def request_stop(self) -> None:
        self.transport.request_stop()

    def break_off(self) -> None:
        self.transport.break_off()

    @property
    def kept(self) -> str:
        return self.transport.kept

    def finish(self) -> None:
        try:
            with self._translated():
                if not self._frames:
                    raise SinkError("no picture came, so there is nothing to write")
                if self._video is not None:
                    for packet in self._video.flush():
                        self._mux_video(packet)
                self._mux_waiting(None)
                for writer in self._all_writers():
                    for made in writer.finish():
                        self.transport.mux(made)
                self.transport.finish()
        except BaseException:
            self.abort()
            raise
        self._over = True

    def abort(self) -> None:
        if not self._over:
            self.transport.abort()
        self._over = True
        for writer in self._all_writers():
            writer.close()

    def _all_writers(self) -> Iterator[TrackWriter]:
        return (writer for writers in self._writers.values() for writer in writers)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except StreamvsrError:
            raise
        except FOREIGN as exc:
            # What our file object met says more than what FFmpeg made of it.
            raise self._explained(self.transport.error or exc) from exc
        if self.transport.error is not None:
            # Swallowed by FFmpeg: the last fragment of an mp4 to a broken pipe.
            raise self._explained(self.transport.error)

    def _explained(self, exc: BaseException) -> StreamvsrError:
        return exc if isinstance(exc, StreamvsrError) else sink_error(exc, self._path)


def _copied(container: OutputContainer, encoder: PacketEncoder, inside: str) -> Any:
    """A stream for the packets of an encoder whose own stream is in another container."""
    stream: Any = container.add_stream_from_template(encoder.stream, opaque=True)
    # Without it the muxer would choose its ticks by those of the encoder's own container.
    stream.time_base = encoder.time_base
    stream.metadata.update(encoder.stream.metadata)
    stream.disposition = encoder.stream.disposition
    if stream.codec_context.codec.canonical_name == "hevc" and inside in MOV_FAMILY:
        stream.codec_context.codec_tag = "hvc1"
    return stream
