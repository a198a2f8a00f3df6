"""Which colours an output can state. Where it cannot, frames are converted to what players take them for.

A matrix or a range that is lost shifts every colour; so samples of full range become limited for an encoder that knows
no other, and those of BT.709 become BT.601 for VP8 and JPEG, which are BT.601 whatever a container says. Found by
writing each codec to each container and reading it back (``tests/test_losses.py`` does so again).
"""

from __future__ import annotations

from dataclasses import replace

from streamvsr.frames import Color
from streamvsr.media.av_frames import UNSTATED, resolve_color, target_format
from streamvsr.media.encode.options import MOV_FAMILY

BT601, BT709 = 5, 1

STATE_ALL = ("libx264", "h264", "libx265", "hevc", "libsvtav1", "av1", "libvpx-vp9", "vp9")
"""Encoders, by how their names begin, whose streams say matrix and range."""

STATE_MATRIX = ("mpeg2", "prores")
FIXED_RANGE = {"libvpx": False, "vp8": False, "mpeg1video": False, "mpeg2video": False, "magicyuv": False}
FIXED_RANGE |= {"prores": False, "prores_ks": False, "prores_aw": False, "mjpeg": True, "amv": True}
"""Codecs of one range: full or not."""

FIXED_MATRIX = frozenset({"libvpx", "vp8", "mjpeg", "amv", "speedhq"})
"""Codecs whose decoders say BT.601, whatever the container says."""

CONTAINER_MATRIX = MOV_FAMILY | {"matroska", "webm", "mxf"}
CONTAINER_RANGE = (MOV_FAMILY - {"mov"}) | {"matroska", "webm", "mxf", "yuv4mpegpipe"}
"""Containers that state it for any codec. QuickTime's ``nclc`` has no range."""


def stated_color(color: Color, pixel_format: str, codec: str, container: str, width: int, height: int) -> Color:
    """``color`` as frames of ``pixel_format`` have to have it, so that a reader of the output sees it right.

    ``width`` and ``height`` are the output's: players go by them where nothing is stated.
    """
    family = target_format(pixel_format).family
    if family == "rgb" or (codec == "rawvideo" and container in ("rawvideo", "null")):
        return color
    matrix, full = color.matrix, color.full_range
    # The mp4 family states primaries, transfer, matrix and range together or not at all.
    silent = container in MOV_FAMILY and UNSTATED in (color.primaries, color.transfer)
    if codec in FIXED_MATRIX:
        matrix = BT601
    elif codec == "utvideo":
        matrix = BT709 if matrix == BT709 else BT601
    elif not codec.startswith((*STATE_ALL, *STATE_MATRIX)) and (silent or container not in CONTAINER_MATRIX):
        matrix = resolve_color(Color(UNSTATED), width, height).matrix
    if codec in FIXED_RANGE:
        full = FIXED_RANGE[codec]
    elif not codec.startswith(STATE_ALL) and (silent or container not in CONTAINER_RANGE):
        full = False
    if family == "gray":
        # All of FFmpeg reads grey as full range, and none of it has colour.
        return replace(color, full_range=color.full_range if color.full_range is not None else True)
    same = resolve_color(color, width, height)
    if (matrix, full) == (same.matrix, same.full_range) or (
        {matrix, same.matrix} == {5, 6} and full == same.full_range
    ):
        return color
    return replace(color, matrix=matrix, full_range=full)
