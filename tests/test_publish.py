"""Live outputs against real servers: GStreamer's RTSP server, nginx's RTMP module, plain sockets, HLS on disk."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamvsr.cli import main
from streamvsr.cli.parser import parse
from streamvsr.errors import SinkError, UsageError
from streamvsr.frames import Frame, StreamInfo
from streamvsr.media.mux.container import ContainerSink
from streamvsr.media.mux.relay import Relay
from tests.outputs import Shown, frames, info, numbers, readable, until, write
from tests.rtmp_server import RtmpServer
from tests.rtsp_server import RtspServer, make_clip
from tests.test_sinks import sink_for

pytestmark = [pytest.mark.io, pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes and signals")]

ME = [sys.executable, "-m", "streamvsr", "--model", "identity"]
LOSSLESS: dict[str, Any] = {"preset": "ultrafast", "options": {"qp": "0"}}
"""Quick to encode, and much to send."""

FRAMES = 60
RATE25 = [n * 3600 for n in range(FRAMES)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("publish") / "clip.mp4", FRAMES / 25)


@pytest.fixture(scope="module")
def rtsp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RtspServer]:
    with RtspServer(record=tmp_path_factory.mktemp("records")) as server:
        yield server


def publish(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*ME, *words], capture_output=True, text=True, check=False, timeout=600)


@pytest.mark.parametrize("pause", [0, 0.6], ids=["without a pause", "with a pause"])
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_rtsp(clip: Path, rtsp: RtspServer, transport: str, pause: float, ffprobe: str) -> None:
    before = len(rtsp.records())
    words = ["-re", str(clip), "-rtsp_transport", transport, rtsp.url("/rec")]
    run = subprocess.Popen([*ME, *words], stderr=subprocess.PIPE, text=True)
    _records(rtsp, before)
    if pause:
        run.send_signal(signal.SIGSTOP)
        time.sleep(pause)
        run.send_signal(signal.SIGCONT)
    _, errors = run.communicate(timeout=600)
    assert run.returncode == 0, errors
    record = rtsp.records()[before]
    until(lambda: not rtsp.writes(record), "the record has no end")
    sent, came = (Shown(ffprobe, p) for p in (clip, record))
    assert [s["codec_name"] for s in came.streams] == ["h264", "aac"]
    assert numbers(record) == list(range(FRAMES))
    # FFmpeg's RTP muxer holds each AAC packet until the next one comes, and does not send the last.
    assert came.hashes(came.of("audio")[0]) == sent.hashes(sent.of("audio")[0])[:-1]


def test_what_is_wrong_with_a_server_is_said_before_the_first_frame(clip: Path, rtsp: RtspServer) -> None:
    for url, words in (
        (rtsp.url("/nothing"), "404"),
        ("rtsp://me:secret@127.0.0.1:1/x", "refused"),
        ("rtmp://me:secret@127.0.0.1:1/live/x", "refused"),
        ("tcp://127.0.0.1:1", "refused"),
    ):
        done = publish(str(clip), url)
        assert done.returncode == 1
        assert words in done.stderr
        assert "secret" not in done.stderr
        assert "frame=" not in done.stderr
    done = publish(str(clip), rtsp.url("/rec"), "-nonsense", "1")
    assert (done.returncode, "-nonsense" in done.stderr) == (2, True)


def test_a_server_that_is_killed_is_an_error(tmp_path: Path) -> None:
    long = make_clip(tmp_path / "long.mp4", 60)
    with RtspServer(record=tmp_path) as server:
        run = subprocess.Popen([*ME, "-re", str(long), server.url("/rec")], stderr=subprocess.PIPE, text=True)
        _records(server)
        server.kill()
        assert run.wait(120) == 1
        assert run.stderr is not None
        assert "the connection was lost" in run.stderr.read()


def test_a_signal_ends_a_publication_well(tmp_path: Path) -> None:
    long = make_clip(tmp_path / "long.mp4", 60)
    with RtspServer(record=tmp_path) as server:
        run = subprocess.Popen([*ME, "-re", str(long), server.url("/rec")], stderr=subprocess.PIPE, text=True)
        _records(server)
        run.send_signal(signal.SIGTERM)
        assert run.wait(120) == 130
        assert run.stderr is not None
        assert "interrupted" in run.stderr.read()


def _records(server: RtspServer, before: int = 0) -> None:
    """Wait until the server writes what it gets from another publisher than those before."""
    until(lambda: any(file.stat().st_size for file in server.records()[before:]), "nothing was published")


def test_rtmp(clip: Path, tmp_path: Path, ffprobe: str) -> None:
    with RtmpServer(tmp_path) as server:
        done = publish("-re", str(clip), server.url("film"))
        assert done.returncode == 0, done.stderr
        # The server may not have written the last ones yet.
        film = tmp_path / "film.flv"
        until(lambda: readable(film) == FRAMES and readable(film, "audio") == readable(clip, "audio"), "not all came")
    assert numbers(tmp_path / "film.flv") == list(range(FRAMES))
    shown, sent = Shown(ffprobe, tmp_path / "film.flv"), Shown(ffprobe, clip)
    assert shown.hashes(shown.of("audio")[0]) == sent.hashes(sent.of("audio")[0])


def test_a_transport_stream_over_udp(clip: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        receiver.settimeout(300)
        got: list[bytes] = []

        def receive() -> None:
            while data := receiver.recv(1 << 16):
                got.append(data)

        thread = threading.Thread(target=receive)
        thread.start()
        url = f"udp://127.0.0.1:{receiver.getsockname()[1]}?pkt_size=1316"
        done = publish("-re", str(clip), url)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ender:
            ender.sendto(b"", receiver.getsockname())
        thread.join(60)
    assert done.returncode == 0, done.stderr
    assert max(map(len, got)) == 1316
    (tmp_path / "got.ts").write_bytes(b"".join(got))
    assert numbers(tmp_path / "got.ts") == list(range(FRAMES))


def test_no_frame_is_held_back_for_who_watches() -> None:
    """Each frame has been taken by the encoder and the muxer before the next one comes; x264 medium holds 40."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stream = info(rate=None)
        sink = sink_for(f"tcp://127.0.0.1:{server.getsockname()[1]}", stream)
        assert sink._encoder is not None
        context = sink._encoder.stream.codec_context
        assert context.gop_size == 50
        relay = sink._open[0].muxer.transport
        assert isinstance(relay, Relay)
        for count, frame in enumerate(frames(stream, RATE25[:10]), 1):
            sink.write_frame(frame)
            assert relay._sent == count
        sink.abort()


def test_a_connection_that_takes_nothing_is_an_error_in_the_time_that_was_set() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        stream = info(width=640, height=360, rate=None)
        url = f"tcp://me:secret@127.0.0.1:{server.getsockname()[1]}"
        sink = sink_for(url, stream, timeout=2, **LOSSLESS)
        relay = sink._open[0].muxer.transport
        assert isinstance(relay, Relay)
        with pytest.raises(SinkError, match=r"\*\*\*@.*taken nothing for"):
            _write(sink, noise(stream, 10_000))
        sink.abort()
        assert relay._process is None


def test_who_is_in_a_hurry_does_not_wait_for_a_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        stream = info(width=640, height=360, rate=None)
        sink = sink_for(
            f"tcp://127.0.0.1:{server.getsockname()[1]}", stream, timeout=1e6, preset="ultrafast", options={"qp": "0"}
        )
        threading.Timer(1.0, sink.request_stop).start()
        with pytest.raises(SinkError, match="taken nothing for"):
            _write(sink, noise(stream, 10_000))
        sink.abort()


def _write(sink: ContainerSink, pictures: Iterator[Frame]) -> None:
    for picture in pictures:
        sink.write_frame(picture)


def noise(stream: StreamInfo, count: int) -> Iterator[Frame]:
    """Frames with their number in the top half and noise below: some 100 kB each."""
    rng = np.random.default_rng(0)
    for frame in frames(stream, [n * 3600 for n in range(count)], 3600):
        luma = frame.planes[0].copy()
        luma[stream.height // 2 :] = rng.integers(0, 256, (stream.height // 2, stream.width), np.uint8)
        yield frame.with_planes((luma, *frame.planes[1:]))


# Segments


def test_hls(tmp_path: Path, ffprobe: str) -> None:
    for kind, last in (("mpegts", "ts"), ("fmp4", "m4s")):
        (tmp_path / kind).mkdir()
        playlist = tmp_path / kind / "film.m3u8"
        stamps = [n * 3600 for n in range(300)]
        write(playlist, info(rate=Fraction(25)), stamps, duration=3600, options={"hls_segment_type": kind})
        text = playlist.read_text()
        assert text.endswith("#EXT-X-ENDLIST\n")
        # Twelve seconds in segments of two, none of them forgotten.
        assert re.findall(r"EXTINF:(\S+),", text) == ["2.000000"] * 6
        assert sorted(p.name for p in (tmp_path / kind).iterdir()) == sorted(
            ["film.m3u8", *(f"film{n}.{last}" for n in range(6)), *(["init.mp4"] if kind == "fmp4" else [])]
        )
        assert len(numbers(playlist)) == 300
        assert Shown(ffprobe, playlist).of("video")[0]["codec_name"] == "h264"


def test_a_failed_playlist_does_not_look_complete(tmp_path: Path) -> None:
    stream = info(rate=Fraction(25))
    sink = sink_for(tmp_path / "film.m3u8", stream, preset="ultrafast", options={"hls_time": "1"})
    for frame in frames(stream, [n * 3600 for n in range(160)], 3600):
        sink.write_frame(frame)
    sink.abort()
    text = (tmp_path / "film.m3u8").read_text()
    assert "ENDLIST" not in text
    listed = re.findall(r"film\d+\.ts", text)
    assert len(listed) >= 4
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["film.m3u8", *listed])


def segmented(folder: Path, count: int, **options: str) -> ContainerSink:
    stream = info(rate=Fraction(25))
    given = {"segment_time": "1", **options}
    sink = sink_for(folder / "part_%03d.mkv", stream, format="segment", preset="ultrafast", options=given)
    for frame in frames(stream, [n * 3600 for n in range(count)], 3600):
        sink.write_frame(frame)
    return sink


def test_a_recording_in_segments(tmp_path: Path) -> None:
    segmented(tmp_path, 60, reset_timestamps="1").finish()
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"part_{n:03d}.mkv" for n in range(3)]
    assert [numbers(tmp_path / f"part_{n:03d}.mkv") for n in range(3)] == [
        list(range(25)), list(range(25, 50)), list(range(50, 60)),
    ]  # fmt: skip


def test_whole_segments_stay_when_the_run_fails_and_half_ones_do_not(tmp_path: Path) -> None:
    segmented(tmp_path, 60).abort()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["part_000.mkv", "part_001.mkv"]
    assert numbers(tmp_path / "part_001.mkv") == list(range(25, 50))


def test_segments_of_another_run_are_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "part_001.mkv").write_bytes(b"old")
    with pytest.raises(UsageError, match=r"part_001\.mkv exists already"):
        segmented(tmp_path, 60)
    assert (tmp_path / "part_001.mkv").read_bytes() == b"old"


def test_names_by_the_clock_and_a_list(tmp_path: Path) -> None:
    stream = info(rate=Fraction(25))
    listing = str(tmp_path / "list.csv")
    options = {"strftime": "1", "segment_time": "00:00:10", "segment_list": listing}
    write(tmp_path / "%Y-%m-%d.mp4", stream, RATE25, format="segment", options=options)
    found = [p.name for p in tmp_path.iterdir() if p.suffix == ".mp4"]
    assert len(found) == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\d\.mp4", found[0])
    assert (tmp_path / "list.csv").read_text().startswith(f"{found[0]},0.0")
    assert numbers(tmp_path / found[0]) == list(range(FRAMES))


def test_the_lines_of_the_page(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).resolve().parent.parent / "docs" / "outputs.md"
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.strip().startswith("streamvsr ")]
    assert len(lines) >= 8
    monkeypatch.chdir(tmp_path)
    shutil.copy(clip, "in.mp4")
    for line in lines:
        words = shlex.split(line.partition(" | ")[0].partition(" #")[0])[1:]
        if words[0] in ("split", "merge"):
            assert main([*words, "--quiet"]) == 0, line
        else:
            assert parse(words).config is not None
            if not any("://" in word for word in words) and "-" not in words:
                assert main([*words, "--model", "identity", "--quiet"]) == 0, line


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("srt://host:1", {}, "ffmpeg -i - -c copy"),
        ("film.mkv", {"format": "segment"}, r"part_%03d\.mkv"),
        ("%d.mkv", {"format": "segment", "options": {"segment_time": "x"}}, "segment_time"),
    ],
)
def test_what_cannot_work_is_said_with_the_way_out(
    tmp_path: Path, path: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        sink_for(path if "://" in path else tmp_path / path, **options)
    assert not list(tmp_path.iterdir())


def test_sound_that_a_server_cannot_take_is_converted(tmp_path: Path, ffmpeg: str, ffprobe: str) -> None:
    words = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=25", "-f", "lavfi", "-i", "sine", "-t", "2", "-c:a", "ac3"]
    subprocess.run([ffmpeg, "-v", "error", *words, str(tmp_path / "in.mkv")], check=True)
    with RtspServer(record=tmp_path) as server:
        done = publish("-re", str(tmp_path / "in.mkv"), server.url("/rec"))
        assert done.returncode == 0, done.stderr
        assert "becomes aac" in done.stderr
        until(lambda: readable(server.records()[0], "audio") > 0, "no sound is recorded")
        kinds = [s["codec_name"] for s in Shown(ffprobe, server.records()[0]).streams]
    assert kinds == ["h264", "aac"]


def test_nothing_is_imported_from_the_folder_where_one_works(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "av.py").write_text("open('was_run', 'w')")
    path = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    words = [sys.executable, "-P", "-m", "streamvsr", "--model", "identity", str(clip), "tcp://127.0.0.1:1"]
    done = subprocess.run(words, cwd=tmp_path, env=path, capture_output=True, text=True, check=False)
    assert "refused" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["av.py"]
