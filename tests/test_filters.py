"""FFmpeg's filters as a link, and links as a chain."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamvsr.errors import FilterError
from streamvsr.filters.base import Filter
from streamvsr.filters.chain import Chain, segments
from streamvsr.filters.libav.graph import LibavFilter
from streamvsr.frames import PIXEL_FORMATS, Color, Frame, PixelFormat, StreamInfo
from streamvsr.media.av_frames import to_av

pytestmark = pytest.mark.io

MS = Fraction(1, 1000)
NTSC = Fraction(30000, 1001)
BT709 = Color(matrix=1, primaries=1, transfer=1, full_range=False)


def noise(
    format: str, width: int = 64, height: int = 48, color: Color = BT709, pts: int = 0, duration: int = 0
) -> Frame:
    kind = PIXEL_FORMATS[format]
    rng = np.random.default_rng(pts)
    planes = tuple(rng.integers(0, kind.peak + 1, s).astype(kind.dtype) for s in kind.plane_shapes(width, height))
    return Frame(planes, kind, pts, MS, duration, color)


def info_of(frame: Frame, rate: Fraction | None = NTSC, **changes: object) -> StreamInfo:
    info = StreamInfo(frame.width, frame.height, frame.format, frame.time_base, rate, color=frame.color)
    return replace(info, **changes)  # type: ignore[arg-type]


def run(link: Filter, frames: list[Frame], info: StreamInfo | None = None) -> tuple[StreamInfo, list[Frame]]:
    settled = link.configure(info or info_of(frames[0]))
    out = [made for frame in frames for made in link.push(frame)] + list(link.flush())
    link.close()
    return settled, out


@pytest.mark.parametrize("name", sorted(PIXEL_FORMATS))
def test_null_changes_nothing(name: str) -> None:
    rgb, grey = PIXEL_FORMATS[name].family == "rgb", PIXEL_FORMATS[name].family == "gray"
    # Only whole pictures show a lost plane; grey has no matrix, and RGB remembers the one of its YUV.
    color = Color() if rgb else replace(BT709, matrix=2, full_range=True) if grey else BT709
    frames = [noise(name, 33, 21, color, pts, duration=40) for pts in (0, 33, 90, 100)]
    settled, out = run(LibavFilter([("null", "")]), frames)
    assert settled == info_of(frames[0])
    assert [(f.pts, f.time_base, f.duration, f.color) for f in out] == [
        (f.pts, f.time_base, f.duration, f.color) for f in frames
    ]
    for there, back in zip(frames, out, strict=True):
        assert back.format == there.format
        assert all(np.array_equal(a, b) for a, b in zip(there.planes, back.planes, strict=True))


@pytest.mark.parametrize(
    ("spec", "rate", "size", "time_base", "ratio"),
    [
        ([("fps", "fps=25")], Fraction(25), (64, 48), Fraction(1, 25), Fraction(64, 45)),
        ([("fps", "fps=60000/1001")], 2 * NTSC, (64, 48), Fraction(1001, 60000), Fraction(64, 45)),
        ([("scale", "w=128:h=48")], NTSC, (128, 48), MS, Fraction(32, 45)),
        ([("scale", "w=853:h=481")], NTSC, (853, 481), MS, Fraction(64 * 481 * 64, 45 * 48 * 853)),
        ([("setsar", "sar=40/33")], NTSC, (64, 48), MS, Fraction(40, 33)),
        ([("bwdif", "mode=send_field")], 2 * NTSC, (64, 48), MS / 2, Fraction(64, 45)),
        ([("settb", "tb=1/90000"), ("transpose", "dir=clock")], NTSC, (48, 64), Fraction(1, 90000), Fraction(45, 64)),
        ([], NTSC, (64, 48), MS, Fraction(64, 45)),
    ],
)
def test_geometry_rate_and_time_base_are_settled_before(
    spec: list[tuple[str, str]], rate: Fraction, size: tuple[int, int], time_base: Fraction, ratio: Fraction
) -> None:
    frames = [noise("yuv420p", pts=33 * i, duration=33) for i in range(12)]
    info = info_of(frames[0], sample_aspect_ratio=Fraction(64, 45), rotation=90)
    settled, out = run(LibavFilter(spec), frames, info)
    assert (settled.frame_rate, settled.time_base, settled.sample_aspect_ratio) == (rate, time_base, ratio)
    assert (settled.width, settled.height) == size
    assert (settled.format, settled.color, settled.rotation) == (info.format, info.color, 90)
    assert out
    for frame in out:
        assert (frame.width, frame.height, frame.format) == (*size, settled.format)
        assert (frame.time_base, frame.color) == (time_base, BT709)


def test_a_rate_that_is_not_known() -> None:
    frame = noise("gray", color=Color(full_range=True))
    assert LibavFilter([("null", "")]).configure(info_of(frame, rate=None)).frame_rate is None
    assert LibavFilter([("fps", "fps=50")]).configure(info_of(frame, rate=None)).frame_rate == 50


def test_lookahead_and_hint_of_a_rate_change() -> None:
    link = LibavFilter([("fps", "fps=60000/1001")])
    settled = link.configure(info_of(noise("yuv420p"), frames_hint=100))
    assert settled.frames_hint == 200
    assert link.lookahead == 1


@pytest.mark.parametrize("rate", ["25", "30000/1001", "12", "60"])
def test_fps_gives_the_frames_of_ffmpeg(rate: str, tmp_path: Path, ffmpeg: str) -> None:
    stamps = [0, 41, 80, 130, 131, 200, 350, 360, 401, 440, 480, 521, 700]
    frames = [noise("yuv420p", 16, 8, pts=p) for p in stamps]
    clip = tmp_path / "vfr.nut"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 8, "yuv420p"
        stream.codec_context.time_base = MS
        for frame in frames:
            container.mux(stream.encode(to_av(frame)))
        container.mux(stream.encode(None))
    command = [
        ffmpeg,
        "-v",
        "error",
        "-i",
        str(clip),
        "-vf",
        f"fps={rate}",
        "-fps_mode",
        "passthrough",
        "-f",
        "framemd5",
        "-",
    ]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    want = [(int(f[2]), f[5].strip()) for f in (line.split(",") for line in lines if not line.startswith("#"))]
    _, out = run(LibavFilter([("fps", f"fps={rate}")]), frames, info_of(frames[0], rate=Fraction(25)))
    got = [(f.pts, hashlib.md5(b"".join(p.tobytes() for p in f.planes)).hexdigest()) for f in out]
    assert got == want


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "gbrp", "gray"])
def test_the_scaler_of_the_output_size(name: str) -> None:
    """A flat picture stays exactly as flat, in its own format and colours."""
    format = PIXEL_FORMATS[name]
    planes = tuple(np.full(s, 40 + 30 * i).astype(format.dtype) for i, s in enumerate(format.plane_shapes(64, 48)))
    color = Color(matrix=2, full_range=True) if name == "gray" else BT709
    frame = Frame(planes, format, 5, MS, 33, color)
    flags = "flags=lanczos+accurate_rnd+full_chroma_int+full_chroma_inp"
    settled, (out,) = run(LibavFilter([("scale", f"w=50:h=30:{flags}")]), [frame])
    assert (settled.width, settled.height, settled.format, settled.color) == (50, 30, format, color)
    assert (out.pts, out.duration, out.color) == (5, 33, color)
    for there, back in zip(planes, out.planes, strict=True):
        assert np.abs(back.astype(int) - there[0, 0]).max() <= (1 if format.family == "rgb" else 0)


def flat_rgb(format: PixelFormat, color: Color) -> Frame:
    planes = tuple(np.full((16, 16), v, np.uint8) for v in (200, 40, 60))
    return Frame(planes, format, 0, MS, color=color)


def test_crossing_to_yuv_and_to_rgb_is_tagged_with_what_was_done() -> None:
    _, (yuv,) = run(LibavFilter([("format", "pix_fmts=yuv444p")]), [flat_rgb(PIXEL_FORMATS["gbrp"], Color())])
    kr, kb = {6: (0.299, 0.114), 1: (0.2126, 0.0722)}[yuv.color.matrix]
    assert yuv.color.full_range is False
    luma = 16 + 219 * (kr * 200 + (1 - kr - kb) * 40 + kb * 60) / 255
    assert abs(int(yuv.planes[0][8, 8]) - luma) <= 1.5
    for color in (BT709, replace(BT709, matrix=9)):
        source = replace(yuv, color=color)
        _, (rgb,) = run(LibavFilter([("format", "pix_fmts=gbrp")]), [source])
        assert rgb.format.name == "gbrp"
        assert rgb.color == color


def test_formats_outside_of_the_table_are_brought_back() -> None:
    settled, (out,) = run(LibavFilter([("format", "pix_fmts=rgb24")]), [flat_rgb(PIXEL_FORMATS["gbrp"], Color())])
    assert settled.format.name == out.format.name == "gbrp"
    assert [int(p[3, 3]) for p in out.planes] == [200, 40, 60]


def test_discontinuities_go_to_the_first_frame_after_them() -> None:
    frames = [replace(noise("yuv420p", pts=40 * i), discontinuity=i in (0, 4)) for i in range(8)]
    _, out = run(LibavFilter([("fps", "fps=50")]), frames, info_of(frames[0], rate=Fraction(25)))
    assert [f.pts for f in out if f.discontinuity] == [0, 8]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ([("unsharpen", "")], "no filter 'unsharpen'"),
        ([("fps", "speed=3")], "fps=speed=3"),
        ([("crop", "w=9999:h=3")], "crop=w=9999:h=3"),
        ([("removelogo", "")], "bitmap file name is mandatory"),
    ],
)
def test_errors_name_the_filter(spec: list[tuple[str, str]], says: str) -> None:
    with pytest.raises(FilterError, match=says) as caught:
        LibavFilter(spec).configure(info_of(noise("yuv420p")))
    assert "\n" not in str(caught.value)


def test_a_frame_of_another_size() -> None:
    link = LibavFilter([("null", "")])
    link.configure(info_of(noise("yuv420p")))
    with pytest.raises(FilterError, match="set up for 64x48 yuv420p"):
        list(link.push(noise("yuv420p", 32, 48)))


def test_a_graph_that_changes_the_size() -> None:
    link = LibavFilter([("scale", "w=64+2*n:h=48:eval=frame")])
    info = link.configure(info_of(noise("yuv420p")))
    pictures = (frame for n in range(4) for frame in link.push(replace(noise("yuv420p"), pts=n)))
    with pytest.raises(FilterError, match=rf"after those of {info.width}x48: put scale={info.width}x48 behind it"):
        list(pictures)
    fixed = LibavFilter([("scale", "w=64+2*n:h=48:eval=frame"), ("scale", f"{info.width}x48")])
    fixed.configure(info_of(noise("yuv420p")))
    assert [f.width for n in range(4) for f in fixed.push(replace(noise("yuv420p"), pts=n))] == [info.width] * 4


class Note(Filter):
    """Passes frames on, ``times`` each, ``late`` frames later, and writes down what happens to it."""

    def __init__(self, name: str, diary: list[str], *, times: int = 1, late: int = 0, own: bool = False) -> None:
        self.name = name
        self.diary = diary
        self.times = times
        self.lookahead = late
        self.own_thread = own
        self.waiting: list[Frame] = []
        self.raises: Exception | None = None

    def configure(self, info: StreamInfo) -> StreamInfo:
        self.diary.append(f"{self.name} configured {info.width}")
        return replace(info, width=info.width * 2)

    def push(self, frame: Frame) -> Iterator[Frame]:
        self.waiting.append(frame)
        try:
            while len(self.waiting) > self.lookahead:
                ready = self.waiting.pop(0)
                for copy in range(self.times):
                    self.diary.append(f"{self.name} {ready.pts}.{copy}")
                    yield ready
        finally:
            self.diary.append(f"{self.name} done")

    def flush(self) -> Iterator[Frame]:
        self.diary.append(f"{self.name} flushed")
        yield from self.waiting

    def close(self) -> None:
        self.diary.append(f"{self.name} closed")
        if self.raises:
            raise self.raises


def test_chain_is_lazy_in_order_and_closes_what_it_reached() -> None:
    diary: list[str] = []
    chain = Chain([Note("a", diary, times=2), Note("b", diary, times=2)])
    settled = chain.configure(info_of(noise("gray")))
    assert settled.width == 256
    assert diary == ["a configured 64", "b configured 128"]
    diary.clear()
    frames = chain.push(noise("gray", pts=3))
    assert diary == []
    next(frames)
    assert diary == ["a 3.0", "b 3.0"]
    next(frames)
    next(frames)
    assert diary == ["a 3.0", "b 3.0", "b 3.1", "b done", "a 3.1", "b 3.0"]
    frames.close()  # type: ignore[attr-defined]
    assert diary[-2:] == ["b done", "a done"]


def test_chain_flushes_each_link_through_those_after_it() -> None:
    diary: list[str] = []
    chain = Chain([Note("a", diary, late=2), Note("b", diary, late=1), Note("c", diary, times=2)])
    _, out = run(chain, [noise("gray", pts=p) for p in range(4)])
    assert [f.pts for f in out] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert chain.lookahead == 3
    flushed = [line for line in diary if line.endswith(("flushed", "closed"))]
    assert flushed == ["a flushed", "b flushed", "c flushed", "a closed", "b closed", "c closed"]


def test_an_empty_chain_passes_everything_on() -> None:
    frames = [noise("gray", pts=p, color=Color(full_range=True)) for p in range(3)]
    settled, out = run(Chain([]), frames)
    assert out == frames
    assert settled == info_of(frames[0])


def test_chain_closes_all_and_raises_the_first_error() -> None:
    diary: list[str] = []
    links = [Note(name, diary) for name in "abc"]
    links[0].raises, links[1].raises = KeyError("first"), ValueError("second")
    with pytest.raises(KeyError, match="first"):
        Chain(links).close()
    assert diary == ["a closed", "b closed", "c closed"]


def test_chain_of_real_filters() -> None:
    frames = [noise("yuv420p", pts=40 * i, duration=40) for i in range(6)]
    chain = Chain([LibavFilter([("fps", "fps=50")]), LibavFilter([("scale", "w=32:h=24")])])
    settled, out = run(chain, frames, info_of(frames[0], rate=Fraction(25)))
    assert (settled.width, settled.height, settled.frame_rate) == (32, 24, 50)
    assert [f.pts for f in out] == list(range(12))


def test_segments_cut_at_networks() -> None:
    a, b, c, d = (Note(name, []) for name in "abcd")
    v, w = Note("v", [], own=True), Note("w", [], own=True)
    assert segments([]) == []
    assert segments([a, b]) == [[a, b]]
    assert segments([v]) == [[v]]
    assert segments([a, b, v, c, d, w]) == [[a, b], [v], [c, d], [w]]
    assert segments([v, w, a]) == [[v], [w], [a]]
