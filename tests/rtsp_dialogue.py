"""The requests of RTSP (RFC 2326), answered as a camera that sends over TCP answers them."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator


def answered(client: socket.socket, sdp: str) -> Iterator[str]:
    """The methods that ``client`` asks for, each after its answer. Each SETUP gets the next two channels."""
    tracks = 0
    request = b""
    with client.makefile("rb") as lines:
        for line in lines:
            request += line
            if line.strip():
                continue
            method = request.split()[0].decode()
            found = re.search(rb"CSeq: *(\d+)", request)
            number = found[1].decode() if found is not None else "0"
            request = b""
            body = sdp.replace("\n", "\r\n") if method == "DESCRIBE" else ""
            more = "Session: 1\r\n"
            if method == "OPTIONS":
                more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY\r\n"
            elif method == "DESCRIBE":
                more = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
            elif method == "SETUP":
                more += f"Transport: RTP/AVP/TCP;unicast;interleaved={2 * tracks}-{2 * tracks + 1}\r\n"
                tracks += 1
            client.sendall(f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\n{more}\r\n{body}".encode())
            yield method
