"""Live inputs against real servers: outages, silence, passwords, signals. At full length: benchmarks/soak_rtsp.py."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamvsr.config import InputOptions, LiveOptions, OutputOptions
from streamvsr.errors import StreamLostError
from streamvsr.frames import Frame, Packet
from streamvsr.media.demux.live import LiveSource
from tests.live_run import QUICK, Streamvsr, recording
from tests.outputs import Shown, readable, unread, until
from tests.rtsp_server import RtspServer, make_clip
from tests.silent_camera import SilentCamera

STARTED = r"model identity"
PATIENT = ["--max-latency", "30"]
"""A slow machine may be late without letting go of frames, where these are compared with what was sent."""
SECRET = "hunter2"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("live") / "clip.mp4", 60)


@pytest.fixture
def server(clip: Path) -> Iterator[RtspServer]:
    with RtspServer(clip) as running:
        yield running


@pytest.mark.parametrize(("transport", "outages"), [pytest.param("tcp", 2, marks=pytest.mark.io), ("udp", 1)])
def test_an_outage_is_a_gap_in_one_recording(
    transport: str, outages: int, server: RtspServer, clip: Path, ffprobe: str, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    down: list[float] = []
    with Streamvsr("-rtsp_transport", transport, server.url("/camera"), *QUICK, *PATIENT, str(out)) as run:
        run.wait_for(STARTED)
        for number in range(1, outages + 1):
            time.sleep(1.5)
            server.kill()
            begin = time.monotonic()
            run.wait_for("trying to get it back", count=number)
            time.sleep(1)
            server.start()
            down.append(time.monotonic() - begin)
            run.wait_for("it is back after", count=number)
        time.sleep(1)
        run.signal(signal.SIGTERM)
        assert run.end() == 130
    shown = recording(ffprobe, out, clip)
    assert len(shown.gaps()) == outages
    away = [float(seconds) for seconds in re.findall(r"it is back after ([\d.]+) s", run.text)]
    for gap, dead, told in zip(shown.gaps(), down, away, strict=True):
        # The server was gone for `dead`, and what came back was sent at `told` at the latest.
        assert dead - 0.5 <= gap <= told + 0.5
    if transport == "tcp":
        assert run.dropped == shown.missing()
    assert all(abs(moved) < 0.1 for moved in shown.sync()), "sound and picture have moved apart"


def test_a_stall_within_the_read_timeout_costs_nothing(
    server: RtspServer, clip: Path, ffprobe: str, tmp_path: Path
) -> None:
    out = tmp_path / "out.mkv"
    with Streamvsr(server.url("/camera"), *QUICK, *PATIENT, "--duration", "5", str(out)) as run:
        run.wait_for(STARTED)
        server.stall()
        time.sleep(2)
        server.resume()
        assert run.end() == 0
    assert "trying to get it back" not in run.text
    assert recording(ffprobe, out, clip).missing() == run.dropped


def test_what_does_not_come_back_ends_the_recording_and_is_an_error(
    server: RtspServer, ffprobe: str, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    with Streamvsr(server.url("/camera"), *QUICK, "--reconnect", "0.5", str(out)) as run:
        until(lambda: readable(out) >= 25, "nothing is recorded")
        server.stop()
        assert run.end() == 1
    assert re.search(r"error: '.*/camera': .*did not come back within 0.5 s", run.text)
    assert len(Shown(ffprobe, out).times(Shown(ffprobe, out).of("video")[0])) >= 25, "what came before is whole"


def test_a_stream_that_falls_silent_is_given_up_in_the_time_that_was_set(
    server: RtspServer, ffprobe: str, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    with Streamvsr(server.url("/camera"), *QUICK, "--read-timeout", "1", "--reconnect", "0", str(out)) as run:
        run.wait_for(STARTED)
        server.stall()
        assert run.end() == 1
    assert "no frame for 1 s" in run.text
    assert Shown(ffprobe, out).times(Shown(ffprobe, out).of("video")[0]), "what came before is whole"


@pytest.mark.io
def test_a_camera_that_never_gives_a_frame(tmp_path: Path) -> None:
    with SilentCamera() as mute, SilentCamera(handshake=True) as half:
        words = [*QUICK, "--open-timeout", "4", str(tmp_path / "out.mp4")]
        begin = time.monotonic()
        with Streamvsr(mute.url, *words) as one, Streamvsr(half.url, *words) as other:
            assert (one.end(), other.end()) == (1, 1)
        assert time.monotonic() - begin >= 4
        assert (mute.connections, half.connections) == (1, 1)
        assert half.sent_half
    for run in (one, other):
        assert re.fullmatch(r"error: 'rtsp://.*': no frame within 4 s; .*", run.text)
    assert not list(tmp_path.iterdir())


@pytest.mark.io
def test_a_signal_ends_the_waiting_for_an_input(tmp_path: Path) -> None:
    waiting: list[tuple[Streamvsr, signal.Signals]] = []
    with contextlib.ExitStack() as stack:
        cameras = [stack.enter_context(SilentCamera()) for _ in range(2)]
        patient = ["--open-timeout", "600"]
        inputs = [[cameras[0].url, *patient], [cameras[1].url, *patient], ["-"], ["--live", "-", *patient]]
        how = [signal.SIGINT, signal.SIGTERM, signal.SIGTERM, signal.SIGINT]
        for number, (words, kind) in enumerate(zip(inputs, how, strict=True)):
            run = Streamvsr(*words, *QUICK, str(tmp_path / f"{number}.mp4"), stdin=subprocess.PIPE)
            waiting.append((stack.enter_context(run), kind))
        assert all(camera.connected.wait(120) for camera in cameras)
        for run, _ in waiting[2:]:
            pipe = run.process.stdin
            assert pipe is not None
            pipe.buffer.write(b"\x1a\x45\xdf\xa3")  # what Matroska begins with
            pipe.flush()
            until(lambda pipe=pipe: unread(pipe.fileno()) == 0, "it does not read its standard input")  # type: ignore[misc]
        for run, kind in waiting:
            run.signal(kind)
        for run, _ in waiting:
            assert run.end() == 130
            assert "Traceback" not in run.text
            assert run.process.stdin is not None
            run.process.stdin.close()
    assert not list(tmp_path.iterdir())


def test_a_signal_while_the_server_is_stalled_leaves_a_playable_file(
    server: RtspServer, ffprobe: str, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    with Streamvsr(server.url("/live"), *QUICK, str(out)) as run:
        run.wait_for(STARTED)
        time.sleep(1)
        server.stall()
        time.sleep(1)
        run.signal(signal.SIGTERM)
        assert run.end() == 130
    assert Shown(ffprobe, out).times(Shown(ffprobe, out).of("video")[0])


@pytest.mark.parametrize("digest", [False, True], ids=["basic", "digest"])
def test_passwords_work_and_are_never_shown(digest: bool, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    with RtspServer(clip, user="bob", password=SECRET, digest=digest) as server:
        with Streamvsr(server.url("/camera"), *QUICK, "--debug", "-frames:v", "5", str(out)) as run:
            assert run.end() == 0
        with Streamvsr(server.url("/camera", password=f"no{SECRET}"), *QUICK, "--debug", str(out)) as wrong:
            assert wrong.end() == 1
    assert "user and a password" in wrong.text
    assert SECRET not in run.text + wrong.text
    assert SECRET.encode() not in out.read_bytes()


def test_print_config_hides_them_too() -> None:
    with Streamvsr("--print-config", f"rtsp://bob:{SECRET}@host/x", "out.mp4", stdout=subprocess.PIPE) as run:
        assert run.process.stdout is not None
        assert SECRET not in run.process.stdout.read()
        assert run.end() == 0


def source_of(server: RtspServer) -> LiveSource:
    limits = LiveOptions(reconnect=120)
    return LiveSource(InputOptions(server.url("/camera")), OutputOptions(), limits)


def test_what_comes_back_is_a_new_scene_and_other_sound_is_left_out(
    server: RtspServer, clip: Path, tmp_path: Path
) -> None:
    other = make_clip(tmp_path / "other.mp4", 10, sound_rate=44100)
    source, seen, before, restarted = source_of(server), [], 0, False
    for item in source:
        if isinstance(item, Packet):
            assert not seen, "a packet of another kind went out"
            before += 1
            continue
        seen += [item.pts] if item.discontinuity else []
        if item.seconds > 1 and not restarted:
            restarted = True
            server.serve(other)
            server.restart()
        if seen and item.pts > seen[0]:
            source.stop()
    source.close()
    assert len(seen) == 1
    assert before > 20
    assert any("audio 0:1 did not come back as it was" in line for line in source.warnings)


def test_another_format_ends_the_recording(server: RtspServer, tmp_path: Path) -> None:
    other = make_clip(tmp_path / "other.mp4", 10, width=96)
    source, restarted = source_of(server), False
    with pytest.raises(StreamLostError, match="came back as 96x48 yuv420p instead of 64x48 yuv420p"):  # noqa: PT012
        for item in source:
            if isinstance(item, Frame) and not restarted:
                restarted = True
                server.serve(other)
                server.restart()
    source.close()


def test_srt_says_what_to_do() -> None:
    with Streamvsr("srt://host:9000", "out.mp4") as run:
        assert run.end() == 2
    assert re.fullmatch(r"error: 'srt://host:9000': SRT is not .* ffmpeg -i .* \| streamvsr --live - OUTPUT", run.text)


def test_live_options_are_for_live_inputs(tmp_path: Path) -> None:
    with Streamvsr(str(tmp_path / "x.mp4"), "--max-latency", "1", "out.mp4") as run:
        assert run.end() == 2
    assert "add --live" in run.text
