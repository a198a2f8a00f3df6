"""The runner: whichever stage fails, whenever, the run ends with that error, no thread stays, no output appears."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from streamvsr.errors import NoVideoError, SourceError, StageError
from streamvsr.frames import PIXEL_FORMATS, Frame, Packet
from streamvsr.pipeline import interleave, runner
from streamvsr.pipeline.ring import PacketSpool, Ring
from streamvsr.pipeline.runner import Run
from streamvsr.pipeline.stages import FilterStage, SinkStage, SourceStage

pytestmark = pytest.mark.io

COUNT = 40
TICK = Fraction(1, 25)


class Failure(SourceError):
    pass


class FakeSource:
    def __init__(self, fail_at: int | None = None, count: int = COUNT, error: Exception | None = None) -> None:
        self.fail_at, self.count, self.error = fail_at, count, error or Failure("source")
        self.stopped = threading.Event()
        self.closed = False

    def __iter__(self) -> Iterator[Frame | Packet]:
        for pts in range(self.count):
            if self.stopped.is_set():
                return
            if pts == self.fail_at:
                raise self.error
            yield Packet(1, b"a", pts, pts, 1, TICK)
            yield Frame((np.zeros((2, 2), np.uint8),), PIXEL_FORMATS["gray"], pts, TICK, 1)
        if self.fail_at == self.count:
            raise self.error

    def stop(self) -> None:
        self.stopped.set()

    def close(self) -> None:
        self.closed = True


class FakeChain:
    """Holds back ``delay`` frames, as a window does."""

    def __init__(self, fail_at: int | str | None = None, delay: int = 5) -> None:
        self.fail_at, self.delay = fail_at, delay
        self.held: list[Frame] = []
        self.closed = False

    def push(self, frame: Frame) -> Iterator[Frame]:
        if frame.pts == self.fail_at:
            raise Failure("chain")
        self.held.append(frame)
        if len(self.held) > self.delay:
            yield self.held.pop(0)

    def flush(self) -> Iterator[Frame]:
        if self.fail_at == "flush":
            raise Failure("chain")
        yield from self.held

    def close(self) -> None:
        self.closed = True


class FakeSink:
    frames_before = encoded_bytes = 0

    def __init__(self, fail_at: int | str | None = None, hold: threading.Event | None = None) -> None:
        self.fail_at, self.hold = fail_at, hold
        self.frames: list[Frame] = []
        self.packets: list[Packet] = []
        self.ended: list[str] = []
        self.spool = PacketSpool()
        self.interleaver = interleave.Interleaver(self.spool.pop)

    def write_frame(self, frame: Frame) -> None:
        while (packet := self.interleaver.next(frame.seconds)) is not None:
            self.packets.append(packet)
        if self.hold is not None:
            self.hold.wait(60)
        if frame.pts == self.fail_at:
            raise Failure("sink")
        self.frames.append(frame)

    def request_stop(self) -> None:
        pass

    def finish(self, until: Fraction | None = None) -> None:
        self.packets += self.interleaver.rest(until)
        if self.fail_at == "flush":
            raise Failure("sink")
        self.ended.append("finish")

    def abort(self) -> None:
        self.ended.append("abort")


def make(source: FakeSource, chains: list[FakeChain], sink: FakeSink, *, max_frames: int | None = None) -> Run:
    rings = [Ring(f"ring {n}", frames=3) for n in range(len(chains) + 1)]
    segments = [
        FilterStage(f"segment {n}", chain, rings[n], rings[n + 1], discard_on_stop=True)
        for n, chain in enumerate(chains)
    ]
    return Run(
        SourceStage(source, rings[0], sink.spool),
        segments,
        SinkStage(sink, rings[-1], max_frames=max_frames),
        rings,
        frames_total=source.count,
    )


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    yield
    assert [t.name for t in threading.enumerate() if t.name.startswith("streamvsr-")] == []


@pytest.mark.parametrize("segments", [0, 1, 3])
def test_everything_arrives_once_in_order(segments: int) -> None:
    source, chains, sink = FakeSource(), [FakeChain() for _ in range(segments)], FakeSink()
    run = make(source, chains, sink)
    run.start()
    assert run.wait(120)
    run.result()
    assert [f.pts for f in sink.frames] == list(range(COUNT))
    assert [p.pts for p in sink.packets] == list(range(COUNT))
    assert sink.ended == ["finish"]
    assert source.closed
    assert all(chain.closed for chain in chains)
    assert run.progress().frames_out == run.progress().frames_total == COUNT
    assert [s.frames for s in run.stats()] == [COUNT] * (segments + 2)
    assert not run.stopped


@pytest.mark.parametrize("at", [0, COUNT // 2, COUNT - 1, "flush"])
@pytest.mark.parametrize("stage", ["source", "chain", "sink"])
def test_a_failure_anywhere_ends_the_run_with_it(stage: str, at: int | str) -> None:
    last: int | str = COUNT if (stage, at) == ("source", "flush") else at
    source = FakeSource(last if stage == "source" else None)  # type: ignore[arg-type]
    chain = FakeChain(at if stage == "chain" else None)
    sink = FakeSink(at if stage == "sink" else None)
    run = make(source, [FakeChain(), chain], sink)
    run.start()
    assert run.wait(120)
    with pytest.raises(Failure, match=stage):
        run.result()
    assert sink.ended == ["abort"]
    assert source.closed
    assert chain.closed


def test_a_foreign_error_is_named_with_its_stage() -> None:
    run = make(FakeSource(3, error=ZeroDivisionError("by zero")), [], FakeSink())
    run.start()
    assert run.wait(120)
    with pytest.raises(StageError, match="ZeroDivisionError in stage 'decode': by zero") as caught:
        run.result()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_no_frame_at_all_is_an_error() -> None:
    sink = FakeSink()
    run = make(FakeSource(count=0), [FakeChain()], sink)
    run.start()
    assert run.wait(120)
    with pytest.raises(NoVideoError):
        run.result()
    assert sink.ended == ["abort"]


def test_stop_finalises_what_is_done() -> None:
    source, sink = FakeSource(count=10**9), FakeSink()
    seen = threading.Event()
    run = make(source, [FakeChain()], sink)
    run.tap(lambda frame: seen.set() if frame.pts == 20 else None)
    run.start()
    assert seen.wait(120)
    run.stop()
    assert run.wait(120)
    run.result()
    assert run.stopped
    assert sink.ended == ["finish"]
    pts = [f.pts for f in sink.frames]
    assert pts == list(range(len(pts)))
    assert all(p.seconds <= sink.frames[-1].seconds + TICK for p in sink.packets), "no sound beyond the picture"  # type: ignore[operator]


def test_stop_before_the_first_frame_leaves_nothing() -> None:
    source, sink = FakeSource(count=10**9), FakeSink()
    run = make(source, [FakeChain(delay=10**9)], sink)
    run.start()
    run.stop()
    assert run.wait(120)
    run.result()
    assert sink.ended == ["abort"]


def test_abort_leaves_nothing() -> None:
    source, sink = FakeSource(count=10**9), FakeSink()
    seen = threading.Event()
    run = make(source, [FakeChain()], sink)
    run.tap(lambda frame: seen.set())
    run.start()
    assert seen.wait(120)
    run.abort()
    assert run.wait(120)
    assert sink.ended == ["abort"]


@pytest.mark.parametrize("room", [1, 1 << 20])
def test_packets_far_ahead_of_their_place_do_not_hold_the_others(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class SubtitlesFirst(FakeSource):
        def __iter__(self) -> Iterator[Frame | Packet]:
            yield from (Packet(2, b"text", pts, pts, 1, TICK) for pts in (500, 900, 900, 700, 5000))
            yield from super().__iter__()

    monkeypatch.setattr(interleave, "FAR_BYTES", room)
    log: list[tuple[int, int]] = []

    class LoggingSink(FakeSink):
        def write_frame(self, frame: Frame) -> None:
            super().write_frame(frame)
            log.extend((packet.pts or 0, packet.track) for packet in self.packets)
            self.packets.clear()
            log.append((frame.pts, 0))

    source, sink = SubtitlesFirst(count=1000), LoggingSink()
    run = make(source, [FakeChain()], sink)
    run.start()
    assert run.wait(120)
    run.result()
    log += [(packet.pts or 0, packet.track) for packet in sink.packets]
    assert sorted(log) == sorted(
        [(n, kind) for n in range(1000) for kind in (0, 1)] + [(n, 2) for n in (500, 900, 900, 700, 5000)]
    )
    if room > 1:
        assert [n for n, _ in log] == sorted(n for n, _ in log)


def test_no_more_frames_than_wanted() -> None:
    source, sink = FakeSource(), FakeSink()
    run = make(source, [FakeChain()], sink, max_frames=7)
    run.start()
    assert run.wait(120)
    run.result()
    assert [f.pts for f in sink.frames] == list(range(7))
    assert [p.pts for p in sink.packets] == list(range(7)), "up to where the last frame ends"
    assert sink.ended == ["finish"]
    assert not run.stopped, "that is a success, not an interruption"


def test_a_reader_stuck_for_good_is_left_behind_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "STUCK_SECONDS", 0.2)
    release = threading.Event()

    class Stuck(FakeSource):
        def __iter__(self) -> Iterator[Frame | Packet]:
            yield from super().__iter__()
            release.wait(120)

    sink = FakeSink()
    run = make(Stuck(), [], sink)
    seen = threading.Event()
    run.tap(lambda frame: seen.set() if frame.pts == COUNT - 1 else None)
    run.start()
    assert seen.wait(120)
    run.stop()
    assert run.wait(120)
    run.result()
    assert sink.ended == ["finish"]
    assert any("left behind" in note and "decode" in note for note in run.notes)
    release.set()
    for thread in threading.enumerate():
        if thread.name.startswith("streamvsr-"):
            thread.join(60)


def test_rings_bound_what_is_in_flight() -> None:
    hold = threading.Event()
    source, sink = FakeSource(), FakeSink(hold=hold)
    run = make(source, [], sink)
    run.start()
    assert not run.wait(0.3)
    assert run.progress().frames_in <= 3 + 1, "a ring of 3, and the one in the sink's hands"
    hold.set()
    assert run.wait(120)
    run.result()
    assert len(sink.frames) == COUNT
