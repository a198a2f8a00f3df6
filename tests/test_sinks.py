"""Outputs: time stamps, colours, encoders, options, and that nothing half-made ever bears the final name."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from streamvsr.config import OutputOptions
from streamvsr.errors import ReaderLeftError, SinkError, UsageError
from streamvsr.frames import PIXEL_FORMATS, Color, Frame, MediaInfo, StreamInfo
from streamvsr.media.encoder_options import encoder_name, parse_rate
from streamvsr.media.pixel_choice import choose_format
from streamvsr.sinks import open_sink, same_file, wanted_format
from streamvsr.sinks.container import ContainerSink
from streamvsr.sinks.picture_folder import PictureSink
from streamvsr.sinks.target import OutputFile
from tests.outputs import Shown, frames, info, numbers, write

pytestmark = pytest.mark.io

CFR = [n * 3003 for n in range(30)]
VFR = [0, 3000, 9000, 9090, 20000, 20500, 45000, 45090, 45180, 90000, 180000, 180900]
"""In 1/90000 s: from one millisecond to a whole second between two frames."""


def sink_for(path: Path | str, stream: StreamInfo | None = None, **options: object) -> ContainerSink:
    output = OutputOptions(path=str(path), **options)  # type: ignore[arg-type]
    return ContainerSink(output, MediaInfo(stream or info()), on_warning=lambda _: None)


# Time


@pytest.mark.parametrize(("suffix", "tick"), [("mp4", 0), ("mov", 0), ("nut", 0), ("ts", 0), ("mkv", 1), ("webm", 1)])
@pytest.mark.parametrize("stamps", [CFR, VFR], ids=["cfr", "vfr"])
def test_every_frame_is_there_at_its_own_time(
    tmp_path: Path, ffprobe: str, suffix: str, tick: int, stamps: list[int]
) -> None:
    out = tmp_path / f"out.{suffix}"
    write(out, info(), stamps, duration=90, preset="ultrafast" if suffix != "webm" else None)
    shown = Shown(ffprobe, out)
    assert numbers(out) == list(range(len(stamps)))
    with av.open(str(out)) as container:
        # ffprobe 5.1 leaves pts of reordered frames out in NUT.
        times = [f.pts * Fraction(f.time_base) for f in container.decode(video=0)]
    first = times[0]
    for given, found in zip(stamps, times, strict=True):
        assert abs(Fraction(given, 90000) - (found - first)) <= Fraction(tick, 1000)
    if suffix in ("mp4", "mov"):
        assert first == 0
        assert Fraction(shown.streams[0]["time_base"]) == Fraction(1, 90000)


def test_the_last_frame_lasts_as_long_as_stated(tmp_path: Path, ffprobe: str) -> None:
    for suffix in ("mp4", "mkv"):
        write(tmp_path / f"out.{suffix}", info(), [0, 3000, 6000], duration=45000)
        assert abs(float(Shown(ffprobe, tmp_path / f"out.{suffix}").whole["format"]["duration"]) - 51 / 90) < 0.002


def test_an_encoder_that_refuses_the_time_base_gets_a_grid_finer_than_the_frames(tmp_path: Path, ffprobe: str) -> None:
    out = tmp_path / "out.mp4"
    write(out, info(), VFR, video_codec="mpeg4")
    shown = Shown(ffprobe, out)
    times = shown.times(shown.of("video")[0])
    for given, found in zip(VFR, times, strict=True):
        assert abs(Fraction(given, 90000) - found) < Fraction(1, 1000)


@pytest.mark.parametrize("suffix", ["avi", "y4m", "flv", "mxf", "mpg"])
def test_containers_without_time_stamps_hold_every_frame_of_a_constant_rate(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"out.{suffix}", info(), CFR)
    assert numbers(tmp_path / f"out.{suffix}") == list(range(30))


def test_a_claimed_rate_of_1000_is_not_believed(tmp_path: Path, ffprobe: str) -> None:
    write(tmp_path / "out.mkv", info(rate=Fraction(1000), time_base=Fraction(1, 1000)), [0, 33, 67])
    assert Shown(ffprobe, tmp_path / "out.mkv").of("video")[0]["r_frame_rate"] != "1000/1"


def test_stamps_that_do_not_increase_are_an_error(tmp_path: Path) -> None:
    sink = sink_for(tmp_path / "out.mp4")
    one, two = frames(info(), [3003, 3003])
    sink.write_frame(one)
    with pytest.raises(SinkError, match="increase"):
        sink.write_frame(two)
    sink.abort()
    assert not list(tmp_path.iterdir())


def test_pictures_of_another_size_are_not_scaled_in_silence(tmp_path: Path) -> None:
    sink = sink_for(tmp_path / "out.mp4")
    with pytest.raises(SinkError, match="32x32"):
        sink.write_frame(next(frames(info(width=32, height=32), [0])))
    sink.abort()


def test_a_run_that_begins_late_keeps_its_place(tmp_path: Path, ffprobe: str) -> None:
    write(tmp_path / "out.mp4", info(), [900000 + s for s in CFR])
    assert float(Shown(ffprobe, tmp_path / "out.mp4").of("video")[0]["start_time"]) == pytest.approx(10)


def test_key_frames_of_the_source_are_not_forced_on_the_encoder(tmp_path: Path, ffprobe: str) -> None:
    write(tmp_path / "out.mp4", info(), CFR)
    shown = Shown(ffprobe, tmp_path / "out.mp4")
    assert sum(p["flags"].startswith("K") for p in shown.packets(shown.streams[0])) == 1


# What the pictures are


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "ts"])
@pytest.mark.parametrize(
    ("color", "names"),
    [
        (Color(1, 1, 1, False), ("bt709", "bt709", "bt709", "tv")),
        (Color(5, 5, 6, True), ("bt470bg", "bt470bg", "smpte170m", "pc")),
        (Color(9, 9, 16, False), ("bt2020nc", "bt2020", "smpte2084", "tv")),
    ],
)
def test_colour_tags_and_aspect_ratio(
    tmp_path: Path, ffprobe: str, suffix: str, color: Color, names: tuple[str, ...]
) -> None:
    stream = info("yuv420p10le" if color.matrix == 9 else "yuv420p", color=color, sample_aspect_ratio=Fraction(64, 45))
    # ffprobe 5.1 does not recognise a TS of a few packets.
    write(tmp_path / f"o.{suffix}", stream, CFR)
    video = Shown(ffprobe, tmp_path / f"o.{suffix}").of("video")[0]
    tags = tuple(video[k] for k in ("color_space", "color_primaries", "color_transfer", "color_range"))
    assert tags == names
    assert video["sample_aspect_ratio"] == "64:45"
    assert video["pix_fmt"] == {9: "yuv420p10le", 5: "yuvj420p"}.get(color.matrix, "yuv420p")


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_rotation_reads_back_the_same(tmp_path: Path, suffix: str, rotation: int) -> None:
    write(tmp_path / f"o.{suffix}", info(rotation=rotation), CFR[:2])
    with av.open(str(tmp_path / f"o.{suffix}")) as container:
        assert abs(next(container.decode(video=0)).rotation - rotation) in (0, 360)


def test_rotation_that_is_lost_is_named(tmp_path: Path) -> None:
    (warning,) = write(tmp_path / "o.ts", info(rotation=90), CFR[:2])
    assert "rotation" in warning


@pytest.mark.parametrize("name", ["yuv420p", "gbrp", "gbrp10le", "yuv444p10le", "gray", "yuva420p", "gbrap"])
def test_ffv1_is_exact(tmp_path: Path, name: str) -> None:
    from streamvsr.media.pictures import from_av

    rng = np.random.default_rng(1)
    layout = PIXEL_FORMATS[name]
    stream = info(name, color=Color(0, 1, 1, True) if layout.family == "rgb" else Color(1, 1, 1, False))
    shapes = layout.plane_shapes(stream.width, stream.height)
    planes = tuple(rng.integers(0, layout.peak + 1, shape).astype(layout.dtype) for shape in shapes)
    sink = sink_for(tmp_path / "o.mkv", stream, video_codec="ffv1")
    sink.write_frame(Frame(planes, layout, 0, stream.time_base, 3003, stream.color))
    sink.finish()
    with av.open(str(tmp_path / "o.mkv")) as container:
        frame = from_av(next(container.decode(video=0)), pts=0, time_base=Fraction(1, 1000))
    for before, after in zip(planes, frame.planes, strict=True):
        assert np.array_equal(before, after)


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "ffv1", "prores_ks", "libvpx-vp9", "mjpeg"])
@pytest.mark.parametrize("name", ["yuv420p", "gbrp16le"])
def test_the_usual_encoders_open_and_keep_every_frame(tmp_path: Path, codec: str, name: str) -> None:
    write(tmp_path / "o.mkv", info(name, 128, 96), CFR[:6], video_codec=codec)
    assert numbers(tmp_path / "o.mkv") == list(range(6))


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "libvpx-vp9"])
def test_encoders_do_not_talk_over_the_progress_line(
    tmp_path: Path, codec: str, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "o.mkv", info(width=128, height=96), CFR[:3], video_codec=codec)
    said = capfd.readouterr()
    assert said.out + said.err == ""


def test_hevc_in_mp4_has_the_tag_that_players_want(tmp_path: Path, ffprobe: str) -> None:
    write(tmp_path / "o.mp4", info(), CFR[:3], video_codec="hevc")
    assert Shown(ffprobe, tmp_path / "o.mp4").of("video")[0]["codec_tag_string"] == "hvc1"


def test_odd_sizes_lose_no_row(tmp_path: Path, ffprobe: str) -> None:
    stream = info("yuv420p", 161, 121)
    for suffix, pixel_format in (("mp4", "yuv444p"), ("webm", "yuv420p")):
        warnings = write(tmp_path / f"o.{suffix}", stream, CFR[:3])
        video = Shown(ffprobe, tmp_path / f"o.{suffix}").of("video")[0]
        assert (video["width"], video["height"], video["pix_fmt"]) == (161, 121, pixel_format)
        assert len(warnings) == (suffix == "mp4")


@pytest.mark.parametrize(
    ("codec", "source", "chosen"),
    [
        ("libx264", "yuv420p", "yuv420p"),
        ("libx264", "gbrp", "yuv420p"),
        ("libx264", "gbrp16le", "yuv420p10le"),
        ("libx264", "yuv420p12le", "yuv420p10le"),
        ("libx264", "yuva420p", "yuv420p"),
        ("libx265", "gbrp", "yuv420p"),
        ("libsvtav1", "yuv444p", "yuv420p"),
        ("ffv1", "gbrp", "bgr0"),
        ("ffv1", "gbrp16le", "gbrp16le"),
        ("prores_ks", "yuv420p", "yuv422p10le"),
        ("prores_ks", "gbrap", "yuva444p10le"),
        ("libvpx-vp9", "yuva420p", "yuva420p"),
        ("mjpeg", "yuv420p", "yuvj420p"),
        ("h264_nvenc", "gbrp16le", "yuv420p"),
        ("hevc_nvenc", "yuv420p10le", "p010le"),
        ("rawvideo", "yuv444p", "yuv444p"),
    ],
)
def test_the_nearest_pixel_format(codec: str, source: str, chosen: str) -> None:
    assert choose_format(codec, "matroska", PIXEL_FORMATS[source], 64, 48) == chosen


def test_filters_learn_what_the_sink_wants(tmp_path: Path) -> None:
    def wanted(path: str, name: str, **options: str) -> str:
        return wanted_format(OutputOptions(path=path, **options), info(name, 161, 121))  # type: ignore[arg-type]

    assert wanted("x.mp4", "yuv420p") == "yuv420p"
    assert wanted("x.mp4", "gbrp") == "yuv420p"
    assert wanted("x.mkv", "gbrp", video_codec="ffv1") == "gbrp"
    assert wanted("x.y4m", "gbrp") == "yuv444p"
    assert wanted(str(tmp_path), "yuv420p") == "gbrp"
    assert wanted("pics/%06d.png", "yuv420p10le") == "gbrp16le"
    assert wanted("pics/%06d.jpg", "yuv420p10le") == "gbrp"


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"video_codec": "libx265x"}, "libx265"),
        ({"video_codec": "copy"}, "copy"),
        ({"video_codec": "aac"}, "unknown video encoder"),
        ({"format": "mp5"}, "mp4"),
        ({"options": {"nonsense": "1"}}, "-nonsense"),
        ({"options": {"moovflags": "faststart"}}, "movflags"),
        ({"options": {"tunee:v": "film"}}, "tune"),
        ({"preset": "fastt"}, "veryfast"),
        ({"video_codec": "ffv1", "format": "matroska", "crf": 20}, "no -crf"),
        ({"pixel_format": "rgb24"}, "yuv420p"),
        ({"bit_rate": "lots"}, "-b:v"),
        ({"metadata": ("title",)}, "key=value"),
        ({"video_codec": "libvpx-vp9", "format": "flv", "crf": -5}, "libvpx-vp9"),
        ({"format": "webm", "video_codec": "libx264"}, "webm"),
        ({"options": {"tune": "flim"}}, "flim"),
        ({"options": {"x264-params": "bframs=1"}}, "bframs"),
        ({"options": {"movflags": "fastart"}}, "fastart"),
        ({"options": {"metadata:s:v": "title"}}, "key=value"),
    ],
)
def test_what_is_wrong_with_the_options_is_said_before_the_first_frame(
    tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        sink_for(tmp_path / "out.mp4", **options)
    assert not list(tmp_path.iterdir())


def test_options_reach_encoder_and_muxer(tmp_path: Path, ffprobe: str) -> None:
    out = tmp_path / "out.mp4"
    write(
        out, info(), CFR, crf=30, preset="fast", gop=5, metadata=("title=T", "comment=C"),
        options={
            "metadata:s:v:0": "language=deu", "profile:v": "baseline", "movflags": "+faststart",
            "tune": "zerolatency", "x264-params": "bframes=0",
        },
    )  # fmt: skip
    shown = Shown(ffprobe, out)
    video = shown.of("video")[0]
    assert video["profile"] == "Constrained Baseline"
    assert video["tags"]["language"] == "deu"
    assert sum(p["flags"].startswith("K") for p in shown.packets(video)) == 6
    assert shown.whole["format"]["tags"]["title"] == "T"
    head = out.read_bytes()
    assert head.index(b"moov") < head.index(b"mdat")
    assert b"crf=30" in head
    # Slices are what PyAV asks for by itself; they cost quality.
    assert b"sliced_threads=0" in head


@pytest.mark.parametrize(("text", "value"), [("800k", 800_000), ("2.5M", 2_500_000), ("1Mi", 1 << 20), ("4000", 4000)])
def test_bit_rates(text: str, value: int) -> None:
    assert parse_rate(text, "-b:v") == value


def test_a_bit_rate_replaces_the_quality(tmp_path: Path) -> None:
    write(tmp_path / "o.mp4", info(), CFR[:3], bit_rate="300k")
    assert b"abr" in (data := (tmp_path / "o.mp4").read_bytes())
    assert b"bitrate=300" in data


@pytest.mark.parametrize("codec", ["h264_nvenc", "hevc_nvenc", "h264_qsv", "h264_v4l2m2m"])
def test_an_encoder_without_its_hardware_names_the_software(tmp_path: Path, codec: str) -> None:
    try:
        sink = sink_for(tmp_path / "o.mp4", info(width=640, height=480), video_codec=codec)
    except SinkError as exc:
        assert str(exc).count("libx26") == 1  # noqa: PT017
        assert not list(tmp_path.iterdir())
    else:
        sink.abort()


def test_aliases() -> None:
    assert encoder_name("h265", "mp4") == encoder_name("hevc", "mp4") == "libx265"
    assert encoder_name(None, "mkv") == encoder_name("h264", "mp4") == "libx264"
    assert encoder_name(None, "webm") == encoder_name("vp9", "webm") == "libvpx-vp9"
    assert encoder_name("av1", "mp4") == "libsvtav1"


# Places


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
    with pytest.raises(SinkError, match="no picture"):
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
    reader.join(20)
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
from tests.outputs import info, write
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
    done = subprocess.run(command, cwd=root, capture_output=True, check=True, timeout=60)
    (tmp_path / "copy").write_bytes(done.stdout)
    assert numbers(tmp_path / "copy") == list(range(30))


def test_the_reader_of_standard_output_leaves() -> None:
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-c", WRITE_TO_STDOUT, "y4m"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.read(100)
        writer.stdout.close()
        assert writer.wait(60) == 141


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
    reader.join(20)
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


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("after", [2000, 60_000])
def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, after: int) -> None:
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
    thread.join(10)
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


# Pictures


def pictures(path: Path | str, stream: StreamInfo, count: int, **options: object) -> None:
    names = options.pop("names", None)
    output = OutputOptions(path=str(path), **options)  # type: ignore[arg-type]
    sink = open_sink(output, MediaInfo(stream), names=names, on_warning=lambda _: None)  # type: ignore[arg-type]
    assert sink.pixel_format in PIXEL_FORMATS
    for frame in frames(stream, list(range(count))):
        sink.write_frame(frame)
    sink.finish()


def _random(stream: StreamInfo) -> Frame:
    rng = np.random.default_rng(2)
    shapes = stream.format.plane_shapes(stream.width, stream.height)
    planes = tuple(rng.integers(0, stream.format.peak + 1, s).astype(stream.format.dtype) for s in shapes)
    return Frame(planes, stream.format, 0, stream.time_base, 1, stream.color)


@pytest.mark.parametrize(
    ("name", "suffix"), [("gbrp", "png"), ("gbrp16le", "png"), ("gbrap", "png"), ("gbrap16le", "png"), ("gbrp", "tiff")]
)
def test_rgb_is_written_exactly(tmp_path: Path, name: str, suffix: str) -> None:
    import cv2

    stream = info(name, color=Color(0, 1, 1, True))
    frame = _random(stream)
    output = OutputOptions(path=str(tmp_path / f"%d.{suffix}"))
    sink = open_sink(output, MediaInfo(stream), on_warning=lambda _: None)
    assert sink.pixel_format == name
    sink.write_frame(frame)
    sink.finish()
    blue, green, red, *alpha = np.moveaxis(cv2.imread(str(tmp_path / f"0.{suffix}"), cv2.IMREAD_UNCHANGED), -1, 0)
    for found, given in zip((red, green, blue, *alpha), frame.planes, strict=True):
        assert np.array_equal(found, given)


def test_pictures_are_named_like_the_original_script_does(tmp_path: Path) -> None:
    pictures(tmp_path / "new" / "folder", info(), 3)
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == [f"{n:08d}.png" for n in range(3)]


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "bmp"])
def test_a_pattern_names_the_pictures(tmp_path: Path, suffix: str) -> None:
    pictures(tmp_path / f"x_%03d.{suffix}", info(), 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"x_000.{suffix}", f"x_001.{suffix}"]
    assert numbers(tmp_path / f"x_001.{suffix}") == [1]


def test_names_of_the_input_are_used_again(tmp_path: Path) -> None:
    pictures(f"{tmp_path}/a/", info(), 3, names=["one.png", "sub/two.jpg"])
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["00000002.png", "one.png", "two.jpg"]
    (tmp_path / "b").mkdir()
    pictures(tmp_path / "b" / "%d.png", info(), 2, names=["one.jpg", "two.jpg"])
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == ["one.png", "two.png"]


def test_names_that_would_overwrite_each_other_are_not_used(tmp_path: Path) -> None:
    pictures(tmp_path / "%d.png", info(), 2, names=["one.jpg", "one.png"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.png", "1.png"]


def test_existing_pictures_are_overwritten_only_when_told(tmp_path: Path) -> None:
    pictures(tmp_path, info(), 2)
    with pytest.raises(UsageError, match="-y"):
        pictures(tmp_path, info(), 1)
    pictures(tmp_path, info(), 2, overwrite=True)
    pictures(tmp_path / "one.png", info(), 1)
    pictures(tmp_path / "one.png", info(), 1, overwrite=True)
    pictures(tmp_path / "50%_%03d.png", info(), 2)
    assert (tmp_path / "50%_001.png").exists()
    with pytest.raises(UsageError, match="%08d"):
        pictures(tmp_path / "two.png", info(), 2)


def test_deep_yuv_becomes_sixteen_bits_and_colours_are_right(tmp_path: Path) -> None:
    import cv2

    stream = info("yuv420p10le", color=Color(1, 1, 1, False))
    planes = tuple(
        np.full(s, 940 if n == 0 else 512, np.uint16) for n, s in enumerate(stream.format.plane_shapes(64, 48))
    )
    sink = open_sink(OutputOptions(path=str(tmp_path)), MediaInfo(stream), on_warning=lambda _: None)
    assert sink.pixel_format == "gbrp16le"
    sink.write_frame(Frame(planes, stream.format, 0, stream.time_base, 1, stream.color))
    sink.finish()
    white = cv2.imread(str(tmp_path / "00000000.png"), cv2.IMREAD_UNCHANGED)
    assert white.dtype == np.uint16
    assert int(white.min()) > 65000


def test_tracks_are_named_when_pictures_are_written(tmp_path: Path) -> None:
    from streamvsr.frames import Track

    warnings: list[str] = []
    media = replace(MediaInfo(info()), tracks=(Track(1, "audio", "aac", Fraction(1, 48000), {}),))
    open_sink(OutputOptions(path=str(tmp_path)), media, on_warning=warnings.append).abort()
    assert len(warnings) == 1


def test_one_named_picture_does_not_replace_the_input(tmp_path: Path) -> None:
    media = SimpleNamespace(video=SimpleNamespace(format=PIXEL_FORMATS["gbrp"]), tracks=())
    output = OutputOptions(path=str(tmp_path / "b.png"), overwrite=True)
    sink = PictureSink(output, media, names=["a.png"], on_warning=print)  # type: ignore[arg-type]
    assert sink._name(0) == "b.png"
