"""The connection of a live input: one thread that waits for FFmpeg, and who waits for it."""

from __future__ import annotations

import threading

import pytest

from streamvsr.errors import NoVideoError, SourceError
from streamvsr.media.demux.connection import NEWEST_FRAMES, Connection, StallError
from streamvsr.pipeline import ring as ring_module
from tests.live_frames import Camera, Clock

pytestmark = pytest.mark.io


INF = float("inf")


def test_frames_come_through_and_the_source_is_closed_by_its_owner_only() -> None:
    camera = Camera(3)
    connection = Connection(lambda: camera)
    assert connection.opened(60) is camera
    assert [f.pts for f in connection.items(60, INF)] == [0, 1, 2]
    assert not camera.closed.is_set(), "the output copies its streams"
    connection.leave()
    assert camera.closed.wait(60)


def test_an_error_of_the_source_is_raised_where_it_is_read() -> None:
    connection = Connection(lambda: Camera(2, error=SourceError("broken")))
    items = connection.items(60, INF)
    assert [next(items).pts, next(items).pts] == [0, 1]
    with pytest.raises(SourceError, match="broken"):
        next(items)
    connection.leave()


def test_an_error_of_opening_is_raised() -> None:
    def make() -> Camera:
        raise NoVideoError("nothing to see")

    connection = Connection(make)
    with pytest.raises(NoVideoError):
        connection.opened(60)
    connection.leave()


def filled(camera: Camera) -> Connection[Camera]:
    """A connection all of whose frames have come: how long that took is no matter of the limits below."""
    connection = Connection(lambda: camera)
    with connection._changed:
        assert connection._changed.wait_for(lambda: connection._frames == camera.count, 60)
    return connection


def test_silence_is_told_in_its_time_and_the_thread_let_go() -> None:
    camera = Camera(1, gate=threading.Event())
    connection = filled(camera)
    items = connection.items(0.05, INF)
    next(items)
    with pytest.raises(StallError):
        next(items)
    connection.leave()
    assert camera.closed.wait(60)


def test_an_opening_that_never_ends_is_not_waited_for() -> None:
    gate, camera = threading.Event(), Camera(0)

    def make() -> Camera:
        gate.wait(60)
        return camera

    connection = Connection(make)
    with pytest.raises(StallError):
        connection.opened(0.05)
    connection.leave()
    gate.set()
    assert camera.closed.wait(60), "what opens in the end is closed by the thread itself"


def test_the_newest_frames_are_kept_for_a_reader_that_is_being_built() -> None:
    camera = Camera(NEWEST_FRAMES + 10, gate=threading.Event())
    connection = Connection(lambda: camera)
    connection.request_stop()
    connection.opened(60)
    with connection._changed:
        assert connection._changed.wait_for(lambda: connection.let_go == 10, 60)
    items = connection.items(60, INF)
    assert next(items).pts == 10
    connection.leave()


def test_the_end_of_the_time_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    connection = filled(Camera(1, gate=threading.Event()))
    items = connection.items(60, clock.now + 0.2)
    assert next(items).pts == 0
    begin, real = clock.real(), clock.real
    # The clock stands still up to here, so that the frame is in time on any machine, and goes from here on.
    monkeypatch.setattr(ring_module.time, "monotonic", lambda: clock.now + real() - begin)
    assert list(items) == [], "neither another frame, nor an error as after silence"
    connection.leave()
