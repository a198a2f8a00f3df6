"""av.VideoFrame and Frame: no sample changes on the way, in either direction, in any format of the table."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.format import VideoFormat, names
from hypothesis import given, settings
from hypothesis import strategies as st

from streamvsr.errors import StreamvsrError
from streamvsr.frames import PIXEL_FORMATS, Color, Frame, PixelFormat
from streamvsr.media.av_frames import color_after, color_of, from_av, resolve_color, target_format, to_av

pytestmark = pytest.mark.io

TICK = Fraction(1, 25)
BT709 = Color(1, 1, 1, False, 1)
SIZES = [(64, 48), (53, 37), (1, 1)]
"""The last two: odd, with lines longer than the picture is wide."""

SAME_SAMPLES = {
    "gbrp": (
        "rgb24",
        "bgr24",
        "bgr0",
    ),
    "gbrap": (
        "rgba",
        "bgra",
        "argb",
    ),
    "gbrp16le": (
        "rgb48le",
        "rgb48be",
    ),
    "gbrap16le": ("rgba64le",),
    "gbrp10le": (
        "x2rgb10le",
        "gbrp10be",
    ),
    "yuv420p": (
        "nv12",
        "nv21",
    ),
    "yuv422p": (
        "yuyv422",
        "uyvy422",
    ),
    "yuv444p": (
        "nv24",
        "vuyx",
    ),
    "yuv420p10le": (
        "p010le",
        "p010be",
        "yuv420p10be",
    ),
    "yuv420p12le": ("p012le",),
    "yuv420p16le": ("p016le",),
    "yuv422p10le": (
        "p210le",
        "y210le",
    ),
    "yuv444p10le": (
        "p410le",
        "xv30le",
    ),
    "yuva444p": ("ayuv",),
    "gray16le": ("gray16be",),
    "gray10le": ("gray10be",),
}


def noise(layout: PixelFormat, width: int, height: int, color: Color = BT709) -> Frame:
    rng = np.random.default_rng(7)
    planes = tuple(rng.integers(0, layout.peak + 1, s, layout.dtype) for s in layout.plane_shapes(width, height))
    return Frame(planes, layout, 7, TICK, 1, color)


def back(frame: av.VideoFrame) -> Frame:
    return from_av(frame, pts=7, time_base=TICK)


def flat(rgb: tuple[int, int, int], color: Color, size: int = 32) -> Frame:
    return Frame(tuple(np.full((size, size), v, np.uint8) for v in rgb), PIXEL_FORMATS["gbrp"], 0, TICK, 0, color)


def first_samples(frame: Frame) -> list[int]:
    return [int(plane[0, 0]) for plane in frame.planes]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", PIXEL_FORMATS)
def test_round_trip_is_exact(name: str, size: tuple[int, int]) -> None:
    frame = noise(PIXEL_FORMATS[name], *size)
    made = to_av(frame)
    again = back(made)
    assert (made.format.name, made.pts, Fraction(made.time_base), made.pict_type) == (name, 7, TICK, 0)
    assert again.format is frame.format
    for ours, theirs in zip(frame.planes, again.planes, strict=True):
        assert theirs.dtype == frame.format.dtype
        assert not theirs.flags.writeable, "decoders predict later pictures from these buffers"
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("size", SIZES[:2], ids=str)
@pytest.mark.parametrize(("ours", "theirs"), [(ours, t) for ours, others in SAME_SAMPLES.items() for t in others])
def test_layouts_of_the_same_samples_convert_exactly(ours: str, theirs: str, size: tuple[int, int]) -> None:
    frame = noise(PIXEL_FORMATS[ours], *size)
    made = to_av(frame, av_format=theirs)
    assert made.format.name == theirs
    again = back(made)
    assert again.format is frame.format
    for a, b in zip(frame.planes, again.planes, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("packed", ["uyvy422", "yuyv422"])
def test_packed_rows_are_not_written_into_by_their_neighbours(packed: str) -> None:
    """A race: wrong once in a hundred conversions, on two cores."""
    frame = noise(PIXEL_FORMATS["yuv422p"], 53, 37)
    for _ in range(300):
        rows = np.frombuffer(memoryview(to_av(frame, av_format=packed).planes[0]), np.uint8).reshape(37, -1)
        np.testing.assert_array_equal(rows[:, packed == "uyvy422" :: 2][:, :53], frame.planes[0])


def test_red_green_and_blue_are_where_ffmpeg_has_them() -> None:
    frame = flat((200, 40, 60), BT709)
    np.testing.assert_array_equal(to_av(frame, av_format="rgb24").to_ndarray()[0, 0], (200, 40, 60))
    packed = av.VideoFrame.from_ndarray(np.full((8, 8, 4), (1, 2, 3, 4), np.uint8), "rgba")
    assert first_samples(back(packed)) == [1, 2, 3, 4]


def test_views_are_not_copies() -> None:
    frame = av.VideoFrame(854, 48, "yuv420p")
    view = back(frame).planes[0]
    assert view.base is not None
    np.frombuffer(frame.planes[0], np.uint8)[:] = 99
    assert view[0, 0] == 99
    assert frame.planes[0].line_size > 854


def test_every_format_of_ffmpeg_has_a_target_or_a_clear_error() -> None:
    for name in names:
        known = VideoFormat(name, 64, 64)
        parts = known.components
        if not parts or name.startswith("yaf"):
            with pytest.raises(StreamvsrError, match=name):
                target_format(name)
            continue
        target = target_format(name)
        if not name.startswith("bayer"):
            assert target.bits >= min(16, max(part.bits for part in parts)), name
        assert target.alpha >= any(part.is_alpha for part in parts), name
        if target.family == "yuv":
            assert target.log2_chroma_w <= (known.chroma_width(64) < 64), name
            assert target.log2_chroma_h <= (known.chroma_height(64) < 64), name
        else:
            assert len(parts) < 3 or known.is_rgb or name.startswith("xyz"), name


@pytest.mark.parametrize(
    ("name", "target"),
    [
        *(("yuvj420p", "yuv420p"), ("yuv411p", "yuv422p"), ("yuv410p", "yuv420p"), ("pal8", "gbrap"), ("ya8", "gbrap")),
        *(("monow", "gray"), ("rgb565le", "gbrp"), ("gray9le", "gray10le"), ("yuva444p12le", "yuva444p16le")),
        *(("bayer_rggb8", "gbrp"), ("bayer_rggb16le", "gbrp16le"), ("xyz12le", "gbrp12le"), ("gbrpf32le", "gbrp16le")),
    ],
)
def test_converted_formats(name: str, target: str) -> None:
    frame = av.VideoFrame(64, 48, name)
    for plane in frame.planes:
        np.frombuffer(plane, np.uint8)[:] = 0
    made = back(frame)
    assert made.format.name == target
    assert [p.shape for p in made.planes] == list(made.format.plane_shapes(64, 48))


def test_unknown_formats_are_named() -> None:
    with pytest.raises(StreamvsrError, match="nosuch"):
        target_format("nosuch")
    with pytest.raises(StreamvsrError, match="rgb4"):
        back(av.VideoFrame(8, 8, "rgb4"))


KR_KB = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", KR_KB)
@pytest.mark.parametrize("rgb", [(200, 40, 60), (10, 250, 128), (255, 255, 255), (0, 0, 0)], ids=str)
def test_rgb_becomes_yuv_by_the_frames_own_matrix_and_range(rgb: tuple[int, int, int], matrix: int, full: bool) -> None:
    made = to_av(flat(rgb, Color(matrix, 1, 1, full)), av_format="yuv420p")
    (r, g, b), (kr, kb) = (v / 255 for v in rgb), KR_KB[matrix]
    y = kr * r + (1 - kr - kb) * g + kb * b
    u, v = (b - y) / 2 / (1 - kb), (r - y) / 2 / (1 - kr)
    expected = [255 * y, 255 * u + 128, 255 * v + 128] if full else [16 + 219 * y, 128 + 224 * u, 128 + 224 * v]
    got = back(made)
    assert first_samples(got) == pytest.approx([min(e, 255) for e in expected], abs=1.01)
    assert (got.color.matrix, got.color.full_range) == (matrix, full)
    assert first_samples(back(to_av(got, av_format="gbrp"))) == pytest.approx(rgb, abs=2)


def test_pictures_without_a_yuv_past_become_what_players_expect() -> None:
    sd = to_av(flat((200, 40, 60), Color(0, 2, 2, True)), av_format="yuv420p")
    hd = to_av(flat((200, 40, 60), Color(0, 2, 2, True), 720), av_format="yuv420p")
    assert (sd.colorspace, sd.color_range, hd.colorspace) == (6, 1, 1)
    assert color_after(Color(0, 2, 2, True), "yuv420p", 64, 64) == color_of(sd)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("ours", "theirs"), [("gray", "yuv420p"), ("gray10le", "yuv420p10le"), ("gray", "nv12")])
def test_grey_keeps_its_samples_in_yuv(ours: str, theirs: str, full: bool) -> None:
    frame = noise(PIXEL_FORMATS[ours], 64, 48, Color(1, 1, 1, full))
    np.testing.assert_array_equal(back(to_av(frame, av_format=theirs)).planes[0], frame.planes[0])


def test_full_range_names() -> None:
    frame = av.VideoFrame(8, 8, "yuvj420p")
    assert back(frame).color.full_range is True
    gray = back(av.VideoFrame(8, 8, "gray"))
    assert gray.color.full_range is True
    limited = noise(PIXEL_FORMATS["yuv420p"], 64, 48)
    assert to_av(limited, av_format="yuvj420p").color_range == 2


def test_colour_tags_survive() -> None:
    color = Color(9, 9, 16, False, 3)
    again = back(to_av(noise(PIXEL_FORMATS["yuv420p10le"], 64, 48, color))).color
    # PyAV 18 has no chroma location.
    location = 3 if hasattr(av.VideoFrame(), "chroma_location") else 0
    assert again == Color(9, 9, 16, False, location)


@settings(max_examples=200)
@given(
    matrix=st.sampled_from([0, 1, 2, 5, 6, 9]),
    full=st.sampled_from([None, False, True]),
    width=st.integers(1, 4000),
    height=st.integers(1, 4000),
)
def test_resolved_colour_is_stated_and_keeps_what_was_stated(
    matrix: int, full: bool | None, width: int, height: int
) -> None:
    got = resolve_color(Color(matrix, 2, 2, full), width, height)
    assert got.matrix == (matrix if matrix != 2 else 1 if height >= 720 or width >= 1280 else 6)
    assert got.full_range == (full if full is not None else matrix == 0)
    assert resolve_color(got, 10 * width, 10 * height) == got
