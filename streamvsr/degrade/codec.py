"""Video compression by real encoders, in memory: no file and no container."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from streamvsr.degrade.base import Frame, as_frame, choose
from streamvsr.media.av_frames import ACCURATE

RATE = Fraction(25)


@dataclass(frozen=True, slots=True)
class Codec:
    """An encoder with its decoder."""

    encoder: str
    decoder: str
    quality: tuple[float, float]
    """Bounds of its quantiser scale, finest first: CRF where ``option`` is "crf", else ``qmin`` = ``qmax``."""
    options: Mapping[str, str]
    crf: bool = True


CODECS: Mapping[str, Codec] = {
    # Without cpu-independent its look-ahead is not reproducible from run to run on frames as small as patches.
    "h264": Codec("libx264", "h264", (18, 38), {"preset": "veryfast", "x264-params": "cpu-independent=1"}),
    "vp9": Codec("libvpx-vp9", "vp9", (20, 55), {"deadline": "realtime", "cpu-used": "8", "b": "0"}),
    "mpeg4": Codec("mpeg4", "mpeg4", (2, 16), {}, crf=False),
    "mpeg2": Codec("mpeg2video", "mpeg2video", (2, 20), {}, crf=False),
}


@dataclass(frozen=True, slots=True)
class VideoCompression:
    """The whole sequence through one encoder, at one setting.

    The setting is a quantiser and not, as in the paper, a bit rate: what a bit rate does to a frame depends on the
    size of the patch. From frame to frame the encoder itself varies what it does.
    """

    probability: float
    codecs: Mapping[str, float]
    """Name in ``CODECS`` -> weight."""
    strength: tuple[float, float] = (0.0, 1.0)
    """The part of each codec's bounds that is drawn from: 0 its finest quantiser, 1 its coarsest."""
    gop: tuple[int, int] = (8, 250)
    """Bounds of the distance of key frames, drawn on a logarithmic scale."""

    def apply(self, frames: list[Frame], rng: np.random.Generator) -> list[Frame]:
        if rng.random() >= self.probability:
            return frames
        codec = CODECS[choose(self.codecs, rng)]
        finest, coarsest = codec.quality
        quality = finest + (coarsest - finest) * rng.uniform(*self.strength)
        gop = round(float(np.exp(rng.uniform(*np.log(self.gop)))))
        return through(codec, frames, quality, gop)


def through(codec: Codec, frames: list[Frame], quality: float, gop: int = 250) -> list[Frame]:
    """Encode and decode ``frames`` (all of one size): as many come back, of the same size, 8-bit 4:2:0 in between."""
    height, width, channels = frames[0].shape
    encoder = av.CodecContext.create(codec.encoder, "w")
    assert isinstance(encoder, av.VideoCodecContext)
    # 4:2:0 needs even sizes.
    encoder.width, encoder.height = width + width % 2, height + height % 2
    encoder.pix_fmt, encoder.time_base, encoder.framerate, encoder.gop_size = "yuv420p", 1 / RATE, RATE, gop
    # One thread: the same result on every machine, and the cores are for the network.
    encoder.thread_count = 1
    options = dict(codec.options)
    if codec.crf:
        options["crf"] = f"{quality:.1f}" if codec.encoder != "libvpx-vp9" else f"{quality:.0f}"
    else:
        encoder.qmin = encoder.qmax = round(quality)
        encoder.bit_rate = 100_000_000  # never the limit
    encoder.options = options
    decoder = av.CodecContext.create(codec.decoder, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.thread_count = 1

    def decoded() -> Iterator[av.VideoFrame]:
        for number, frame in enumerate(frames):
            av_frame = _to_video(frame, channels == 1)
            av_frame.pts, av_frame.time_base = number, 1 / RATE
            for packet in encoder.encode(av_frame):
                yield from decoder.decode(packet)
        for packet in encoder.encode(None):
            yield from decoder.decode(packet)
        yield from decoder.decode(None)

    result = [_from_video(av_frame, channels == 1)[:height, :width] for av_frame in decoded()]
    if len(result) != len(frames):
        raise RuntimeError(f"{codec.encoder} gave {len(result)} of {len(frames)} frames")
    return result


def _to_video(frame: Frame, luma: bool) -> av.VideoFrame:
    height, width = frame.shape[:2]
    padded = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    if not luma:
        rgb = (padded * 255).round().clip(0, 255).astype(np.uint8)
        return av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv420p", interpolation=ACCURATE)
    rows = padded.shape[0]
    # Luma between its black and white of video; without colour.
    planes = np.full((rows + rows // 2, padded.shape[1]), 128, np.uint8)
    planes[:rows] = (padded[:, :, 0] * 219 + 16).round().clip(0, 255)
    return av.VideoFrame.from_ndarray(planes, "yuv420p")


def _from_video(av_frame: av.VideoFrame, luma: bool) -> Frame:
    if not luma:
        rgb = av_frame.to_ndarray(format="rgb24", interpolation=ACCURATE)
        return as_frame(rgb.astype(np.float32) / np.float32(255))
    plane = av_frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
    return as_frame((rows.astype(np.float32) - 16) / np.float32(219))
