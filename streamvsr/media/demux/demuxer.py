"""One input container: opened, sought in, read packet by packet.

FFmpeg opens files and URLs by itself; standard input is read through a file object of ours, whose reads can be ended.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import av

from streamvsr.config import InputOptions
from streamvsr.media.av_errors import FOREIGN
from streamvsr.media.decode.clock import TimestampConcat
from streamvsr.media.demux.describe import exact
from streamvsr.media.demux.options import demuxer_options
from streamvsr.media.demux.stdin import Reader, open_stdin
from streamvsr.media.open_container import open_container

STDIN_NAMES = ("-", "pipe:", "pipe:0")

OPEN_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS = 15.0, 15.0
"""How long a network input may be silent; FFmpeg itself waits for ever."""

LIVE_SCHEMES = ("rtsp:", "rtsps:", "rtp:", "udp:", "rtmp:", "rtmps:", "rtmpt:", "tcp:")
"""What these URLs name does not wait for its reader."""


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
        self._stop = threading.Event()
        self._reader: Reader | None = None
        self.container: Any = None
        """PyAV's; None before it is open."""
        self.joins = TimestampConcat()
        """Of the packets that were read."""
        self.broken: BaseException | None = None
        """Why the input could not be read to its end."""
        try:
            self.container = self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> Any:
        given, options = self._given, demuxer_options(self._given)
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

    def packets(self, streams: Sequence[Any]) -> Iterator[av.Packet[Any]]:
        """Packets of these streams up to the end, to ``stop``, or to where the input breaks off (``broken`` says why).

        Recordings behind each other are put on one time line (``joins``).
        """
        self.joins, self.broken = TimestampConcat(), None
        reading = self.container.demux(streams)
        # A read is never cut short to look at ``stop``: an RTSP stream that was interrupted inside a packet is broken.
        while True:
            try:
                packet = next(reading, None)
            except FOREIGN as exc:
                self.broken = exc
                return
            if packet is None or self._stop.is_set():
                return
            # Empty packets are PyAV's flush packets at the end, or AVI's "as before" in the middle, where a flush would
            # end the decoder. A missing dts does not tell the former: Matroska's first packets have none.
            if packet.size:
                self._join(packet)
                yield packet

    def _join(self, packet: av.Packet[Any]) -> None:
        time_base = exact(packet.time_base)
        if time_base is None or packet.stream.type not in ("video", "audio"):
            return
        ticks = self.joins.ticks(packet.stream_index, packet.dts, packet.duration or 0, time_base)
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
