"""One input container: opened, sought in, read packet by packet.

FFmpeg opens files and URLs by itself; standard input is read through a file object of ours, whose reads can be ended.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain
from typing import Any

import av

from streamvsr.config import InputOptions
from streamvsr.media.av_errors import FOREIGN
from streamvsr.media.decode.concat import TimestampConcat
from streamvsr.media.decode.decoder import is_hidden
from streamvsr.media.demux.describe import exact
from streamvsr.media.demux.frame_index import CannotSeekError
from streamvsr.media.demux.options import demuxer_options
from streamvsr.media.demux.stdin import Reader, open_stdin
from streamvsr.media.ffmpeg_log import stream_lines
from streamvsr.media.open_container import MAX_RTSP_ALLOCATION_BYTES, bound_allocations, open_container

STDIN_NAMES = ("-", "pipe:", "pipe:0")

OPEN_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS = 15.0, 15.0
"""How long a network input may be silent; FFmpeg itself waits for ever."""

LIVE_SCHEMES = ("rtsp:", "rtsps:", "rtp:", "udp:", "rtmp:", "rtmps:", "rtmpt:", "tcp:")
"""What these URLs name does not wait for its reader."""


HTTP_RETRIES = {"reconnect": "1", "reconnect_on_network_error": "1", "reconnect_delay_max": "1"}
"""A dropped connection is made again at once, and once more a second later, and reading goes on where it was. FFmpeg
8.1 also needs it to seek: it asks for the next range through a connection that the server has closed, and takes what it
does not get for missing (a first key frame behind the index, say), without an error."""

FLV_CLOCK_TICKS = 1 << 32
"""What stamps of FLV begin again after. FFmpeg takes each step back for that, and adds 50 days behind a restart."""

LATE_SOUND = {"probesize": str(256 << 20), "analyzeduration": str(600_000_000)}
"""How far to look into a file for the beginning of its sound, in bytes and microseconds."""


class Demuxer:
    """Opens the input of ``given``; ``packets`` reads it. Raises FFmpeg's own exceptions (``FOREIGN``)."""

    def __init__(
        self,
        given: InputOptions,
        *,
        hwaccel: Any = None,
        open_timeout: float = OPEN_TIMEOUT_SECONDS,
        read_timeout: float = READ_TIMEOUT_SECONDS,
    ) -> None:
        self._given, self._hwaccel = given, hwaccel
        self._timeout = (open_timeout, read_timeout)
        # A transport stream whose streams get other numbers midway goes on in the same streams.
        self._defaults = {"merge_pmt_versions": "1"}
        self._stop = threading.Event()
        self._reader: Reader | None = None
        self.container: Any = None
        """PyAV's; None before it is open."""
        self.joins = TimestampConcat()
        """Of the packets that were read."""
        self.broken: BaseException | None = None
        """Why the input could not be read to its end."""
        self.late_streams: list[str] = []
        """After the end: the streams that began when the input had been opened, and could not be taken any more."""
        try:
            self.container = self._open()
            if self._sound_is_unknown():
                self._defaults |= LATE_SOUND
                self.reopen()
        except BaseException:
            self.close()
            raise

    def _open(self) -> Any:
        given, options = self._given, {**self._defaults, **demuxer_options(self._given)}
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
            timeout = self._timeout
            if given.path.lower().startswith(("http:", "https:")) and "reconnect" not in options:
                options = {**HTTP_RETRIES, **options}
            if given.path.lower().startswith(("rtsp:", "rtsps:")):
                bound_allocations(MAX_RTSP_ALLOCATION_BYTES)
            if given.path.lower().startswith(("rtsp:", "rtsps:")) and options.get("rtsp_transport", "auto") == "auto":
                options.pop("rtsp_transport", None)
                # TCP loses nothing; where the server refuses it, FFmpeg goes on to UDP.
                options.setdefault("rtsp_flags", "prefer_tcp")
        elif ":" in os.path.splitdrive(given.path)[1] and os.path.isfile(given.path):
            # FFmpeg takes "12:30.mp4" for a protocol called 12.
            file = f"file:{given.path}"
        container: Any = open_container(
            file, "r", format=given.format, options=options, timeout=timeout, hwaccel=self._hwaccel
        )
        if container.format.name == "avi":
            # PyAV asks for generated pts, and those of B-frames in AVI come out in disorder; the dts are right.
            container.flags &= ~av.container.Flags.gen_pts.value
        return container

    def reopen(self) -> None:
        """Begin anew: seeking back to the beginning misses the first key frame of some MPEG streams, this does not."""
        self.container.close()
        self.container = self._open()

    def _sound_is_unknown(self) -> bool:
        """Whether a file has a sound track that begins behind what is looked at, so that nothing is known of it."""
        if "://" in self._given.path or not self.rewinds or LATE_SOUND.keys() & demuxer_options(self._given).keys():
            return False
        contexts = [s.codec_context for s in self.container.streams if s.type == "audio"]
        return any(context is not None and not context.sample_rate for context in contexts)

    @property
    def rewinds(self) -> bool:
        """Whether FFmpeg could look at the end of the input, and can go back."""
        return self._reader is None or hasattr(self._reader, "seek")

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    def seek(self, seconds: Fraction, stream: Any) -> None:
        """Go to a key frame of ``stream`` at or before ``seconds`` of the input's own time, where the input can."""
        time_base = exact(stream.time_base)
        assert time_base is not None
        self.container.seek(int(seconds / time_base), stream=stream)

    def packets(self, streams: Sequence[Any], *, joined: bool = True) -> Iterator[av.Packet[Any]]:
        """Packets of these streams up to the end, to ``stop``, or to where the input breaks off (``broken`` says why).

        Recordings behind each other are put on one time line (``joins``), unless it is known that there are none.
        """
        live = self._given.path.lower().startswith(LIVE_SCHEMES)
        clocks_jump = live or bool(self.container.format.flags & av.format.Flags.ts_discont.value)
        self.joins = TimestampConcat(clocks_jump=clocks_jump, now=time.monotonic if live else None)
        self.broken = None
        reading = self.container.demux(streams)
        # A read is never cut short to look at ``stop``: an RTSP stream that was interrupted inside a packet is broken.
        while True:
            try:
                packet = next(reading, None)
            except IndexError:
                packet = None  # PyAV at the end of an input in which a stream has appeared meanwhile.
            except FOREIGN as exc:
                self.broken = exc
                return
            if self._stop.is_set():
                return
            if packet is None:
                self.late_streams = stream_lines(self.container)[len(self.container.streams) :]
                return
            # Empty packets are PyAV's flush packets at the end, or AVI's "as before" in the middle, where a flush would
            # end the decoder. A missing dts does not tell the former: Matroska's first packets have none.
            if packet.size:
                if joined:
                    self._join(packet)
                yield packet

    def packets_from(self, stream: Any, key: int, back_seconds: Sequence[Fraction | int]) -> Iterator[av.Packet[Any]]:
        """The packets of ``stream`` from the key frame with this pts on, in decoding order.

        Aims at it, then so much before it, then at the beginning. Raises ``CannotSeekError`` where it is not found.
        """
        at = key * (exact(stream.time_base) or Fraction(1))
        for back in (Fraction(0), *back_seconds, at):
            with contextlib.suppress(*FOREIGN):
                self.seek(at - back, stream)
                packets = self.packets([stream], joined=False)
                for packet in packets:
                    if packet.is_keyframe and packet.pts is not None and packet.pts >= key:
                        if packet.pts == key:
                            return chain([packet], packets)
                        break
        raise CannotSeekError("a key frame was not found again")

    def _join(self, packet: av.Packet[Any]) -> None:
        time_base = exact(packet.time_base)
        if time_base is None:
            return
        if (
            packet.dts is not None
            and packet.dts >= FLV_CLOCK_TICKS
            and self.container.format.name in ("flv", "live_flv")
        ):
            added = packet.dts // FLV_CLOCK_TICKS * FLV_CLOCK_TICKS
            packet.dts -= added
            packet.pts = None if packet.pts is None else packet.pts - added
        if packet.stream.type in ("video", "audio"):
            damaged = self.joins.damaged_stamp(packet.stream_index, packet.pts, packet.dts, time_base)
            if damaged == "pts":
                packet.pts = None
            elif damaged == "dts":
                packet.dts = None
            ticks = self.joins.ticks(packet.stream_index, packet.dts, packet.duration or 0, time_base)
        else:
            ticks = self.joins.sparse_ticks(packet.pts if packet.pts is not None else packet.dts, time_base)
        if ticks:
            packet.dts = None if packet.dts is None else packet.dts + ticks
            packet.pts = None if packet.pts is None else packet.pts + ticks

    def stop(self) -> None:
        self._stop.set()
        if self._reader is not None and hasattr(self._reader, "stop"):
            self._reader.stop()

    def close(self) -> None:
        if self.container is not None:
            with contextlib.suppress(*FOREIGN):
                self.container.close()
        if self._reader is not None:
            self._reader.close()


def video_stamps(given: InputOptions, video: int, streams: Sequence[int]) -> list[tuple[int, bool]]:
    """(pts, whether it is a key frame) of every packet that gives a frame of the stream ``video``; nothing is decoded.

    Raises ``CannotSeekError`` where these are not those of the frames.
    """
    demuxer = Demuxer(given)
    try:
        chosen = [demuxer.container.streams[index] for index in streams]
        codec = demuxer.container.streams[video].codec_context.name
        stamps = []
        for packet in demuxer.packets(chosen):
            if packet.stream_index != video or packet.is_discard or is_hidden(packet, codec):
                continue
            if packet.pts is None:
                raise CannotSeekError("its packets have no time stamps")
            stamps.append((packet.pts, packet.is_keyframe))
        if demuxer.broken is not None:
            raise CannotSeekError("it cannot be read to its end")
        if demuxer.joins.count:
            raise CannotSeekError("its time stamps jump")
        return stamps
    finally:
        demuxer.close()
