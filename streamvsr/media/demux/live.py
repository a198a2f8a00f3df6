"""Inputs that may keep their reader waiting: cameras and streams that fall silent, go away and come back.

A film on a web server is read through here too, for the time limits; the rest of this text is on live inputs.

::

    connection ──► connection ──► ...      each with its own time stamps, sizes, tracks
         └──────────────┴──────────► one stream: stamps that go on, the tracks of the first

Each connection is a ``ContainerSource`` in a thread of its own (``connection.py``). When one ends, breaks or falls
silent, the next is tried after a pause that doubles from ``FIRST_PAUSE_SECONDS`` to ``MAX_PAUSE_SECONDS``, each time
shortened at random, so that many readers of a restarted server do not come back at one moment.

The time line is the clock on the wall: a connection's stamps go on where the clock says that it began, so that an
outage stays as a gap of its length in all tracks. The first frame behind it has ``discontinuity`` set.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from math import inf
from typing import Any

from streamvsr.config import InputOptions, LiveOptions, OutputOptions
from streamvsr.errors import SourceError, StreamLostError, UsageError
from streamvsr.frames import Frame, MediaInfo, Packet, Track
from streamvsr.media.demux.base import Source
from streamvsr.media.demux.connection import Connection, StallError
from streamvsr.media.demux.container import ContainerSource
from streamvsr.media.demux.demuxer import LIVE_SCHEMES, STDIN_NAMES
from streamvsr.media.demux.frame_steps import FrameSteps
from streamvsr.secrets import mask_url

FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.5, 5.0

GAP_SECONDS = 1
"""A longer step between two frames is a discontinuity; a network's state survives a shorter one."""

JUMP_SECONDS = 10
"""Where stamps step further ahead of the clock than this, the sender has changed its clock: they are moved back."""

END_SECONDS = 1
"""A stream of stated length that ends so near to it has been played to its end."""


def is_stream(path: str, live: LiveOptions) -> bool:
    """Whether an input may keep its reader waiting: all that comes from the network, and what is said to be live."""
    return live.live or ("://" in path and not path.lower().startswith("file:"))


def _is_playlist(path: str) -> bool:
    return path.lower().startswith(("http://", "https://")) and path.partition("?")[0].lower().endswith(".m3u8")


def refuse_srt(path: str) -> None:
    """Raise ``UsageError`` for SRT, with the pipe that works instead."""
    if path.lower().startswith("srt:"):
        raise UsageError(
            f"'{mask_url(path)}': SRT is not in PyAV's FFmpeg; let ffmpeg receive it: "
            f"ffmpeg -i '{mask_url(path)}' -c copy -f mpegts - | streamvsr --live - OUTPUT"
        )


class TimeLine:
    """Where connections lie on one time line, in seconds. Wall times are those of a monotonic clock."""

    def __init__(self) -> None:
        self.offset = Fraction(0)
        """To be added to the stamps of the present connection."""
        self.end = Fraction(0)
        """Where everything that went out so far has ended."""
        self._base = inf
        """When, by the clock on the wall, second 0 was; frames come late, never early, so the least counts."""

    def __call__(self, stamp: Fraction, duration: Fraction, wall: float) -> Fraction:
        """The place of a frame that arrived at ``wall``."""
        seconds = stamp + self.offset
        # Frames that were sent before they were asked for must not move second 0 back.
        early = float(seconds) - (wall - self._base)
        if self._base < inf and early > JUMP_SECONDS:
            self.offset -= Fraction(early).limit_denominator(1000)
            seconds = stamp + self.offset
        self._base = min(self._base, wall - float(seconds))
        self.end = max(self.end, seconds + duration)
        return seconds

    def resume(self, wall: float) -> None:
        """The next connection's second 0 is ``wall``, or the end of what there is, whichever is later."""
        self.offset = self.end
        if self._base < inf:
            self.offset = max(self.end, Fraction(wall - self._base).limit_denominator(1000))


class LiveSource(Source):
    """A stream that goes on across the connections that it takes. See the module's text.

    ``info.video.live`` says whether it is a live one: by its URL, by ``--live``, or as a playlist without an end.
    """

    def __init__(self, input: InputOptions, output: OutputOptions, live: LiveOptions) -> None:
        """Raises ``SourceError`` where the first connection cannot be made within ``live.open_timeout``."""
        super().__init__()
        self._path, self._input, self._output, self._live = input.path, input, output, live
        self._stop = threading.Event()
        self._line, self._steps = TimeLine(), FrameSteps()
        self._tracks: dict[int, Track] = {}
        """Of the present connection by its own numbers: the track that carries its packets on."""
        self._kinds: dict[int, tuple[Any, ...]] = {}
        self._last_sent: dict[int, Fraction] = {}
        self._sent_before: dict[int, Fraction] = {}
        """``_last_sent`` as it was when the present connection began."""
        self._last_pts: int | None = None
        self._returned = False
        """The next frame is the first of another connection."""
        self._open_seconds = live.open_timeout
        """The least time that opening has taken."""
        self._connection = self._connect()
        try:
            source = self._opened(live.open_timeout)
        except BaseException:
            self._connection.leave()
            raise
        self._length = source.length
        local = self._path in STDIN_NAMES or "://" not in self._path
        self._comes_back = not local and live.reconnect > 0
        self.info, self.streams = source.info, source.streams
        if self._is_live(source):
            # A pipe and what is pushed at us come at their own speed; the rest is there to be fetched.
            pushed = self._path in STDIN_NAMES or self._path.lower().startswith(LIVE_SCHEMES)
            self.paced = not pushed
            video = replace(self.info.video, live=True, frames_hint=None)
            self.info = replace(self.info, video=video, duration=live.duration)
            if not self.paced:
                self._connection.request_stop()
        self._tracks = {track.index: track for track in self.info.tracks}
        self._kinds = {track.index: _kind(track) for track in self.info.tracks}

    def __iter__(self) -> Iterator[Frame | Packet]:
        try:
            yield from self._connections()
        finally:
            for line in self._steps.report():
                self.on_warning(f"'{mask_url(self._path)}': {line}")

    def _connections(self) -> Iterator[Frame | Packet]:
        until = inf if self._live.duration is None else time.monotonic() + float(self._live.duration)
        while True:
            why = "the stream has ended"
            try:
                yield from self._play(until)
            except SourceError as error:
                if not self.info.video.live:
                    # What has come is kept; a connection that falls silent has broken off as well.
                    raise StreamLostError(str(error)) from error
                if not self._comes_back:
                    raise StreamLostError(str(error)) from error
                why = str(error).removeprefix(f"'{mask_url(self._path)}': ")
            else:
                if self._has_ended():
                    return
            if self._stop.is_set() or time.monotonic() >= until or not self._reconnect(why, until):
                return

    def _is_live(self, source: ContainerSource) -> bool:
        if _is_playlist(self._path) and not self._live.live:
            return source.length is None
        return self._live.live or self._path.lower().startswith(LIVE_SCHEMES)

    def _has_ended(self) -> bool:
        """Whether the end of a connection is the end of it all, and not a server that went away."""
        played = self._length is not None and self._line.end - self._line.offset >= self._length - END_SECONDS
        return not (self._comes_back and self.info.video.live) or _is_playlist(self._path) or played

    def _play(self, until: float) -> Iterator[Frame | Packet]:
        try:
            for item in self._connection.items(self._live.read_timeout, until):
                if not self.info.video.live:
                    yield item
                    continue
                made = self._frame(item) if isinstance(item, Frame) else self._packet(item)
                if made is not None:
                    yield made
        except StallError as error:
            raise SourceError(f"'{mask_url(self._path)}': {error}") from error

    def _frame(self, frame: Frame) -> Frame:
        time_base, before = self.info.video.time_base, self._line.end
        self._steps.add(frame.seconds)
        if self._last_pts is None and self._connection.let_go and frame.pts > 0:
            # What came while the network was being loaded is dropped; the run begins at 0 all the same.
            self._line.offset = -frame.seconds
        seconds = self._line(frame.seconds, frame.duration * frame.time_base, time.monotonic())
        pts = round(seconds / time_base)
        gap = self._returned
        if self._last_pts is not None:
            pts = max(pts, self._last_pts + 1)
            gap = gap or seconds - before > GAP_SECONDS
        self._last_pts, self._returned = pts, False
        return replace(
            frame,
            pts=pts,
            time_base=time_base,
            duration=round(frame.duration * frame.time_base / time_base),
            discontinuity=frame.discontinuity or gap,
        )

    def _packet(self, packet: Packet) -> Packet | None:
        """The packet on the track that carries it on; None for one that has no place there."""
        track = self._tracks.get(packet.track)
        if track is None or (self._last_pts is None and self._connection.let_go):
            return None
        pts, dts = (
            None if stamp is None else round((stamp * packet.time_base + self._line.offset) / track.time_base)
            for stamp in (packet.pts, packet.dts)
        )
        duration = round(packet.duration * packet.time_base / track.time_base)
        moved = replace(packet, track=track.index, pts=pts, dts=dts, time_base=track.time_base, duration=duration)
        if moved.seconds is not None:
            # A new connection may begin with sound from before its first frame, where there is some already.
            if track.index in self._sent_before and moved.seconds <= self._sent_before[track.index]:
                return None
            self._last_sent[track.index] = moved.seconds
            self._line.end = max(self._line.end, moved.seconds + duration * track.time_base)
        return moved

    def _connect(self, *, again: bool = False) -> Connection[ContainerSource]:
        given = replace(self._input, start=None) if again else self._input
        limits, live = self._live, self._live.live or self._path.lower().startswith(LIVE_SCHEMES)

        def make() -> ContainerSource:
            source = ContainerSource(
                given,
                self._output,
                live=live,
                # FFmpeg's own limits end threads that nobody waits for any more.
                open_timeout=limits.open_timeout + 10,
                read_timeout=limits.read_timeout + 10,
            )
            for line in () if again else source.warnings:
                self.on_warning(line)
            source.on_warning = lambda line: self.on_warning(line)
            return source

        return Connection(make)

    def _opened(self, seconds: float) -> ContainerSource:
        begin = time.monotonic()
        try:
            source = self._connection.opened(seconds)
        except StallError as error:
            raise SourceError(f"'{mask_url(self._path)}': no frame within {seconds:g} s; check the address") from error
        self._open_seconds = min(self._open_seconds, time.monotonic() - begin)
        return source

    def _reconnect(self, why: str, until: float) -> bool:
        """Make the next connection; False where the run is over first. Raises ``StreamLostError``."""
        name, limit = mask_url(self._path), self._live.reconnect
        lost = time.monotonic()
        self._connection.leave()
        self._steps.restart()
        self.on_warning(f"'{name}': {why}; trying to get it back for {limit:g} s")
        pause = FIRST_PAUSE_SECONDS
        while True:
            # S311: this keeps readers apart, it keeps no secret.
            wait = min(pause * random.uniform(0.5, 1), until - time.monotonic())  # noqa: S311
            if self._stop.wait(max(0.0, wait)) or time.monotonic() >= until:
                return False
            pause = min(2 * pause, MAX_PAUSE_SECONDS)
            begin = time.monotonic()
            left = lost + limit - begin
            if left <= 0:
                raise StreamLostError(f"'{name}': {why}; it did not come back within {limit:g} s")
            self._connection = self._connect(again=True)
            if self._stop.is_set():
                return False
            try:
                source = self._opened(min(self._live.open_timeout, until - begin, left))
            except SourceError as error:
                why = str(error).removeprefix(f"'{name}': ")
                self._connection.leave()
                continue
            now = time.monotonic()
            # The first frames are as old as opening takes at its shortest; where it took longer, they came late.
            self._line.resume(max(begin, now - self._open_seconds))
            self._take_over(source.info)
            self.on_warning(f"'{name}': it is back after {now - lost:.1f} s")
            return True

    def _take_over(self, info: MediaInfo) -> None:
        """Go on with another connection's video and tracks. Raises ``StreamLostError`` for another video."""
        name, old, new = mask_url(self._path), self.info.video, info.video
        if (old.width, old.height, old.format) != (new.width, new.height, new.format):
            raise StreamLostError(
                f"'{name}': it came back as {new.width}x{new.height} {new.format.name} instead of "
                f"{old.width}x{old.height} {old.format.name}, so the output ends here; start again for the new video"
            )
        self._returned = True
        self._tracks, self._sent_before = {}, dict(self._last_sent)
        candidates = list(info.tracks)
        for track in self.info.tracks:
            same = next((one for one in candidates if _kind(one) == self._kinds[track.index]), None)
            if same is None:
                self.on_warning(
                    f"'{name}': {track.kind} 0:{track.index} did not come back as it was; left out from here"
                )
            else:
                candidates.remove(same)
                self._tracks[same.index] = track

    def stop(self) -> None:
        self._stop.set()
        self._connection.wake()

    def close(self) -> None:
        self._connection.leave()


def _kind(track: Track) -> tuple[Any, ...]:
    """What has to be the same for packets of one connection to go on in a track of another."""
    return track.kind, track.codec, track.sample_rate, track.channels, track.extradata
