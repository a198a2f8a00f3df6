"""What a chain makes of a stream is learnt within bounds, and where a crash of FFmpeg's does not take the run along."""

from __future__ import annotations

import resource
from fractions import Fraction

import pytest

from streamvsr.errors import FilterError
from streamvsr.filters.libav import trial
from streamvsr.filters.libav.graph import LibavFilter
from streamvsr.filters.libav.trial import learn, learn_here
from streamvsr.frames import PIXEL_FORMATS, StreamInfo

pytestmark = pytest.mark.io

INFO = StreamInfo(64, 48, PIXEL_FORMATS["yuv420p"], Fraction(1, 25), Fraction(25), frames_hint=25)


@pytest.mark.parametrize(
    ("spec", "size", "rate"),
    [
        ([("fps", "60"), ("scale", "128:72"), ("reverse", "")], (128, 72), 60),
        ([("framerate", "60"), ("reverse", "")], (64, 48), 60),
        ([("minterpolate", "fps=50"), ("reverse", "")], (64, 48), 50),
        ([("fps", "1/60")], (64, 48), Fraction(1, 60)),
        ([("tile", "2x2")], (128, 96), Fraction(25, 4)),
        ([("tpad", "start_duration=1"), ("random", "30")], (64, 48), 25),
    ],
)
def test_filters_that_fill_gaps_before_filters_that_collect(
    spec: list[tuple[str, str]], size: tuple[int, int], rate: Fraction
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    after, lookahead = learn_here(spec, INFO)
    assert (after.width, after.height, after.frame_rate) == (*size, rate)
    assert 0 <= lookahead <= trial.SCRATCH_FRAMES + 1
    # Blank pictures of 64x48: hundreds of thousands of them, as there were, are gigabytes.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10


def test_a_filter_that_crashes_is_refused() -> None:
    """FFmpeg's waveform does not survive what hqx gives it."""
    link = LibavFilter([("hqx", "2"), ("waveform", "")])
    with pytest.raises(FilterError, match="hqx=2,waveform cannot be used: it ends the process"):
        link.configure(INFO)


def test_apart_and_here_learn_the_same() -> None:
    for spec in ([("vignette", "")], [("pixelize", ""), ("fps", "50")], [("tile", "2x1")]):
        assert learn(spec, INFO) == learn_here(spec, INFO)


def test_errors_come_back_from_the_other_process() -> None:
    with pytest.raises(FilterError, match="no filter"):
        learn([("nope", "")], INFO)


def test_a_trial_that_needs_too_much_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # Not a short time: the other process may be done before this one, held up after starting it, looks at the clock.
    monkeypatch.setattr(trial, "TRIAL_SECONDS", 0)
    trial._learn_apart.cache_clear()
    with pytest.raises(FilterError, match="takes longer"):
        learn([("vignette", "")], INFO)
