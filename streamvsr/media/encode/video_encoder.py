"""One video encoder: opened, fed, and its packets given their stamps and durations."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
from av.codec.context import Flags as CodecFlags
from av.container import OutputContainer
from av.stream import Disposition
from av.video.frame import PictureType
from av.video.stream import VideoStream

from streamvsr.config import OutputOptions
from streamvsr.errors import SinkError, UsageError
from streamvsr.frames import Color, Frame, MediaInfo, StreamInfo
from streamvsr.media.av_errors import FOREIGN
from streamvsr.media.av_frames import as_av, color_after, rescaled, to_av
from streamvsr.media.encode.options import HARDWARE, SOFTWARE_TWIN, option_names, parse_rate, with_quality
from streamvsr.media.encode.palette import PALETTE, SAMPLES, Palettes
from streamvsr.media.encode.shift import Shifts, is_grid
from streamvsr.media.encode.stated_color import stated_color
from streamvsr.media.ffmpeg_log import listening
from streamvsr.media.hdr import with_mastering
from streamvsr.threads import scheduling_kept

DECODING_TIMES = frozenset({"avi", "asf", "asf_stream", "wtv"})
"""Containers that know when a frame is decoded, and not when it is shown."""

MAX_RATE = 480
"""Frames per second above which a stated rate is taken for a mistake (files that claim 1000 or 90000)."""

ASSUMED_RATE = Fraction(25)
"""For encoders' rate control and for grids, where nothing better is known. Time stamps decide what is shown when."""

ANY_TIME_BASE = frozenset({"libx264", "libx265", "libsvtav1", "libvpx-vp9", "libvpx", "ffv1", "prores_ks", "mjpeg"})
"""Encoders that are known to take any unit of time; others are asked before they are opened for good."""

X265_NARROW = 64
"""In narrower frames x265's cutree overruns a heap buffer (seen up to 48 pixels, with AVX2, in 4.2 and 4.3)."""

SVT_AV1_SMALLEST = 32
"""SVT-AV1 crashes or hangs with smaller frames (seen under 30 pixels, with FFmpeg 8.1's)."""

LAMBDA_PER_QUANTISER = 118
"""FFmpeg's FF_QP2LAMBDA: the unit of an encoder's global_quality."""

DNXHR = {"yuv422p10le": "dnxhr_hqx", "yuv444p10le": "dnxhr_444", "gbrp10le": "dnxhr_444"}
"""The profile of each depth."""

MAX_DENOMINATOR = 65535
"""MPEG-4's limit for ticks a second."""

MAX_REORDERING_SECONDS, MAX_REORDERING_FRAMES = 600, 16
"""From the decoding of a frame to its showing, plus the time of so many frames: far more than any encoder reorders."""

STALE_TAGS = frozenset({"encoder", "rotate", "bps", "duration", "number_of_frames", "number_of_bytes", "alpha_mode"})
"""Stream tags that describe the video that was read, in lower case; also what mkvmerge adds with a language suffix."""


def kept_tags(metadata: Any) -> dict[str, str]:
    """Stream metadata without what was only true of the stream that was read."""
    return {
        key: value
        for key, value in metadata.items()
        if key.lower().split("-")[0] not in STALE_TAGS and not key.lower().startswith("_statistics")
    }


class VideoEncoder:
    """Owns the video stream of ``container``, which carries its parameters and no packets."""

    def __init__(
        self, container: OutputContainer, codec: str, options: dict[str, str], output: OutputOptions, media: MediaInfo,
        pixel_format: str, target: str, *, in_front: bool,
    ) -> None:  # fmt: skip
        """``target``: the container that its packets are for. ``in_front``: see ``PacketEncoder``.

        Raises UsageError for options that the encoder refuses, SinkError for one that cannot run on this machine."""
        info = media.video
        self.codec = codec
        self.pixel_format = pixel_format
        fed = output_color(info, pixel_format)
        self.color = stated_color(fed, pixel_format, codec, target, info.width, info.height)
        self._recolors = self.color != fed
        self._palettes = Palettes(info.width, info.height) if pixel_format == PALETTE else None
        if codec == "libsvtav1" and min(info.width, info.height) < SVT_AV1_SMALLEST:
            raise UsageError(
                f"libsvtav1 cannot encode {info.width}x{info.height}: {SVT_AV1_SMALLEST} pixels is the least it takes;"
                " choose another encoder with -c:v"
            )
        self.rate = plausible_rate(info.frame_rate)
        self.step = 1 / (self.rate or ASSUMED_RATE)
        """Seconds from a frame to the next where its duration is not stated."""
        self.key_seconds: Fraction | None = None
        """Make the first frame at or after each multiple of this a key frame: where segments are cut."""
        self._next_key = Fraction(0)
        self._last: int | None = None
        self._durations: dict[int, int] = {}
        """Stamps of frames inside the encoder, for those that do not hand durations through."""
        self._container, self._in_front = target, in_front
        self.shifts = Shifts()
        self._refusal: BaseException | None = None
        self._said: list[str] = []
        self.stream = self._add(container)
        self._describe(media)
        if self._container in DECODING_TIMES and "bf" in option_names(codec):
            # With B-frames every player would show the video late against the audio.
            options = {"bf": "0", **options}
        if codec == "dnxhd":
            # Its older profiles know a few sizes only.
            options = {"profile": DNXHR.get(pixel_format, "dnxhr_hq"), **options}
        if codec == "libx265" and info.width < X265_NARROW:
            options = {**options, "x265-params": ":".join(filter(None, (options.get("x265-params"), "cutree=0")))}
        if codec == "libvpx" and pixel_format.startswith("yuva"):
            # It refuses transparency together with its own default.
            options = {"auto-alt-ref": "0", **options}
        self._open(with_mastering(with_quality(output, codec, options), codec, info), output, info)
        tag = self.stream.codec_context.codec_tag
        self.codec_tag = tag if tag.strip("\0") else None
        """What the encoder itself calls its packets, where it does."""
        ticks = self.stream.codec_context.time_base
        # PyAV 19 has a rational type of its own, which Fraction does not compute with everywhere.
        self.time_base = Fraction(ticks.numerator, ticks.denominator)
        self._most_reordered = int(MAX_REORDERING_SECONDS / self.time_base)
        self._longest_step = 0
        """Between two frames, in ticks: across a gap frames are decoded as long before they are shown."""

    def _add(self, container: OutputContainer) -> VideoStream:
        try:
            stream = container.add_stream(self.codec, rate=self.rate or ASSUMED_RATE)
        except ValueError as exc:
            raise UsageError(f"{self._container} cannot hold {self.codec}; choose another with -c:v or -f") from exc
        assert isinstance(stream, VideoStream)
        return stream

    def _describe(self, media: MediaInfo) -> None:
        info, context, color = media.video, self.stream.codec_context, self.color
        context.color_range = 0 if color.full_range is None else 2 if color.full_range else 1
        context.colorspace, context.color_primaries, context.color_trc = color.matrix, color.primaries, color.transfer
        if color.chroma_location:
            context.options["chroma_sample_location"] = str(color.chroma_location)
        if info.sample_aspect_ratio > 0:
            context.sample_aspect_ratio = info.sample_aspect_ratio.limit_denominator(65535)
        if info.rotation or info.mirrored:
            self.stream.set_display_rotation(info.rotation, hflip=info.mirrored)
        self.stream.metadata.update(kept_tags(media.video_metadata))
        self.stream.disposition = Disposition(media.video_disposition)

    def _open(self, options: dict[str, str], output: OutputOptions, info: StreamInfo) -> None:
        tried = time_bases(self._container, self.codec, info.time_base, self.rate or ASSUMED_RATE)
        time_base = tried[0]
        if self.codec not in ANY_TIME_BASE and not HARDWARE.search(self.codec):
            # On contexts to throw away: PyAV 19 crashes when a context whose opening failed is opened again.
            scratch = (av.VideoCodecContext.create(self.codec, "w") for _ in tried)
            works = (t for t, c in zip(tried, scratch, strict=True) if self._opens(c, dict(options), output, info, t))
            time_base = next(works, time_base)
        if not self._opens(self.stream.codec_context, dict(options), output, info, time_base):
            raise self._cannot_open(options, info) from self._refusal

    def _opens(
        self, context: Any, options: dict[str, str], output: OutputOptions, info: StreamInfo, time_base: Fraction
    ) -> bool:
        context.width, context.height, context.pix_fmt = info.width, info.height, self.pixel_format
        context.framerate, context.time_base = self.rate or ASSUMED_RATE, time_base
        # PyAV's default, slices, costs x264 quality and keeps other encoders on one core.
        context.thread_type = "AUTO"
        header = CodecFlags.global_header.value
        context.flags = context.flags | header if self._in_front else context.flags & ~header
        quantiser = options.pop("q", None)
        if quantiser is not None:
            context.qscale, context.global_quality = True, round(float(quantiser) * LAMBDA_PER_QUANTISER)
            # MPEG's encoders read the quantiser off each frame, where PyAV cannot write it; this is their least one.
            options = {"qmin": str(max(1, round(float(quantiser)))), **options}
        if output.bit_rate is not None:
            context.bit_rate = parse_rate(output.bit_rate, "-b:v")
        if output.gop is not None:
            context.gop_size = output.gop
        context.options.update(options)
        # SVT-AV1 writes about itself to stderr, and listens to nothing else.
        os.environ.setdefault("SVT_LOG", "1")
        try:
            with listening() as said, scheduling_kept():
                context.open()
        except FOREIGN as exc:
            self._refusal, self._said = exc, said
            return False
        unknown = next((line for line in said if "Error parsing option" in line), None)
        if unknown is not None:
            # x264 passes over what it does not know in -x264-params.
            raise UsageError(unknown)
        return True

    def _cannot_open(self, options: dict[str, str], info: StreamInfo) -> Exception:
        if HARDWARE.search(self.codec):
            twin = SOFTWARE_TWIN.get(self.codec.split("_")[0])
            return SinkError(
                f"the encoder {self.codec} cannot be used on this machine (no such device, or no driver)"
                + (f"; -c:v {twin} does the same in software" if twin else "")
            )
        given = " ".join(f"-{key} {value}" for key, value in options.items())
        reason = f" ({self._said[-1]})" if self._said else ""
        return UsageError(
            f"{self.codec} refuses {info.width}x{info.height} {self.pixel_format}"
            f" with {given or 'its defaults'}{reason}"
        )

    def encode(self, frame: Frame) -> Iterator[av.Packet[Any]]:
        # A frame that nobody changed goes on as it is: a copy of each would cost 3 % of a fast encoder's time.
        if self._palettes is not None:
            av_frame = self._palettes(to_av(frame, av_format=SAMPLES))
        else:
            av_frame = self._recolored(frame) if self._recolors else as_av(frame, av_format=self.pixel_format)
        # Decoded frames say what type they were; x264 would make each of the source's key frames one of its own.
        av_frame.pict_type = 0
        seconds = frame.pts * frame.time_base
        if self.key_seconds is not None and seconds >= self._next_key:
            av_frame.pict_type = PictureType.I
            self._next_key = (seconds // self.key_seconds + 1) * self.key_seconds
        pts = self._ticks(frame.pts, frame.time_base)
        if self._last is not None and pts <= self._last:
            # Only a grid coarser than the stamps may bring two frames together; anything else is a fault upstream.
            if self.time_base <= frame.time_base:
                raise SinkError(f"frame time stamps do not increase: {float(seconds):.6f} s came again or backwards")
            pts = self._last + 1
        if self._last is not None:
            self._longest_step = max(self._longest_step, pts - self._last)
        self._last = pts
        self.shifts.add(seconds, pts * self.time_base if self.time_base > frame.time_base else None, self.step)
        duration = self._ticks(frame.duration, frame.time_base) if frame.duration else round(self.step / self.time_base)
        duration = max(1, duration)
        av_frame.pts, av_frame.time_base, av_frame.duration = pts, self.time_base, duration
        self._durations[pts] = duration
        yield from self._stamped(self.stream.encode(av_frame))

    def _recolored(self, frame: Frame) -> av.VideoFrame:
        """With the matrix and the range that the output can state."""
        if frame.format.family == "gray":
            av_frame = as_av(frame, av_format=self.pixel_format)
            color = color_after(frame.color, self.pixel_format, frame.width, frame.height)
        else:
            av_frame, color = as_av(frame), frame.color
        return rescaled(av_frame, frame.width, frame.height, self.pixel_format, color, self.color)

    def _ticks(self, count: int, unit: Fraction) -> int:
        """``count`` times ``unit`` in the encoder's unit, which is nearly always the same."""
        return count if unit == self.time_base else round(count * unit / self.time_base)

    def flush(self) -> Iterator[av.Packet[Any]]:
        yield from self._stamped(self.stream.encode(None))

    def _stamped(self, packets: list[av.Packet[Any]]) -> Iterator[av.Packet[Any]]:
        for packet in packets:
            duration = self._durations.pop(packet.pts if packet.pts is not None else -1, None)
            if packet.pts is not None and packet.dts is not None:
                ahead = packet.pts - packet.dts
                if not 0 <= ahead <= self._most_reordered + MAX_REORDERING_FRAMES * self._longest_step:
                    # x265's are uninitialised where the video is shorter than its reordering delay.
                    packet.dts = None
            if duration is not None:
                # Without it the last frame of an mp4 lasts as long as the one before, or not at all.
                packet.duration = duration
            yield packet


def plausible_rate(rate: Fraction | None) -> Fraction | None:
    return rate if rate is not None and 0 < rate <= MAX_RATE else None


def output_color(info: StreamInfo, pixel_format: str) -> Color:
    """The tags of what the encoder is fed with: the frames' own, or what their conversion makes of them."""
    if pixel_format == info.format.name and info.format.family != "rgb":
        return info.color
    return color_after(info.color, pixel_format, info.width, info.height)


def time_bases(container: str, codec: str, exact: Fraction, rate: Fraction) -> list[Fraction]:
    """What to try, best first: the stamps' own unit, a fine divisor of the frame's length, that length."""
    if is_grid(container, codec):
        return [1 / rate]
    fine = [Fraction(1, rate.numerator * n)] if (n := MAX_DENOMINATOR // rate.numerator) else []
    return [exact, *fine, Fraction(1, 60000), 1 / rate]
