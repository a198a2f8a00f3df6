"""Where outputs go: nothing half-made ever bears the final name; pipes, networks, full disks."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from streamvsr.config import OutputOptions
from streamvsr.errors import ReaderLeftError, SinkError, UsageError
from streamvsr.frames import MediaInfo
from streamvsr.media.mux import open_sink, same_file
from streamvsr.media.mux.atomic_file import OutputFile
from tests.outputs import CFR, Shown, frames, info, numbers, sink_for, write

pytestmark = pytest.mark.io


def test_the_final_name_appears_at_the_end_only(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    sink = sink_for(out)
    for frame in frames(info(), CFR):
        sink.write_frame(frame)
    assert not out.exists()
    assert all(p.name.startswith(".") and p.suffix == ".mp4" for p in tmp_path.iterdir())
    sink.finish()
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]
    assert stat.S_IMODE(out.stat().st_mode) == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_abort_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    out.write_bytes(b"old")
    sink = sink_for(out, overwrite=True)
    for frame in frames(info(), CFR):
        sink.write_frame(frame)
    sink.abort()
    sink.abort()
    assert [p.name for p in tmp_path.iterdir()] == ["out.mkv"]
    assert out.read_bytes() == b"old"


def test_existing_files_are_overwritten_only_when_told(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"old")
    for overwrite in (None, False):
        with pytest.raises(UsageError, match="-y"):
            sink_for(out, overwrite=overwrite)
    assert out.read_bytes() == b"old"
    out.chmod(0o640)
    write(out, info(), CFR[:2], overwrite=True)
    assert numbers(out) == [0, 1]
    assert stat.S_IMODE(out.stat().st_mode) == 0o640


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "target.mp4", tmp_path / "link.mp4"
    link.symlink_to(target)
    write(link, info(), CFR[:2])
    write(link, info(), CFR[:3], overwrite=True)
    assert link.is_symlink()
    assert numbers(target) == [0, 1, 2]
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["link.mp4", "real", "target.mp4"]


def test_no_frame_is_no_output(tmp_path: Path) -> None:
    sink = sink_for(tmp_path / "out.mp4")
    with pytest.raises(SinkError, match="no frame came"):
        sink.finish()
    assert not list(tmp_path.iterdir())


def test_names_with_percent_spaces_and_colons(tmp_path: Path) -> None:
    for name in ("a b%d é*[1].mp4", "clip:1.mkv", "x" * 240 + ".mp4"):
        write(tmp_path / name, info(), CFR[:2])
        assert numbers(tmp_path / name) == [0, 1]
    write(f"file:{tmp_path}/f.mkv", info(), CFR[:2])
    assert numbers(tmp_path / "f.mkv") == [0, 1]


@pytest.mark.parametrize(
    ("name", "message"), [("missing/out.mp4", "no folder"), ("folder.mp4", "is a folder"), ("out.what", "-f")]
)
def test_places_that_cannot_be_written(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises((SinkError, UsageError), match=message):
        sink_for(tmp_path / name, format="mp4" if name == "folder.mp4" else None)


def _read_fifo(path: Path, into: list[bytes], limit: int = -1) -> threading.Thread:
    def run() -> None:
        with path.open("rb") as pipe:
            into.append(pipe.read(limit))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("container", ["mp4", "matroska", "nut", "mpegts", "flv", "avi", "yuv4mpegpipe", "mov"])
def test_a_fifo_is_written_in_place(tmp_path: Path, container: str) -> None:
    fifo, got = tmp_path / "fifo", list[bytes]()
    os.mkfifo(fifo)
    reader = _read_fifo(fifo, got)
    write(fifo, info(), CFR, format=container)
    reader.join(60)
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    (tmp_path / "copy").write_bytes(got[0])
    assert numbers(tmp_path / "copy") == list(range(30))


def test_the_reader_of_a_fifo_leaves(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = _read_fifo(fifo, [], 100)
    stream = info("yuv420p", 640, 480)
    sink = sink_for(fifo, stream, format="yuv4mpegpipe")

    def run() -> None:
        for frame in frames(stream, CFR):
            sink.write_frame(frame)
            reader.join(1)

    with pytest.raises(ReaderLeftError):
        run()
    sink.abort()


def test_a_pipe_needs_a_format() -> None:
    with pytest.raises(UsageError, match="matroska"):
        open_sink(OutputOptions(path="-"), MediaInfo(info()), on_warning=print)


WRITE_TO_STDOUT = """
import sys
from tests.outputs import CFR, info, write
from streamvsr.errors import ReaderLeftError
try:
    write("-", info(width=640, height=480), [n * 3003 for n in range(30)], format=sys.argv[1])
except ReaderLeftError as exc:
    sys.exit(exc.exit_code)
"""


@pytest.mark.parametrize("container", ["mp4", "nut", "matroska", "y4m", "image2pipe"])
def test_standard_output(tmp_path: Path, container: str) -> None:
    command = [sys.executable, "-c", WRITE_TO_STDOUT, container]
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, check=True, timeout=600)
    (tmp_path / "copy").write_bytes(done.stdout)
    assert numbers(tmp_path / "copy") == list(range(30))


def test_the_reader_of_standard_output_leaves() -> None:
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-c", WRITE_TO_STDOUT, "y4m"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.read(100)
        writer.stdout.close()
        assert writer.wait(120) == 141


def test_nowhere() -> None:
    write("-", info(), CFR, format="null")


def test_hls_is_written_in_place(tmp_path: Path, ffprobe: str) -> None:
    out = tmp_path / "list.m3u8"
    write(out, info(), CFR, gop=10, options={"hls_time": "0.3", "hls_list_size": "0"})
    assert len(list(tmp_path.glob("*.ts"))) >= 2
    assert Shown(ffprobe, out).of("video")
    with pytest.raises(UsageError, match="-y"):
        write(out, info(), CFR)


def test_a_network_output(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = socket.create_server(("127.0.0.1", port))
    got = bytearray()

    def receive() -> None:
        with server.accept()[0] as connection:
            while data := connection.recv(65536):
                got.extend(data)

    reader = threading.Thread(target=receive, daemon=True)
    reader.start()
    write(f"tcp://127.0.0.1:{port}", info(), CFR)
    reader.join(60)
    server.close()
    (tmp_path / "copy.ts").write_bytes(got)
    assert numbers(tmp_path / "copy.ts") == list(range(30))
    with pytest.raises(SinkError, match="refused"):
        sink_for(f"tcp://user:secret@127.0.0.1:{port}")


def test_dev_null(tmp_path: Path) -> None:
    write("/dev/null", info(), CFR[:3], format="mp4")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def _full(after: int) -> Callable[[OutputFile, bytes], int]:
    whole = OutputFile.write

    def write(self: OutputFile, data: bytes) -> int:
        if (self.tell() if self.seekable() else 0) + len(data) > after:
            self.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise self.error
        return whole(self, data)

    return write


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "m3u8"])
@pytest.mark.parametrize("after", [2000, 60_000])
def test_a_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], suffix: str, after: int
) -> None:
    monkeypatch.setattr(OutputFile, "write", _full(after))
    rng = np.random.default_rng(0)
    stream = info("yuv420p", 320, 240)

    def run() -> None:
        sink = sink_for(tmp_path / f"o.{suffix}", stream, crf=1, preset="ultrafast")
        try:
            for frame in frames(stream, CFR):
                noise = tuple(rng.integers(0, 256, p.shape).astype(np.uint8) for p in frame.planes)
                sink.write_frame(frame.with_planes(noise))
            sink.finish()
        finally:
            sink.abort()

    with pytest.raises(SinkError, match="space"):
        run()
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr().err == "", "PyAV prints what it cannot raise"


def test_short_writes_are_finished(tmp_path: Path) -> None:
    file = OutputFile(str(tmp_path / "x"))

    class Short:
        def __init__(self, raw: object) -> None:
            self.raw = raw

        def write(self, data: memoryview) -> int:
            return int(self.raw.write(data[:7]))  # type: ignore[attr-defined]

        def close(self) -> None:
            self.raw.close()  # type: ignore[attr-defined]

    file._raw = Short(file._raw)  # type: ignore[assignment]
    assert file.write(bytes(range(100))) == 100
    file.close()
    assert (tmp_path / "x").read_bytes() == bytes(range(100))


def test_a_pipe_that_does_not_block_is_waited_for(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    file, got, data = OutputFile("-", descriptor=writing), bytearray(), bytes(range(256)) * 2000

    def read() -> None:
        while part := os.read(reading, 5000):
            got.extend(part)

    thread = threading.Thread(target=read, daemon=True)
    threading.Timer(0.1, thread.start).start()
    assert file.write(data) == len(data)
    file.close()
    os.close(writing)
    thread.join(60)
    os.close(reading)
    assert bytes(got) == data
    with pytest.raises(ValueError, match="closed"):
        file.write(b"x")


def test_a_live_recording_is_written_in_place_and_kept(tmp_path: Path) -> None:
    out = tmp_path / "live.mp4"
    stream = info(live=True)
    sink = sink_for(out, stream, preset="ultrafast")
    for frame in frames(stream, [n * 3003 for n in range(150)]):
        sink.write_frame(frame)
    assert [p.name for p in tmp_path.iterdir()] == ["live.mp4"]
    sink.abort()
    assert len(numbers(out)) >= 60


def test_a_live_recording_that_cannot_start_leaves_the_old_one(tmp_path: Path) -> None:
    out = tmp_path / "live.mkv"
    out.write_bytes(b"old")
    with pytest.raises(UsageError):
        sink_for(out, info(live=True), overwrite=True, options={"nonsense": "1"})
    sink_for(out, info(live=True), overwrite=True).abort()
    assert out.read_bytes() == b"old"


def test_same_file(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"x")
    two.symlink_to(one)
    assert same_file(str(one), str(two))
    assert not same_file(str(one), str(tmp_path / "three"))
    assert same_file(str(tmp_path), f"file:{tmp_path}/")
    assert not same_file("-", "-")
    assert not same_file("/dev/null", "/dev/null")
    assert not same_file("rtsp://x/y", "rtsp://x/y")
