"""Writers of the tracks beside the video: one copies packets, one converts audio, one converts text subtitles."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av

from streamvsr.config import OutputOptions
from streamvsr.errors import UsageError
from streamvsr.frames import Packet, Track
from streamvsr.media.av_errors import FOREIGN
from streamvsr.media.av_packets import AvPacket, av_packet
from streamvsr.media.encode.options import MOV_FAMILY, parse_rate
from streamvsr.media.mux.silence import MAX_JUMP_SECONDS, TIMELESS, PauseFiller, plays_on
from streamvsr.media.mux.track_plan import ONLY_RATE, TrackPlan, add_track

BITS_PER_CHANNEL = {
    "aac": 96_000,
    "libopus": 80_000,
    "libmp3lame": 96_000,
    "mp2": 128_000,
    "ac3": 96_000,
    "eac3": 96_000,
}

LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}

ADTS_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


class TrackWriter(ABC):
    """Turns packets of one input track into packets of one output stream."""

    stream: Any

    @abstractmethod
    def write(self, packet: Packet) -> Iterator[AvPacket]:
        """The packets to mux for this one."""

    def finish(self) -> Iterator[AvPacket]:
        """What is still inside."""
        yield from ()

    def close(self) -> None:
        """No more will be written, however it ended."""


class CopyWriter(TrackWriter):
    """Bytes, stamps and side data as they came."""

    def __init__(
        self, container: Any, plan: TrackPlan, *, fragmented: bool, on_warning: Callable[[str], None] = lambda _: None
    ) -> None:
        self.stream = add_track(container, plan)
        self._pauses = pause_filler(container.format.name, plan, on_warning)
        self._filter: av.BitStreamFilterContext | None = None
        # A header that comes again, where recordings stand behind each other. FFmpeg 8.1 writes it into Matroska's own
        # header, over what stands behind its place there.
        self._drops_headers = container.format.name in ("matroska", "webm")
        if fragmented and plan.track.codec == "aac" and not plan.track.extradata:
            # AAC from MPEG-TS carries its parameters in every packet. The muxer converts it, except in fragments.
            self.stream.codec_context.extradata = audio_specific_config(plan.track)
            # Not with the output stream as second argument: the filter would then set a tag that mp4 refuses.
            self._filter = av.BitStreamFilterContext("aac_adtstoasc", plan.stream)

    def write(self, packet: Packet) -> Iterator[AvPacket]:
        if self._drops_headers and packet.side_data:
            kept = tuple(side for side in packet.side_data if side[0] != "new_extradata")
            packet = replace(packet, side_data=kept)
        for one in [packet] if self._pauses is None else self._pauses.fill(packet):
            copied = av_packet(one)
            for filtered in [copied] if self._filter is None else self._filter.filter(copied):
                filtered.stream = self.stream
                yield filtered


def pause_filler(container: str, plan: TrackPlan, on_warning: Callable[[str], None]) -> PauseFiller | None:
    """What a copied sound track needs in a container that cannot say when it pauses; None elsewhere."""
    track = plan.track
    if track.kind != "audio" or not plays_on(container, track.codec):
        return None
    name = f"audio track {track.index}"
    return PauseFiller(container, track.codec, track.sample_rate, track.channels, name, on_warning)


def audio_specific_config(track: Track) -> bytes:
    """The two bytes that stand in an mp4 for what ADTS repeats: object type, rate, channels of the AAC-LC core."""
    rate, channels = track.sample_rate, track.channels
    if "HE" in track.profile:
        rate //= 2
    if "v2" in track.profile:
        channels = 1
    index = ADTS_RATES.index(rate) if rate in ADTS_RATES else 4
    bits = (2 << 11) | (index << 7) | ({8: 7}.get(channels, channels) << 3)
    return bits.to_bytes(2, "big")


class AudioDecoder:
    """Decodes a track once for all who convert it: several outputs, or one that has it twice.

    Each asks for the same packets in the same order, none need keep step with the others.
    """

    def __init__(self, context: Any) -> None:
        self.context = context
        self._asked: list[deque[list[tuple[Any, Fraction | None]] | BaseException]] = []

    def join(self) -> deque[Any]:
        """A place for what the others have had decoded already."""
        place: deque[Any] = deque()
        self._asked.append(place)
        return place

    def leave(self, place: deque[Any]) -> None:
        self._asked = [one for one in self._asked if one is not place]

    def decode(self, place: deque[Any], packet: Packet | None) -> list[tuple[Any, Fraction | None]]:
        """The frames of one packet, or of the end, and their times in seconds. Raises what FFmpeg raises."""
        if not place:
            result: list[tuple[Any, Fraction | None]] | BaseException
            try:
                frames = self.context.decode(None if packet is None else av_packet(packet))
                result = [(frame, None if frame.pts is None else frame.pts * frame.time_base) for frame in frames]
            except FOREIGN as exc:
                result = exc
            for one in self._asked:
                one.append(result)
        taken = place.popleft()
        if isinstance(taken, BaseException):
            raise taken
        return list(taken)


class AudioWriter(TrackWriter):
    """Decodes and encodes audio; time stamps are counted in samples, and follow the input's where it jumps."""

    def __init__(
        self, container: Any, plan: TrackPlan, output: OutputOptions, options: Mapping[str, str],
        on_warning: Callable[[str], None], decoder: AudioDecoder | None = None,
    ) -> None:  # fmt: skip
        """``decoder``: that of the track where others convert it too."""
        self.stream = add_track(container, plan)
        self._name = f"audio track {plan.track.index}"
        self._warn: Callable[[str], None] | None = on_warning
        self._source = decoder or AudioDecoder(plan.stream.codec_context)
        self._place = self._source.join()
        self._decoder: Any = self._source.context
        if not self._decoder.is_open and self._decoder.layout.name not in LAYOUTS.values():
            # "2 channels" of a file that does not say which: no encoder takes that.
            self._decoder.layout = LAYOUTS.get(self._decoder.layout.nb_channels, self._decoder.layout.name)
        self._configure(plan.codec, output, dict(options))
        self._resampler: av.AudioResampler | None = None
        self._shape: tuple[str, str, int] | None = None
        self._samples: int | None = None
        self._container = str(container.format.name)

    def _configure(self, codec: str, output: OutputOptions, options: dict[str, str]) -> None:
        encoder: Any = self.stream.codec_context
        known = av.Codec(codec, "w")
        only = ONLY_RATE.get(str(self.stream.container.format.name))
        rate = _number(options.pop("ar", None), "-ar") or only or self._decoder.sample_rate
        channels = _number(options.pop("ac", None), "-ac")
        encoder.sample_rate = nearest_rate(rate, known.audio_rates)
        encoder.format = nearest_sample_format(self._decoder.format, known.audio_formats or ())
        same = self._decoder.layout
        layouts = [LAYOUTS[channels]] if channels in LAYOUTS else [same, LAYOUTS.get(same.nb_channels, "5.1"), "stereo"]
        encoder.layout = next((x for x in layouts if _takes(codec, encoder, x)), layouts[-1])
        encoder.time_base = Fraction(1, encoder.sample_rate)
        if output.audio_bit_rate is not None:
            encoder.bit_rate = parse_rate(output.audio_bit_rate, "-b:a")
        elif codec in BITS_PER_CHANNEL:
            usual = BITS_PER_CHANNEL[codec] * encoder.layout.nb_channels
            # Too much for low sampling rates, where the encoder's own default stands in.
            encoder.bit_rate = usual if _takes(codec, encoder, encoder.layout, usual) else 0
        encoder.options.update(options)
        try:
            encoder.open()
        except FOREIGN as exc:
            given = " ".join(f"-{key} {value}" for key, value in options.items())
            given += f" -b:a {output.audio_bit_rate}" if output.audio_bit_rate is not None else ""
            sound = f"{encoder.sample_rate} Hz {encoder.layout.name}"
            raise UsageError(f"{self._name}: {codec} refuses {sound} with {given or 'its defaults'}") from exc

    def write(self, packet: Packet) -> Iterator[AvPacket]:
        try:
            frames = self._source.decode(self._place, packet)
        except FOREIGN as exc:
            self._complain(exc)
            return
        for frame, start in frames:
            yield from self._encode(frame, start)

    def finish(self) -> Iterator[AvPacket]:
        try:
            rest = self._source.decode(self._place, None)
        except FOREIGN:
            rest = []
        for frame, start in rest:
            yield from self._encode(frame, start)
        yield from self._feed(self._drain())
        if self._shape is not None:
            yield from self.stream.encode(None)

    def close(self) -> None:
        self._source.leave(self._place)

    def _encode(self, frame: Any, start: Fraction | None) -> Iterator[AvPacket]:
        encoder = self.stream.codec_context
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self._shape:
            # A broadcast changes from stereo to 5.1 between two packets; a resampler cannot.
            yield from self._feed(self._drain())
            self._shape = shape
            self._resampler = av.AudioResampler(encoder.format, encoder.layout, encoder.sample_rate)
        assert self._resampler is not None
        if self._samples is None and self._container in TIMELESS:
            self._samples = 0
        if self._samples is None or (start is not None and self._jumped(start)):
            stamp = round((start or 0) * encoder.sample_rate)
            if self._samples is not None and plays_on(self._container, encoder.codec.canonical_name):
                yield from self._feed(silence(encoder, stamp - self._samples))
            else:
                self._samples = stamp
        frame.pts = None
        yield from self._feed(self._resampler.resample(frame))

    def _jumped(self, start: Fraction) -> bool:
        assert self._samples is not None
        return abs(start - Fraction(self._samples, self.stream.codec_context.sample_rate)) > MAX_JUMP_SECONDS

    def _drain(self) -> list[Any]:
        return [] if self._resampler is None else [f for f in self._resampler.resample(None) if f is not None]

    def _feed(self, frames: Iterable[Any]) -> Iterator[AvPacket]:
        rate = self.stream.codec_context.sample_rate
        for frame in frames:
            frame.pts, frame.time_base = self._samples, Fraction(1, rate)
            self._samples = (self._samples or 0) + frame.samples
            yield from self.stream.encode(frame)

    def _complain(self, exc: BaseException) -> None:
        if self._warn is not None:
            self._warn(f"{self._name}: a damaged packet was passed over ({exc})")
            self._warn = None


def silence(encoder: Any, count: int) -> Iterator[Any]:
    """So many silent samples in an encoder's own format, a second at a time; none for a count below 1."""
    while count > 0:
        samples = min(count, encoder.sample_rate)
        frame: Any = av.AudioFrame(encoder.format.name, encoder.layout.name, samples)
        frame.sample_rate = encoder.sample_rate
        for plane in frame.planes:
            plane.update((b"\x80" if encoder.format.name.startswith("u8") else b"\0") * plane.buffer_size)
        yield frame
        count -= samples


def _takes(codec: str, like: Any, layout: Any, bit_rate: int = 0) -> bool:
    """Whether the encoder opens with these; asked of another context, because one that failed stays broken."""
    context: Any = av.CodecContext.create(codec, "w")
    context.sample_rate, context.format, context.layout = like.sample_rate, like.format, layout
    context.time_base, context.bit_rate = Fraction(1, like.sample_rate), bit_rate
    try:
        context.open()
    except FOREIGN:
        return False
    return True


def _number(text: str | None, flag: str) -> int | None:
    if text is None:
        return None
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"{flag} {text}: a positive number is needed")
    return int(text)


def nearest_rate(rate: int, rates: list[int] | None) -> int:
    """The same, else the next higher, else the highest that the encoder has."""
    if not rates or rate in rates:
        return rate
    return min((r for r in rates if r > rate), default=max(rates))


def nearest_sample_format(source: Any, formats: Any) -> Any:
    """The same, else its planar or packed twin, else the one with the fewest bits that loses none."""
    names = {f.name: f for f in formats}
    for name in (source.name, source.planar.name, source.packed.name):
        if name in names:
            return names[name]
    return min(formats, key=lambda f: (f.bits < source.bits, f.bits), default=source)


class SubtitleWriter(TrackWriter):
    """Decodes and encodes text subtitles. A packet that fails ends the track with a warning, never the run."""

    def __init__(self, container: Any, plan: TrackPlan, on_warning: Callable[[str], None]) -> None:
        self.stream = add_track(container, plan)
        self._name = f"subtitle track {plan.track.index}"
        self._warn = on_warning
        self._ended = False
        self._decoder: Any = plan.stream.codec_context
        self._decoder.open(strict=False)
        encoder: Any = self.stream.codec_context
        encoder.subtitle_header = self._decoder.subtitle_header or ASS_HEADER
        encoder.time_base = Fraction(1, 1000)
        encoder.open()
        if container.format.name in MOV_FAMILY:
            # The track's own ticks; 1/1000 would do, but FFmpeg's default for text is a million.
            self.stream.time_base = Fraction(1, 1000)

    def write(self, packet: Packet) -> Iterator[AvPacket]:
        if self._ended or packet.pts is None:
            return
        try:
            converted = self._convert(packet)
        except FOREIGN as exc:
            self._ended = True
            self._warn(f"{self._name} ends here: a subtitle cannot be converted ({exc})")
            return
        if converted is not None:
            yield converted

    def _convert(self, packet: Packet) -> AvPacket | None:
        subtitles = self._decoder.decode2(av_packet(packet))
        if subtitles is None or not len(subtitles):
            return None
        encoded: AvPacket = self.stream.codec_context.encode_subtitle(subtitles)
        # FFmpeg's subtitle encoders know nothing of time: the input's packet does.
        encoded.time_base = packet.time_base
        encoded.pts = encoded.dts = packet.pts
        shown = Fraction(int(subtitles.end_display_time), 1000)
        encoded.duration = packet.duration or round(shown / packet.time_base)
        encoded.is_keyframe = True
        encoded.stream = self.stream
        return encoded


ASS_HEADER = b"""[Script Info]
ScriptType: v4.00+
PlayResX: 384
PlayResY: 288
ScaledBorderAndShadow: yes

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
"""What decoders of plain text give; without sizes in it mov_text writes a font of size 0."""
