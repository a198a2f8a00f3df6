"""A camera that accepts connections and gives no picture: it says nothing at all, or half a frame over RTSP."""

from __future__ import annotations

import base64
import re
import socket
import struct
import threading
from contextlib import suppress
from fractions import Fraction
from typing import Any, Self

import av

from tests.rtsp_dialogue import answered

SDP = """v=0
o=- 0 0 IN IP4 127.0.0.1
s=half
c=IN IP4 127.0.0.1
t=0 0
m=video 0 RTP/AVP 96
a=rtpmap:96 H264/90000
a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}
a=control:track0
"""


class SilentCamera:
    """``with SilentCamera() as camera: camera.url``."""

    def __init__(self, *, handshake: bool = False) -> None:
        """``handshake``: speak RTSP, and begin a key frame; else accept and never send."""
        self.connections = 0
        self.connected = threading.Event()
        self.sent_half = False
        self._handshake = handshake
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/x"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(client)
            self.connected.set()
            if self._handshake:
                threading.Thread(target=self._speak, args=(client,), daemon=True).start()

    def _speak(self, client: socket.socket) -> None:
        sps, pps, key = _key_frame()
        sets = ",".join(base64.b64encode(one).decode() for one in (sps, pps))
        with suppress(OSError), client:
            for method in answered(client, SDP.format(sets=sets)):
                if method == "PLAY":
                    # FU-A with its start bit and no end: the first half of one frame, and then nothing.
                    rtp = struct.pack("!BBHII", 0x80, 96, 1, 0, 7)
                    packet = rtp + bytes([key[0] & 0xE0 | 28, 0x80 | key[0] & 0x1F]) + key[1 : len(key) // 2]
                    client.sendall(b"$\0" + struct.pack("!H", len(packet)) + packet)
                    self.sent_half = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # A blocked accept() is not woken by close() alone.
        with socket.create_connection(self._listener.getsockname()):
            pass
        self._listener.close()
        for client in self._open:
            client.close()


def _key_frame() -> tuple[bytes, bytes, bytes]:
    """Sequence parameters, picture parameters and a key frame, without start codes."""
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 64, 48, "yuv420p", Fraction(1, 25)
    encoder.options = {"preset": "ultrafast", "x264-params": "repeat-headers=1"}
    picture = av.VideoFrame(64, 48, "yuv420p")
    picture.pts = 0
    data = b"".join(bytes(p) for p in [*encoder.encode(picture), *encoder.encode(None)])
    units = [unit for unit in re.split(rb"\x00\x00\x00?\x01", data) if unit]
    found = {unit[0] & 0x1F: unit for unit in units}
    return found[7], found[8], found[5]
