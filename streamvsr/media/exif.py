"""The orientation that cameras store in EXIF data, and pictures turned by it.

Source: CIPA DC-008 (Exif 2.32), 4.6.4, tag 0x0112; its entries are TIFF's (TIFF 6.0, section 2).
"""

from __future__ import annotations

import struct
from typing import cast

import numpy as np

from streamvsr.frames import Plane

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


def upright(plane: Plane, orientation: int) -> Plane:
    """A plane (rows, columns) turned and mirrored such that its top is the top of the scene."""
    if orientation >= 5:
        plane = plane.T
    if orientation in (2, 3, 6, 7):
        plane = plane[:, ::-1]
    if orientation in (3, 4, 7, 8):
        plane = plane[::-1]
    return cast(Plane, np.ascontiguousarray(plane))
