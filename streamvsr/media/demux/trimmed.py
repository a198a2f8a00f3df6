"""A part of another source: ``-ss``, ``-t``, ``-to`` and ``-frames:v``, exact in rationals.

::

    source   ──┬──────┬─────────────────────┬────────
               0    start                  end
    frames            [first >= start ... last < end]
    packets           [begin >= start ... begin < end]      shifted so that ``start`` becomes 0

Sound usually comes a little behind or before its frames, so after the last frame the source is read on until every
audio track has passed the end. Subtitles are not waited for: their next packet may be minutes away.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction

from streamvsr.config import InputOptions
from streamvsr.errors import NoVideoError
from streamvsr.frames import Chapter, Frame, MediaInfo, Packet
from streamvsr.media.decode.clock import Shift
from streamvsr.media.demux.base import Source
from streamvsr.media.demux.describe import with_timecode
from streamvsr.media.demux.frame_index import FrameIndex

MAX_LATE_SECONDS = 10
"""How far behind the end frames are read (and thrown away) while sound is waited for; it may have fallen silent."""


class TrimmedSource(Source):
    """Frames and packets of ``source`` from ``start`` to ``end`` seconds (of its time), at most ``frames`` frames.

    Packets that came before the last of ``frames`` frames, and begin behind it, come out: it is not known by then that
    they do not belong. A sink leaves them out (``Sink.finish``).
    """

    def __init__(
        self,
        source: Source,
        start: Fraction | None = None,
        end: Fraction | None = None,
        frames: int | None = None,
        *,
        packets_only: bool = False,
    ) -> None:
        """``packets_only``: frames pass as they are, to be cut behind filters that change their times."""
        super().__init__()
        self._packets_only, self._enough = packets_only, False
        self.warnings = source.warnings
        self.on_warning = source.on_warning
        self.paced, self.streams = source.paced, source.streams
        self._source, self._start, self._end, self._frames = source, start, end, frames
        self._audio = {track.index for track in source.info.tracks if track.kind == "audio"}
        given, begin = source.info, start or Fraction(0)
        self._shift = Shift(given.video.time_base, Fraction(0), begin)
        self._shifts = {track.index: Shift(track.time_base, Fraction(0), begin) for track in given.tracks}
        info = _trimmed_info(given, begin, end, frames)
        video = given.video if packets_only else replace(info.video, time_base=self._shift.time_base)
        self.info = replace(
            info,
            video=video,
            tracks=tuple(replace(track, time_base=self._shifts[track.index].time_base) for track in info.tracks),
        )

    @property
    def names(self) -> Sequence[str]:
        """The names of the images, where the source has any (it counts its images from 0)."""
        names: Sequence[str] = getattr(self._source, "names", ())
        skipped = -(-(self._start or Fraction(0)) // self._source.info.video.time_base)
        return names[skipped:]

    def __iter__(self) -> Iterator[Frame | Packet]:
        self._source.on_warning = self.on_warning
        counted = 0
        reached: dict[int, Fraction] = {}
        """Where each track has come to."""
        waiting: set[int] | None = None
        """Audio tracks that have not passed the end; None while frames are still to come."""
        for item in self._source:
            if isinstance(item, Packet):
                begin, end = _begin(item), self._end
                if begin is not None:
                    reached[item.track] = max(begin, reached.get(item.track, begin))
                    if self._start is not None and begin < self._start:
                        continue
                if end is not None and begin is not None and begin >= end:
                    if waiting is not None:
                        waiting.discard(item.track)
                else:
                    yield self._shifted(item)
            elif waiting is None and self._packets_only:
                if self._enough:
                    waiting = self._behind(reached)
                else:
                    yield item
            elif waiting is None:
                if self._start is not None and item.seconds < self._start:
                    continue
                if self._end is None or item.seconds < self._end:
                    counted += 1
                    yield self._shifted(item)
                    if self._frames is not None and counted >= self._frames:
                        self.cut(self._end_of(item))
                        waiting = self._behind(reached)
                else:
                    waiting = self._behind(reached)
            elif self._end is not None and item.seconds > self._end + MAX_LATE_SECONDS:
                break
            if waiting is not None and not waiting:
                break

    def _behind(self, reached: Mapping[int, Fraction]) -> set[int]:
        """The audio tracks that have not come to the end."""
        return {n for n in self._audio if self._end is None or n not in reached or reached[n] < self._end}

    def skim(self) -> None:
        self._source.skim()

    def finish(self) -> None:
        """No more frames are wanted; may be called from another thread. Packets come up to the end."""
        self._enough = True

    def cut(self, end: Fraction) -> None:
        """No frame and no packet from ``end`` on is wanted any more; may be called from another thread."""
        self._end = end if self._end is None else min(self._end, end)

    def _end_of(self, frame: Frame) -> Fraction:
        if frame.duration:
            return frame.seconds + frame.duration * frame.time_base
        rate = self._source.info.video.frame_rate
        return frame.seconds + (1 / rate if rate else frame.time_base)

    def _shifted(self, item: Frame | Packet) -> Frame | Packet:
        if not self._start:
            return item
        shift = self._shift if isinstance(item, Frame) else self._shifts[item.track]
        duration = item.duration * shift.parts
        if isinstance(item, Frame):
            return replace(item, pts=shift(item.pts), time_base=shift.time_base, duration=duration)
        pts, dts = (None if stamp is None else shift(stamp) for stamp in (item.pts, item.dts))
        return replace(item, pts=pts, dts=dts, time_base=shift.time_base, duration=duration)

    def skip_video(self) -> None:
        self._source.skip_video()

    def frame_index(self) -> FrameIndex:
        index, shift = self._source.frame_index(), self._shift
        return index.moved(shift.ticks, shift.parts, shift.time_base) if self._start else index

    def begin_at(self, key: int) -> None:
        self._source.begin_at(self._shift.back(key) if self._start else key)

    def clip(self, first: int | None, last: int | None) -> bytes:
        ends = (tick if tick is None or not self._start else self._shift.back(tick) for tick in (first, last))
        return self._source.clip(*ends)

    def stop(self) -> None:
        self._source.stop()

    def close(self) -> None:
        self._source.close()


def _begin(packet: Packet) -> Fraction | None:
    """When a packet is heard or shown, in seconds."""
    stamp = packet.pts if packet.pts is not None else packet.dts
    return None if stamp is None else stamp * packet.time_base


def _trimmed_info(info: MediaInfo, start: Fraction, end: Fraction | None, frames: int | None) -> MediaInfo:
    until = end if info.duration is None else min(end, info.duration) if end is not None else info.duration
    duration = None if until is None else max(Fraction(0), until - start)
    rate, hint = info.video.frame_rate, info.video.frames_hint
    if duration is not None and rate is not None:
        # -(-a // b): rounded up, because a frame that begins before the end is shown.
        expected = -(-duration * rate // 1)
        hint = expected if hint is None else min(hint, expected)
    if frames is not None:
        hint = frames if hint is None else min(hint, frames)
        if rate is not None:
            duration = frames / rate if duration is None else min(duration, frames / rate)
            until = start + duration
    return replace(
        info,
        video=replace(info.video, frames_hint=hint),
        duration=duration,
        chapters=tuple(_clipped(info.chapters, start, until)),
        video_metadata=with_timecode(info.video_metadata, start, rate),
    )


def _clipped(chapters: Sequence[Chapter], start: Fraction, until: Fraction | None) -> Iterator[Chapter]:
    for chapter in chapters:
        shift = round(start / chapter.time_base)
        begin, end = max(0, chapter.start - shift), chapter.end - shift
        if until is not None:
            end = min(end, round((until - start) / chapter.time_base))
        if end > begin:
            yield replace(chapter, start=begin, end=end)


def check_begin(
    input: InputOptions, open_again: Callable[[InputOptions], Source], later: Fraction = Fraction(0)
) -> None:
    """Raise ``NoVideoError`` where ``-ss`` lies behind the last frame of a file, for a container that says so: headers
    are wrong at times, and ``open_again``'s source is read for a frame.

    ``later``: the ``-ss`` of the output, which counts from where the input begins.
    """
    late = replace(input, start=(input.start or Fraction(0)) + later)
    if not late.start or not os.path.isfile(input.path):
        return
    with closing(open_again(late)) as source:
        if not any(isinstance(item, Frame) for item in source):
            raise NoVideoError(f"-ss {float(later or late.start):g}: the input ends before that")
