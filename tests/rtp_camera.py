"""A camera that speaks RTSP over TCP and sends a clip in real time, with the time stamps and losses that tests ask for.

GStreamer's server, which other tests use, cannot be made to jump. ``with RtpCamera(clip, jump=(2.0, 3600.0)) as camera:
camera.url``; each client gets the clip from its beginning.
"""

from __future__ import annotations

import base64
import re
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import av

from tests.rtsp_dialogue import answered

SDP = """v=0
o=- 0 0 IN IP4 127.0.0.1
s=clip
c=IN IP4 127.0.0.1
t=0 0
m=video 0 RTP/AVP 96
a=rtpmap:96 H264/90000
a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}
a=control:track0
m=audio 0 RTP/AVP 97
a=rtpmap:97 mpeg4-generic/{rate}/{channels}
a=fmtp:97 streamtype=5;mode=AAC-hbr;config={config};sizeLength=13;indexLength=3;indexDeltaLength=3
a=control:track1
"""

VIDEO_RATE = 90_000


@dataclass
class _Unit:
    seconds: float
    stream: int
    payloads: list[bytes]
    """Of one frame: RTP's payloads."""


class RtpCamera:
    """One server on a free port of 127.0.0.1."""

    def __init__(self, clip: Path, *, jump: tuple[float, float] | None = None, lost: range = range(0)) -> None:
        """``clip``: an mp4 of H.264 and AAC. ``jump``: (from which second on, by how many seconds) the clock of all RTP
        time stamps is off. ``lost``: numbers of video frames that the network loses."""
        self._units, self._sdp, self._rates = _packetised(clip)
        self._jump, self._lost = jump, lost
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/clip"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._speak, args=(client,), daemon=True).start()

    def _speak(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            for method in answered(client, self._sdp):
                if method == "PLAY":
                    self._play(client)
                    return

    def _play(self, client: socket.socket) -> None:
        begin, sequence, frame = time.monotonic(), [0, 0], 0
        for unit in self._units:
            if self._over.wait(max(0.0, begin + unit.seconds - time.monotonic())):
                return
            off = self._jump[1] if self._jump is not None and unit.seconds >= self._jump[0] else 0.0
            # Somewhere in the 32 bits, so that a clock can go back.
            stamp = round((100_000 + unit.seconds + off) * self._rates[unit.stream]) % 2**32
            gone = unit.stream == 0 and frame in self._lost
            frame += unit.stream == 0
            for number, payload in enumerate(unit.payloads):
                marker = 0x80 if number == len(unit.payloads) - 1 else 0
                head = struct.pack("!BBHII", 0x80, marker | 96 + unit.stream, sequence[unit.stream], stamp, unit.stream)
                sequence[unit.stream] = (sequence[unit.stream] + 1) % 2**16
                if not gone:
                    client.sendall(struct.pack("!cBH", b"$", 2 * unit.stream, len(head + payload)) + head + payload)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        # A blocked accept() is not woken by close() alone.
        with socket.create_connection(self._listener.getsockname()):
            pass
        self._listener.close()


def _packetised(clip: Path) -> tuple[list[_Unit], str, list[int]]:
    units: list[_Unit] = []
    with av.open(str(clip)) as container:
        video: Any = container.streams.video[0]
        audio: Any = container.streams.audio[0]
        annexb = av.BitStreamFilterContext("h264_mp4toannexb", video)
        for packet in container.demux(video, audio):
            if packet.pts is None:
                continue
            seconds = float(packet.pts * packet.time_base)
            if packet.stream is video:
                data = b"".join(bytes(one) for one in annexb.filter(packet))
                units.append(_Unit(seconds, 0, [u for u in re.split(rb"\x00\x00\x00?\x01", data) if u]))
            else:
                units.append(_Unit(max(0.0, seconds), 1, [struct.pack("!HH", 16, packet.size << 3) + bytes(packet)]))
        first = units[0] if units[0].stream == 0 else next(u for u in units if u.stream == 0)
        sets = [u for u in first.payloads if u[0] & 0x1F in (7, 8)]
        context = audio.codec_context
        sdp = SDP.format(
            sets=",".join(base64.b64encode(one).decode() for one in sets),
            rate=context.sample_rate, channels=context.layout.nb_channels, config=context.extradata.hex(),
        )  # fmt: skip
        rates = [VIDEO_RATE, context.sample_rate]
    return sorted(units, key=lambda unit: unit.seconds), sdp, rates
