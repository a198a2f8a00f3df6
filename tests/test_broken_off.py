"""An input that cannot be read to its end: what came before it is kept, under a name that says so, and exit code 1."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from streamvsr.cli.app import main
from tests.outputs import info, numbers, write

FRAMES = 60


@contextmanager
def served(path: Path, part: float, *, then: int = 503) -> Iterator[str]:
    """The URL of a server that sends this part of a file, once, and then answers so; 206: it goes on."""
    left = [int(os.path.getsize(path) * part)]

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            size = os.path.getsize(path)
            asked = self.headers.get("Range")
            begin = int(asked.split("=")[1].split("-")[0]) if asked else 0
            if left[0] <= 0 and then != 206:
                self.send_error(then)
                return
            if left[0] <= 0:
                left[0] = size
            self.send_response(206 if asked else 200)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(size - begin))
            if asked:
                self.send_header("Content-Range", f"bytes {begin}-{size - 1}/{size}")
            self.end_headers()
            data = path.read_bytes()[begin : begin + left[0]]
            left[0] -= len(data)
            with suppress(OSError):
                self.wfile.write(data)
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{path.name}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    path = tmp_path / "in.mkv"
    # Long enough in bytes that more than the probe is left when the connection breaks.
    write(path, info(width=320, height=240), [n * 3003 for n in range(FRAMES)], video_codec="ffv1")
    return path


def run(*arguments: str) -> int:
    return main(["-nostdin", *arguments])


def test_a_lost_connection_leaves_an_incomplete_file(
    movie: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, kept = tmp_path / "out.mp4", tmp_path / "out.incomplete.mp4"
    with served(movie, 0.7) as url:
        code = run("-y", url, "-vf", "null", "-preset", "ultrafast", str(target))
    assert code == 1
    assert not target.exists()
    assert FRAMES // 2 < len(numbers(kept)) < FRAMES
    assert [p.name for p in tmp_path.iterdir() if "part" in p.name] == []
    (line,) = [line for line in capsys.readouterr().err.replace("\n  ", " ").splitlines() if line.startswith("error")]
    assert "breaks off at" in line
    assert "out.incomplete.mp4" in line


def test_a_connection_that_drops_once_is_made_again(
    movie: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(movie, 0.7, then=206) as url:
        assert run("-y", url, "-vf", "null", "-preset", "ultrafast", str(tmp_path / "out.mp4")) == 0
    assert len(numbers(tmp_path / "out.mp4")) == FRAMES
    assert "warning" not in capsys.readouterr().err


def test_what_was_kept_before_is_not_replaced(movie: Path, tmp_path: Path) -> None:
    (tmp_path / "out.incomplete.mp4").write_text("mine")
    (tmp_path / "out.mp4").write_text("the old one")
    with served(movie, 0.7) as url:
        assert run("-y", url, "-vf", "null", "-preset", "ultrafast", str(tmp_path / "out.mp4")) == 1
    assert (tmp_path / "out.incomplete.mp4").read_text() == "mine"
    assert (tmp_path / "out.mp4").read_text() == "the old one"
    assert len(numbers(tmp_path / "out.incomplete.1.mp4")) > FRAMES // 2


def test_a_playlist_of_a_broken_input_has_no_end(movie: Path, tmp_path: Path) -> None:
    (tmp_path / "hls").mkdir()
    with served(movie, 0.7) as url:
        options = ["-vf", "null", "-preset", "ultrafast", "-g", "10", "-hls_time", "0.3", "-hls_list_size", "0"]
        assert run("-y", url, *options, str(tmp_path / "hls" / "out.m3u8")) == 1
    text = (tmp_path / "hls" / "out.m3u8").read_text()
    assert ".ts" in text
    assert "ENDLIST" not in text
