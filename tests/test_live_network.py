"""A network at a live input: windows as short as the latency asks for, and frames dropped where it is too slow."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import pytest
import torch
from torch import Tensor

from streamvsr import networks
from streamvsr.build import build
from streamvsr.config import Config, InputOptions, LiveOptions, OutputOptions
from streamvsr.errors import UsageError
from streamvsr.frames import PIXEL_FORMATS, StreamInfo
from streamvsr.models.base import Model, ModelInfo, Session
from streamvsr.vsr.filter import VsrFilter
from tests.fakes import FakeModel, numbered, vsr_filter
from tests.live_run import recording
from tests.rtsp_server import RtspServer, make_clip

LIVE = StreamInfo(6, 4, PIXEL_FORMATS["gray16le"], Fraction(1, 250), Fraction(25), live=True)


class Slow(Model, Session):
    """The picture as it is, after so many seconds for each new frame."""

    def __init__(self, seconds: float, longest: int) -> None:
        self.info = ModelInfo("slow", 1, "luma", longest, 1)
        self.seconds = seconds
        self.windows: list[int] = []
        self.resets = 0

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        return self

    def session(self) -> Self:
        return self

    def reset(self, number: int = 0) -> None:
        self.resets += 1

    def window(self, frames: Tensor, new: int, keep: range) -> Iterator[Tensor]:
        self.windows.append(len(frames))
        time.sleep(self.seconds * new)
        yield from frames[keep.start : keep.stop]


def test_a_network_too_slow_for_the_stream_holds_the_latency_by_dropping(
    ffprobe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, out, latency = make_clip(tmp_path / "clip.mp4", 20), tmp_path / "out.mkv", 2.0
    # 25 frames a second come, 8 can be worked off; twelve at a time would take 1.5 s.
    model = Slow(0.125, 12)

    def make(options: Any, *, warn: Any, output_format: Any, size: Any, latency_seconds: Any, **_: Any) -> Any:
        return [vsr_filter(model, output_format=output_format, latency_seconds=latency_seconds, warn=warn)], "slow"

    monkeypatch.setattr(networks, "make_vsr", make)
    told: list[str] = []
    with RtspServer(clip) as server:
        config = Config(
            InputOptions(server.url("/camera")),
            OutputOptions(str(out), preset="ultrafast"),
            live=LiveOptions(max_latency=latency, duration=Fraction(8)),
        )
        run = build(config, warn=told.append)
        run.start()
        assert run.wait(60)
        run.result()
    progress, shown = run.progress(), recording(ffprobe, out, clip)
    assert progress.longest_latency_seconds is not None
    assert progress.longest_latency_seconds < latency
    assert progress.dropped > 50
    # The dropped ones at the very end are followed by no frame that could show them.
    assert 0 <= progress.dropped - shown.missing() <= 25 * latency
    assert progress.frames_in == progress.frames_out + progress.dropped
    assert any(re.search(r"windows have \d frames instead of \d+", line) for line in told)
    assert max(model.windows[4:]) <= 4, "0.5 s at 0.125 s a frame"
    assert model.resets <= 5, "short drops do not reset the state: warming up, the beginning, other lengths do"
    assert max(b - a for a, b in zip(shown.times, shown.times[1:], strict=False)) < latency


def stream(vsr: VsrFilter, count: int) -> list[int]:
    vsr.configure(LIVE)
    out = [made for n in range(count) for made in vsr.push(numbered(n))]
    out += list(vsr.flush())
    vsr.close()
    return [int(one.planes[0][0, 0]) for one in out]


@pytest.mark.parametrize(("latency", "longest"), [(0.1, 1), (1.0, 6), (2.0, 12), (60.0, 20)])
def test_windows_follow_from_the_latency(latency: float, longest: int) -> None:
    model = FakeModel(max_seq_len=20, overlap=3)
    assert stream(vsr_filter(model, latency_seconds=latency), 100) == list(range(100))
    assert max(len(call.frames) for call in model.log.calls) == longest


def test_every_frame_once_while_windows_change_their_length(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    # A clock that only the network moves: how quick the machine is does not count.
    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    model = Slow(0.0, 12)
    vsr = vsr_filter(model, latency_seconds=2.0)
    vsr.configure(LIVE)
    out = []
    for n in range(120):
        model.seconds = 0.06 if 40 <= n < 80 else 0.0
        out += list(vsr.push(numbered(n)))
    out += list(vsr.flush())
    assert [int(one.planes[0][0, 0]) for one in out] == list(range(120))
    assert model.windows[0] == 2
    assert 12 in model.windows
    assert model.windows[-2] == 8, "0.5 s at 0.06 s a frame"


def test_silence_lets_out_what_waits_and_the_stream_goes_on() -> None:
    model = FakeModel(max_seq_len=6, overlap=2)
    vsr = vsr_filter(model, scene_threshold=8.0)
    vsr.configure(LIVE)
    out = []
    for n in range(30):
        out += list(vsr.push(numbered(n)))
        if n in (3, 4, 17):
            out += list(vsr.idle())
            assert len(out) == n + 1, "nothing is held back"
            assert not list(vsr.idle())
    out += list(vsr.flush())
    assert [int(one.planes[0][0, 0]) for one in out] == list(range(30))


def test_windows_that_were_asked_for_have_to_fit() -> None:
    model = FakeModel(max_seq_len=20, overlap=3)
    with pytest.raises(UsageError, match=r"--max-seq-len 60 waits 2.4 s .* say at most 51"):
        vsr_filter(model, max_seq_len=60, latency_seconds=2.0).configure(LIVE)
    with pytest.raises(UsageError, match="--overlap 6 does not fit into the 6 frames"):
        vsr_filter(model, overlap=6, latency_seconds=1.0).configure(LIVE)
    model = FakeModel(max_seq_len=20, overlap=3)
    assert stream(vsr_filter(model, max_seq_len=30, latency_seconds=2.0), 100) == list(range(100))
    assert max(len(call.frames) for call in model.log.calls) == 30
