"""The encoder as an output wants it: for a file, for segments, for who watches live."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction

from av.container import OutputContainer

from streamvsr.config import OutputOptions
from streamvsr.frames import MediaInfo, StreamInfo
from streamvsr.media.av_frames import target_format
from streamvsr.media.encode.options import LIVE_DEFAULTS
from streamvsr.media.encode.pixel_formats import planar_twin
from streamvsr.media.encode.video_encoder import ASSUMED_RATE, VideoEncoder, plausible_rate
from streamvsr.media.hdr import lost_mastering

LIVE_GOP_SECONDS = 2
"""Fragments begin at key frames: what a killed recording loses, and what who tunes in waits for."""


def open_encoder(
    container: OutputContainer,
    codec: str,
    options: Mapping[str, str],
    output: OutputOptions,
    media: MediaInfo,
    pixel_format: str,
    *,
    live: bool,
    short_gop: bool,
    segment: Fraction | None,
) -> VideoEncoder:
    """``live``: somebody watches, so no frame is held back. ``short_gop``: somebody may begin to read anywhere.
    ``segment``: seconds after each of which a key frame has to come."""
    if live:
        options = {**LIVE_DEFAULTS.get(codec, {}), **options}
    given = output.gop is not None
    if not given and (live or (short_gop and segment is None)):
        rate = plausible_rate(media.video.frame_rate) or ASSUMED_RATE
        output = replace(output, gop=round(rate * LIVE_GOP_SECONDS))
    encoder = VideoEncoder(container, codec, dict(options), output, media, pixel_format)
    encoder.key_seconds = None if given else segment
    return encoder


def warn_of_losses(
    info: StreamInfo, codec: str, pixel_format: str, on_warning: Callable[[str], None], *, given: bool
) -> None:
    """What the encoder cannot keep; ``given``: the user has chosen the pixel format."""
    if lost := lost_mastering(codec, info):
        on_warning(lost)
    if given:
        return
    bits = target_format(pixel_format).bits
    if bits == 8 < info.format.bits:
        on_warning(f"{codec} holds {bits} of the {info.format.bits} bits here; libx264, libx265 and ffv1 hold more")
    if info.format.alpha and not planar_twin(pixel_format).startswith(("yuva", "gbra")):
        on_warning(f"{codec} cannot keep transparency: it is left out")
    if (info.width % 2 or info.height % 2) and "420" in info.format.name and "420" not in pixel_format:
        on_warning(
            f"{codec} holds {info.width}x{info.height} as {pixel_format} only, which few players play: "
            "use -vf scale or crop for an even size"
        )
