"""Anything that FFmpeg's demuxers read: files, standard input, network streams.

One demuxer, one decoder, copied packets. The constructor opens the input, chooses streams, seeks, and decodes the first
picture, because half of what a sink has to know (rotation, colours, the true size) is told by a picture only. That
picture and the packets before it are kept and come first in the iteration.

Seeking (``-ss``) goes to a key frame at or before the start, so frames before it come out with negative time stamps;
``Trimmed`` drops them.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

import av
from av.error import EOFError as AvEOFError
from av.error import ExitError
from av.error import MemoryError as AvMemoryError

from streamvsr.config import InputOptions, OutputOptions
from streamvsr.errors import SourceError, StreamvsrError
from streamvsr.frames import Frame, Packet
from streamvsr.media.av_errors import FOREIGN, mask, source_error
from streamvsr.media.av_frames import color_of, from_av
from streamvsr.media.decode.clock import Clock, ConstantClock, Shift, TimestampConcat
from streamvsr.media.decode.conform import Deinterlacer, Fitter, Orientation, Rotator, orientation_of
from streamvsr.media.decode.hardware import accelerator
from streamvsr.media.demux.base import Source
from streamvsr.media.demux.describe import MAX_FRAME_RATE, TICK, cut_off, describe, exact, frame_rate, start_of
from streamvsr.media.demux.options import check_input_options, demuxer_options, plain_options
from streamvsr.media.demux.programs import programs_of
from streamvsr.media.demux.selection import select
from streamvsr.media.demux.stdin import Reader, open_stdin
from streamvsr.media.hdr import moving_data
from streamvsr.media.open_container import open_container

STDIN_NAMES = ("-", "pipe:", "pipe:0")

MAX_BAD_PACKETS = 100
"""So many undecodable video packets before the first picture, and the input counts as undecodable."""

MAX_PACKETS_BEFORE_PICTURE = 10_000
"""Bounds what the constructor reads (and keeps) of an input that never gives a picture."""

SEEK_BACK_SECONDS = (Fraction(1, 2), 3, 15, 60)
"""How much before the start to aim: a little, because sound may be stored ahead of its pictures; then more, while a
seek lands behind the start (MPEG streams have no index)."""

OPEN_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS = 15.0, 15.0
"""How long a network input may be silent; FFmpeg itself waits for ever."""

_UNSEEKABLE: tuple[type[BaseException], ...] = (SourceError, *FOREIGN)
"""A seek failed, or nothing could be decoded where it landed."""

LIVE_SCHEMES = ("rtsp:", "rtsps:", "rtp:", "udp:", "rtmp:", "rtmps:", "rtmpt:", "tcp:")
"""What these URLs name does not wait for its reader."""


class _Stamp(NamedTuple):
    """When a picture is shown, and for how long, in ticks of the clock."""

    pts: int
    duration: int
    cut: bool
    """Another recording begins here."""


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
        self._path, self._input = input.path, input
        self._live = live or input.path.lower().startswith(LIVE_SCHEMES)
        self._open_timeout, self._read_timeout = open_timeout, read_timeout
        self.length: Fraction | None = None
        """Seconds that the container claims to last, where it claims anything."""
        self._stop = threading.Event()
        self._skip_video = False
        self._reader: Reader | None = None
        self._container: Any = None
        self._damaged, self._pictures = 0, 0
        self._concat, self._joined = TimestampConcat(), 0
        self._reached: int | None = None
        """Where the video packets that were read end, in ticks of the stream."""
        self._pending: deque[av.VideoFrame | av.Packet[Any]] = deque()
        """What the constructor has read; the iteration begins with it."""
        self._events = self._read()
        self._accelerator = accelerator(input.hwaccel, self.on_warning)
        try:
            self._container = self._open(input)
            self._begin(input, output)
        except FOREIGN as exc:
            self.close()
            raise source_error(exc, self._path) from exc
        except BaseException:
            self.close()
            raise

    def _open(self, given: InputOptions) -> Any:
        options = demuxer_options(given)
        file: Any = given.path
        timeout: tuple[float, float] | None = None
        if given.path in STDIN_NAMES:
            if self._reader is None:
                self._reader = open_stdin()
            elif hasattr(self._reader, "seek"):
                self._reader.seek(0)
            file = self._reader
        elif "://" in given.path:
            # FFmpeg's own protocol whitelists keep playlists from the network away from local files.
            timeout = (self._open_timeout, self._read_timeout)
            if given.path.lower().startswith(("rtsp:", "rtsps:")) and options.get("rtsp_transport", "auto") == "auto":
                options.pop("rtsp_transport", None)
                # TCP loses nothing; where the server refuses it, FFmpeg goes on to UDP.
                options.setdefault("rtsp_flags", "prefer_tcp")
        elif ":" in os.path.splitdrive(given.path)[1] and os.path.isfile(given.path):
            # FFmpeg takes "12:30.mp4" for a protocol called 12.
            file = f"file:{given.path}"
        container: Any = open_container(
            file, "r", format=given.format, options=options, timeout=timeout, hwaccel=self._accelerator
        )
        if container.format.name == "avi":
            # PyAV asks for generated pts, and those of B-frames in AVI come out in disorder; the dts are right.
            container.flags &= ~av.container.Flags.gen_pts.value
        return container

    def _begin(self, given: InputOptions, output: OutputOptions, *, seek: bool = True) -> None:
        container, name = self._container, mask(self._path)
        selection = select(list(container.streams), output, name, programs_of(container))
        for note in selection.notes:
            self.on_warning(f"'{name}': {note}")
        for stream in selection.left_out:
            kind = "cover art" if stream.type == "video" else "data stream"
            # In MP4 the chapters' titles are such a stream as well, and who reads of its loss fears for them.
            besides = " (the chapters are kept)" if kind == "data stream" and container.chapters() else ""
            if kind == "data stream" and "timecode" in stream.metadata and "timecode" in selection.video.metadata:
                besides = " (its time code is read)"
            self.on_warning(f"'{name}': {kind} 0:{stream.index} is left out: it cannot be copied{besides}")
        video = self._video = selection.video

        self._streams = [video, *(s for s in selection.tracks if s.type != "attachment")]
        # Decoding whole frames in parallel holds back as many as there are threads.
        video.thread_type = "SLICE" if self._live else "AUTO"
        check_input_options(plain_options(given.options), video.codec_context, name)
        video.codec_context.options = plain_options(given.options)
        if self._accelerator is not None and not video.codec_context.is_hwaccel:
            self.on_warning(f"'{name}': the -hwaccel device does not decode {video.codec_context.name}; software does")

        if video.metadata.get("alpha_mode") == "1":
            # WebM keeps alpha as a second picture beside each VP8 or VP9 packet, which these decoders pass over.
            self.on_warning(f"'{name}': the transparency of its pictures is left out: it is not decoded")

        stampless = bool(container.format.flags & av.format.Flags.no_timestamps.value)
        rewinds = self._reader is None or hasattr(self._reader, "seek")
        seekable = seek and rewinds and not (self._live or stampless or given.rate)
        begin, time_base, start = start_of(container), exact(video.time_base), given.start or Fraction(0)
        assert time_base is not None
        if start and seekable:
            found = self._seek((begin or Fraction(0)) + start, begin or Fraction(0), time_base)
            if found is None:
                # Seeking back to the beginning misses the first key frame of some MPEG streams; opening anew does not.
                self._events.close()
                self._container.close()
                self._container = self._open(given)
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
        self._clock: Clock | ConstantClock
        if given.rate is not None or (stampless and stamp is None):
            self._clock = ConstantClock(given.rate or rate or Fraction(25), start)
        else:
            self._clock = Clock(Shift(time_base, begin, start), rate)
        self._shifts = {s.index: Shift(exact(s.time_base) or TICK, begin, start) for s in selection.tracks}
        self.info = describe(container, selection, first, self._clock, self._shifts, start, self._live, output)
        self.length = Fraction(container.duration, av.time_base) if (container.duration or 0) > 0 else None
        if not rewinds:
            # What containers say of their length is wrong where FFmpeg cannot look at the end of the input.
            self.info = replace(self.info, duration=None, video=replace(self.info.video, frames_hint=None))
        if lost := moving_data(first):
            self.on_warning(
                f"'{name}': {' and '.join(lost)} in the pictures are left out: encoders cannot be given them"
            )
        self._rotator = Rotator(orientation_of(first) if output.autorotate else Orientation())
        self._fitter = Fitter(self.info.video, color_of(first), self._size_changed)
        self._deinterlacer: Deinterlacer[_Stamp] | None = None
        if output.deinterlace == "auto":
            self._deinterlacer = Deinterlacer(self._interlaced)

    def _seek(self, target: Fraction, begin: Fraction, time_base: Fraction) -> av.VideoFrame | None:
        """Go to a key frame at or before ``target`` seconds; None where the input cannot do that."""
        for back in SEEK_BACK_SECONDS:
            if target - back <= begin:
                break
            try:
                self._container.seek(int((target - back) / time_base), stream=self._video)
                first = self._read_on()
            except _UNSEEKABLE:
                continue
            stamp = first.pts if first.pts is not None else first.dts
            if stamp is None or stamp * time_base <= target:
                return first
        return None

    def _read_on(self) -> av.VideoFrame:
        """Read up to the first picture from here; what is read is kept for the iteration."""
        self._damaged = self._pictures = 0
        self._events = self._read()
        self._pending.clear()
        for event in self._events:
            self._pending.append(event)
            if isinstance(event, av.VideoFrame):
                return event
            if len(self._pending) > MAX_PACKETS_BEFORE_PICTURE:
                break
        raise self._undecodable()

    def __iter__(self) -> Iterator[Frame | Packet]:
        try:
            while self._pending:
                yield from self._made(self._pending.popleft())
            for event in self._events:
                yield from self._made(event)
            if self._deinterlacer is not None and not self._stop.is_set():
                for picture, stamp in self._deinterlacer.flush():
                    yield self._frame(picture, stamp)
        except FOREIGN as exc:
            raise source_error(exc, self._path) from exc
        if self._damaged:
            self.on_warning(f"'{mask(self._path)}': {self._damaged} damaged packets or pictures in all")
        if (
            not self._live
            and not self._stop.is_set()
            and (lost := cut_off(self._container, self._video, self._reached))
        ):
            self.on_warning(f"'{mask(self._path)}' {lost}")
        if self._concat.count:
            self.on_warning(
                f"'{mask(self._path)}': time stamps jump back {self._concat.count} times, as where recordings were put "
                "behind each other; each was moved behind the one before"
            )
        if self._clock.jumps:
            self.on_warning(f"'{mask(self._path)}': time stamps jump back {self._clock.jumps} times; sound may be off")

    def skip_video(self) -> None:
        self._skip_video = True

    def _read(self) -> Generator[av.VideoFrame | av.Packet[Any]]:
        """Decoded pictures, and packets to copy, with the stamps of the input."""
        self._concat = TimestampConcat()
        for packet in self._demux():
            # Empty packets are PyAV's flush packets at the end, or AVI's "as before" in the middle, where a flush would
            # end the decoder. A missing dts does not tell the former: Matroska's first packets have none.
            if not packet.size:
                continue
            self._join(packet)
            if packet.stream_index == self._video.index:
                stamp = packet.pts if packet.pts is not None else packet.dts
                if stamp is not None:
                    self._reached = max(self._reached or stamp, stamp + (packet.duration or 0))
                if not self._skip_video:
                    yield from self._decode(packet)
            else:
                yield packet
        # A stopped decoder would give its key pictures without the ones between them.
        if not (self._stop.is_set() or self._skip_video):
            yield from self._decode(None)

    def _join(self, packet: av.Packet[Any]) -> None:
        time_base = exact(packet.time_base)
        if time_base is None or packet.stream.type not in ("video", "audio"):
            return
        ticks = self._concat.ticks(packet.stream_index, packet.dts, packet.duration or 0, time_base)
        if ticks:
            packet.dts = None if packet.dts is None else packet.dts + ticks
            packet.pts = None if packet.pts is None else packet.pts + ticks

    def _demux(self) -> Iterator[av.Packet[Any]]:
        # A read is never cut short to look at ``stop``: an RTSP stream that was interrupted inside a packet is broken.
        for packet in self._container.demux(self._streams):
            if self._stop.is_set():
                return
            yield packet

    def _decode(self, packet: av.Packet[Any] | None) -> Iterator[av.VideoFrame]:
        """The pictures of one packet, or (None) all that the decoder still holds."""
        for _ in range(1 if packet is not None else MAX_BAD_PACKETS):
            try:
                pictures = self._video.decode(packet)
            except (AvMemoryError, ExitError):
                raise
            except AvEOFError:
                return  # Flushed before.
            except av.FFmpegError as exc:
                self._damage(exc)
                continue
            for picture in pictures:
                self._pictures += 1
                if picture.is_corrupt:
                    self._damage(None)
                yield picture
            return

    def _damage(self, exc: BaseException | None) -> None:
        self._damaged += 1
        if self._damaged == 1:
            self.on_warning(f"'{mask(self._path)}': the video is damaged; what can be decoded is used")
        if self._damaged >= MAX_BAD_PACKETS and not self._pictures:
            raise self._undecodable() from exc

    def _undecodable(self) -> SourceError:
        why = "no picture could be decoded; it is damaged, encrypted, or not supported"
        return SourceError(f"'{mask(self._path)}': {why}")

    def _made(self, event: av.VideoFrame | av.Packet[Any]) -> Iterator[Frame | Packet]:
        if not isinstance(event, av.VideoFrame):
            yield self._packet(event)
            return
        stamp = self._stamped(event)
        if self._deinterlacer is None:
            yield self._frame(event, stamp)
            return
        for picture, beside in self._deinterlacer.push(event, stamp, cut=stamp.cut):
            yield self._frame(picture, beside)

    def _stamped(self, picture: av.VideoFrame) -> _Stamp:
        pts = self._clock(picture.pts, picture.dts, picture.duration or 0)
        ticks = 1 if isinstance(self._clock, ConstantClock) else picture.duration or 0
        duration = ticks * self._clock.parts
        if duration * self._clock.time_base * MAX_FRAME_RATE < 1:
            duration = 0  # One tick of a container that claims 1000 frames a second.
        cut = False
        if self._concat.last is not None and picture.pts is not None and picture.time_base is not None:
            cut = self._joined != self._concat.count and picture.pts * picture.time_base >= self._concat.last
            self._joined = self._concat.count if cut else self._joined
        return _Stamp(pts, duration, cut)

    def _frame(self, picture: av.VideoFrame, stamp: _Stamp) -> Frame:
        self._at = stamp.pts
        time_base = self._clock.time_base
        try:
            made, color, another = self._fitter(self._rotator(picture))
            return from_av(
                made,
                pts=stamp.pts,
                time_base=time_base,
                duration=stamp.duration,
                color=color,
                discontinuity=another or stamp.cut,
            )
        except StreamvsrError as exc:
            raise source_error(exc, self._path) from exc

    def _interlaced(self) -> None:
        self.on_warning(
            f"'{mask(self._path)}': interlaced pictures are de-interlaced first (bwdif); -deinterlace off leaves them"
        )

    def _size_changed(self, what: str) -> None:
        self.on_warning(f"'{mask(self._path)}', at {float(self._at * self._clock.time_base):.2f} s: {what}")

    def _packet(self, packet: av.Packet[Any]) -> Packet:
        shift = self._shifts[packet.stream_index]
        return Packet(
            track=packet.stream_index,
            data=bytes(packet),
            pts=None if packet.pts is None else shift(packet.pts),
            dts=None if packet.dts is None else shift(packet.dts),
            duration=(packet.duration or 0) * shift.parts,
            time_base=shift.time_base,
            keyframe=packet.is_keyframe,
            side_data=tuple((side.data_type, bytes(side)) for side in packet.iter_sidedata()),
        )

    def stop(self) -> None:
        self._stop.set()
        if self._reader is not None and hasattr(self._reader, "stop"):
            self._reader.stop()

    def close(self) -> None:
        self._pending.clear()
        self._events.close()
        if self._container is not None:
            with contextlib.suppress(*FOREIGN):
                self._container.close()
        if self._reader is not None:
            self._reader.close()
