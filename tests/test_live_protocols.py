"""Live inputs that are not RTSP: UDP, TCP, RTMP, HTTP, playlists and pipes, sent by ffmpeg."""

from __future__ import annotations

import contextlib
import functools
import http.server
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live_run import QUICK, Streamvsr, recording
from tests.outputs import until
from tests.rtsp_server import make_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("live") / "clip.mp4", 30)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _listens(port: int) -> bool:
    """Whether somebody listens there, as Linux tells it."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows[1:])


@contextlib.contextmanager
def sending(ffmpeg: str, clip: Path, *output: str, **popen: object) -> Iterator[subprocess.Popen[bytes]]:
    words = [ffmpeg, "-v", "error", "-re", "-i", str(clip), "-c", "copy", *output]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **popen)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.kill()
        process.wait(60)


def test_what_is_pushed(ffmpeg: str, clip: Path, ffprobe: str, tmp_path: Path) -> None:
    urls = {
        "udp": f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}",
        "tcp": f"tcp://127.0.0.1:{free_port()}",
        "rtmp": f"rtmp://127.0.0.1:{free_port()}/a/b",
    }
    targets = {
        "udp": ["-f", "mpegts", f"{urls['udp']}?pkt_size=1316"],
        "tcp": ["-f", "mpegts", f"{urls['tcp']}?listen=1"],
        "rtmp": ["-f", "flv", "-listen", "1", urls["rtmp"]],
    }
    runs = {}
    with contextlib.ExitStack() as stack:
        for target in targets.values():
            stack.enter_context(sending(ffmpeg, clip, *target))
        # A try would take the only connection that they accept.
        for kind in ("tcp", "rtmp"):
            port = int(re.search(r":(\d+)", urls[kind])[1])  # type: ignore[index]
            until(lambda port=port: _listens(port), f"ffmpeg does not listen for {kind}")  # type: ignore[misc]
        for kind, url in urls.items():
            words = [*QUICK, "--duration", "3", str(tmp_path / f"{kind}.mkv")]
            runs[kind] = stack.enter_context(Streamvsr(url, *words))
        assert [run.end() for run in runs.values()] == [0, 0, 0]
    for kind, run in runs.items():
        shown = recording(ffprobe, tmp_path / f"{kind}.mkv", clip)
        assert len(shown.times) > 25, kind
        assert len(shown.parts()) == 1, kind
        assert shown.missing() == run.dropped, kind
        assert abs(shown.sync()[0]) < 0.1, kind


def test_a_pipe_that_is_said_to_be_live(ffmpeg: str, clip: Path, ffprobe: str, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    # 50 frames fit into what waits for a run, if they all come at once because it took so long to get ready.
    with (
        sending(ffmpeg, clip, "-t", "2", "-f", "mpegts", "-", stdout=subprocess.PIPE) as sender,
        Streamvsr("--live", "-", "--max-latency", "60", *QUICK, str(out), stdin=sender.stdout) as run,
    ):
        assert run.end() == 0, "the end of a pipe is the end"
    shown = recording(ffprobe, out, clip)
    # What came before everything was ready is let go; from then on nothing is lost, and the last frame is there.
    assert run.dropped == 0
    assert shown.numbers == list(range(shown.numbers[0], 50))
    assert len(shown.times) > 10


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    folder = tmp_path / "site"
    folder.mkdir()
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_playlist_that_grows(ffmpeg: str, clip: Path, ffprobe: str, site: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = site
    out = tmp_path / "out.mkv"
    segments = ["-f", "hls", "-hls_time", "1", "-hls_list_size", "8", "-hls_flags", "delete_segments"]
    with sending(ffmpeg, clip, *segments, str(folder / "live.m3u8")):
        until((folder / "live2.ts").exists, "ffmpeg sends nothing")
        with Streamvsr(f"{url}/live.m3u8", *QUICK, "--duration", "4", str(out)) as run:
            assert run.end() == 0
    shown = recording(ffprobe, out, clip)
    assert len(shown.times) > 50
    assert shown.missing() == run.dropped
    assert abs(shown.sync()[0]) < 0.1


def test_a_whole_playlist_is_a_film(
    ffmpeg: str, clip: Path, ffprobe: str, site: tuple[Path, str], tmp_path: Path
) -> None:
    folder, url = site
    subprocess.run(
        [ffmpeg, "-v", "error", "-i", str(clip), "-c", "copy", "-t", "12", "-f", "hls", "-hls_list_size", "0",
         str(folder / "film.m3u8")],
        check=True,
    )  # fmt: skip
    with Streamvsr(f"{url}/film.m3u8", *QUICK, str(tmp_path / "out.mkv")) as run:
        assert run.end() == 0
    assert recording(ffprobe, tmp_path / "out.mkv", clip).numbers == [n % 256 for n in range(300)]


def test_a_film_on_a_web_server(clip: Path, ffprobe: str, site: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = site
    (folder / "film.mp4").symlink_to(clip)
    with Streamvsr(f"{url}/film.mp4", *QUICK, str(tmp_path / "out.mkv")) as run:
        assert run.end() == 0
    assert recording(ffprobe, tmp_path / "out.mkv", clip).numbers == [n % 256 for n in range(750)]
