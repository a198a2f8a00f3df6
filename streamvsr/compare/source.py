"""A comparison as a source: the frames of several runs become those of one, which writes them like any other."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

from streamvsr.compare.options import CompareOptions
from streamvsr.compare.painter import Painter
from streamvsr.compare.pairing import by_frames, by_time
from streamvsr.compare.schedule import ASSUMED_RATE, make_schedule
from streamvsr.errors import UsageError
from streamvsr.frames import PIXEL_FORMATS, Frame, MediaInfo, Packet, StreamInfo
from streamvsr.media.av_frames import color_after, from_av, to_av
from streamvsr.media.color.arrays import Pixels, with_rgb
from streamvsr.media.demux.base import Source
from streamvsr.pipeline.frame_sink import FrameReader


class CompareSource(Source):
    """Owns the readers. Sound comes from the first; where the frame stands still, the sound does too."""

    def __init__(
        self, readers: Sequence[FrameReader], options: CompareOptions, *, mode: str, labels: Sequence[str],
        pair: str, clock: int, sound: bool, rgb: bool,
    ) -> None:  # fmt: skip
        """``clock``: the input whose time stamps are taken. ``rgb``: make RGB rather than 4:2:0, for still images."""
        super().__init__()
        self._readers, self._options, self._pair, self._clock = readers, options, pair, clock
        self._mode = mode
        self._stop = threading.Event()
        infos = [reader.media.video for reader in readers]
        self._painter = Painter(infos, options, mode, labels)
        base = infos[clock]
        frames = min((hint for hint in (_frames(info, base, pair) for info in infos) if hint), default=None)
        self._schedule = make_schedule(options, self._painter.cell[0], frames, base.frame_rate, sound=sound)
        if frames is not None and mode == "wipe":
            frames = self._schedule.total(frames)
        self._rate = options.frame_rate or base.frame_rate
        self._time_base = 1 / options.frame_rate if options.frame_rate else base.time_base
        deep = self._painter.deep
        name = ("gbrp16le" if deep else "gbrp") if rgb else ("yuv420p10le" if deep else "yuv420p")
        self._format = PIXEL_FORMATS[name]
        size = (self._painter.width, self._painter.height)
        video = StreamInfo(
            *size, self._format, self._time_base, self._rate, self._painter.sample_aspect_ratio,
            base.color if rgb else color_after(base.color, name, *size),
            frames_hint=1 if options.still is not None else frames,
        )  # fmt: skip
        tracks = [track for track in readers[0].media.tracks if track.kind == "audio"] if sound else []
        self.info = MediaInfo(video, tuple(tracks), duration=readers[clock].media.duration)
        self.streams = readers[0].frame_sink.streams
        self._tracks = {track.index for track in tracks}

    def __iter__(self) -> Iterator[Frame | Packet]:
        if self._options.still is not None:
            yield self._still(self._options.still)
            return
        number, shift, pause_at, end = -1, 0, None, Fraction(0)
        cells: list[Pixels] = []
        frame: Frame | None = None
        for number, together in enumerate(self._together()):
            cells = self._painter.cells(together)
            frame = self._stamped(together[self._clock], number, shift)
            made = self._made(frame, cells, self._position(number))
            yield made
            for again in range(1, self._repeats(number) + 1):
                shift += self._gap(frame)
                yield replace(made, pts=made.pts + again * self._gap(frame))
                pause_at = together[self._clock].seconds
            end = together[self._clock].seconds + self._gap(frame) * frame.time_base
            yield from self._packets(pause_at, shift, end)
            if self._stop.is_set():
                return
        if frame is not None and self._mode == "wipe":
            for again, position in enumerate(self._schedule.ending(number), start=1):
                if self._stop.is_set():
                    return
                yield self._made(replace(frame, pts=frame.pts + again * self._gap(frame)), cells, position)
        # Sound of frames that are not shown, because another input is over, is left out.
        yield from self._packets(pause_at, shift, None if self._readers[0].over else end)

    def stop(self) -> None:
        self._stop.set()
        for reader in self._readers:
            reader.stop()

    def close(self) -> None:
        for reader in self._readers:
            reader.close()

    def _together(self) -> Iterator[list[Frame]]:
        if self._pair == "frames":
            return by_frames(self._readers)
        # The input whose time counts goes first, and back to its place afterwards.
        order = [self._clock, *(n for n in range(len(self._readers)) if n != self._clock)]
        rates = [self._readers[n].media.video.frame_rate for n in order]
        clock, *others = (self._readers[n] for n in order)
        back = sorted(range(len(order)), key=order.__getitem__)
        return ([found[n] for n in back] for found in by_time(clock, others, rates))

    def _still(self, wanted: int) -> Frame:
        number = -1
        for number, together in enumerate(self._together()):
            if number == wanted:
                frame = replace(self._stamped(together[self._clock], 0, 0), pts=0)
                return self._made(frame, self._painter.cells(together), self._position(number))
        raise UsageError(f"--still {wanted}: the last frame is {number}, counted from 0")

    def _position(self, number: int) -> int | None:
        if self._mode == "split":
            return self._schedule.span // 2
        return self._schedule.position(number) if self._mode == "wipe" else None

    def _repeats(self, number: int) -> int:
        return self._schedule.repeats(number) if self._mode == "wipe" else 0

    def _gap(self, frame: Frame) -> int:
        """Ticks from one repeated frame to the next."""
        return frame.duration or max(1, round(1 / (self._rate or ASSUMED_RATE) / frame.time_base))

    def _stamped(self, frame: Frame, number: int, shift: int) -> Frame:
        if self._options.frame_rate:
            return replace(frame, pts=number + shift, duration=1, time_base=self._time_base, discontinuity=False)
        return replace(frame, pts=frame.pts + shift, discontinuity=False)

    def _made(self, frame: Frame, cells: Sequence[Pixels], position: int | None) -> Frame:
        painted = with_rgb(frame, self._painter.compose(cells, position, self._schedule.line_width))
        if self._format.family == "rgb":
            return painted
        made = to_av(painted, av_format=self._format.name)
        return from_av(made, pts=frame.pts, time_base=frame.time_base, duration=frame.duration)

    def _packets(self, pause_at: Fraction | None, shift: int, until: Fraction | None) -> Iterator[Packet]:
        """Those before ``until``; None: all. The input has read some frames ahead, and their sound has to wait."""
        for packet in self._readers[0].packets(until):
            seconds = packet.seconds
            if packet.track not in self._tracks:
                continue
            if pause_at is not None and seconds is not None and seconds > pause_at:
                ticks = round(shift * self._time_base / packet.time_base)
                moved = [None if stamp is None else stamp + ticks for stamp in (packet.pts, packet.dts)]
                packet = replace(packet, pts=moved[0], dts=moved[1])
            yield packet


def _frames(info: StreamInfo, base: StreamInfo, pair: str) -> int | None:
    """How many frames of ``base`` an input lasts for, as far as containers tell."""
    if info.frames_hint is None or pair == "frames":
        return info.frames_hint
    if not info.frame_rate or not base.frame_rate:
        return None
    return math.ceil(info.frames_hint / info.frame_rate * base.frame_rate)
