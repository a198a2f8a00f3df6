"""What comes in by each kind of door, damaged in each way, with 1, 3 and 16 threads, against ffmpeg: frames and times.

No fewer frames than ffmpeg decodes, and one at each time at which ffmpeg has one; where frames are missing, a line.
Two differences are known, and explained where they are allowed for: ``FRAMES_OFF`` and ``TIMES_GUESSED``. What is live
may drop frames, and is not here (test_live_parts).
"""

from __future__ import annotations

import http.server
import os
import random
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from streamvsr.config import InputOptions, LiveOptions, OutputOptions
from streamvsr.errors import SourceError
from streamvsr.frames import Frame
from streamvsr.media.demux import demuxer, open_source
from streamvsr.media.demux.stdin import open_stdin
from tests.damage import damage

pytestmark = pytest.mark.io

SIZE, RATE, SECONDS = "96x64", 25, 2
DOORS = (
    "file.mkv",
    "file.mp4",
    "file.ts",
    "file.avi",
    "pipe.mkv",
    "pipe.ts",
    "http.mp4",
    "hls.ts",
    "concat.mkv",
    "file.flv",
    "file.mpg",
    "file.webm",
    "pipe.flv",
)
THREADS = (1, 3, 16)
DAMAGES = ("none", "overwrite", "drop", "double", "cut", "end", "truncated", "bytes", "header", "refused", "late")

FRAMES_OFF = {"concat.mkv": 1}
"""By how many frames a time may differ: a recording in a list begins where the longest stream of the one before ends,
which here lies between two frames, and ffmpeg rounds its times to whole frames."""

TIMES_GUESSED = {("file.mpg", "drop")}
"""A program stream states the times of some frames only; where some are missing between them, both sides guess."""

FRAMES_OF = {("concat.mkv", kind): 2 * RATE * SECONDS for kind in DAMAGES if kind != "refused"}
"""How many frames there are in what is not a single clip."""


@pytest.fixture(scope="module")
def clips(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    video = f"-f lavfi -i testsrc2=s={SIZE}:r={RATE}:d={SECONDS} -f lavfi -i sine=d={SECONDS}"
    coding = "-c:v libx264 -preset veryfast -g 12 -bf 2 -c:a aac -b:a 32k"
    for name in ("clip.mkv", "clip.mp4", "clip.ts"):
        run(ffmpeg, f"{video} {coding} {folder / name}")
    run(ffmpeg, f"{video} -c:v mpeg4 -g 12 -c:a mp2 {folder / 'clip.avi'}")
    run(ffmpeg, f"{video} {coding} -ar 44100 {folder / 'clip.flv'}")
    run(ffmpeg, f"{video} -c:v mpeg2video -g 12 -bf 2 -c:a mp2 {folder / 'clip.mpg'}")
    run(ffmpeg, f"{video} -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 12 -c:a libopus {folder / 'clip.webm'}")
    # A second sound track that begins behind what is looked at.
    two = f"{video} -map 0 -map 1 -map 1 {coding} -output_ts_offset {SECONDS} {folder / 'two.ts'}"
    run(ffmpeg, two)
    return folder


def run(ffmpeg: str, words: str) -> None:
    subprocess.run([ffmpeg, "-v", "error", "-y", *words.split()], check=True, capture_output=True)


@dataclass
class Door:
    """How both are told to read it."""

    path: str
    options: dict[str, str] = field(default_factory=dict)
    format: str | None = None
    stdin: Path | None = None


def spoiled(clips: Path, target: Path, kind: str, seed: int) -> Path:
    """A clip with this damage, at ``target``, whose suffix says which container."""
    original = clips / f"clip{target.suffix}"
    data, rng = bytearray(original.read_bytes()), random.Random(seed)
    if kind in ("overwrite", "drop", "double", "cut", "end"):
        damage(original, target, kind, seed)  # type: ignore[arg-type]
        return target
    if kind == "truncated":
        del data[len(data) * rng.randrange(40, 95) // 100 :]
    elif kind == "bytes":
        for _ in range(8):
            at = rng.randrange(len(data) // 10, len(data) - 50)
            data[at : at + 40] = rng.randbytes(40)
    elif kind == "header":
        at = rng.randrange(64, 600)
        data[at : at + 4] = rng.randbytes(4)
    elif kind == "late":
        data += (clips / "two.ts").read_bytes()
    target.write_bytes(data)
    return target


@contextmanager
def opened(door: str, kind: str, path: Path) -> Iterator[Door]:
    """``path``, damaged, by this door."""
    how = door.partition(".")[0]
    options = {"probesize": "20000", "analyzeduration": "100000"} if kind == "late" else {}
    if how == "pipe":
        yield Door("-", options, stdin=path)
    elif how == "http":
        with served(path, path.stat().st_size * 6 // 10 if kind == "refused" else None) as url:
            yield Door(url, options)
    elif how == "hls":
        yield Door(str(playlist(path, lost=kind == "refused")), options)
    elif how == "concat":
        names = ("clip.mkv", path) if kind != "refused" else (path, "nothing.mkv")
        text = "".join(f"file '{path.parent / name}'\n" for name in names)
        (path.parent / "list.txt").write_text(text)
        yield Door(str(path.parent / "list.txt"), {**options, "safe": "0"}, format="concat")
    else:
        yield Door(str(path), options)


@contextmanager
def served(path: Path, most: int | None) -> Iterator[str]:
    """The URL of a web server of ranges, which breaks off at byte ``most`` and refuses what lies behind."""
    data = path.read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            begin = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
            if most is not None and begin >= most:
                self.send_error(503)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - begin))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(data[begin:most])
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{path.name}"
        server.shutdown()


def playlist(path: Path, *, lost: bool) -> Path:
    data, parts = path.read_bytes(), 3
    step = -(-len(data) // 188 // parts) * 188
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{SECONDS}"]
    for number in range(parts):
        name = f"{path.stem}{number}.ts"
        (path.parent / name).write_bytes(data[number * step : (number + 1) * step])
        lines += [f"#EXTINF:{SECONDS / parts:.3f},", name]
        if lost and number == 1:
            (path.parent / name).unlink()
    (path.parent / "list.m3u8").write_text("\n".join([*lines, "#EXT-X-ENDLIST", ""]))
    return path.parent / "list.m3u8"


def by_ffmpeg(ffmpeg: str, door: Door) -> list[int]:
    words = [word for name, value in door.options.items() for word in (f"-{name}", value)]
    command = [ffmpeg, "-v", "quiet", "-nostdin", *words, *(["-f", door.format] if door.format else [])]
    command += ["-i", door.path, "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framecrc", "-"]
    with ExitStack() as stack:
        given = stack.enter_context(door.stdin.open("rb")) if door.stdin else subprocess.DEVNULL
        feeder = subprocess.Popen(["cat"], stdin=given, stdout=subprocess.PIPE)
        done = subprocess.run(command, stdin=feeder.stdout, capture_output=True, text=True)
        assert feeder.stdout is not None
        feeder.stdout.close()
        feeder.wait()
    return [int(line.split(",")[2]) for line in done.stdout.splitlines() if line and line[0] != "#"]


def by_us(door: Door, threads: int, monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], str]:
    """(times in frames from the first one's, what was told)"""
    end = None
    if door.stdin is not None:
        begin, end = os.pipe()
        data = door.stdin.read_bytes()

        def feed(end: int) -> None:
            with suppress(OSError), open(end, "wb") as pipe:
                pipe.write(data)

        threading.Thread(target=feed, args=(end,), daemon=True).start()
        monkeypatch.setattr(demuxer, "open_stdin", lambda: open_stdin(begin))
    given = InputOptions(path=door.path, format=door.format, options={**door.options, "threads": str(threads)})
    frames: list[Frame] = []
    source = None
    told: list[str] = []
    try:
        source = open_source(given, OutputOptions(), LiveOptions(reconnect=0))
        frames.extend(item for item in source if isinstance(item, Frame))
    except SourceError as error:
        told.append(f"error: {error}")
    finally:
        if source is not None:
            told = [*source.warnings, *told]
            source.close()
        if door.stdin is not None:
            os.close(begin)
    stamps = [frame.pts for frame in frames]
    assert stamps == sorted(set(stamps))
    return [round((frame.seconds - frames[0].seconds) * RATE) for frame in frames], " | ".join(told)


def applies(door: str, kind: str) -> bool:
    if kind == "late":
        return door.endswith(".ts") and not door.startswith("hls")
    return kind != "refused" or door.startswith(("http", "hls", "concat"))


@pytest.mark.parametrize(("door", "kind"), [(d, k) for d in DOORS for k in DAMAGES if applies(d, k)])
def test_frames_and_times(
    door: str, kind: str, clips: Path, tmp_path: Path, ffmpeg: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clip.mkv").write_bytes((clips / "clip.mkv").read_bytes())
    whole = FRAMES_OF.get((door, kind), RATE * SECONDS)
    seed = DOORS.index(door)
    path = spoiled(clips, tmp_path / f"damaged.{door.partition('.')[2]}", kind, seed)
    with opened(door, kind, path) as given:
        wanted = by_ffmpeg(ffmpeg, given)
        for threads in THREADS:
            frames, told = by_us(given, threads, monkeypatch)
            assert len(frames) >= len(wanted), f"{threads=}: ffmpeg has {len(wanted)}; told: {told}"
            # ffmpeg lets stamps go back where a packet is doubled; ours grow, by a tick then.
            if wanted == sorted(set(wanted)) and (door, kind) not in TIMES_GUESSED:
                places = {place + n for place in frames for n in range(-FRAMES_OFF.get(door, 0), 1)}
                missing = {stamp - wanted[0] for stamp in wanted} - places
                assert not missing, f"{threads=}: no frame at {sorted(missing)}; told: {told}"
            # What a container lost before it was written leaves no trace but for its time.
            # Where the end is missing, not every container says how long it was (test_broken_off).
            if len(frames) < whole and kind not in ("drop", "truncated"):
                assert told, f"{threads=}: {len(frames)} of {whole} without a word"


@pytest.mark.parametrize("kind", ["truncated", "empty", "missing", "size"])
def test_images(kind: str, tmp_path: Path, ffmpeg: str) -> None:
    """ffmpeg leaves a frame out that it cannot decode, or ends there, and before a number that is missing; here the one
    before stands in its place, so that times stay."""
    run(ffmpeg, f"-f lavfi -i testsrc2=s={SIZE}:r={RATE}:d=0.4 {tmp_path}/%d.png")
    bad = tmp_path / "5.png"
    if kind == "missing":
        bad.unlink()
    elif kind == "size":
        run(ffmpeg, f"-f lavfi -i testsrc2=s=32x32 -frames:v 1 {bad}")
    else:
        bad.write_bytes(bad.read_bytes()[:400] if kind == "truncated" else b"")
    wanted = by_ffmpeg(ffmpeg, Door(str(tmp_path / "%d.png")))
    source = open_source(InputOptions(path=str(tmp_path / "%d.png")), OutputOptions())
    frames = [item for item in source if isinstance(item, Frame)]
    source.close()
    assert len(frames) == 10 - (kind == "missing") >= len(wanted)
    assert source.warnings
