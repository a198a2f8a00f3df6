"""GStreamer's RTSP server for tests, on a free port of 127.0.0.1: played from, published to, stalled, killed.

Mounts: ``/file`` (H.264 + AAC in real time, from the beginning for each client), ``/file-video`` (without sound),
``/camera`` (the same file, one running play for all clients), ``/live`` (a bouncing ball and a tone, 320x240 at 25 a
second, no end), and for publishing ``/rec`` (H.264 + AAC) and ``/rec-video``, whose files are ``records()``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Self

import av
import numpy as np

from streamvsr.frames import PIXEL_FORMATS
from tests.conftest import missing
from tests.outputs import BITS, painted

SYSTEM_PYTHON = "/usr/bin/python3"
PROGRAM = Path(__file__).with_name("rtsp_server_gst.py")
NEEDS = (
    "GStreamer's RTSP server (gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-good gstreamer1.0-plugins-bad)"
)
RATE = 25


@cache
def is_here() -> bool:
    """Whether the server can run on this machine, with every element that its mounts need."""
    look = (
        "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer; "
        "Gst.init(None); names = 'qtdemux rtph264pay openh264enc voaacenc matroskamux'.split(); "
        "raise SystemExit(not all(map(Gst.ElementFactory.find, names)))"
    )
    try:
        return subprocess.run([SYSTEM_PYTHON, "-c", look], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


class RtspServer:
    """One server process. ``with RtspServer(file=...) as server: server.url("/file")``."""

    def __init__(
        self,
        file: Path | None = None,
        record: Path | None = None,
        *,
        user: str = "",
        password: str = "",
        digest: bool = False,
    ) -> None:
        """``file``: an mp4 of H.264 and AAC. ``record``: the folder for what is published.

        Skips the test where the server cannot run, and fails it in CI.
        """
        if not is_here():
            missing(NEEDS)
        self.port = 0
        self._record, self._user, self._password = record, user, password
        self._given = [f"--file={file}"] if file else []
        self._given += [f"--record={record}"] if record else []
        self._given += [f"--user={user}", f"--password={password}"] if user else []
        self._given += ["--digest"] if digest else []
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        """Start, or start again on the same port."""
        assert self._process is None
        words = [SYSTEM_PYTHON, str(PROGRAM), f"--port={self.port}", *self._given]
        # Not the tests' own environment: another Python's paths would reach the system's.
        plain = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sys.stderr, text=True, env=plain
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("port "), f"the RTSP server did not start: {line!r}"
        self.port = int(line.split()[1])

    def serve(self, file: Path) -> None:
        """Another file from the next start on."""
        self._given = [f"--file={file}" if word.startswith("--file=") else word for word in self._given]

    def url(self, mount: str, *, user: str | None = None, password: str | None = None) -> str:
        """Of a mount; with the server's own user and password, if it has any, unless others are given."""
        user = self._user if user is None else user
        password = self._password if password is None else password
        who = f"{user}:{password}@" if user else ""
        return f"rtsp://{who}127.0.0.1:{self.port}{mount}"

    def records(self, name: str = "rec") -> list[Path]:
        """The files of the publishers so far, in their order."""
        assert self._record is not None
        files = self._record.glob(f"{name}-*.mkv")
        return sorted(
            (f for f in files if f.stem.removeprefix(f"{name}-").isdigit()), key=lambda f: int(f.stem.split("-")[-1])
        )

    def writes(self, record: Path) -> bool:
        """Whether it still has the file open; where the system does not tell, it has not."""
        assert self._process is not None
        opened = Path(f"/proc/{self._process.pid}/fd")
        return opened.is_dir() and any(os.path.realpath(one) == os.path.realpath(record) for one in opened.iterdir())

    def stop(self) -> None:
        """End it as an administrator would (SIGTERM); clients see an end of the stream."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL; the system closes its connections."""
        self._end(signal.SIGKILL)

    def stall(self) -> None:
        """It stays connected and sends nothing (SIGSTOP), until ``resume``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Kill and start again on the same port."""
        self.kill()
        self.start()

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        # A stalled process takes no other signal before it is resumed.
        process.send_signal(signal.SIGCONT)
        process.wait(60)
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def make_clip(
    path: Path, seconds: float, *, width: int = 64, height: int = 48, gop: int = RATE, sound_rate: int = 48000
) -> Path:
    """An mp4 of H.264 without B-frames at 25 a second, each frame's number (modulo 256) painted in, and AAC.

    The tone rises, so that no two packets of it are alike.
    """
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as out:
        video: Any = out.add_stream("libx264", rate=RATE)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.codec_context.gop_size = gop
        video.options = {"preset": "ultrafast", "bf": "0", "crf": "18", "sc_threshold": "0"}
        audio: Any = out.add_stream("aac", rate=sound_rate, layout="mono") if sound_rate else None
        count, layout = round(seconds * RATE), PIXEL_FORMATS["yuv420p"]
        sent = 0
        for number in range(count):
            picture = av.VideoFrame(width, height, "yuv420p")
            for plane, given in zip(picture.planes, painted(number % (1 << BITS), layout, width, height), strict=True):
                rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)  # type: ignore[arg-type]
                rows[:, : given.shape[1]] = given
            picture.pts, picture.time_base = number, Fraction(1, RATE)
            out.mux(video.encode(picture))
            while audio is not None and sent < (number + 1) * sound_rate // RATE:
                at = np.arange(sent, sent + 1024) / sound_rate
                tone = np.sin(2 * np.pi * (200 + 10 * at) * at).astype(np.float32)[None]
                chunk = av.AudioFrame.from_ndarray(tone, "fltp", "mono")
                chunk.sample_rate, chunk.pts, chunk.time_base = sound_rate, sent, Fraction(1, sound_rate)
                out.mux(audio.encode(chunk))
                sent += 1024
        out.mux(video.encode(None))
        if audio is not None:
            out.mux(audio.encode(None))
    return path
