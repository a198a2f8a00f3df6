"""The ring and the spool: every outcome that their docstrings promise."""

from __future__ import annotations

import threading
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamvsr.frames import PIXEL_FORMATS, Frame, Packet
from streamvsr.pipeline.ring import Aborted, PacketSpool, Ring

pytestmark = pytest.mark.io


def frame(pts: int, size: int = 4) -> Frame:
    return Frame((np.full((size, size), pts % 256, np.uint8),), PIXEL_FORMATS["gray"], pts, Fraction(1, 25))


def packet(number: int, size: int = 10) -> Packet:
    return Packet(1, bytes([number % 256]) * size, number, None, 1, Fraction(1, 48000), side_data=(("x", b"y"),))


def test_finish_lets_the_reader_drain() -> None:
    ring = Ring("r", frames=3)
    assert ring.put(frame(0))
    assert ring.put(frame(1))
    ring.finish()
    assert [ring.get().pts, ring.get().pts, ring.get()] == [0, 1, None]  # type: ignore[union-attr]
    assert ring.get() is None, "the end can be read twice"


def test_close_tells_the_writer() -> None:
    ring = Ring("r")
    ring.put(frame(0))
    ring.close()
    assert ring.put(frame(1)) is False
    assert ring.level.frames == 0


def test_abort_reaches_both_sides_even_with_frames_inside() -> None:
    ring = Ring("r")
    ring.put(frame(0))
    ring.abort()
    with pytest.raises(Aborted):
        ring.get()
    with pytest.raises(Aborted):
        ring.put(frame(1))


@pytest.mark.parametrize("end", ["close", "finish", "abort"])
def test_a_waiting_writer_is_woken(end: str) -> None:
    ring = Ring("r", frames=1)
    ring.put(frame(0))
    answers: list[object] = []

    def write() -> None:
        try:
            answers.append(ring.put(frame(1)))
        except Aborted:
            answers.append("aborted")

    writer = threading.Thread(target=write)
    writer.start()
    getattr(ring, end)()
    writer.join(60)
    assert answers == ["aborted" if end == "abort" else False]


@pytest.mark.parametrize(("end", "answer"), [("finish", None), ("abort", "aborted")])
def test_a_waiting_reader_is_woken(end: str, answer: object) -> None:
    ring = Ring("r")
    answers: list[object] = []

    def read() -> None:
        try:
            answers.append(ring.get())
        except Aborted:
            answers.append("aborted")

    reader = threading.Thread(target=read)
    reader.start()
    getattr(ring, end)()
    reader.join(60)
    assert answers == [answer]


def test_bytes_bound_it_too_but_a_lone_large_frame_passes() -> None:
    ring = Ring("r", frames=100, nbytes=100)
    assert ring.put(frame(0, size=50)), "2,500 bytes go into an empty ring of 100"
    written = threading.Event()

    def write() -> None:
        ring.put(frame(1))
        written.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert not written.wait(0.05), "a second frame has to wait for the large one to leave"
    ring.get()
    assert written.wait(60)
    writer.join()


def test_live_drops_the_oldest_and_counts() -> None:
    ring = Ring("r", frames=2, drop_oldest=True)
    for pts in range(5):
        assert ring.put(frame(pts))
    ring.finish()
    assert ring.dropped == 3
    assert [f.pts for f in iter(ring.get, None)] == [3, 4]


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 60)), max_size=60), st.integers(0, 120))
def test_spool_keeps_order_whatever_is_spilled(actions: list[tuple[bool, int]], memory_bytes: int) -> None:
    spool = PacketSpool(memory_bytes=memory_bytes)
    put: list[Packet] = []
    got: list[Packet] = []
    for number, (read, size) in enumerate(actions):
        if read:
            got.extend(spool.drain())
        else:
            put.append(packet(number, size))
            spool.put(put[-1])
    got.extend(spool.drain())
    spool.close()
    assert got == put


def test_spool_memory_is_bounded() -> None:
    spool = PacketSpool(memory_bytes=1000)
    for number in range(100):
        spool.put(packet(number, 100))
    assert spool.spilled_packets == 90
    assert [p.pts for p in spool.drain()] == list(range(100))
    spool.put(packet(7))
    assert spool.spilled_packets == 90, "an emptied file is not used again before memory is full"
    spool.close()


def test_spool_aborts() -> None:
    spool = PacketSpool()
    spool.put(packet(0))
    spool.abort()
    with pytest.raises(Aborted):
        spool.put(packet(1))
    with pytest.raises(Aborted):
        list(spool.drain())
