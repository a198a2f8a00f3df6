"""The vsr filter: every frame once, in order, at its own time, in the right colours; windows as the contract says."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamvsr.errors import FilterError, ModelError, UsageError
from streamvsr.frames import PIXEL_FORMATS, Color, Frame, PixelFormat
from streamvsr.media.color.yuv import KR_KB, from_rgb, to_rgb
from tests.fakes import FakeModel, FakeSession, numbered, vsr_filter
from tests.vsr_frames import FULL, LIMITED, info_of, noise, number_of, run, stream


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 7).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1))),
    st.sampled_from(["carry", "window"]),
    st.integers(1, 25),
    st.sets(st.integers(0, 24)),
)
def test_every_frame_once_in_order_at_its_own_time(
    sizes: tuple[int, int], mode: str, count: int, cuts: set[int]
) -> None:
    frames = stream(count, cuts)
    model = FakeModel()
    vsr = vsr_filter(model, max_seq_len=sizes[0], overlap=sizes[1], propagation=mode)
    out = run(vsr, frames)
    assert [number_of(f) for f in out] == list(range(count))
    for there, back in zip(frames, out, strict=True):
        assert (back.pts, back.time_base, back.duration) == (there.pts, there.time_base, there.duration)
        assert back.discontinuity == there.discontinuity
        assert np.array_equal(back.planes[0], there.planes[0])
    for call in model.log.calls:
        assert not any(call.frames[0] < cut <= call.frames[-1] for cut in cuts), "a window crosses a cut"
        assert len(call.frames) <= sizes[0]
    starts = {0} | {c for c in cuts if c < count}
    resets = {call.frames[0] for call in model.log.calls if call.reset}
    assert starts <= resets
    if mode == "carry":
        assert resets == starts


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 8), st.integers(1, 3), st.integers(1, 20), st.sets(st.integers(1, 19), max_size=2))
def test_carry_with_enough_overlap_equals_one_window_of_everything(
    length: int, ahead: int, count: int, cuts: set[int]
) -> None:
    if ahead >= length:
        length = ahead + 1
    frames = [replace(f, planes=(f.planes[0] + np.uint16(1000),)) for f in stream(count, cuts)]

    def result(max_seq_len: int, overlap: int) -> list[int]:
        model = FakeModel(memory=50, ahead=ahead)
        return [number_of(f) for f in run(vsr_filter(model, max_seq_len=max_seq_len, overlap=overlap), frames)]

    assert result(length, ahead) == result(100, 0)


def test_a_cut_resets_the_state_and_ends_the_window() -> None:
    model = FakeModel(memory=100)
    out = run(vsr_filter(model, max_seq_len=4, overlap=1), stream(9, {5}))
    assert [number_of(f) for f in out] == [0, 101, 202, 303, 404, 5, 106, 207, 308]
    assert [c.frames for c in model.log.calls] == [[0, 1, 2, 3], [3, 4], [5, 6, 7, 8], [8]]
    assert [c.new for c in model.log.calls] == [4, 1, 4, 0]
    assert [c.reset for c in model.log.calls] == [True, False, True, False]


def test_independent_windows_of_the_original_script() -> None:
    model = FakeModel(memory=100)
    run(vsr_filter(model, max_seq_len=3, overlap=0, propagation="window"), stream(8))
    assert [c.frames for c in model.log.calls] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert all(c.reset and c.new == len(c.frames) for c in model.log.calls)


@pytest.mark.parametrize("mode", ["carry", "window"])
def test_lookahead_is_what_it_says(mode: str) -> None:
    vsr = vsr_filter(FakeModel(), max_seq_len=5, overlap=2, propagation=mode)
    vsr.configure(info_of(numbered(0)))
    for index, frame in enumerate(stream(30)):
        for made in vsr.push(frame):
            assert index - number_of(made) <= vsr.lookahead
        if index == vsr.lookahead:
            assert vsr._windows.retain_from > 0 or mode == "window"
    assert len(vsr._held) <= 5


def test_model_defaults_and_sizes_that_cannot_be() -> None:
    assert vsr_filter(FakeModel(max_seq_len=20, overlap=8)).lookahead == 19
    assert vsr_filter(FakeModel(max_seq_len=20, overlap=8), max_seq_len=3)._windows.overlap == 2
    with pytest.raises(UsageError, match="max_seq_len"):
        vsr_filter(FakeModel(), max_seq_len=3, overlap=3)
    with pytest.raises(UsageError, match="at least one frame"):
        vsr_filter(FakeModel(), max_seq_len=0)
    with pytest.raises(FilterError, match="rgb24"):
        vsr_filter(FakeModel(), output_format="rgb24")


def test_frames_are_made_one_at_a_time_and_the_generator_may_be_closed() -> None:
    model = FakeModel(max_seq_len=4, overlap=0)
    vsr = vsr_filter(model)
    vsr.configure(info_of(numbered(0)))
    frames = stream(4)
    assert [list(vsr.push(f)) for f in frames[:3]] == [[], [], []]
    burst = vsr.push(frames[3])
    assert number_of(next(burst)) == 0
    assert len(model.log.grad) == 1
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    assert isinstance(burst, Iterator)
    burst.close()  # type: ignore[attr-defined]
    assert model.log.closed == 1
    vsr.close()
    assert not any(model.log.grad)


def test_small_frames_are_padded_and_cropped() -> None:
    model = FakeModel(scale=2, min_size_px=8)
    frames = [noise(PIXEL_FORMATS["gray"], 9, 5, FULL)]
    out = run(vsr_filter(model), frames)
    assert model.log.calls[0].shape == (1, 1, 8, 9)
    assert np.array_equal(out[0].planes[0], frames[0].planes[0].repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("domain", ["luma", "rgb"])
@pytest.mark.parametrize("name", sorted(PIXEL_FORMATS))
def test_identity_is_bit_exact_in_every_format(name: str, domain: str) -> None:
    format = PIXEL_FORMATS[name]
    for color in (LIMITED, FULL):
        frame = noise(format, 21, 13, color)
        model = FakeModel(domain=domain, max_seq_len=1, overlap=0)
        # Of numbered frames alone can the fake tell the order.
        (out,) = run(vsr_filter(model), [frame])
        assert out.format == format
        assert out.color == color
        for there, back in zip(frame.planes, out.planes, strict=True):
            assert back.dtype == there.dtype
            assert np.array_equal(there, back)


def patch(rgb: tuple[float, float, float], format: PixelFormat, color: Color, width: int, height: int) -> Frame:
    """A flat picture; alpha is a quarter."""
    kr, kb = KR_KB.get(color.matrix, (0.299, 0.114))
    r, g, b = rgb
    y = kr * r + (1 - kr - kb) * g + kb * b
    cb, cr = (b - y) / (2 - 2 * kb), (r - y) / (2 - 2 * kr)
    unit = 2 ** (format.bits - 8)
    if format.family == "rgb":
        codes = [v * format.peak for v in rgb]
    elif color.full_range:
        codes = [y * format.peak, *(c * format.peak + 128 * unit for c in (cb, cr))]
    else:
        codes = [(219 * y + 16) * unit, *((224 * c + 128) * unit for c in (cb, cr))]
    codes = codes[:1] if format.family == "gray" else codes
    codes = [*codes, format.peak / 4] if format.alpha else codes
    shapes = format.plane_shapes(width, height)
    planes = tuple(np.full(s, int(c + 0.5)).astype(format.dtype) for s, c in zip(shapes, codes, strict=True))
    return Frame(planes, format, 0, Fraction(1, 25), color=color)


SOURCES = ["yuv420p", "yuv422p10le", "yuva444p", "gray", "gray10le", "gbrp", "gbrap10le"]
TARGETS = ["yuv420p", "yuv444p10le", "yuva420p10le", "gray", "gbrp", "gbrap10le"]


@pytest.mark.parametrize("domain", ["luma", "rgb", "ycbcr"])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", SOURCES)
def test_colours_of_every_crossing(source: str, target: str, domain: str) -> None:
    given_format, wanted = PIXEL_FORMATS[source], PIXEL_FORMATS[target]
    grey = "gray" in (given_format.family, wanted.family)
    rgb = (0.4, 0.4, 0.4) if grey else (0.7, 0.2, 0.3)
    for tags in (Color(matrix=1, full_range=False), Color(matrix=9, full_range=True)):
        color = replace(tags, matrix=0, full_range=True) if given_format.family == "rgb" else tags
        frame = patch(rgb, given_format, color, 18, 10)
        vsr = vsr_filter(FakeModel(scale=4, domain=domain), output_format=target)
        settled = vsr.configure(info_of(frame))
        (out,) = [*vsr.push(frame), *vsr.flush()]
        assert (settled.width, settled.height, settled.format) == (72, 40, wanted)
        assert settled.color == out.color
        assert (out.width, out.height, out.format) == (72, 40, wanted)
        want = patch(rgb, wanted, out.color, 72, 40)
        for index, (a, b) in enumerate(zip(out.planes, want.planes, strict=True)):
            assert a.shape == b.shape
            assert a.dtype == b.dtype
            if wanted.alpha and index == len(out.planes) - 1 and not given_format.alpha:
                assert (a == wanted.peak).all()
                continue
            # Half a code of the coarser format, through a matrix whose greatest entry is below 2.
            allowed = 1 + 2 * max(1.0, wanted.peak / given_format.peak)
            assert np.abs(a.astype(int) - b).max() <= allowed


def test_untagged_sd_is_written_as_bt601_and_rgb_of_yuv_remembers_it() -> None:
    frame = patch((0.7, 0.2, 0.3), PIXEL_FORMATS["yuv420p"], Color(matrix=6), 16, 16)
    frame = replace(frame, color=Color())
    for name, domain in itertools.product(("yuv420p", "gbrp"), ("luma", "rgb")):
        vsr = vsr_filter(FakeModel(scale=4, domain=domain), output_format=name)
        (out,) = run(vsr, [frame])
        assert out.color == Color(matrix=6, full_range=False)
        if name == "gbrp":
            assert [int(p[30, 30]) for p in out.planes] == pytest.approx([0.7 * 255, 0.2 * 255, 0.3 * 255], abs=2)


@pytest.mark.parametrize("domain", ["luma", "rgb", "ycbcr"])
@pytest.mark.parametrize("location", [0, 2, 3])
@pytest.mark.parametrize("target", ["yuv420p10le", "yuv422p10le", "gbrp10le"])
def test_a_coloured_dot_stays_at_four_times_its_place(target: str, location: int, domain: str) -> None:
    """Painted in R'G'B', sent through 4:2:0 with its siting, enlarged, and weighed again in R'G'B'."""
    color = Color(matrix=6, full_range=False, chroma_location=location)
    yy, xx = np.mgrid[0:40, 0:56] + 0.5
    dot = np.exp(-((xx - 27.3) ** 2 + (yy - 18.8) ** 2) / (2 * 3.0**2))
    grey = np.full_like(dot, 0.3)
    format = PIXEL_FORMATS["yuv420p10le"]
    planes = from_rgb(torch.tensor(np.stack([grey + 0.6 * dot, grey, grey])), format, color)
    frame = Frame(planes, format, 0, Fraction(1, 25), color=color)
    vsr = vsr_filter(FakeModel(scale=4, domain=domain), output_format=target)
    (out,) = run(vsr, [frame])
    rgb = to_rgb(out)[0].numpy()
    weight = rgb[0] - rgb[1]
    weight[weight < 0.03] = 0
    py, px = np.mgrid[0:160, 0:224] + 0.5
    assert (weight * px).sum() / weight.sum() == pytest.approx(4 * 27.3, abs=0.1)
    assert (weight * py).sum() / weight.sum() == pytest.approx(4 * 18.8, abs=0.1)


def test_chroma_of_the_luma_domain_keeps_flat_areas_exact() -> None:
    frame = patch((0.1, 0.8, 0.3), PIXEL_FORMATS["yuv420p10le"], LIMITED, 17, 9)
    (out,) = run(vsr_filter(FakeModel(scale=4)), [frame])
    for a, b in zip(out.planes, frame.planes, strict=True):
        assert (a == b[0, 0]).all()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ("nan", r"frame 2 at 0.088 s in bfloat16"),
        ("inf", "not a number"),
        ("short", "fewer frames"),
        ("long", "more frames"),
        ("shape", "another shape"),
    ],
)
def test_broken_models_are_named(spoil: str, says: str) -> None:
    model = FakeModel(max_seq_len=2, overlap=0)
    vsr = vsr_filter(model, dtype=torch.bfloat16)
    vsr.configure(info_of(numbered(0)))
    for frame in stream(2):
        list(vsr.push(frame))
    model.spoil = spoil  # type: ignore[assignment]
    third, fourth = stream(4)[2:]
    list(vsr.push(third))
    with pytest.raises(ModelError, match=says):
        list(vsr.push(fourth))
    vsr.close()


def test_frames_and_matrices_that_do_not_fit() -> None:
    vsr = vsr_filter(FakeModel())
    vsr.configure(info_of(numbered(0)))
    with pytest.raises(FilterError, match=r"set up for 6x4 gray16le, but the frame at 0.000 s is 7x4"):
        list(vsr.push(numbered(0, width=7)))
    odd = patch((0.5, 0.5, 0.5), PIXEL_FORMATS["yuv420p"], Color(matrix=14), 8, 8)
    with pytest.raises(FilterError, match="matrix 14"):
        vsr_filter(FakeModel(domain="rgb")).configure(info_of(odd))
    vsr_filter(FakeModel()).configure(info_of(odd))  # luma alone needs no matrix


def test_device_dtype_and_threads_reach_the_model() -> None:
    before = torch.get_num_threads()
    model = FakeModel(max_seq_len=1, overlap=0)
    worker = threading.Thread(target=run, args=(vsr_filter(model, dtype=torch.float16, threads=before + 1), stream(2)))
    worker.start()
    worker.join()
    assert model.log.moved == [(torch.device("cpu"), torch.float16)]
    assert model.log.threads == [before + 1] * 2
    after: list[int] = []
    worker = threading.Thread(target=lambda: after.append(torch.get_num_threads()))
    worker.start()
    worker.join()
    assert after == [before], "the next run of the process, in another thread, has torch's own number"


@pytest.mark.parametrize("keep", [1, 3])
def test_frames_on_their_way_from_a_device_keep_their_order(keep: int) -> None:
    """As on a GPU: each picture is given away when the next one is under way."""
    model = FakeModel(max_seq_len=keep, overlap=0)
    vsr = vsr_filter(model)
    vsr._behind = 1
    frames = stream(8)
    out = run(vsr, frames)
    assert [number_of(f) for f in out] == list(range(8))
    assert model.log.closed == len(model.log.calls)
    model = FakeModel(max_seq_len=3, overlap=0)
    vsr = vsr_filter(model)
    vsr._behind = 1
    vsr.configure(info_of(frames[0]))
    model.spoil = "nan"
    with pytest.raises(ModelError, match=r"frame 0 at 0\.000 s"):
        [list(vsr.push(f)) for f in frames[:3]]


def test_out_of_memory_says_what_to_do() -> None:
    class Full(FakeModel):
        def session(self) -> FakeSession:
            session = super().session()
            session.window = self.fail  # type: ignore[method-assign]
            return session

        def fail(self, *_: object) -> Iterator[torch.Tensor]:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(ModelError, match=r"out of memory in model fake at 6x4: try a smaller --max-seq-len"):
        run(vsr_filter(Full()), stream(2))
