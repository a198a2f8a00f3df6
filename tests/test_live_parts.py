"""What live inputs are made of, without a network: the time line, the ring that drops, the lengths of windows."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Iterator
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamvsr
from streamvsr.cli.parser import parse
from streamvsr.config import LiveOptions
from streamvsr.errors import StreamLostError
from streamvsr.frames import Frame
from streamvsr.media.demux.live import TimeLine
from streamvsr.pipeline.ring import PacketSpool, Ring
from streamvsr.pipeline.runner import Run
from streamvsr.pipeline.stages import FilterStage, SinkStage, SourceStage
from streamvsr.pipeline.stats import LatencyMeter
from streamvsr.vsr.deadline import Deadline
from streamvsr.vsr.windows import LATENCY_PARTS, fitting, window_for
from tests.conftest import ROOT
from tests.live_frames import TICK, Camera, Clock, frame

pytestmark = pytest.mark.io


# ---- the time line


def test_an_outage_is_as_long_as_the_clock_says() -> None:
    line = TimeLine()
    for n in range(50):
        assert line(n * TICK, TICK, 100 + n / 25 + (n % 3) / 10) == n * TICK, "frames may be late"
    line.resume(107.0)
    assert line(Fraction(0), TICK, 108.0) == 7
    assert line(Fraction(1), TICK, 108.1) == 8


def test_a_connection_that_comes_back_at_once_does_not_go_back_in_time() -> None:
    line = TimeLine()
    # A burst at the beginning: the stream is ahead of the clock from then on.
    for n in range(50):
        line(n * TICK, TICK, 100.0)
    line.resume(100.1)
    assert line(Fraction(0), TICK, 100.2) >= 50 * TICK


def test_a_sender_that_changes_its_clock_does_not_make_a_gap_of_years() -> None:
    line = TimeLine()
    line(Fraction(0), TICK, 100.0)
    after = line(Fraction(10**9), TICK, 100.04)
    assert abs(after - TICK) < Fraction(1, 10)
    assert line(10**9 + TICK, TICK, 100.08) == after + TICK


def test_a_ring_lets_go_of_what_is_too_old_but_never_of_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    ring = Ring("r", frames=100, drop_oldest=True, max_age_seconds=0.55)
    for pts in range(10):
        ring.put(frame(pts))
        clock.now += 0.1
    assert ring.get().pts == 5  # type: ignore[union-attr]
    clock.now += 60
    assert ring.get().pts == 9  # type: ignore[union-attr]
    assert ring.dropped == 5 + 3


@pytest.mark.parametrize(("missing", "resets"), [(24, False), (25, True)])
def test_a_short_drop_does_not_reset_the_state_and_a_long_one_does(missing: int, resets: bool) -> None:
    ring = Ring("r", frames=1, drop_oldest=True)
    ring.put(frame(0))
    ring.get()
    for pts in range(1, missing + 2):
        ring.put(frame(pts))
    assert ring.get().discontinuity == resets  # type: ignore[union-attr]
    assert ring.dropped == missing
    ring.put(frame(200))
    assert not ring.get().discontinuity, "no frame was dropped here"  # type: ignore[union-attr]


def test_a_dropped_beginning_of_a_scene_is_not_forgotten() -> None:
    ring = Ring("r", frames=1, drop_oldest=True)
    ring.put(frame(0))
    ring.get()
    ring.put(frame(1, discontinuity=True))
    ring.put(frame(2))
    assert ring.get().discontinuity  # type: ignore[union-attr]
    ring.put(frame(3))
    assert not ring.get().discontinuity  # type: ignore[union-attr]


def test_waiting_for_a_ring_ends_with_a_frame_or_the_end() -> None:
    ring = Ring("r")
    assert not ring.wait(0.01)
    ring.put(frame(0))
    assert ring.wait(60)
    ring.get()
    ring.finish()
    assert ring.wait(60)


# ---- latency


@given(st.floats(0.05, 20), st.integers(1, 120), st.integers(1, 30), st.integers(0, 10), st.integers(0, 1))
def test_windows_fill_in_their_part_of_the_latency(
    seconds: float, rate: int, longest: int, overlap: int, waits: int
) -> None:
    length, shared = window_for(seconds, Fraction(rate), longest, overlap, waits)
    assert 1 <= length <= longest
    assert 0 <= shared <= min(overlap, length // 2)
    assert shared < length
    if length > 1:
        assert (length + waits) / rate <= seconds / LATENCY_PARTS
    if length < longest:
        assert (length + 1 + waits) / rate > seconds / LATENCY_PARTS


def test_a_window_keeps_new_frames() -> None:
    assert [fitting(n, 3) for n in (0, 1, 2, 5, 9)] == [(1, 0), (1, 0), (2, 1), (5, 2), (9, 3)]


def test_windows_grow_to_what_a_quick_network_allows() -> None:
    told: list[str] = []
    deadline = Deadline(2.0, 12, told.append, fixed=False)
    assert deadline.length == 2
    deadline.observe(2, 2, 3.0)  # It warms up.
    assert deadline.length == 2
    deadline.observe(2, 1, 0.01)
    assert deadline.length == 12
    assert not told


def test_windows_shrink_for_a_slow_one_and_it_is_told() -> None:
    told: list[str] = []
    deadline = Deadline(2.0, 12, told.append, fixed=False)
    deadline.observe(2, 2, 0.3)
    deadline.observe(2, 2, 0.2)
    assert deadline.length == 5, "0.5 s at 0.1 s a frame"
    assert "5 frames instead of 12" in told[0]
    deadline.observe(5, 5, 0.6)
    deadline.observe(5, 5, 0.4)
    deadline.observe(5, 5, 0.6)
    assert deadline.length == 5, "one slow window may be chance"
    deadline.observe(5, 5, 0.6)
    assert deadline.length == 4
    deadline.observe(4, 4, 0.9)
    assert deadline.length == 2, "not one that takes nearly twice as long as it may"


@pytest.mark.parametrize("fixed", [True, False])
def test_what_cannot_be_held_is_told_once(fixed: bool) -> None:
    told: list[str] = []
    deadline = Deadline(2.0, 8 if fixed else 1, told.append, fixed=fixed)
    length = deadline.length
    for _ in range(10):
        deadline.observe(length, length, 3.0)
    assert deadline.length == length
    assert [line for line in told if "cannot be held" in line] == told


def test_latency_is_that_of_the_frames_that_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    meter = LatencyMeter()
    for n in range(10):
        meter.arrived(n * TICK)
        clock.now += 1
    meter.departed(7 * TICK)
    assert meter.seconds == 3
    clock.now += 4
    meter.departed(8 * TICK)
    meter.departed(8 * TICK)
    assert (meter.seconds, meter.most_seconds) == (6, 6)


# ---- the pipeline


class _Chain:
    """Holds every frame back until the next, as a window does."""

    def __init__(self) -> None:
        self.held: list[Frame] = []
        self.idled = threading.Event()

    def push(self, one: Frame) -> Iterator[Frame]:
        self.held.append(one)
        if len(self.held) > 1:
            yield self.held.pop(0)

    def flush(self) -> Iterator[Frame]:
        yield from self.held

    def idle(self) -> Iterator[Frame]:
        held, self.held = self.held, []
        yield from held
        if held and held[-1].pts == 1:
            self.idled.set()

    def close(self) -> None:
        pass


class _Sink:
    def __init__(self) -> None:
        self.frames: list[int] = []
        self.ending = ""
        self.spool = PacketSpool()

    def write_frame(self, one: Frame) -> None:
        self.frames.append(one.pts)

    def request_stop(self) -> None: ...

    def finish(self, until: Fraction | None = None) -> None:
        self.ending = "finished"

    def abort(self) -> None:
        self.ending = "aborted"


def test_a_lost_stream_is_written_to_its_end_and_then_told() -> None:
    sink, chain = _Sink(), _Chain()
    rings = [Ring("a"), Ring("b")]
    camera = Camera(3, error=StreamLostError("gone"))
    stages = [FilterStage("f", chain, rings[0], rings[1], discard_on_stop=False)]
    run = Run(SourceStage(camera, rings[0], sink.spool), stages, SinkStage(sink, rings[1]), rings, live=True)
    run.start()
    assert run.wait(60)
    with pytest.raises(StreamLostError):
        run.result()
    assert (sink.frames, sink.ending) == ([0, 1, 2], "finished")


def test_what_waits_for_more_leaves_when_nothing_comes() -> None:
    sink, chain, camera = _Sink(), _Chain(), Camera(2, gate=threading.Event())
    rings = [Ring("a"), Ring("b")]
    stages = [FilterStage("f", chain, rings[0], rings[1], discard_on_stop=False, idle_seconds=0.05)]
    run = Run(SourceStage(camera, rings[0], sink.spool), stages, SinkStage(sink, rings[1]), rings, live=True)
    run.start()
    assert chain.idled.wait(60)
    assert camera.gate is not None
    camera.gate.set()
    assert run.wait(60)
    run.result()
    assert sink.frames == [0, 1]


def test_python_says_it_too() -> None:
    clip = streamvsr.open("rtsp://camera/1", live=LiveOptions(max_latency=1.0))
    assert clip.filter("vsr").config.live.max_latency == 1.0


def test_the_lines_of_the_page_are_understood() -> None:
    page = (ROOT / "docs" / "live.md").read_text(encoding="utf-8")
    found = [line for line in page.splitlines() if line.startswith("streamvsr ")]
    assert len(found) >= 6
    for line in found:
        assert parse(shlex.split(line)[1:]).config is not None, line
