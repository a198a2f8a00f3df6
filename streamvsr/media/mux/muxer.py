"""One output container: encoded packets of a video and of its tracks in, bytes out.

Everything that can be refused is refused in the constructor and in ``start``, which writes the header (to a temporary
file, to memory for pipes, to the server). One thread writes: two muxing threads crash FFmpeg now and then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import av
from av.container import OutputContainer

from streamvsr.config import OutputOptions
from streamvsr.errors import StreamvsrError, UsageError, did_you_mean
from streamvsr.frames import MediaInfo, Packet, StreamInfo
from streamvsr.media.av_errors import FOREIGN, sink_error
from streamvsr.media.av_packets import av_packet
from streamvsr.media.encode.open_encoder import PacketEncoder, wants_parameters_in_front
from streamvsr.media.encode.options import MOV_FAMILY, option_names, output_format, split_options
from streamvsr.media.mux.atomic_file import STDOUT, is_url, local_path
from streamvsr.media.mux.options import (
    COMMON_MUXER_OPTIONS,
    SEGMENT_OPTIONS,
    SEVERAL_FILES,
    inner_format,
    muxer_options,
    segment_seconds,
    stream_tags,
)
from streamvsr.media.mux.pauses import Limits, Pauses, limits, units
from streamvsr.media.mux.relay import Relay
from streamvsr.media.mux.track_plan import plan_tracks
from streamvsr.media.mux.tracks import AudioDecoder, AudioWriter, CopyWriter, SubtitleWriter, TrackWriter
from streamvsr.media.mux.transports import FileTransport, SegmentTransport, Transport, UrlTransport
from streamvsr.secrets import mask_url

CHAPTERED = MOV_FAMILY | {"matroska", "webm", "nut", "ogg"}
ROTATED = MOV_FAMILY | {"matroska", "webm"}

STALE_TAGS = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder"})
"""Container tags that describe the file that was read, in lower case."""


IN_KEY_FRAMES = frozenset({"h264", "hevc", "mpeg4"})
"""Codecs whose parameters can stand before a key frame as they are."""


class Muxer:
    """Packets are written in the order in which they are given: an ``Interleaver`` decides it.

    Used by one thread, except ``request_stop``. Exactly one of ``finish`` and ``abort`` is called at the end; ``abort``
    may follow either.
    """

    def __init__(
        self, output: OutputOptions, media: MediaInfo, streams: Mapping[int, Any], codec: str, *,
        on_warning: Callable[[str], None], may_drop: bool = False,
    ) -> None:  # fmt: skip
        """Opens the place that ``output`` names and decides what becomes of the tracks; nothing is written before
        ``start``.

        ``media.video`` describes the frames that were encoded, ``codec`` is the encoder's name. ``streams``: see
        ``Source``; tracks without one are left out. ``may_drop``: a slow
        connection loses packets instead of making others wait. Raises ``UsageError`` and ``SinkError``.
        """
        self._path = local_path(output.path) if output.path.lower().startswith("file:") else output.path
        self._warn = on_warning
        self._output, self._media, self._codec = output, media, codec
        self._name = name = output_format(output, stdout=self._path in STDOUT)
        free, self._tags = stream_tags(output.options)
        self.inside = inner_format(name, self._path, free)
        """The format of each file, where ``name`` writes several."""
        self._plans = plan_tracks(media.tracks, streams, self.inside, output, on_warning)
        converted = next((p.codec for p in self._plans if p.action == "convert" and p.track.kind == "audio"), None)
        self._split = split_options(free, codec, converted)
        self.segment_seconds = segment_seconds(name, self._split.muxer)
        """After each of these a key frame has to come; None where nothing is cut."""
        self._writers: dict[int, list[TrackWriter]] = {}
        """By track: -map may name one twice."""
        self._stream: Any = None
        self._headers: av.BitStreamFilterContext | None = None
        """Puts the video's parameters into each key frame."""
        self._over = False
        self._pauses = Pauses(self.inside, Limits(), on_warning)
        self.transport = self._open_transport(name, output, media.video, may_drop=may_drop)
        try:
            self._own, self.fragmented = muxer_options(
                name, self._split.muxer, media.video, streamed=self.transport.streamed
            )
        except BaseException:
            self.abort()
            raise

    @property
    def _relayed(self) -> bool:
        return isinstance(self.transport, Relay)

    @property
    def watched(self) -> bool:
        """Whether somebody watches while it is written, so that no frame should be held back."""
        return self._relayed or (self._media.video.live and self._name in SEVERAL_FILES)

    @property
    def in_front(self) -> bool:
        """Whether the video's parameters go into the header, and not into each key frame."""
        return self._relayed or wants_parameters_in_front(self._name)

    def start(self, encoder: PacketEncoder, decoders: dict[int, AudioDecoder] | None = None) -> None:
        """Write the header, for the packets of ``encoder``. ``decoders``: those of the converted audio tracks, by
        index, which several muxers share."""
        try:
            with self._translated():
                self._start(encoder, {} if decoders is None else decoders)
        except BaseException:
            self.abort()
            raise

    def _start(self, encoder: PacketEncoder, decoders: dict[int, AudioDecoder]) -> None:
        name, inside, split, output = self._name, self.inside, self._split, self._output
        container = self.transport.open(name, split.muxer, self._own)
        self._stream = self._add_video(container, encoder)
        # What is not sought in, and fragments, must have a stream's parameters in the header.
        in_front = self.fragmented or (inside != name and inside in MOV_FAMILY)
        in_front = in_front or (self.transport.streamed and inside != "mpegts")
        for plan in self._plans:
            if self._relayed and plan.track.kind == "attachment":
                self._warn(f"attachments are not sent to '{mask_url(self._path)}'")
                continue
            if plan.action == "copy":
                writer: TrackWriter = CopyWriter(container, plan, fragmented=in_front, on_warning=self._warn)
            elif plan.action == "convert" and plan.track.kind == "audio":
                context = plan.stream.codec_context
                decoder = decoders.setdefault(plan.track.index, AudioDecoder(context))
                writer = AudioWriter(container, plan, output, split.audio, self._warn, decoder)
            elif plan.action == "convert":
                writer = SubtitleWriter(container, plan, self._warn)
            else:
                continue
            self._writers.setdefault(plan.track.index, []).append(writer)
        self._describe(container, chapters=not self._relayed)
        for kind, which, key, value in self._tags:
            for stream in [s for s in container.streams if s.type == kind][which]:
                stream.metadata[key] = value
        unknown = self.transport.start(split.muxer)
        if unknown:
            known = option_names(self._codec) | {*COMMON_MUXER_OPTIONS}
            raise UsageError(
                f"unknown option -{unknown}: neither {self._codec} nor {name} knows it{did_you_mean(unknown, known)}"
            )
        unit = units([self._stream])[0]
        self._pauses = Pauses(inside, limits(inside, units(container.streams), unit), self._warn)

    def _add_video(self, container: OutputContainer, encoder: PacketEncoder) -> Any:
        """A stream for the packets of an encoder whose own stream is in another container."""
        try:
            stream: Any = container.add_stream_from_template(encoder.stream, opaque=True)
        except ValueError as exc:
            raise UsageError(f"{self._name} cannot hold {self._codec}; choose another with -c:v or -f") from exc
        # Without it the muxer would choose its ticks by those of the encoder's own container.
        stream.time_base = encoder.time_base
        stream.metadata.update(encoder.stream.metadata)
        stream.disposition = encoder.stream.disposition
        tag = self._split.video.get("tag") or encoder.codec_tag
        if tag is None and stream.codec_context.codec.canonical_name == "hevc" and self.inside in MOV_FAMILY:
            # hev1, FFmpeg's choice, plays nowhere at Apple's.
            tag = "hvc1"
        if tag is not None:
            stream.codec_context.codec_tag = tag
        if encoder.in_front and not self.in_front and stream.codec_context.codec.canonical_name in IN_KEY_FRAMES:
            # The encoder serves others as well, whose headers have them.
            self._headers = av.BitStreamFilterContext("dump_extra", encoder.stream)
        return stream

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

    def _describe(self, container: OutputContainer, *, chapters: bool) -> None:
        name, media = self._name, self._media
        tags = {key: value for key, value in media.metadata.items() if key.lower() not in STALE_TAGS}
        for given in self._output.metadata:
            key, equals, value = given.partition("=")
            if not key or not equals:
                raise UsageError(f"-metadata {given}: give it as key=value")
            tags.pop(key, None)
            if value:
                tags[key] = value
        container.metadata.update(tags)
        if media.chapters and name in CHAPTERED and chapters:
            entries: list[Any] = [
                {"id": n, "start": c.start, "end": c.end, "time_base": c.time_base, "metadata": dict(c.metadata)}
                for n, c in enumerate(media.chapters)
            ]
            container.set_chapters(entries)

    def write_video(self, packet: Packet) -> None:
        """One packet of the encoder."""
        with self._translated():
            self.transport.release()
            written = av_packet(self._pauses.apply(packet))
            for whole in [written] if self._headers is None else self._headers.filter(written):
                whole.stream = self._stream
                self.transport.mux(whole)

    def write_packet(self, packet: Packet) -> None:
        """One packet of the input's tracks; those that have no place here are discarded."""
        if packet.track not in self._writers:
            return
        packet = self._pauses.apply(packet)
        with self._translated():
            for writer in self._writers[packet.track]:
                for one in writer.write(packet):
                    self.transport.mux(one)

    def request_stop(self) -> None:
        self.transport.request_stop()

    def break_off(self) -> None:
        self.transport.break_off()

    @property
    def kept(self) -> str:
        return self.transport.kept

    def finish(self) -> None:
        """Flush the converted tracks, write the trailer, and put the output under its final name."""
        try:
            with self._translated():
                self._pauses.finish()
                for writer in self._all_writers():
                    for one in writer.finish():
                        self.transport.mux(one)
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
