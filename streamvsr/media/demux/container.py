"""Anything that FFmpeg's demuxers read: files, standard input, network streams.

::

    Demuxer ──► packets ──► VideoDecoder ──► Normaliser ──► frames
                   └──────────────── packets to copy ─────────────►

The constructor opens the input, chooses streams, seeks, and decodes the first frame, because half of what a sink has to
know (rotation, colours, the true size) is told by a frame only. That frame and the packets before it are kept and come
first in the iteration.

Seeking (``-ss``) goes to a key frame at or before the start, so frames before it come out with negative time stamps;
``Trimmed`` drops them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import takewhile
from typing import Any

import av

from streamvsr.config import InputOptions, OutputOptions
from streamvsr.errors import SourceError, StreamLostError, StreamvsrError
from streamvsr.frames import Frame, Packet
from streamvsr.media.av_errors import FOREIGN, source_error
from streamvsr.media.av_frames import color_of
from streamvsr.media.av_packets import plain_packet
from streamvsr.media.decode.clock import Clock, ConstantClock, Shift
from streamvsr.media.decode.conform import orientation_of
from streamvsr.media.decode.decoder import UndecodableError, VideoDecoder
from streamvsr.media.decode.hardware import accelerator
from streamvsr.media.decode.normalise import Normaliser
from streamvsr.media.demux.base import Source
from streamvsr.media.demux.clip import ClipHead, write_clip
from streamvsr.media.demux.concat_list import without_video
from streamvsr.media.demux.demuxer import (
    LIVE_SCHEMES,
    OPEN_TIMEOUT_SECONDS,
    READ_TIMEOUT_SECONDS,
    Demuxer,
    video_stamps,
)
from streamvsr.media.demux.describe import TICK, cut_off, describe, exact, frame_rate, start_of
from streamvsr.media.demux.frame_index import CannotSeekError, FrameIndex
from streamvsr.media.demux.frame_steps import FrameSteps
from streamvsr.media.demux.options import check_input_options, plain_options
from streamvsr.media.demux.passed_over import passed_over
from streamvsr.media.demux.programs import programs_of
from streamvsr.media.demux.selection import Selection, select
from streamvsr.media.ffmpeg_log import stream_lines
from streamvsr.pipeline.ring import PacketSpool
from streamvsr.secrets import mask_url

MAX_BYTES_BEFORE_FRAME = 1 << 30
"""Bounds what the constructor reads of an input that never gives a frame. What it keeps of that, packets to copy, goes
to a temporary file past ``MEMORY_BYTES``: some programs write all sound first."""

SEEK_BACK_SECONDS = (Fraction(1, 2), 3, 15, 60)
"""How much before the start to aim: a little, because sound may be stored ahead of its frames; then more, while a
seek lands behind the start (MPEG streams have no index)."""

SKIM_UNTIL_SECONDS = Fraction(1, 2)
"""So long before the start every frame is decoded: some decoders learn of reordering only when they come to it."""

_FAILURES: tuple[type[BaseException], ...] = (UndecodableError, *FOREIGN)
"""What becomes a ``SourceError`` with the name of the input."""

_UNSEEKABLE: tuple[type[BaseException], ...] = (SourceError, *_FAILURES)
"""A seek failed, or nothing could be decoded where it landed."""


class ContainerSource(Source):
    """A media file, standard input or a network stream."""

    def __init__(
        self,
        input: InputOptions,
        output: OutputOptions,
        *,
        live: bool = False,
        open_timeout: float = OPEN_TIMEOUT_SECONDS,
        read_timeout: float = READ_TIMEOUT_SECONDS,
    ) -> None:
        """``live``: not sought in, and decoded without the frames of delay that decoding by several threads costs.

        The timeouts are FFmpeg's, in seconds, for network inputs: it may take up to twice as long.
        """
        super().__init__()
        self._given, self._path = input, input.path
        self._live = live or input.path.lower().startswith(LIVE_SCHEMES)
        self.length: Fraction | None = None
        """Seconds that the container claims to last, where it claims anything."""
        self._start = input.start or Fraction(0)
        self._end: Fraction | None = None
        """Where the frames that were given end, in seconds of the run."""
        self._steps = FrameSteps()
        self._skip_video = False
        self._shift: Shift | None = None
        """Of the video's stamps; None where they are counted."""
        self._reached: int | None = None
        """Where the video packets that were read end, in ticks of the stream."""
        self._pending = PacketSpool()
        """The packets to copy that the constructor has read, with the stamps of the input; the iteration begins with
        them, and goes on with ``_first``."""
        self._first: av.VideoFrame | None = None
        self._events: Generator[av.VideoFrame | av.Packet[Any]] | None = None
        self._demuxer: Demuxer | None = None
        self._device = accelerator(input.hwaccel, self.on_warning)
        try:
            self._demuxer = Demuxer(input, hwaccel=self._device, open_timeout=open_timeout, read_timeout=read_timeout)
            self._begin(input, output)
        except _FAILURES as exc:
            self.close()
            raise source_error(exc, self._path) from exc
        except BaseException:
            self.close()
            raise

    def _begin(self, given: InputOptions, output: OutputOptions, *, seek: bool = True) -> None:
        demuxer, name = self._demuxer, mask_url(self._path)
        assert demuxer is not None
        container = demuxer.container
        selection = select(list(container.streams), output, name, programs_of(container))
        for note in selection.notes:
            self._warn(f": {note}")
        self._tell_left_out(selection)
        video = self._video = selection.video
        self._streams = [video, *(s for s in selection.tracks if s.type != "attachment")]
        options = plain_options(given.options)
        check_input_options(options, video.codec_context, name)
        self._decoder = VideoDecoder(
            video,
            options,
            low_delay=self._live,
            on_damage=lambda: self._warn(": the video is damaged; what can be decoded is used"),
        )
        if self._device is not None and not video.codec_context.is_hwaccel:
            self._warn(f": the -hwaccel device does not decode {video.codec_context.name}; software does")
        stampless = bool(container.format.flags & av.format.Flags.no_timestamps.value)
        seekable = seek and demuxer.rewinds and not (self._live or stampless or given.rate)
        begin, time_base, start = start_of(container), exact(video.time_base), given.start or Fraction(0)
        assert time_base is not None
        if start and seekable:
            found = self._seek((begin or Fraction(0)) + start, begin or Fraction(0), time_base)
            if found is None:
                self._close_events()
                demuxer.reopen()
                self._begin(given, output, seek=False)
                return
            first = found
        else:
            first = self._read_on()
        stamp = first.pts if first.pts is not None else first.dts
        if stamp is not None and not (start and seekable):
            begin = stamp * time_base if begin is None else min(begin, stamp * time_base)
        begin = begin or Fraction(0)
        rate = frame_rate(video)
        clock: Clock | ConstantClock
        if given.rate is not None or (stampless and stamp is None):
            clock = ConstantClock(given.rate or rate or Fraction(25), start)
        else:
            self._shift = Shift(time_base, begin, start)
            clock = Clock(self._shift, rate)
        self._shifts = {s.index: Shift(exact(s.time_base) or TICK, begin, start) for s in selection.tracks}
        self.streams = {s.index: s for s in selection.tracks}
        self.info = describe(container, selection, first, clock, self._shifts, start, self._live, output)
        self.length = Fraction(container.duration, av.time_base) if (container.duration or 0) > 0 else None
        if not demuxer.rewinds:
            # What containers say of their length is wrong where FFmpeg cannot look at the end of the input.
            self.info = replace(self.info, duration=None, video=replace(self.info.video, frames_hint=None))
        self._first_says = orientation_of(first), color_of(first)
        self._normaliser = Normaliser(self.info.video, *self._first_says, clock, demuxer.joins, output, self._warn)

    def _tell_left_out(self, selection: Selection) -> None:
        assert self._demuxer is not None
        chapters = self._demuxer.container.chapters()
        for stream in selection.left_out:
            kind = "cover art" if stream.type == "video" else "data stream"
            # In MP4 the chapters' titles are such a stream as well, and who reads of its loss fears for them.
            besides = " (the chapters are kept)" if kind == "data stream" and chapters else ""
            if kind == "data stream" and "timecode" in stream.metadata and "timecode" in selection.video.metadata:
                besides = " (its time code is read)"
            if stream.type in ("audio", "subtitle"):
                known = {line.split(" ")[0]: line for line in stream_lines(self._demuxer.container)}
                what = known.get(f"0:{stream.index}", f"0:{stream.index} {stream.type}")
                self._warn(
                    f": stream {what} is left out: FFmpeg has no decoder for it, and without one it cannot be copied "
                    f"here (ffmpeg -i OUTPUT -i INPUT -map 0 -map 1:{stream.index} -c copy NEW adds it)"
                )
                continue
            self._warn(f": {kind} 0:{stream.index} is left out: it cannot be copied{besides}")

    def _warn(self, what: str) -> None:
        """``what`` is the sentence behind the input's name."""
        self.on_warning(f"'{mask_url(self._path)}'{what}")

    def _seek(self, target: Fraction, begin: Fraction, time_base: Fraction) -> av.VideoFrame | None:
        """Go to a key frame at or before ``target`` seconds; None where the input cannot do that."""
        assert self._demuxer is not None
        for back in SEEK_BACK_SECONDS:
            if target - back <= begin:
                break
            try:
                self._demuxer.seek(target - back, self._video)
                first = self._read_on(sought=True)
            except _UNSEEKABLE:
                continue
            stamp = first.pts if first.pts is not None else first.dts
            if stamp is None or stamp * time_base <= target:
                return first
        return None

    def _read_on(self, *, sought: bool = False) -> av.VideoFrame:
        """Read up to the first frame from here; what is read is kept for the iteration."""
        self._decoder.reset(sought=sought)
        self._events = self._read()
        self._forget_pending()
        read = 0
        for event in self._events:
            if isinstance(event, av.VideoFrame):
                self._first = event
                return event
            self._pending.put(plain_packet(event))
            read += event.size
            if read > MAX_BYTES_BEFORE_FRAME:
                break
        if (error := self._broken()) is not None:
            raise error
        raise UndecodableError

    def __iter__(self) -> Iterator[Frame | Packet]:
        demuxer = self._demuxer
        assert demuxer is not None
        try:
            for packet in self._pending.drain():
                yield self._shifted(packet)
            if self._first is not None:
                first, self._first = self._first, None
                yield from self._normalised(first)
            if self._events is not None:
                for event in self._events:
                    if isinstance(event, av.VideoFrame):
                        yield from self._normalised(event)
                    else:
                        yield self._shifted(plain_packet(event))
            if not demuxer.stopped:
                yield from self._normaliser.flush()
        except _FAILURES as exc:
            raise source_error(exc, self._path) from exc
        for line in (*self._decoder.report(), *demuxer.joins.report(), *self._normaliser.report()):
            self._warn(line)
        if demuxer.late_streams:
            self._warn(
                f": streams that began after the opening are left out ({'; '.join(demuxer.late_streams)}); "
                "-probesize BYTES and -analyzeduration MICROSECONDS before the input look further"
            )
        if demuxer.stopped:
            return
        if (error := self._broken()) is not None:
            raise StreamLostError(f"{error}{self._reading_on()}") from demuxer.broken
        if demuxer.container.format.name == "concat":
            for name in without_video(self._path):
                self._warn(f": '{name}' in it has no video that can be read, and is missing")
        if self._steps.lacks() and (damage := passed_over(self._given, demuxer.container.format.name)) is not None:
            self._warn(
                f": part of the file is damaged ({damage}): by their times, {self._steps.missing} frames are missing"
            )
        if not self._live and (lost := cut_off(demuxer.container, self._video, self._reached)):
            self._warn(f" {lost}")

    def _reading_on(self) -> str:
        """Where the input broke off, and how to go on from there."""
        if self._live or self._end is None:
            return ""
        seconds = float(self._end + self._start)
        return f"; it breaks off at {seconds:.2f} s (-ss {seconds:.2f} before the input reads on from there)"

    def _broken(self) -> SourceError | None:
        broken = None if self._demuxer is None else self._demuxer.broken
        return None if broken is None else source_error(broken, self._path)

    def skip_video(self) -> None:
        self._skip_video = True

    def skim(self) -> None:
        if self._shift is not None and self._start:
            self._decoder.needed_from = self._shift.back(round(-SKIM_UNTIL_SECONDS / self._shift.time_base))

    def frame_index(self) -> FrameIndex:
        shift = self._shift
        if shift is None or self._live:
            raise CannotSeekError("its frames are numbered from the beginning")
        try:
            stamps = video_stamps(self._given, self._video.index, [s.index for s in self._streams])
        except FOREIGN as exc:
            raise source_error(exc, self._path) from exc
        return FrameIndex.of(self.info.video.time_base, ((shift(stamp), key) for stamp, key in stamps))

    def begin_at(self, key: int) -> None:
        demuxer, shift = self._demuxer, self._shift
        if shift is None or demuxer is None:
            raise CannotSeekError("its frames are numbered from the beginning")
        self._close_events()
        self._forget_pending()
        packets = demuxer.packets_from(self._video, shift.back(key), SEEK_BACK_SECONDS)
        self._decoder.reset(sought=True)
        self._normaliser.restart()
        self._steps.restart()
        self._events = self._decoded(packets, shift.back(key))

    def clip(self, first: int | None, last: int | None) -> bytes:
        demuxer, shift = self._demuxer, self._shift
        if shift is None or demuxer is None:
            raise CannotSeekError("its frames are numbered from the beginning")
        key = None if first is None else shift.back(first)
        until = None if last is None else shift.back(last)
        if key is None:
            index = self._video.index
            self._close_events()
            demuxer.reopen()
            self._video = demuxer.container.streams[index]
            packets = demuxer.packets([self._video], joined=False)
        else:
            packets = demuxer.packets_from(self._video, key, SEEK_BACK_SECONDS)
        # What is shown by then is decoded by then.
        needed = takewhile(lambda p: until is None or p.dts is None or p.dts <= until, packets)
        head = ClipHead(replace(self.info, tracks=()), *self._first_says, *shift.given, key, ())
        return write_clip(head, self._video, needed)

    def _decoded(self, packets: Iterator[av.Packet[Any]], first: int) -> Generator[av.VideoFrame | av.Packet[Any]]:
        """Frames from ``first`` on: those that are decoded before it lead up to it, and lack what they refer to."""
        assert self._demuxer is not None
        for packet in packets:
            self._reached = max(self._reached or 0, (packet.pts or 0) + (packet.duration or 0))
            yield from (f for f in self._decoder.decode(packet) if f.pts is None or f.pts >= first)
        if not self._demuxer.stopped:
            yield from (f for f in self._decoder.decode(None) if f.pts is None or f.pts >= first)

    def _read(self) -> Generator[av.VideoFrame | av.Packet[Any]]:
        """Decoded frames, and packets to copy, with the stamps of the input."""
        assert self._demuxer is not None
        for packet in self._demuxer.packets(self._streams):
            if packet.stream_index == self._video.index:
                stamp = packet.pts if packet.pts is not None else packet.dts
                if stamp is not None:
                    self._reached = max(self._reached or stamp, stamp + (packet.duration or 0))
                if not self._skip_video:
                    yield from self._decoder.decode(packet)
            else:
                yield packet
        # A stopped decoder would give its key frames without the ones between them.
        if not (self._demuxer.stopped or self._skip_video):
            yield from self._decoder.decode(None)

    def _normalised(self, decoded: av.VideoFrame) -> Iterator[Frame]:
        try:
            for frame in self._normaliser.push(decoded):
                self._end = frame.seconds + frame.duration * frame.time_base
                self._steps.add(frame.seconds)
                yield frame
        except StreamvsrError as exc:
            raise source_error(exc, self._path) from exc

    def _shifted(self, packet: Packet) -> Packet:
        """A packet of the input on the time line of the run."""
        shift = self._shifts[packet.track]
        return replace(
            packet,
            pts=None if packet.pts is None else shift(packet.pts),
            dts=None if packet.dts is None else shift(packet.dts),
            duration=packet.duration * shift.parts,
            time_base=shift.time_base,
        )

    def stop(self) -> None:
        if self._demuxer is not None:
            self._demuxer.stop()

    def close(self) -> None:
        self._forget_pending()
        self._close_events()
        if self._demuxer is not None:
            self._demuxer.close()

    def _forget_pending(self) -> None:
        self._pending.close()
        self._pending, self._first = PacketSpool(), None

    def _close_events(self) -> None:
        if self._events is not None:
            self._events.close()
