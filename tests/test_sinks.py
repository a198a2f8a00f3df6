"""Outputs: time stamps, colours, encoders, options."""

from __future__ import annotations

import ctypes.util
import io
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamvsr.config import OutputOptions
from streamvsr.errors import SinkError, UsageError
from streamvsr.frames import PIXEL_FORMATS, Color, Frame, MediaInfo
from streamvsr.media.encode.options import encoder_name, parse_rate
from streamvsr.media.encode.pixel_formats import choose_format
from streamvsr.media.encode.video_encoder import VideoEncoder
from streamvsr.media.mux import wanted_format
from tests.outputs import CFR, Shown, frames, info, numbers, scheduling, sink_for, write

pytestmark = pytest.mark.io

VFR = [0, 3000, 9000, 9090, 20000, 20500, 45000, 45090, 45180, 90000, 180000, 180900]
"""In 1/90000 s: from one millisecond to a whole second between two frames."""


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
    from streamvsr.media.av_frames import from_av

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


USUAL = ["libx264", "libx265", "libsvtav1", "ffv1", "prores_ks", "libvpx-vp9", "mjpeg"]


@pytest.mark.parametrize("codec", USUAL)
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


@pytest.mark.skipif(sys.platform != "linux", reason="threads have scheduling policies of their own on Linux")
@pytest.mark.parametrize("codec", USUAL)
def test_encoders_leave_the_scheduling_policy_alone(tmp_path: Path, codec: str) -> None:
    """SVT-AV1 changes it, where the tests run as root."""
    before = scheduling()
    sink = sink_for(tmp_path / "o.mkv", info(width=128, height=96), video_codec=codec)
    for frame in frames(info(width=128, height=96), CFR[:6]):
        sink.write_frame(frame)
        assert scheduling() == before
    sink.finish()
    assert scheduling() == before


def test_hevc_in_mp4_has_the_tag_that_players_want(tmp_path: Path, ffprobe: str) -> None:
    write(tmp_path / "o.mp4", info(), CFR[:3], video_codec="hevc")
    assert Shown(ffprobe, tmp_path / "o.mp4").of("video")[0]["codec_tag_string"] == "hvc1"


@pytest.mark.parametrize("nonsense", [0x4040404040404040, -0x4040404040404040, 3004])
def test_decoding_times_that_cannot_be_are_dropped(nonsense: int) -> None:
    """x265's are uninitialised memory for a video of two frames."""
    with av.open(io.BytesIO(), "w", format="nut") as container:
        encoder = VideoEncoder(
            container, "libx264", {}, OutputOptions(path="out.mp4"), MediaInfo(info()), "yuv420p", "mp4", in_front=True
        )
        packets = []
        for pts, dts in [(0, -6006), (3003, nonsense), (6006, 6006)]:
            packet = av.Packet(b"frame")
            packet.pts, packet.dts = pts, dts
            packets.append(packet)
        assert [packet.dts for packet in encoder._stamped(packets)] == [-6006, None, 6006]


def test_x265_of_narrow_frames_overruns_no_buffer(tmp_path: Path) -> None:
    """x265 overran a heap buffer, which glibc's checks see; without them the process aborted now and then, later on."""
    checks = ctypes.util.find_library("c_malloc_debug")
    if checks is None:
        pytest.skip("no libc_malloc_debug here")
    assert encoder_name("hevc", "mp4") == "libx265"
    code = (
        "from pathlib import Path; from tests.outputs import info, write; "
        f"write(Path({str(tmp_path)!r}) / 'o.mp4', info(width=48), [n * 3003 for n in range(8)], video_codec='libx265',"
        " options={'x265-params': 'keyint=5'})"
    )
    checked = {"LD_PRELOAD": checks, "MALLOC_CHECK_": "3", "MALLOC_PERTURB_": "90"}
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **checked}, check=True)
    assert len(numbers(tmp_path / "o.mp4")) == 8


@pytest.mark.parametrize(("width", "height"), [(18, 96), (96, 18), (24, 64)])
def test_frames_that_svt_av1_crashes_or_hangs_with_are_refused(width: int, height: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"libsvtav1 cannot encode {width}x{height}.*-c:v"):
        write(tmp_path / "o.mp4", info(width=width, height=height), [0, 3003], video_codec="libsvtav1")
    assert not list(tmp_path.iterdir())
    write(tmp_path / "o.mp4", info(width=32, height=32), [0, 3003], video_codec="libsvtav1")


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
        ("libvpx-vp9", "yuva444p16le", "yuva420p"),
        ("gif", "yuv420p", "pal8"),
        ("qtrle", "gbrap", "argb"),
        ("sunrast", "gbrp", "bgr24"),
        ("jpegls", "yuva444p10le", "bgr24"),
        ("amv", "yuv420p", "yuvj420p"),
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
