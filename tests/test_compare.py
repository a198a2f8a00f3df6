"""Comparisons: where the line is, what belongs together, what the pictures look like, and both commands around them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamvsr.compare.options import CompareOptions, check
from streamvsr.compare.painter import Painter
from streamvsr.compare.pairing import by_frames, by_time
from streamvsr.compare.run import labels_of
from streamvsr.compare.schedule import make_schedule
from streamvsr.errors import UsageError
from streamvsr.frames import PIXEL_FORMATS, Color, Frame
from tests.outputs import info

pytestmark = pytest.mark.io

GREY = PIXEL_FORMATS["gray"]


def frames(rate: Fraction | int, count: int, start: Fraction | int = 0, jitter: int = 0) -> Iterator[Frame]:
    """Tiny frames at ``rate``, whose single sample is their number; stamps of 1/90000 s, rounded to ``jitter``."""
    base = Fraction(1, 90000)
    for n in range(count):
        pts = round((start + n / Fraction(rate)) / base)
        pts = round(pts / jitter) * jitter if jitter else pts
        yield Frame((np.full((2, 2), n, np.uint8),), GREY, pts, base, round(1 / Fraction(rate) / base), Color())


def paired(clock: Iterator[Frame], other: Iterator[Frame], rates: tuple[int, int]) -> list[tuple[int, int]]:
    found = by_time(clock, [other], [Fraction(rate) for rate in rates])
    return [(int(a.planes[0][0, 0]), int(b.planes[0][0, 0])) for a, b in found]


class TestPairing:
    def test_equal_rates_pair_one_by_one_whatever_the_containers_round_to(self) -> None:
        assert paired(frames(24, 50), frames(24, 50, jitter=90), (24, 24)) == [(n, n) for n in range(50)]
        assert paired(frames(24, 50, jitter=90), frames(24, 50), (24, 24)) == [(n, n) for n in range(50)]

    def test_twice_the_rate(self) -> None:
        assert paired(frames(25, 10), frames(50, 20), (25, 50)) == [(n, 2 * n) for n in range(10)]
        assert paired(frames(50, 8), frames(25, 4), (50, 25)) == [(n, n // 2) for n in range(8)]

    def test_it_ends_with_the_shorter(self) -> None:
        assert len(paired(frames(25, 10), frames(25, 6), (25, 25))) == 6
        assert len(paired(frames(25, 6), frames(25, 10), (25, 25))) == 6
        assert len(paired(frames(30, 30), frames(10, 5), (30, 10))) == 15

    def test_one_frame_and_none(self) -> None:
        assert paired(frames(25, 1), frames(25, 1), (25, 25)) == [(0, 0)]
        assert paired(frames(25, 3), frames(25, 0), (25, 25)) == []

    @given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40), st.integers(1, 40))
    def test_always_the_nearest_and_never_back(self, a: int, b: int, count_a: int, count_b: int) -> None:
        pairs = paired(frames(a, count_a), frames(b, count_b), (a, b))
        for n, m in pairs:
            distance = abs(Fraction(n, a) - Fraction(m, b))
            nearest = min(abs(Fraction(n, a) - Fraction(k, b)) for k in range(count_b))
            assert distance - nearest <= Fraction(2, 90000)
        assert [m for _, m in pairs] == sorted(m for _, m in pairs)
        assert len(pairs) >= min(count_a, Fraction(count_b, b) * a) - 1

    def test_by_number(self) -> None:
        assert len(list(by_frames([frames(25, 4), frames(30, 3), frames(1, 9)]))) == 3


class TestSchedule:
    def test_as_the_original_script_moves_it(self) -> None:
        options = CompareOptions(start_frame=5, pause_frame=15, repeat_when_pause=25, slide_step=100, line_width=10)
        schedule = make_schedule(options, 1280, 16, Fraction(25), sound=False)
        assert [schedule.position(n) for n in range(4, 9)] == [None, 0, 100, 200, 300]
        assert [schedule.repeats(n) for n in (14, 15)] == [0, 25]
        ending = list(schedule.ending(15))
        assert ending == [1000] * 25 + list(range(900, 0, -100)) + [-1] * 26

    def test_defaults_suit_the_length(self) -> None:
        for count in (1, 2, 3, 10, 60, 250, 10_000, None):
            schedule = make_schedule(CompareOptions(), 1280, count, Fraction(25), sound=False)
            last = (count or 400) - 1
            positions = [schedule.position(n) for n in range(last + 1)] + list(schedule.ending(last))
            assert all(p is None or -1 <= p <= schedule.span for p in positions)
            furthest = max(p for p in positions if p is not None)
            assert furthest > schedule.span - schedule.slide_step, "the line comes all the way"
            assert positions[-1] == -1, "the right one too"
            assert schedule.line_width == 8

    def test_long_clips_go_to_and_fro(self) -> None:
        schedule = make_schedule(CompareOptions(), 1280, 5000, Fraction(25), sound=True)
        positions = [schedule.position(n) or 0 for n in range(5000)]
        steps = {b - a for a, b in pairwise(positions)}
        assert max(steps) == schedule.slide_step
        assert min(steps) == -schedule.slide_step
        assert schedule.pause_frame is None

    @given(
        st.integers(2, 4000), st.integers(1, 500), st.integers(0, 50), st.integers(1, 900), st.integers(0, 40),
        st.integers(0, 5000),
    )  # fmt: skip
    def test_the_total_is_what_comes(
        self, width: int, count: int, start: int, step: int, pause: int, line: int
    ) -> None:
        options = CompareOptions(start_frame=start, slide_step=step, pause_frame=pause, line_width=line)
        schedule = make_schedule(options, width, count, Fraction(10), sound=True)
        shown = sum(1 + schedule.repeats(n) for n in range(count)) + len(list(schedule.ending(count - 1)))
        assert schedule.total(count) == shown


def flat(name: str, width: int, height: int, code: int) -> Frame:
    layout = PIXEL_FORMATS[name]
    planes = tuple(np.full(s, code, layout.dtype) for s in layout.plane_shapes(width, height))
    return Frame(planes, layout, 0, Fraction(1, 25), 1, Color(matrix=0, full_range=True))


class TestPainter:
    def paint(self, mode: str, *sizes: tuple[int, int], position: int | None = None, **options: object) -> np.ndarray:  # type: ignore[type-arg]
        infos = [info("gbrp", w, h) for w, h in sizes]
        painter = Painter(infos, CompareOptions(**options), mode, [""] * len(sizes))  # type: ignore[arg-type]
        cells = painter.cells([flat("gbrp", w, h, 50 * (n + 1)) for n, (w, h) in enumerate(sizes)])
        return painter.compose(cells, position, 4)[..., 0]

    def test_wipe(self) -> None:
        picture = self.paint("wipe", (16, 12), (64, 48), position=20)
        assert picture.shape == (48, 64)
        assert picture[0].tolist() == [50] * 20 + [255] * 4 + [100] * 40
        assert (self.paint("wipe", (16, 12), (64, 48)) == 50).all()
        assert (self.paint("wipe", (16, 12), (64, 48), position=-1) == 100).all()

    def test_rows_columns_and_grids(self) -> None:
        assert self.paint("side-by-side", (64, 48), (16, 12)).shape == (48, 128)
        assert self.paint("stacked", (64, 48), (16, 12)).shape == (96, 64)
        grid = self.paint("side-by-side", *[(64, 48)] * 5)
        assert grid.shape == (96, 192)
        corners = [int(grid[y, x]) for y in (0, 48) for x in (0, 64, 128)]
        assert corners == [50, 100, 150, 200, 250, 0]

    def test_other_shapes_get_bars(self) -> None:
        picture = self.paint("side-by-side", (64, 48), (48, 48))
        assert picture[24, 64:].tolist() == [0] * 8 + [100] * 48 + [0] * 8
        picture = self.paint("side-by-side", (64, 48), (64, 24))
        assert picture[:, 100].tolist() == [0] * 12 + [100] * 24 + [0] * 12

    def test_odd_sizes_become_even(self) -> None:
        assert self.paint("wipe", (63, 47), (63, 47)).shape == (48, 64)
        assert self.paint("side-by-side", (63, 47), (63, 47)).shape == (48, 126)

    def test_zoom_enlarges_pixels_to_squares_at_the_same_place(self) -> None:
        small = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)
        large = small.repeat(4, 0).repeat(4, 1)
        infos = [info("gray", 16, 12), info("gray", 64, 48)]
        painter = Painter(infos, CompareOptions(zoom="8:4:16:12", scale_filter="nearest"), "side-by-side", ["", ""])
        made = [Frame((p,), GREY, 0, Fraction(1), 1, Color(full_range=True)) for p in (small, large)]
        one, two = painter.cells(made)
        assert one.shape == (48, 64, 3)
        assert (one == two).all()
        assert (one[..., 0] == large[4:16, 8:24].repeat(4, 0).repeat(4, 1)).all()

    def test_smaller_inputs_are_scaled_up_by_bicubic_interpolation(self) -> None:
        small = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)
        painter = Painter([info("gray", 16, 12), info("gray", 64, 48)], CompareOptions(), "side-by-side", ["", ""])
        planes = (small, np.zeros((48, 64), np.uint8))
        one, _ = painter.cells([Frame((p,), GREY, 0, Fraction(1), 1, Color(full_range=True)) for p in planes])
        expected = cv2.resize(small, (64, 48), interpolation=cv2.INTER_CUBIC)
        assert (one[..., 0] == expected).all()
        assert len(np.unique(one[:, :8, 0])) > len(np.unique(small[:, :2]))

    def test_zoom_has_to_lie_in_the_frame(self) -> None:
        with pytest.raises(UsageError, match="reaches out of the frame, which is 64x48"):
            self.paint("wipe", (64, 48), (16, 12), zoom="60:0:8:8")

    def test_turned_frames_are_shown_upright(self) -> None:
        painter = Painter([info("gray", 8, 4, rotation=90), info("gray", 4, 8)], CompareOptions(), "stacked", ["", ""])
        picture = np.zeros((4, 8), np.uint8)
        picture[0, 7] = 255  # upper right; turned by 90 degrees counter-clockwise: upper left
        frame = Frame((picture,), GREY, 0, Fraction(1), 1, Color(full_range=True))
        cell = painter.cells([frame, frame.with_planes((picture.T.copy(),))])[0]
        assert cell.shape == (8, 4, 3)
        assert cell[0, 0, 0] == 255

    @pytest.mark.parametrize("text", ["in.mp4", "Größe 漢字", "x" * 200, "\x1b[31m\n"])
    @pytest.mark.parametrize("size", [(640, 360), (32, 16), (6, 4)])
    def test_labels_of_any_text_on_any_size(self, text: str, size: tuple[int, int]) -> None:
        for name, mode in (("gbrp", "wipe"), ("gbrp16le", "side-by-side")):
            infos = [info(name, *size)] * 2
            peak = PIXEL_FORMATS[name].peak
            painter = Painter(infos, CompareOptions(), mode, [text, text])
            left, right = painter.cells([flat(name, *size, peak // 2)] * 2)
            if size[0] > 100:
                assert left[: size[1] // 4, : size[0] // 3].max() > 0.9 * peak
                assert (left[-20:] == peak // 2).all()
                assert (right[:, -size[0] // 3 :].max() > 0.9 * peak) == (mode == "wipe" or len(text) > 100)


@pytest.mark.parametrize(
    ("options", "inputs", "message"),
    [
        ({"mode": "wipe"}, 3, "takes two inputs, not 3"),
        ({}, 1, "needs two inputs, or one and --with"),
        ({"zoom": "1:2:3"}, 2, "expected x:y:width:height"),
        ({"zoom": "1:2:0:4"}, 2, "expected x:y:width:height"),
        ({"mode": "blend"}, 2, "choose one of wipe, side-by-side"),
        ({"labels": ("a", "b", "c")}, 2, "3 labels for 2 pictures"),
        ({"slide_step": 0}, 2, "at least 1"),
    ],
)
def test_what_cannot_be_had_is_said(options: dict[str, object], inputs: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check(CompareOptions(**options), inputs)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("paths", "labels"),
    [
        (["a/in.mp4", "b/out.mkv"], ["in.mp4", "out.mkv"]),
        (["/data/x/old/in.mp4", "/data/x/new/best/in.mp4"], ["old/in.mp4", "new/best/in.mp4"]),
        (["in.mp4", "in.mp4"], ["in.mp4", "in.mp4"]),
        (["in.mp4", "new/in.mp4"], ["in.mp4", "new/in.mp4"]),
        (["before/", "after/"], ["before", "after"]),
        ([".", "other/"], [".", "other"]),
        (["rtsp://me:secret@host", "rtsp://me:secret@other"], ["host", "other"]),
        (["rtsp://me:secret@host/live", "rtsp://me:secret@other/live"], ["host/live", "other/live"]),
        (["http://host/in.mp4?token=secret", "b.mp4"], ["in.mp4?token=***", "b.mp4"]),
    ],
)
def test_labels_tell_inputs_apart_and_no_secrets(paths: list[str], labels: list[str]) -> None:
    assert labels_of(paths, CompareOptions()) == labels
