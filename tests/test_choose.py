"""Which network suits what was measured."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from streamvsr.config import ModelOptions
from streamvsr.footage.choose import BETTER, CLEAN, RESTORING, choose, faults, hints, like_h264
from streamvsr.models import registry
from tests.test_look import CLEAN_FOOTAGE, only_what_ships

__all__ = ["only_what_ships"]

pytestmark = pytest.mark.io


@pytest.mark.parametrize(("changes", "fault"), [
    ({"quantiser": 26.0}, "compressed"),
    ({"quantiser": 34.0}, "strongly compressed"),
    ({"codec": "mpeg4", "quantiser": 8.0}, "compressed"),
    ({"codec": "vp9", "quantiser": 140.0}, "strongly compressed"),
    ({"quantiser": 15.0, "bits_per_pixel": 0.03}, "bits a pixel"),
    ({"codec": "hevc", "quantiser": None, "bits_per_pixel": 0.03}, "bits a pixel"),
    ({"noise": 2.0}, "noisy"),
    ({"blockiness": 2.0}, "blocks"),
])  # fmt: skip
def test_rt_is_never_chosen_for_what_is_damaged(changes: dict[str, object], fault: str) -> None:
    footage = replace(CLEAN_FOOTAGE, **changes)  # type: ignore[arg-type]
    assert any(fault in one for one in faults(footage))
    choice = choose(footage, gpu=False)
    assert choice.model != CLEAN
    assert fault in choice.reason


def test_clean_footage_gets_rt_whatever_there_is() -> None:
    for gpu in (False, True):
        choice = choose(CLEAN_FOOTAGE, gpu=gpu)
        assert (choice.model, choice.strength, choice.better) == (CLEAN, 1.0, None)


def test_what_was_not_looked_at_is_restored() -> None:
    choice = choose(None, gpu=False, why_not="standard input can be read only once")
    assert choice.model == RESTORING
    assert "standard input" in choice.reason


def test_a_fetched_network_is_taken_where_it_is_done_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = replace(CLEAN_FOOTAGE, quantiser=30.0)
    monkeypatch.setattr(registry, "is_here", lambda name: name == BETTER)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert choose(damaged, gpu=False).model == BETTER
    long = choose(replace(damaged, seconds=3600.0), gpu=False)
    assert long.model == RESTORING
    assert f"--model {BETTER}" in str(long.better)
    monkeypatch.setattr(registry, "is_here", lambda name: False)
    assert f"models fetch {BETTER}" in str(choose(damaged, gpu=False).better)


def test_an_option_of_one_network_alone_chooses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """realesr-general-x4v3, once fetched, has no --detail."""
    damaged = replace(CLEAN_FOOTAGE, quantiser=30.0, seconds=1.0)
    monkeypatch.setattr(registry, "is_here", lambda name: name == BETTER)
    for footage in (CLEAN_FOOTAGE, damaged, None):
        choice = choose(footage, ModelOptions(detail=1.3), gpu=False)
        assert (choice.model, choice.better) == (RESTORING, None)
        assert choose(footage, ModelOptions(denoise=0.5), gpu=False).model == BETTER
    monkeypatch.setattr(registry, "is_here", lambda name: False)
    assert choose(damaged, ModelOptions(denoise=0.5), gpu=False).model == RESTORING


def test_the_codecs_scales_meet() -> None:
    # A step of 16 codes: 0.625 * 2 ** (28 / 6) = 15.9 in H.264, 2 * 8 in MPEG-4, an eighth of 127 in VP9.
    found = [
        like_h264(replace(CLEAN_FOOTAGE, codec=codec, quantiser=value))
        for codec, value in (("h264", 28.0), ("mpeg4", 8.0), ("vp9", 109.0))
    ]
    assert found == pytest.approx([28, 28, 28], abs=0.2)


def test_hints() -> None:
    assert hints(CLEAN_FOOTAGE) == []
    assert "bwdif=0,vsr" in hints(replace(CLEAN_FOOTAGE, combed=True))[0], "as many frames as before"
    assert hints(replace(CLEAN_FOOTAGE, combed=True, interlaced=True)) == []
    assert "scale=iw/2" in hints(replace(CLEAN_FOOTAGE, detail=0.1))[0]
