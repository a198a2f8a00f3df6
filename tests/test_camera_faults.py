"""A camera whose clock jumps, and one whose frames are lost on the way, through whole recordings."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamvsr.media.decode.concat import TimestampConcat
from streamvsr.media.demux.frame_steps import FIRST_STEPS, FrameSteps
from tests.live_run import QUICK, RATE, Recording, Streamvsr, recording
from tests.rtp_camera import RtpCamera
from tests.rtsp_server import make_clip

pytestmark = pytest.mark.io

SECONDS, WHEN = 6, 3.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("camera") / "clip.mp4", SECONDS)


def recorded(camera: RtpCamera, out: Path, clip: Path, ffprobe: str) -> tuple[Recording, str]:
    with Streamvsr(camera.url, *QUICK, "--max-latency", "30", "--reconnect", "0", str(out)) as run:
        assert run.end() == 0
    return recording(ffprobe, out, clip), run.text


# Both sides of what 32 bits of 90 kHz tell apart; steps back are another recording, behind the one before.
@pytest.mark.parametrize("seconds", [3600.0, 20.0, -2.0, -3600.0, 20000.0])
@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_clock_that_jumps(seconds: float, suffix: str, clip: Path, ffprobe: str, tmp_path: Path) -> None:
    """Frames were moved back, their sound was not: it lay an hour behind them."""
    with RtpCamera(clip, jump=(WHEN, seconds)) as camera:
        shown, said = recorded(camera, tmp_path / f"o.{suffix}", clip, ffprobe)
    assert "time stamps jump" in said
    assert shown.missing() == 0
    assert shown.gaps() == []
    assert shown.times[-1] == pytest.approx((len(shown.times) - 1) / RATE, abs=0.1)
    assert abs(shown.sound[-1][0] - shown.times[-1]) < 0.2
    assert all(abs(moved) < 0.1 for moved in shown.sync()), "sound and picture have moved apart"


def test_a_short_step_ahead_is_a_pause(clip: Path, ffprobe: str, tmp_path: Path) -> None:
    with RtpCamera(clip, jump=(WHEN, 5.0)) as camera:
        shown, said = recorded(camera, tmp_path / "o.mkv", clip, ffprobe)
    assert "time stamps jump" not in said
    assert [round(gap) for gap in shown.gaps()] == [5]
    assert all(abs(moved) < 0.1 for moved in shown.sync())


@pytest.mark.parametrize("lost", [range(60, 90), range(80, 81), range(0)])
def test_frames_that_are_lost_on_the_way_are_told(lost: range, clip: Path, ffprobe: str, tmp_path: Path) -> None:
    """FFmpeg says so in its log alone."""
    with RtpCamera(clip, lost=lost) as camera:
        _, said = recorded(camera, tmp_path / "o.mkv", clip, ffprobe)
    told = re.findall(r"warning: '.*': (a|\d+) frames? ha(?:s|ve) not come", said)
    assert told == ([] if not lost else ["a"] if len(lost) == 1 else [str(len(lost))]), said


def test_a_real_pause_is_no_jump() -> None:
    """Nothing came for as long as the clock has moved on."""
    wall, unit = 0.0, Fraction(1, 1000)
    joins = TimestampConcat(clocks_jump=True, now=lambda: wall)
    for pause in (0.0, 0.04, 40.0, 0.04):
        wall += pause
        for stream in (0, 1):
            assert joins.ticks(stream, round(wall * 1000), 40, unit) == 0
    wall += 0.04
    assert joins.ticks(0, round((wall + 40) * 1000), 40, unit) < 0
    assert joins.count == 1


@given(st.lists(st.integers(1, 3), min_size=FIRST_STEPS + 1, max_size=300), st.integers(-2, 2))
def test_missing_frames_are_counted_where_the_rate_is_even(steps: list[int], jitter: int) -> None:
    """In steps of 40 ms, of which some are two or three at once, each a little off."""
    few = [step if number % 13 == 7 else 1 for number, step in enumerate(steps)]
    for given_, is_even in ((few, True), ([2 if n % 3 else 1 for n in range(len(steps))], False)):
        counted, now = FrameSteps(), Fraction(0)
        counted.add(now)
        for number, step in enumerate(given_):
            now += Fraction(40 * step + (jitter if number % 2 else -jitter), 1000)
            counted.add(now)
        missing = sum(step - 1 for step in given_)
        assert bool(list(counted.report())) == (is_even and missing > 0)
        if is_even:
            assert counted.missing == missing
