"""Which pixel format an encoder is fed with."""

from __future__ import annotations

import av

from streamvsr.errors import StreamvsrError, UsageError
from streamvsr.frames import PIXEL_FORMATS, PixelFormat
from streamvsr.media.av_frames import target_format
from streamvsr.media.encode.options import HARDWARE
from streamvsr.media.encode.palette import PALETTE

WHOLE_CHROMA = frozenset({"libx264", "libx265"})
"""Encoders whose frames have to divide evenly into chroma samples: H.264 cannot say "161 wide" in 4:2:0 at all."""

TWINS = frozenset(
    (
        *("nv12", "nv16", "nv24", "p010le", "p016le", "p210le", "p410le"),
        *("bgr0", "rgb0", "0rgb", "0bgr", "bgra", "rgba", "argb", "abgr", "rgb24", "bgr24"),
        *("rgb48be", "rgb48le", "rgba64be", "rgba64le", "gray16be"),
    )
)
"""Formats whose samples are exactly those of a planar one, in another order."""

Y4M_FORMATS = (*(f"yuv{c}p{d}" for c in (420, 422, 444) for d in ("", "10le", "12le", "14le", "16le")), "gray")

EIGHT_BITS = frozenset({"h264_nvenc"})
"""Encoders that list deeper formats, which only the newest hardware has for this codec."""

JPEG_RANGE = frozenset({"mjpeg", "amv", "roqvideo"})
"""Encoders whose samples are of full range without a tag that says so."""

NO_ALPHA = frozenset({"libx265"})
"""Encoders that list formats with alpha and, in the builds at hand, cannot code it."""

ALPHA_IN_420 = frozenset({"libvpx-vp9"})
"""Encoders that list formats with alpha and more chroma, and refuse them as too seldom played."""


def encoder_formats(codec: str) -> tuple[str, ...]:
    """What the encoder takes; empty where it takes anything (raw video)."""
    return tuple(f.name for f in av.Codec(codec, "w").video_formats or ())


def choose_format(
    codec: str, container: str, source: PixelFormat, width: int, height: int, given: str | None = None
) -> str:
    """The encoder's format for frames in ``source``: the one given with -pix_fmt, else the same, else the nearest.

    Nearest keeps colour, then alpha, then depth, then chroma, then the family. RGB becomes 4:2:0 for encoders that
    players are expected to play (lossy ones: x264, x265, VP9, AV1), because few play RGB in them; lossless ones keep
    RGB.
    """
    formats = encoder_formats(codec)
    if given is not None:
        if formats and given not in formats:
            raise UsageError(f"-pix_fmt {given}: {codec} takes {', '.join(formats)}")
        try:
            target_format(given)
        except StreamvsrError as exc:
            raise UsageError(f"-pix_fmt {given}: {exc}") from exc
        return given
    if container == "yuv4mpegpipe":
        formats = Y4M_FORMATS
    if not formats:
        return source.name
    wanted = source
    if source.family == "rgb" and av.Codec(codec, "w").lossy:
        wanted = PixelFormat("", "yuv", source.bits, 1, 1, source.alpha)
    ranked = [
        (_cost(wanted, target_format(name), name), place, name)
        for place, name in enumerate(formats)
        if _is_candidate(name, codec) and (codec not in WHOLE_CHROMA or _divides(target_format(name), width, height))
    ]
    if not ranked:
        raise UsageError(f"{codec} takes none of the pixel formats that streamvsr makes; it takes {', '.join(formats)}")
    return min(ranked)[2]


def planar_twin(name: str, *, alpha: bool) -> str:
    """The pipeline's format with the same samples (``yuv420p`` for nv12, ``gbrp`` for bgr0). ``alpha``: whether there
    is any, for formats that leave it open."""
    if name == PALETTE and not alpha:
        return "gbrp"
    return target_format(name).name


def _is_candidate(name: str, codec: str) -> bool:
    if name.startswith("yuvj") or codec in JPEG_RANGE:
        # JPEG is full range; elsewhere the yuvj names are deprecated, and the range is a tag.
        return name.startswith("yuvj") and codec in JPEG_RANGE
    if codec == "gif":
        # A palette of each frame's own colours; grey would be the nearest of the others.
        return name == PALETTE
    if name not in PIXEL_FORMATS and name not in TWINS:
        return False
    layout = target_format(name)
    if layout.alpha and (codec in NO_ALPHA or HARDWARE.search(codec)):
        return False
    if layout.alpha and codec in ALPHA_IN_420 and name != "yuva420p":
        return False
    return layout.bits == 8 or codec not in EIGHT_BITS


def _divides(layout: PixelFormat, width: int, height: int) -> bool:
    if layout.family != "yuv":
        return True
    return width % (1 << layout.log2_chroma_w) == 0 and height % (1 << layout.log2_chroma_h) == 0


def _cost(wanted: PixelFormat, layout: PixelFormat, name: str) -> tuple[int, ...]:
    """What is lost comes first, what is made larger for nothing comes last."""
    chroma = {"yuv": layout.log2_chroma_w + layout.log2_chroma_h, "rgb": 0, "gray": 99}
    needed = {"yuv": wanted.log2_chroma_w + wanted.log2_chroma_h, "rgb": 0, "gray": 99}
    has, needs = chroma[layout.family], needed[wanted.family]
    lost = max(0, has - needs)
    if layout.family == wanted.family == "yuv":
        # 4:2:2 and 4:4:0 have as many samples, and not the same ones.
        lost = max(0, layout.log2_chroma_w - wanted.log2_chroma_w) + max(0, layout.log2_chroma_h - wanted.log2_chroma_h)
    return (
        int(wanted.family != "gray" == layout.family),
        int(wanted.alpha and not layout.alpha),
        max(0, wanted.bits - layout.bits),
        lost,
        int(layout.family != wanted.family),
        max(0, layout.bits - wanted.bits),
        int(layout.alpha and not wanted.alpha),
        # Grey goes to the smallest chroma there is; everything else to the least more than it has.
        -has if wanted.family == "gray" else max(0, needs - has),
        int(name not in PIXEL_FORMATS),
    )
