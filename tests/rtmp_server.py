"""nginx with its RTMP module on a free port of 127.0.0.1: what is published to ``/live/NAME`` is recorded."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

from tests.conftest import missing

MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
NEEDS = "nginx with its RTMP module (nginx-core libnginx-mod-rtmp)"
CONFIG = """
load_module {module};
{user}
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 32; }}
rtmp {{
    access_log off;
    server {{ listen 127.0.0.1:{port}; application live {{ live on; record all; record_path {folder}; }} }}
}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RtmpServer:
    """``with RtmpServer(folder) as server: server.url("name")``; the recording is ``folder/name.flv``.

    Skips the test where nginx is not there, and fails it in CI.
    """

    def __init__(self, folder: Path) -> None:
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        if not MODULE.exists() or not os.path.exists(program):
            missing(NEEDS)
        self.port = free_port()
        # Its workers else run as another user, who may not write here.
        user = "user root;" if os.getuid() == 0 else ""
        config = folder / "nginx.conf"
        config.write_text(CONFIG.format(module=MODULE, user=user, folder=folder, port=self.port))
        errors = str(folder / "error.log")
        self._process = subprocess.Popen([program, "-c", str(config), "-p", str(folder), "-e", errors])
        until = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                assert self._process.poll() is None, (folder / "error.log").read_text()
                assert time.monotonic() < until, "nginx does not listen"
                time.sleep(0.05)

    def url(self, name: str) -> str:
        return f"rtmp://127.0.0.1:{self.port}/live/{name}"

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
