"""The orientation that cameras store in EXIF data, and pictures turned by it.

Sources: CIPA DC-008 (Exif 2.32), 4.6.4, tag 0x0112, whose entries are TIFF's (TIFF 6.0, section 2), and 4.7.2 for its
place in JPEG; PNG (third edition), 11.3.3.2; WebP container (RFC 9649), 2.7.1.4.
"""

from __future__ import annotations

import struct
from typing import cast

import numpy as np

from streamvsr.frames import Plane
from streamvsr.media.chunks import jpeg_segments, png_chunks, webp_chunks

APP1 = 0xE1
ORIENTATION = 0x0112
_SHORT = 3


def orientation(exif: bytes) -> int:
    """1 (upright) to 8, as the tag of the first image says; 1 where it says nothing that can be read."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        (at,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, at)
        for entry in range(count):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, at + 2 + 12 * entry)
            if tag == ORIENTATION and kind == _SHORT:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def exif_of(image: bytes) -> bytes:
    """The EXIF data in a JPEG, PNG or WebP file; empty where there are none, or the file is another.

    A TIFF file is left alone: whoever decodes it turns it.
    """
    for marker, data in jpeg_segments(image):
        if marker == APP1 and data.startswith(b"Exif\0\0"):
            return data
    for kind, data in (*png_chunks(image), *webp_chunks(image)):
        if kind in (b"eXIf", b"EXIF"):
            return data
    return b""


def upright(plane: Plane, orientation: int) -> Plane:
    """A plane (rows, columns) turned and mirrored such that its top is the top of the scene."""
    if orientation >= 5:
        plane = plane.T
    if orientation in (2, 3, 6, 7):
        plane = plane[:, ::-1]
    if orientation in (3, 4, 7, 8):
        plane = plane[::-1]
    return cast(Plane, np.ascontiguousarray(plane))
