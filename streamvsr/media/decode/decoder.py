"""Packets of one video in, its frames out, whatever of it is damaged.

A decoder with several threads is several packets behind, and reports what went wrong with one packet while it is given
another. In between that loses nothing: each call returns the outcome of one packet. At the end of the stream it does:
PyAV's flush returns the frames up to the first error, and FFmpeg allows no second flush. So the last packets are kept,
from a key frame on, and where the flush leaves some of them unanswered, a decoder with one thread, whose errors come
with their packets, decodes these packets once more and gives the frames that are missing.

Which packet a frame belongs to is known from its pts, which for the decoder is the number of the packet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import av
from av.error import EOFError as AvEOFError
from av.error import ExitError

from streamvsr.errors import StreamvsrError

MAX_BAD_PACKETS = 100
"""So many undecodable packets before the first frame, and the input counts as undecodable."""

IN_FLIGHT_PACKETS = 64
"""More than a decoder is ever behind: FFmpeg takes 16 threads at most by itself, and H.264 reorders 16 frames."""

KEPT_BYTES = 64 << 20
"""How much of the stream is kept for decoding its end again. Where key frames are further apart than this, that begins
between them, and the first frames of it may show what they lack."""

ANSWERS = 1024
"""For how many packets it is known whether their frames have come: damaged ones may leave gaps far behind."""


@dataclass(slots=True)
class _Sent:
    """What is known of a packet that went into the decoder."""

    pts: int | None
    shown: bool
    """Whether a frame is to be expected at all."""
    answered: bool = False
    interlaced: bool = False


class VideoDecoder:
    """The decoder of one stream. ``decode`` each packet, then ``decode(None)``, then ask ``report``."""

    def __init__(
        self, stream: Any, options: Mapping[str, str], *, low_delay: bool, on_damage: Callable[[], None]
    ) -> None:
        """``options``: FFmpeg's, for the decoder; ``low_delay``: no frames of delay for the sake of several threads.

        ``on_damage`` is called once, at the first packet or frame that is damaged.
        """
        self.context = alpha_decoder(stream) or stream.codec_context
        self.context.thread_type = "SLICE" if low_delay else "AUTO"
        self.context.options = self._options = dict(options)
        if self.context.codec.canonical_name == "hevc":
            # Frames whose references are missing: FFmpeg has shown them for most of its life, and hides them of late.
            self.context.flags |= av.codec.context.Flags.output_corrupt
        self._time_base = stream.time_base
        self._on_damage = on_damage
        self._low_delay = low_delay
        # Whoever asks for key frames alone does not miss the others.
        self._expects = not {"skip_frame", "discard"} & options.keys()
        self.needed_from: int | None = None
        """Packets of an earlier pts are decoded where others refer to them, and not missed; None: all are needed."""
        self.reset()

    def reset(self, *, sought: bool = False) -> None:
        """Begin anew; ``sought``: at a place where no recording begins."""
        self._sought = sought
        self.damaged = self.frames = self.missing = self.leading = 0
        """Packets or frames that are damaged; frames that came; packets without one, and those before the
        first key frame, which cannot have one."""
        self._sent: dict[int, _Sent] = {}
        self._count = 0
        self._kept: deque[tuple[int, av.Packet[Any]]] = deque()
        self._kept_bytes = 0
        self._key_frames: deque[int] = deque()
        self._first_pts: int | None = None
        self._first_key: int | None = None
        """The number of the first packet that is a key frame."""
        self._last: int | None = None
        """The number of the packet whose frame came last."""

    def decode(self, packet: av.Packet[Any] | None) -> Iterator[av.VideoFrame]:
        """The frames that come after this packet, or (None) all that the decoder still holds, with the pts of theirs.

        Raises ``UndecodableError`` where nothing can be decoded at all. The packet is changed, and kept.
        """
        if packet is not None:
            self._register(packet)
        try:
            frames = self.context.decode(packet)
        except AvEOFError:
            frames = []  # Flushed before.
        except ExitError:
            raise
        except av.FFmpegError as exc:
            self._count_damage(exc)
            frames = []
        for frame in frames:
            yield self._answered(frame)
        if packet is None:
            if any(not self._sent[number].answered and self._sent[number].shown for number, _ in self._kept):
                yield from self._decode_again()
            while self._sent:
                self._forget()

    def report(self) -> Iterator[str]:
        """Once all is decoded: what there is to say of it."""
        parts = []
        if self.damaged:
            parts.append(f"{self.damaged} damaged packets or frames in all")
        if self.missing:
            parts.append(f"{self.missing} of {self._count} packets of video gave no frame: these frames are missing")
        if self.leading and not (self._low_delay or self._sought):
            # A live stream is joined in the middle as a matter of course, and so is a recording that was sought in.
            parts.append(f"it begins between key frames: its first {self.leading} packets of video give no frame")
        if parts:
            yield f": {'; '.join(parts)}"

    def _register(self, packet: av.Packet[Any]) -> None:
        self._count += 1
        number = self._count
        shown = self._expects and not packet.is_discard and not is_hidden(packet, self.context.name)
        if self.needed_from is not None and self._expects and packet.pts is not None:
            needed = packet.pts >= self.needed_from
            self.context.skip_frame = "DEFAULT" if needed else "NONREF"
            shown = shown and needed
        self._sent[number] = _Sent(packet.pts, shown)
        if len(self._sent) > ANSWERS:
            self._forget()
        packet.pts = number
        self._kept.append((number, packet))
        self._kept_bytes += packet.size
        if packet.is_keyframe:
            self._first_key = self._first_key or number
            self._key_frames.append(number)
        # From the last key frame on behind which there are more packets than the decoder holds.
        begin = self._kept[0][0]
        while len(self._key_frames) > 1 and self._key_frames[1] <= number - IN_FLIGHT_PACKETS:
            self._key_frames.popleft()
            begin = self._key_frames[0]
        while self._kept[0][0] < begin or (self._kept_bytes > KEPT_BYTES and len(self._kept) > IN_FLIGHT_PACKETS):
            self._kept_bytes -= self._kept.popleft()[1].size
        while len(self._sent) > ANSWERS and next(iter(self._sent)) < self._kept[0][0]:
            self._forget()

    def _answered(self, frame: av.VideoFrame) -> av.VideoFrame:
        number = frame.pts
        sent = self._sent.get(number) if number is not None else None
        frame.pts = None if sent is None else sent.pts
        frame.time_base = self._time_base
        if sent is not None:
            sent.answered, sent.interlaced = True, bool(frame.interlaced_frame)
            self._last = number
            if self._first_pts is None:
                self._first_pts = sent.pts
        self.frames += 1
        if frame.is_corrupt:
            self._count_damage(None)
        return frame

    def _forget(self) -> None:
        """The oldest packet that is remembered has had its time."""
        number = next(iter(self._sent))
        sent = self._sent.pop(number)
        if sent.answered or not sent.shown:
            return
        following = self._sent.get(number + 1)
        if following is not None and sent.interlaced:
            following.shown = False
        # What leads up to the first frame refers to what was there before the stream was cut.
        if sent.pts is None or self._first_pts is None or sent.pts >= self._first_pts:
            self.missing += 1
        elif self._first_key is not None and number < self._first_key:
            self.leading += 1

    def _decode_again(self) -> Iterator[av.VideoFrame]:
        """The frames that should have come behind the last one that did."""
        context = self._single_threaded()
        last, last_pts = self._last, None if self._last is None else self._sent[self._last].pts
        passed = last is None
        for _, packet in [*self._kept, (0, None)]:
            try:
                frames = context.decode(packet)
            except av.FFmpegError:
                continue  # Counted before.
            for frame in frames:
                number = frame.pts
                if number == last:
                    passed = True
                sent = self._sent.get(number) if number is not None else None
                if sent is None or sent.answered:
                    continue
                later = last_pts is not None and sent.pts is not None and sent.pts > last_pts
                if passed or later:
                    yield self._answered(frame)

    def _single_threaded(self) -> Any:
        given = self.context
        context: Any = av.CodecContext.create(given.codec.name, "r")
        context.extradata = given.extradata
        context.codec_tag = given.codec_tag
        context.width, context.height = given.coded_width or given.width, given.coded_height or given.height
        if given.pix_fmt is not None:
            context.pix_fmt = given.pix_fmt
        context.options = {key: value for key, value in self._options.items() if key != "threads"}
        context.thread_count = 1
        context.thread_type = "NONE"
        context.flags |= given.flags
        if not self._kept[0][1].is_keyframe:
            context.flags |= av.codec.context.Flags.output_corrupt
        return context

    def _count_damage(self, exc: BaseException | None) -> None:
        self.damaged += 1
        if self.damaged == 1:
            self._on_damage()
        if self.damaged >= MAX_BAD_PACKETS and not self.frames:
            raise UndecodableError from exc


def alpha_decoder(stream: Any) -> Any:
    """libvpx's decoder for VP8 and VP9 whose transparency is a second frame in the side data of each packet (WebM's
    AlphaMode), which FFmpeg's own decoders pass over; None for any other stream, or without libvpx."""
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.codec.canonical_name)
    stated = {key.lower(): value for key, value in stream.metadata.items()}
    if name is None or stated.get("alpha_mode") != "1":
        return None
    try:
        context: Any = av.CodecContext.create(name, "r")
    except ValueError:
        return None
    given = stream.codec_context
    context.extradata, context.width, context.height = given.extradata, given.width, given.height
    return context


class UndecodableError(StreamvsrError):
    """Nothing of a video can be decoded; whoever knows the name of the input raises ``SourceError`` for it."""

    def __init__(self) -> None:
        super().__init__("no frame could be decoded; it is damaged, encrypted, or not supported")


def is_hidden(packet: av.Packet[Any], codec: str) -> bool:
    """Whether a packet holds but a frame that others refer to and that is never shown, as VP8 and VP9 have them."""
    if codec not in ("vp8", "vp9", "libvpx", "libvpx-vp9") or not packet.size:
        return False
    data = memoryview(packet)
    first, last = data[0], data[-1]
    if codec in ("vp8", "libvpx"):
        return not first & 0x10  # RFC 6386, 9.1: show_frame.
    if last & 0xE0 == 0xC0:
        return False  # A superframe: what is hidden comes together with what is shown.
    # VP9 bitstream specification, 6.2: marker (2 bits), profile (2, and 1 reserved in profile 3), show_existing_frame,
    # frame_type, show_frame.
    bits = first if first & 0x30 == 0x30 else first >> 1
    return not bits & 0b100 and not bits & 0b001
