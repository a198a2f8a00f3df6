"""Several outputs of one run: the words, what each gets, and what one that is slow or fails does to the others."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from streamvsr.config import OutputOptions
from streamvsr.errors import SinkError, UsageError
from streamvsr.frames import Frame, MediaInfo
from streamvsr.media.mux import open_sink
from streamvsr.media.mux import relay as relay_module
from streamvsr.media.mux.atomic_file import OutputFile
from streamvsr.media.mux.muxer import Muxer
from streamvsr.media.mux.relay import Relay
from streamvsr.media.mux.tee import Branch, TeeSink, parse
from tests.outputs import Shown, frames, info, numbers, until
from tests.rtsp_server import make_clip
from tests.test_publish import noise

pytestmark = [pytest.mark.io, pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")]


@pytest.mark.parametrize(
    ("text", "branches"),
    [
        ("a.mkv", [Branch("a.mkv")]),
        ("a.mkv|[f=rtsp]rtsp://h/x", [Branch("a.mkv"), Branch("rtsp://h/x", format="rtsp")]),
        (r"a\|b.mkv | 'c | d.mp4'", [Branch("a|b.mkv"), Branch("c | d.mp4")]),
        (
            r"[f=segment:segment_time=01\\:00:strftime=1]%Y.mkv",
            [Branch("%Y.mkv", {"segment_time": "01:00", "strftime": "1"}, "segment")],
        ),
        ("[onfail=ignore:use_fifo=1]a.ts", [Branch("a.ts", on_fail="ignore")]),
        ("[select=v]a.ts", [Branch("a.ts", select=frozenset("v"))]),
        (r"[select=\'v,a\']a.ts", [Branch("a.ts", select=frozenset("va"))]),
    ],
)
def test_ffmpegs_words(text: str, branches: list[Branch]) -> None:
    assert parse(text) == branches


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "wants outputs"),
        ("|", "wants outputs"),
        ("[f=rtsp", "missing"),
        ("[f]a", "key=value"),
        ("[f=rtsp]", "names no output"),
        ("[onfail=cry]a.mkv", "abort or ignore"),
        ("[select=a]a.mkv", "each output has the video"),
        ("[bsfs/v=dump_extra]a.mkv", "bsfs"),
    ],
)
def test_words_that_are_wrong(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(text)


class Tee:
    """A tee over small pictures and the warnings that it gave."""

    def __init__(self, text: str, *, width: int = 64, height: int = 48, **options: object) -> None:
        self.warnings: list[str] = []
        self.stream = info(width=width, height=height, rate=Fraction(25))
        output = OutputOptions(path=text, format="tee", **options)  # type: ignore[arg-type]
        sink = open_sink(output, MediaInfo(self.stream), on_warning=self.warnings.append)
        assert isinstance(sink, TeeSink)
        self.sink = sink

    def write(self, count: int, first: int = 0) -> None:
        stamps = [n * 3600 for n in range(count)]
        for number, frame in enumerate(frames(self.stream, stamps, 3600)):
            if number >= first:
                self.sink.write_frame(frame)


def test_every_file_is_whole(tmp_path: Path, ffprobe: str) -> None:
    names = ["a.mkv", "b.mp4", "c.ts", "d.nut"]
    segments = f"[f=segment:segment_time=1]{tmp_path}/part%d.mkv"
    tee = Tee("|".join([*(str(tmp_path / n) for n in names), segments]), preset="ultrafast")
    tee.write(60)
    tee.sink.finish()
    for name in names:
        assert numbers(tmp_path / name) == list(range(60)), name
    assert [len(numbers(tmp_path / f"part{n}.mkv")) for n in range(3)] == [25, 25, 10]
    hashes = {name: Shown(ffprobe, tmp_path / name) for name in ("a.mkv", "b.mp4")}
    assert hashes["a.mkv"].hashes(hashes["a.mkv"].streams[0]) == hashes["b.mp4"].hashes(hashes["b.mp4"].streams[0])


@pytest.mark.parametrize(
    ("codec", "names"),
    [("libx264", ["a.mp4", "b.h264", "c.ts"]), ("mpeg4", ["a.mp4", "b.ts"]), ("libx265", ["a.mkv", "b.hevc"])],
)
def test_outputs_without_a_header_of_their_own_can_be_decoded(tmp_path: Path, codec: str, names: list[str]) -> None:
    """The encoder has put its parameters in front, for the first of them; raw streams need them in the key frames."""
    tee = Tee("|".join(str(tmp_path / n) for n in names), video_codec=codec)
    tee.write(30)
    tee.sink.finish()
    for name in names:
        assert numbers(tmp_path / name) == list(range(30)), name


def test_hevc_in_mp4_has_the_tag_that_players_want(tmp_path: Path, ffprobe: str) -> None:
    tee = Tee(f"{tmp_path}/a.mkv|{tmp_path}/b.mp4", video_codec="libx265", preset="ultrafast")
    tee.write(3)
    tee.sink.finish()
    assert Shown(ffprobe, tmp_path / "b.mp4").streams[0]["codec_tag_string"] == "hvc1"


def test_a_run_through_the_command_line(tmp_path: Path, ffprobe: str) -> None:
    """Sound is copied into each output that can hold it, and converted for the one that cannot."""
    clip = make_clip(tmp_path / "clip.mp4", 1)
    me = [sys.executable, "-m", "streamvsr", "--model", "identity", str(clip)]
    outputs = f"{tmp_path}/a.mkv|{tmp_path}/b.webm|[select=v]{tmp_path}/c.mkv"
    subprocess.run([*me, "-c:v", "libvpx-vp9", "-f", "tee", outputs], check=True)
    kinds = {n: [s["codec_name"] for s in Shown(ffprobe, tmp_path / n).streams] for n in ("a.mkv", "b.webm", "c.mkv")}
    assert kinds == {"a.mkv": ["vp9", "aac"], "b.webm": ["vp9", "opus"], "c.mkv": ["vp9"]}
    sent, came = Shown(ffprobe, clip), Shown(ffprobe, tmp_path / "a.mkv")
    assert came.hashes(came.of("audio")[0]) == sent.hashes(sent.of("audio")[0])
    before = clip.read_bytes()
    done = subprocess.run([*me, "-y", "-f", "tee", f"{tmp_path}/d.mkv|{clip}"], capture_output=True, check=False)
    assert (done.returncode, b"is the input itself" in done.stderr) == (2, True)
    assert clip.read_bytes() == before


def test_sound_that_two_outputs_convert_is_decoded_once(tmp_path: Path, ffmpeg: str) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 3)
    me = [sys.executable, "-m", "streamvsr", "--model", "identity", str(clip), "-c:a", "flac"]
    subprocess.run([*me, str(tmp_path / "alone.mkv")], check=True)
    twice, outputs = ["-map", "0:v", "-map", "0:a", "-map", "0:a"], f"{tmp_path}/a.mkv|{tmp_path}/b.nut"
    subprocess.run([*me, *twice, "-f", "tee", outputs], check=True)

    def sound(name: str, track: int) -> str:
        words = ["-v", "error", "-i", str(tmp_path / name), "-map", f"0:a:{track}", "-f", "md5", "-"]
        return subprocess.run([ffmpeg, *words], capture_output=True, text=True, check=True).stdout

    assert {sound(name, track) for name in ("a.mkv", "b.nut") for track in (0, 1)} == {sound("alone.mkv", 0)}


def relay_of(tee: Tee) -> Relay:
    """The connection of a tee into a file and a connection."""
    relay = tee.sink._open[1].muxer.transport
    assert isinstance(relay, Relay)
    return relay


def fill(tee: Tee, noisy: Iterator[Frame]) -> int:
    """Write until all buffers of a connection that nobody reads are full, and return the number of frames.

    TCP's buffers may be many times as large on one machine as on another, and the process that fills them may be late
    on a busy one.
    """
    relay, moved, count = relay_of(tee), 0.0, 0
    while not relay._queue or relay._moved != moved:
        tee.sink.write_frame(next(noisy))
        count += 1
        moved = relay._moved
        if relay._queue:
            relay._pump(3)
    return count


def test_a_connection_that_takes_nothing_holds_nobody(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        # Else it may grow to tens of megabytes, even if nobody reads.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        url = f"tcp://me:secret@127.0.0.1:{server.getsockname()[1]}"
        tee = Tee(
            f"{tmp_path}/a.mkv|{url}", width=640, height=360, timeout=1e6, preset="ultrafast", options={"qp": "0"}
        )
        noisy = noise(tee.stream, 250)
        fill(tee, noisy)
        # Twice what the queue holds and more; in one thread with the file, which would stand still.
        for frame in noisy:
            tee.sink.write_frame(frame)
        tee.sink.request_stop()
        with pytest.raises(SinkError, match=r"\*\*\*@.*taken nothing.*\(complete: .*a\.mkv\)"):
            tee.sink.finish()
    assert len(numbers(tmp_path / "a.mkv")) == 250
    assert any("does not take packets fast enough" in line for line in tee.warnings)
    assert any("frames were left out" in line for line in tee.warnings)
    assert not any("secret" in line for line in tee.warnings)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mkv"]


def test_a_connection_that_keeps_up_gets_frames_larger_than_a_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four of five frames of 720 kB were left out at 25 frames/s."""
    # On a busy machine the process may be slow to read.
    monkeypatch.setattr(relay_module, "HAND_OVER_SECONDS", 60)
    got, may_read = bytearray(), threading.Event()
    may_read.set()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = receiving(server, got, may_read)
        outputs = f"{tmp_path}/a.mkv|[f=nut]tcp://127.0.0.1:{server.getsockname()[1]}"
        tee = Tee(outputs, width=1280, height=720, timeout=1e6, preset="ultrafast", options={"qp": "0"})
        relay = relay_of(tee)
        for frame in noise(tee.stream, 20):
            tee.sink.write_frame(frame)
            assert not relay._queue
        tee.sink.finish()
        thread.join(60)
    (tmp_path / "got.nut").write_bytes(bytes(got))
    assert numbers(tmp_path / "got.nut") == numbers(tmp_path / "a.mkv") == list(range(20))


def test_a_connection_that_does_not_take_the_end(tmp_path: Path) -> None:
    """All packets have left for the process that writes to it, which gets no further."""
    before = set(Path("/proc/thread-self/children").read_text().split())
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        tee = Tee(f"{tmp_path}/a.mkv|{url}", timeout=1e6)
        for frame in noise(tee.stream, 5):
            tee.sink.write_frame(frame)
        (writer,) = set(Path("/proc/thread-self/children").read_text().split()) - before
        os.kill(int(writer), signal.SIGSTOP)
        tee.sink.request_stop()
        with pytest.raises(SinkError, match=r"the connection has taken nothing.*\(complete: .*a\.mkv\)"):
            tee.sink.finish()


def receiving(
    server: socket.socket, got: bytearray, may_read: threading.Event, ready: threading.Event | None = None
) -> threading.Thread:
    """Takes what one connection sends, from ``may_read`` on."""

    def receive() -> None:
        connection, _ = server.accept()
        may_read.wait(120)
        with connection:
            while data := connection.recv(1 << 16):
                got.extend(data)
                if ready is not None:
                    ready.set()

    thread = threading.Thread(target=receive, daemon=True)
    thread.start()
    return thread


def test_what_a_slow_connection_gets_begins_again_with_a_key_frame(tmp_path: Path) -> None:
    got, may_read, ready = bytearray(), threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = receiving(server, got, may_read, ready)
        url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        tee = Tee(
            f"{tmp_path}/a.mkv|[f=nut]{url}",
            width=640,
            height=360,
            timeout=1e6,
            preset="ultrafast",
            options={"qp": "0"},
        )
        for number, frame in enumerate(noise(tee.stream, 400)):
            if not may_read.is_set() and any("fast enough" in line for line in tee.warnings):
                may_read.set()
                ready.wait(120)
            tee.sink.write_frame(frame)
            assert number < 350 or may_read.is_set(), "it never became too slow"
        tee.sink.finish()
        thread.join(60)
    (line,) = (line for line in tee.warnings if "were left out" in line)
    left_out = int(line.split("': ")[1].split()[0])
    (tmp_path / "got.nut").write_bytes(bytes(got))
    seen = numbers(tmp_path / "got.nut")
    assert len(numbers(tmp_path / "a.mkv")) == 400
    assert left_out > 0
    assert len(seen) == 400 - left_out
    # Pictures decoded without what they refer to would show wrong numbers.
    expected = [n % 256 for n in range(400)]
    place = 0
    for number in seen:
        place = expected.index(number, place) + 1


def test_a_connection_that_takes_again_is_not_given_up_because_a_file_took_long_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    got, may_read = bytearray(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = receiving(server, got, may_read)
        outputs = f"{tmp_path}/a.mkv|[f=nut]tcp://127.0.0.1:{server.getsockname()[1]}"
        tee = Tee(outputs, width=640, height=360, timeout=1e6, preset="ultrafast", options={"qp": "0"})
        relay, count = relay_of(tee), fill(tee, noise(tee.stream, 250))
        whole = Muxer.finish

        def finish(muxer: Muxer) -> None:
            whole(muxer)
            if muxer.transport is not relay:
                # The index of a large file is moved to its front, say: minutes, and all is well with the connection.
                may_read.set()
                until(lambda: bool(select.select([], [relay._pipe], [], 0)[1]), "nothing is read")
                relay._moved -= 600

        monkeypatch.setattr(Muxer, "finish", finish)
        tee.sink.finish()
        thread.join(60)
    (tmp_path / "got.nut").write_bytes(bytes(got))
    assert numbers(tmp_path / "got.nut") == numbers(tmp_path / "a.mkv") == list(range(count))


def test_an_output_that_cannot_be_reached(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="refused"):
        Tee(f"{tmp_path}/a.mkv|tcp://127.0.0.1:1")
    assert not list(tmp_path.iterdir())
    tee = Tee(f"{tmp_path}/a.mkv|[onfail=ignore]tcp://127.0.0.1:1", preset="ultrafast")
    tee.write(5)
    tee.sink.finish()
    assert len(numbers(tmp_path / "a.mkv")) == 5
    assert "the other outputs go on" in tee.warnings[0]
    with pytest.raises(UsageError, match="unknown option -nonsense"):
        Tee(f"{tmp_path}/b.mkv|[nonsense=1]{tmp_path}/c.mkv")
    assert [p.name for p in tmp_path.iterdir()] == ["a.mkv"]


@pytest.mark.parametrize(("on_fail", "goes_on"), [("", True), ("[onfail=abort]", False), ("[onfail=ignore]", True)])
def test_a_file_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_fail: str, *, goes_on: bool) -> None:
    whole = OutputFile.write

    def write(self: OutputFile, data: bytes) -> int:
        if ".b." in self.name and len(data) > 5000:
            self.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise self.error
        return whole(self, data)

    monkeypatch.setattr(OutputFile, "write", write)
    tee = Tee(
        f"{tmp_path}/a.mkv|{on_fail}{tmp_path}/b.ts", width=320, height=240, preset="ultrafast", options={"qp": "0"}
    )

    def run() -> None:
        try:
            for frame in noise(tee.stream, 30):
                tee.sink.write_frame(frame)
            tee.sink.finish()
        finally:
            tee.sink.abort()

    if on_fail == "[onfail=ignore]":
        run()
        assert "no space" in tee.warnings[0]
    else:
        with pytest.raises(SinkError, match="no space"):
            run()
    assert [p.name for p in tmp_path.iterdir()] == (["a.mkv"] if goes_on else [])
    assert not goes_on or len(numbers(tmp_path / "a.mkv")) == 30
