"""The parts that image files are made of. What is damaged or cut off ends the walk without an error.

Sources: PNG (third edition), 5.3; WebP container (RFC 9649), 2.3; JPEG (ITU-T T.81), B.1.1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

START_OF_SCAN = 0xDA


def png_chunks(image: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, data) of each chunk; nothing where this is no PNG file."""
    at = 8 if image.startswith(b"\x89PNG\r\n\x1a\n") else len(image)
    while at + 8 <= len(image):
        size, kind = struct.unpack_from(">I4s", image, at)
        yield kind, image[at + 8 : at + 8 + size]
        at += 12 + size


def webp_chunks(image: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, data) of each chunk; nothing where this is no WebP file."""
    at = 12 if image[:4] == b"RIFF" and image[8:12] == b"WEBP" else len(image)
    while at + 8 <= len(image):
        kind, size = struct.unpack_from("<4sI", image, at)
        yield kind, image[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def jpeg_segments(image: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker's second byte, data) of each segment before the first scan; nothing where this is no JPEG file."""
    at = 2 if image.startswith(b"\xff\xd8") else len(image)
    while at + 4 <= len(image) and image[at] == 0xFF and image[at + 1] != START_OF_SCAN:
        (length,) = struct.unpack_from(">H", image, at + 2)
        yield image[at + 1], image[at + 4 : at + 2 + length]
        at += 2 + max(2, length)
