"""``streamvsr ui`` in a process of its own, and a client that speaks to it as programs do."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

WAIT_SECONDS = 120.0


class UiServer:
    """``folder`` is allowed, ``state`` holds the queue."""

    def __init__(
        self, folder: Path, state: Path, *words: str, before: Sequence[str] = (), env: Mapping[str, str] | None = None
    ) -> None:
        """``before``: words before the command, of a program that starts it. ``env``: added to the environment."""
        self.folder, self.state, self._words = folder, state, words
        self._before, self._env = before, env or {}
        self.url = self.token = ""
        self.port = 0
        self.process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        command = [*self._before, sys.executable, "-m", "streamvsr", "ui", str(self.folder), "--state", str(self.state)]
        self.process = subprocess.Popen(
            [*command, "--no-browser", *self._words], env={**os.environ, **self._env},
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://"), self.url
        parts = urlsplit(self.url)
        self.port, self.token = parts.port or 0, parts.query.removeprefix("token=")

    def kill(self) -> None:
        """As ``kill -9``."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """The server, and the jobs that it left running."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for path in self.state.glob("jobs/*/pid.json"):
            if not (path.parent / "exit").exists():
                with contextlib.suppress(OSError):
                    os.killpg(json.loads(path.read_text())["supervisor"], signal.SIGKILL)

    def raw(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None,
        token: str | None = None,
    ) -> tuple[int, Mapping[str, str], bytes]:  # fmt: skip
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_SECONDS)
        try:
            token = self.token if token is None else token
            auth = {"Authorization": f"Bearer {token}"} if token else {}
            connection.request(method, path, body, {**auth, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def ask(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        data = None if body is None else json.dumps(body).encode()
        code, _, read = self.raw(method, f"/api/v1{path}", data, {"Content-Type": "application/json"})
        assert code == status, (code, read[:500])
        return json.loads(read)

    def submit(self, source: Path, *, status: int = 201, **spec: Any) -> dict[str, Any]:
        answer = self.ask("POST", "/jobs", {"input": str(source), **spec}, status)
        return answer["jobs"][0] if status == 201 else answer

    def wait(self, job: dict[str, Any], *states: str) -> dict[str, Any]:
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            found = self.ask("GET", f"/jobs/{job['id']}")
            if found["state"] in (states or ("done", "failed", "cancelled")):
                return found
            time.sleep(0.05)
        raise AssertionError((states, found))


@contextlib.contextmanager
def ui_server(folder: Path, state: Path, *words: str, **how: Any) -> Iterator[UiServer]:
    server = UiServer(folder, state, *words, **how)
    try:
        yield server
    finally:
        server.close()
