"""Servers that want our memory."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytestmark = pytest.mark.io

ANSWER = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: OPTIONS, DESCRIBE\r\nContent-Length: 2000000000\r\n\r\n"
OPEN = """
import os, sys
from streamvsr.cli import main
code = main(["-y", "--reconnect", "0", "--open-timeout", "3", sys.argv[1], "-vf", "null", sys.argv[2]])
# Not ru_maxrss, in which the process that started this one is counted.
print(code, int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) >> 10, flush=True)
# As the program does: a thread that is still in FFmpeg may crash an interpreter that is taken apart.
os._exit(0)
"""


def serve(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection: socket.socket) -> None:
    try:
        connection.recv(4096)
        connection.sendall(ANSWER)
        while True:
            connection.sendall(bytes(1 << 20))
    except OSError:
        connection.close()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_an_rtsp_answer_of_two_gigabytes(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        url = f"rtsp://127.0.0.1:{listener.getsockname()[1]}/x"
        done = subprocess.run(
            [sys.executable, "-c", OPEN, url, str(tmp_path / "o.mkv")], capture_output=True, text=True, check=True
        )
    code, most_mib = map(int, done.stdout.split())
    assert code == 1
    assert "error: " in done.stderr
    # FFmpeg took 1,950 MiB.
    assert most_mib < 700
    assert os.listdir(tmp_path) == []
