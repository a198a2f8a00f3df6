"""Pictures that were once a video, and that video: its sound, its other tracks, its time stamps, its tags.

What ``streamvsr merge frames/ out.mp4 --audio-from in.mp4`` reads. The video is decoded with the pictures and dropped,
which is how its packets and time stamps come at the right moment.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

from streamvsr.frames import Frame, Packet, StreamInfo
from streamvsr.media.decode.conform import Orientation
from streamvsr.media.demux.base import Source
from streamvsr.media.demux.image_sequence import DEFAULT_RATE

LATE_SECONDS = 10
"""How far behind the last picture the video is read for sound that belongs to it."""


class SourceWithTracks(Source):
    """The frames of ``pictures`` with everything else of ``video``; owns both."""

    def __init__(self, pictures: Source, video: Source, *, times: bool) -> None:
        """``times``: the n-th picture takes the time of the video's n-th frame; else pictures keep their own."""
        super().__init__()
        self._pictures, self._video, self._times = pictures, video, times
        self._stop = threading.Event()
        self.warnings += [*pictures.warnings, *video.warnings]
        own, other = pictures.info.video, video.info.video
        self._color = replace(own.color, primaries=other.color.primaries, transfer=other.color.transfer)
        if own.format.family == "rgb":
            # With these tags it becomes what the video was: same matrix and range, same look.
            self._color = replace(other.color, chroma_location=0)
        info = replace(own, color=self._color, mastering=other.mastering, **_shape(own, other))
        if times:
            info = replace(info, time_base=other.time_base, frame_rate=other.frame_rate)
        self.info, self.streams = replace(video.info, video=info), video.streams

    def __iter__(self) -> Iterator[Frame | Packet]:
        self._pictures.on_warning = self._video.on_warning = self.on_warning
        video = iter(self._video)
        count = matched = 0
        last: Frame | None = None
        end = Fraction(0)
        for picture in self._pictures:
            if self._stop.is_set() or not isinstance(picture, Frame):
                return
            packets, model = _next_frame(video)
            yield from packets
            matched += model is not None
            count += 1
            frame = replace(picture, color=self._color)
            if self._times:
                frame = self._at_the_time_of(model, last, frame)
            yield frame
            last, end = frame, frame.seconds + frame.duration * frame.time_base
        more = False
        # The sound of the last pictures may stand behind them; what begins after the end is dropped.
        for item in video:
            if self._stop.is_set():
                return
            if isinstance(item, Frame):
                more = True
                if item.seconds > end + LATE_SECONDS:
                    break
            elif item.seconds is None or item.seconds <= end:
                yield item
        if self._times and more:
            self.on_warning(f"the video goes on after the last of the {count} pictures: its rest is left out")
        elif self._times and matched < count:
            self.on_warning(f"there are {count} pictures for {matched} frames of the video")

    def stop(self) -> None:
        self._stop.set()
        self._pictures.stop()
        self._video.stop()

    def close(self) -> None:
        self._pictures.close()
        self._video.close()

    def _at_the_time_of(self, model: Frame | None, last: Frame | None, picture: Frame) -> Frame:
        info = self.info.video
        if model is not None:
            return replace(picture, pts=model.pts, time_base=model.time_base, duration=model.duration)
        # More pictures than frames: they go on at the nominal rate.
        gap = max(1, round(1 / (info.frame_rate or DEFAULT_RATE) / info.time_base))
        pts = 0 if last is None else last.pts + (last.duration or gap)
        return replace(picture, pts=pts, time_base=info.time_base, duration=gap)


def _shape(pictures: StreamInfo, video: StreamInfo) -> dict[str, Any]:
    """The sample aspect ratio, rotation and mirroring of pictures that were once this video.

    Pictures are written upright. Those of another program may lie as the video's frames do, and then need its tag; they
    have the shape of these.
    """
    orientation = Orientation(video.rotation, video.mirrored)
    ratio = video.sample_aspect_ratio
    as_stored = {"sample_aspect_ratio": ratio, "rotation": video.rotation, "mirrored": video.mirrored}
    if not orientation.filters:
        return as_stored
    if not orientation.swaps_sides:
        return {"sample_aspect_ratio": ratio}
    lying = pictures.width * video.height - pictures.height * video.width
    standing = pictures.width * video.width - pictures.height * video.height
    return as_stored if abs(lying) < abs(standing) else {"sample_aspect_ratio": 1 / ratio}


def _next_frame(video: Iterator[Frame | Packet]) -> tuple[list[Packet], Frame | None]:
    """(the packets before it, the next frame or None at the end)"""
    packets: list[Packet] = []
    for item in video:
        if isinstance(item, Frame):
            return packets, item
        packets.append(item)
    return packets, None
