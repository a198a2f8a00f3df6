"""What a file is beside its samples, through whole runs: fields, orientation, mastering data, time codes, time lines.

Inputs are made by Debian's ffmpeg, which shares no line with the FFmpeg in PyAV, and judged by it or by ffprobe where
it knows the matter.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamvsr.errors import UsageError
from streamvsr.frames import PIXEL_FORMATS, Frame, Mastering, StreamInfo
from streamvsr.media.av_frames import from_av, rescaled
from streamvsr.media.decode.concat import TimestampConcat
from streamvsr.media.decode.conform import Orientation, orientation_of
from streamvsr.media.hdr import mastering_of
from streamvsr.media.timecode import moved
from tests.fidelity_clips import (
    LOSSLESS,
    RATE,
    SIZE,
    comb,
    frame_hashes,
    moving,
    oriented,
    pictures,
    run,
    sound_and_pictures,
    times,
)

pytestmark = pytest.mark.io


Make = Callable[..., Path]


@pytest.fixture
def make(ffmpeg: str, tmp_path: Path) -> Make:
    def made(name: str, *arguments: str) -> Path:
        subprocess.run([ffmpeg, "-v", "error", "-y", *arguments, str(tmp_path / name)], check=True)
        return tmp_path / name

    return made


WOVEN = {"tff": ("interleave_top", "1"), "bff": ("interleave_bottom", "0")}


def woven(make: Make, order: str, name: str = "woven.mkv") -> Path:
    mode, top = WOVEN[order]
    fields = ["-vf", f"tinterlace={mode}", "-c:v", "mpeg2video", "-q:v", "2", "-flags", "+ildct+ilme", "-top", top]
    return make(name, *moving(2 * RATE), *fields)


@pytest.mark.parametrize("order", WOVEN)
def test_interlaced_frames_are_de_interlaced_one_for_one(
    order: str, make: Make, ffprobe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = woven(make, order), tmp_path / "out.mkv"
    assert run(source, *LOSSLESS[:-1], target) == 0
    assert capsys.readouterr().err.count("interlaced frames are de-interlaced first") == 1
    after = times(ffprobe, target)
    assert [t - after[0] for t in after] == [t - times(ffprobe, source)[0] for t in times(ffprobe, source)]
    before, plain = pictures(source), pictures(target)
    assert len(plain) == len(before) == RATE
    # The first has no picture before it that would tell what moves.
    assert np.mean([comb(p) for p in before[1:]]) > 3 * np.mean([comb(p) for p in plain[1:]])
    # Even lines of a picture whose upper field comes first are that moment's own (odd ones otherwise): not touched.
    kept = 0 if order == "tff" else 1
    for old, new in zip(before[1:-1], plain[1:-1], strict=True):
        assert np.array_equal(old[kept::2], new[kept::2])


def test_fields_are_left_alone_where_that_is_asked_for(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = woven(make, "tff"), tmp_path / "out.mkv"
    chain = ["-vf", "bwdif=mode=send_frame,vsr"]
    for options in (["-deinterlace", "off"], ["-vf", "null"], chain):
        assert run(source, *LOSSLESS[:-1], *options, target) == 0
        assert "interlaced" not in capsys.readouterr().err
        same = all(np.array_equal(a, b) for a, b in zip(pictures(source), pictures(target), strict=True))
        assert same == (options != chain)


def test_progressive_frames_among_interlaced_ones_are_not_touched(make: Make, tmp_path: Path) -> None:
    first = make("p.ts", *moving(RATE), "-c:v", "mpeg2video", "-q:v", "2", "-bf", "2")
    second = woven(make, "tff", "i.ts")
    both, target = tmp_path / "both.ts", tmp_path / "out.mkv"
    both.write_bytes(first.read_bytes() + second.read_bytes() + first.read_bytes())
    assert run(both, *LOSSLESS, target) == 0
    before, after = pictures(both), pictures(target)
    assert len(after) == len(before) == 3 * RATE
    same = [np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert same == [True] * RATE + [False] * RATE + [True] * RATE


ORIENTATIONS = [(turn, mirrored) for turn in (0, 90, 180, -90) for mirrored in (False, True)]


@pytest.mark.parametrize(("turn", "mirrored"), ORIENTATIONS)
def test_orientation_is_kept_or_applied(turn: int, mirrored: bool, ffmpeg: str, ffprobe: str, tmp_path: Path) -> None:
    source = oriented(tmp_path / "in.mkv", turn, mirrored)
    for suffix in ("mp4", "mkv"):
        kept = tmp_path / f"kept.{suffix}"
        assert run(source, "--model", "identity", "--quiet", "-y", kept) == 0
        with av.open(str(kept)) as container:
            found = orientation_of(next(container.decode(video=0)))
        assert (found.rotation % 360, found.mirrored) == (turn % 360, mirrored)
    applied = tmp_path / "applied.mkv"
    # Matroska holds the shape of a pixel through PyAV only where the codec states it.
    assert run("-autorotate", source, "-c:v", "libx264", "-qp", "0", *LOSSLESS[2:], applied) == 0
    # ffmpeg turns on its own.
    assert frame_hashes(ffmpeg, applied) == frame_hashes(ffmpeg, source)
    with av.open(str(applied)) as container:
        assert orientation_of(next(container.decode(video=0))) == Orientation()
    asked = ["-show_entries", "stream=width,height,sample_aspect_ratio", "-of", "csv=p=0", str(applied)]
    found_shape = subprocess.run([ffprobe, "-v", "error", *asked], capture_output=True, check=True, text=True).stdout
    assert found_shape.strip() == ("32,48,3:4" if turn % 180 else "48,32,4:3")


def test_a_shape_of_pixels_that_is_lost_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = oriented(tmp_path / "in.mkv", 0, mirrored=False)
    assert run(source, *LOSSLESS[:-1], tmp_path / "out.mkv") == 0
    assert "that pixels are 4:3: players show them square" in capsys.readouterr().err


MASTERING = Mastering(
    primaries=(
        (Fraction(34000, 50000), Fraction(16000, 50000)),
        (Fraction(13250, 50000), Fraction(34500, 50000)),
        (Fraction(7500, 50000), Fraction(3000, 50000)),
        (Fraction(15635, 50000), Fraction(16450, 50000)),
    ),
    luminance=(Fraction(1, 100), Fraction(1000)),
    light_levels=(1000, 400),
)


def hdr(make: Make) -> Path:
    display = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,100):max-cll=1000,400"
    tags = ["-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc", "-color_range", "tv"]
    coded = ["-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", f"log-level=error:{display}", *tags]
    return make("hdr.mp4", "-f", "lavfi", "-i", f"testsrc2=s={SIZE}:r=25:d=0.4", *coded)


@pytest.mark.parametrize("codec", ["libx265", "libx264", "libsvtav1"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_mastering_data_are_kept(codec: str, suffix: str, make: Make, tmp_path: Path) -> None:
    target = tmp_path / f"out.{suffix}"
    assert run(hdr(make), "--model", "identity", "--quiet", "-c:v", codec, target) == 0
    with av.open(str(target)) as container:
        picture = next(container.decode(video=0))
    found = mastering_of(picture)
    assert found is not None
    assert found.light_levels == MASTERING.light_levels
    assert found.luminance is not None
    assert MASTERING.luminance is not None
    # AV1 counts chromaticities in parts of 65536 and luminance in parts of 256 and 16384.
    for mine, theirs in zip(sum(found.primaries, ()), sum(MASTERING.primaries, ()), strict=True):
        assert abs(mine - theirs) <= Fraction(1, 65536 if codec == "libsvtav1" else 10**9)
    for one, other in zip(found.luminance, MASTERING.luminance, strict=True):
        assert abs(one - other) <= Fraction(1, 256)
    assert (int(picture.colorspace), int(picture.color_primaries), int(picture.color_trc)) == (9, 9, 16)


def test_mastering_data_that_are_lost_are_told(make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = hdr(make)
    assert run(source, "--model", "identity", "-c:v", "ffv1", tmp_path / "out.mkv") == 0
    assert capsys.readouterr().err.count("ffv1 cannot be told the HDR mastering data") == 1


SOUND = ["-f", "lavfi", "-i", "sine=r=48000:d=2", "-c:a", "mp2"]


@pytest.mark.parametrize(("codec", "suffix"), [("libvpx", "webm"), ("libvpx-vp9", "webm"), ("libvpx-vp9", "mkv")])
def test_transparency_beside_the_frame_is_kept(codec: str, suffix: str, make: Make, ffprobe: str) -> None:
    ramp = ["-f", "lavfi", "-i", f"testsrc2=s={SIZE}:d=0.1,format=yuva420p,geq=lum='lum(X,Y)':a='2*X'"]
    clip = make(f"clip.{suffix}", *ramp, "-c:v", codec, "-auto-alt-ref", "0")
    lossless, again = clip.parent / "out.mkv", clip.parent / f"again.{suffix}"
    assert run(clip, *LOSSLESS[:-1], lossless) == 0
    assert run(clip, "--model", "identity", "-c:v", codec, "--quiet", again) == 0
    for path in (lossless, again):
        name = "" if path == lossless else codec
        with av.open(str(path)) as container:
            decoder: Any = av.CodecContext.create(name, "r") if name else container.streams.video[0].codec_context
            picture = next(frame for packet in container.demux(video=0) for frame in decoder.decode(packet))
        alpha = from_av(picture, pts=0, time_base=Fraction(1)).planes[3]
        assert np.abs(alpha.astype(int) - 2 * np.arange(96)).max() <= 3


def test_a_transport_stream_whose_clock_wraps(make: Make, ffprobe: str, tmp_path: Path) -> None:
    two = ["-f", "lavfi", "-i", f"testsrc2=s={SIZE}:r=25:d=2", *SOUND, "-c:v", "libx264", "-bf", "2"]
    straight = make("straight.ts", *two)
    # 2**33 / 90000 = 95443.7 s: one second into the film. 1.4 s is what the muxer adds by itself.
    wrapping = make("wrapping.ts", *two, "-output_ts_offset", "95441.3")
    outputs = []
    for source in (straight, wrapping):
        assert run(source, "--model", "identity", "--quiet", "-y", tmp_path / "out.mkv") == 0
        outputs.append(sound_and_pictures(ffprobe, tmp_path / "out.mkv"))
    raw = sound_and_pictures(ffprobe, wrapping)
    assert len(outputs[0][1]) == 50
    for a, b in zip(*outputs, strict=True):
        assert len(a) == len(b)
        assert max(abs(x - y) for x, y in zip(a, b, strict=True)) <= Fraction(2, 1000)
    assert raw[1][-1] - raw[1][0] > 1


def test_recordings_behind_each_other_keep_sound_and_video_together(
    make: Make, ffprobe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two = ["-f", "lavfi", "-i", f"testsrc2=s={SIZE}:r=25:d=2", *SOUND, "-c:v", "libx264", "-bf", "2"]
    one = make("one.ts", *two)
    (tmp_path / "glued.ts").write_bytes(2 * one.read_bytes())
    assert run(tmp_path / "glued.ts", "--model", "identity", "-y", tmp_path / "out.mkv") == 0
    assert "jump back 1 times" in capsys.readouterr().err
    sound, shown = sound_and_pictures(ffprobe, tmp_path / "out.mkv")
    once = sound_and_pictures(ffprobe, one)
    assert (len(sound), len(shown)) == (2 * len(once[0]), 2 * len(once[1]) == 100 and 100)
    apart = [shown[50 * k] - sound[len(once[0]) * k] for k in (0, 1)]
    assert abs(apart[0] - apart[1]) <= Fraction(2, 1000)
    assert 2 < shown[50] < Fraction(22, 10)


def test_joins_move_all_streams_alike() -> None:
    joins, tick = TimestampConcat(), Fraction(1, 10)
    given = [(0, 0), (1, 0), (0, 10), (1, 10), (0, 20), (1, 20), (1, 0), (0, 0), (0, 10), (1, 10), (0, 11)]
    moved_by = [joins.ticks(stream, dts, 10, tick) for stream, dts in given]
    # The second recording begins where the first ends; a step back of a second or less is disorder.
    assert moved_by == [0] * 6 + [30] * 5
    assert (joins.count, joins.last) == (1, 3)
    assert joins.ticks(0, None, 0, tick) == 30


def test_depth_and_time_code_that_are_lost_are_told(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = ["-c:v", "libx264", "-pix_fmt", "yuv420p10le", "-timecode", "01:02:03:04"]
    source = make("code.mov", "-f", "lavfi", "-i", f"testsrc2=s={SIZE}:r=25:d=0.2", *code)
    assert run(source, "--model", "identity", "-c:v", "mpeg2video", tmp_path / "out.ts") == 0
    said = capsys.readouterr().err
    assert "mpegts cannot hold the time code 01:02:03:04" in said
    assert "mpeg2video holds 8 of the 10 bits" in said
    assert run(source, "--model", "identity", tmp_path / "out.mp4") == 0
    said = capsys.readouterr().err
    assert "cannot hold" not in said
    assert "bits" not in said


def test_the_time_code_is_kept_and_goes_on_after_a_cut(make: Make, ffprobe: str, tmp_path: Path) -> None:
    code = ["-c:v", "libx264", "-timecode", "01:02:03:04"]
    source = make("code.mov", "-f", "lavfi", "-i", f"testsrc2=s={SIZE}:r=25:d=3", *code)
    for suffix in ("mp4", "mov", "mkv"):
        for cut, expected in (([], "01:02:03:04"), (["-ss", "1.5"], "01:02:04:17")):
            target = tmp_path / f"out.{suffix}"
            assert run(*cut, source, "--model", "identity", "--quiet", "-y", target) == 0
            done = subprocess.run(
                [ffprobe, "-v", "error", "-show_entries", "stream_tags", "-of", "json", str(target)],
                capture_output=True,
            )
            tags = {k.lower(): v for s in json.loads(done.stdout)["streams"] for k, v in s.get("tags", {}).items()}
            assert tags["timecode"] == expected


@pytest.mark.parametrize(
    ("code", "seconds", "rate", "later"),
    [
        ("00:00:59:24", Fraction(1, 25), Fraction(25), "00:01:00:00"),
        ("23:59:59:24", Fraction(1, 25), Fraction(25), "00:00:00:00"),
        ("00:00:59;29", Fraction(1001, 30000), Fraction(30000, 1001), "00:01:00;02"),
        ("00:09:59;29", Fraction(1001, 30000), Fraction(30000, 1001), "00:10:00;00"),
        ("00:00:00;00", Fraction(107892 * 1001, 30000), Fraction(30000, 1001), "01:00:00;00"),
        ("00:00:00;00", Fraction(39564 * 1001, 60000), Fraction(60000, 1001), "00:11:00;04"),
    ],
)
def test_time_codes_count_as_smpte_does(code: str, seconds: Fraction, rate: Fraction, later: str) -> None:
    assert moved(code, seconds, rate) == later
    assert moved("soon", seconds, rate) is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-probesiz", "100000"], "-probesiz for the input .*; did you mean probesize"),
        (["-stimeout", "5"], "-stimeout for the input .*; did you mean timeout"),
        (["-b:a", "5"], "-b:a: of an input only the video"),
    ],
)
def test_unknown_options_of_the_input_are_named(words: list[str], said: str, make: Make, tmp_path: Path) -> None:
    from streamvsr.config import InputOptions, OutputOptions
    from streamvsr.media.demux import open_source

    source = make("a.mkv", *moving(RATE), "-c:v", "ffv1")
    options = {words[0][1:]: words[1]}
    with pytest.raises(UsageError, match=said):
        open_source(InputOptions(path=str(source), options=options), OutputOptions())
    fine = InputOptions(path=str(source), options={"probesize": "100000", "err_detect": "explode", "threads:v": "1"})
    open_source(fine, OutputOptions()).close()


@pytest.mark.parametrize("words", [["raw.yuv"], ["-f", "rawvideo", "-pix_fmt", "nv12", "-"]])
def test_raw_video_without_a_size_is_named(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words, "out.mkv") == 2
    assert "-f rawvideo -s WxH" in capsys.readouterr().err


def test_pictures_have_no_options_of_demuxers(make: Make, tmp_path: Path) -> None:
    from streamvsr.config import InputOptions, OutputOptions
    from streamvsr.media.demux import open_source

    make("1.png", *moving(RATE), "-frames:v", "1")
    given = InputOptions(path=str(tmp_path / "1.png"), options={"framerate": "30"})
    with pytest.raises(UsageError, match=r"-framerate: .* -r FPS"):
        open_source(given, OutputOptions())


@pytest.mark.parametrize("name", ["auto", "cuda", "vaapi"])
def test_decoding_hardware_that_is_not_there(
    name: str, make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make("a.mkv", *moving(RATE), "-c:v", "libx264")
    assert run("-hwaccel", name, source, *LOSSLESS[:-1], tmp_path / "out.mkv") == 0
    # On a machine that has it there is nothing to say.
    assert capsys.readouterr().err.count(f"-hwaccel {name}: ") <= 1
    assert [p.shape for p in pictures(tmp_path / "out.mkv")] == [(64, 96)] * RATE


@pytest.mark.parametrize("codec", ["h264_nvenc", "hevc_vaapi"])
def test_encoding_hardware_that_is_not_there(
    codec: str, make: Make, ffprobe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make("a.mkv", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=0.4", "-c:v", "libx264")
    assert run(source, "--model", "identity", "-c:v", codec, tmp_path / "out.mp4") == 0
    assert capsys.readouterr().err.count(f"-c:v {codec}: cannot be used on this machine") <= 1
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].codec_context.codec.canonical_name == codec.split("_")[0]
    assert len(times(ffprobe, tmp_path / "out.mp4")) == 10


@pytest.mark.parametrize("count", [1, 2, 3])
def test_x265_with_fewer_pictures_than_it_looks_ahead(count: int, make: Make, ffprobe: str, tmp_path: Path) -> None:
    source = make("a.mkv", *moving(RATE), "-c:v", "ffv1")
    words = ["--model", "identity", "--quiet", "-c:v", "libx265", "-frames:v", str(count)]
    assert run(source, *words, tmp_path / "out.mp4") == 0
    shown = times(ffprobe, tmp_path / "out.mp4")
    assert [t - shown[0] for t in shown] == [Fraction(n, RATE) for n in range(count)]


def test_a_change_of_matrix_and_depth_does_not_change_the_colours() -> None:
    from streamvsr.frames import Color
    from streamvsr.media.decode.conform import Fitter

    first = Color(1, 1, 1, full_range=False)
    info = StreamInfo(96, 64, PIXEL_FORMATS["yuv420p"], Fraction(1, 25), Fraction(25), color=first)
    told: list[str] = []
    fitter = Fitter(info, first, told.append)
    original = av.VideoFrame(96, 64, "gbrp")
    for plane, code in zip(original.planes, (40, 60, 200), strict=True):  # G, B, R
        np.frombuffer(plane, np.uint8)[:] = code
    for matrix, full, name in ((6, False, "yuv420p"), (9, True, "yuv444p10le"), (1, False, "yuv420p")):
        tags = Color(matrix, matrix, 1, full_range=full)
        other = rescaled(original, 96, 64, name, Color(0, full_range=True), tags)
        made, color, changed = fitter(other)
        frame = from_av(made, pts=0, time_base=Fraction(1), color=color)
        assert isinstance(frame, Frame)
        assert (changed, frame.format.name, color.matrix, color.full_range) == (True, "yuv420p", 1, False)
        # (200, 40, 60) in BT.709, limited range.
        assert [int(np.median(p)) for p in frame.planes] == pytest.approx([81, 121, 198], abs=1)
    assert [line.split(":")[0].split(" to ")[0] for line in told[:2]] == [
        "matrix or range of the colours change",
        "the video changes",
    ]
