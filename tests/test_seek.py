"""Runs that begin in the middle of a file: the very frames, with the very stamps, of a run from the beginning."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamvsr.config import InputOptions, OutputOptions
from streamvsr.frames import Frame
from streamvsr.media.demux import Source, TrimmedSource, open_source
from streamvsr.media.demux.container import ContainerSource
from streamvsr.media.demux.frame_index import SPARE_FRAMES, CannotSeekError, FrameIndex

pytestmark = pytest.mark.io

MOVING = "testsrc2=s=64x48:r=25:d=6"
VFR = "select='not(eq(mod(n,7),3)+between(n,60,90))'"
X264 = "-c:v libx264 -preset veryfast -g 20"
CLIPS = {
    "b-frames.mp4": f"{X264} -bf 3",
    "edited.mp4": f"{X264} -bf 3 -ss 0.1",
    "open.mkv": f"{X264} -bf 3 -x264-params open-gop=1",
    "refresh.mkv": f"{X264} -x264-params intra-refresh=1",
    "vfr.mkv": f"-vf {VFR} -fps_mode vfr {X264} -bf 2",
    "ten.mp4": "-pix_fmt yuv420p10le -c:v libx265 -preset ultrafast -x265-params keyint=20:log-level=error",
    "fields.ts": "-vf tinterlace=interleave_top,setfield=tff -c:v mpeg2video -g 12 -bf 2 -flags +ildct+ilme",
    "half-fields.ts": "-vf setfield=tff -c:v mpeg2video -g 12 -bf 2 -flags +ildct+ilme -b:v 2M",
    "vp9.webm": "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -auto-alt-ref 1 -lag-in-frames 10 -g 30",
    "stills.avi": "-c:v mjpeg",
    "reordered.avi": f"{X264} -bf 2",
    "bare.h264": X264,
}
SEEKS = [name for name in CLIPS if name not in ("reordered.avi", "bare.h264")]
CUTS: dict[str, dict[str, Fraction]] = {
    "whole": {},
    "-ss": {"start": Fraction(1, 7)},
    "-ss -t": {"start": Fraction(5, 3), "duration": Fraction(3)},
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, ffmpeg: str) -> Path:
    folder = tmp_path_factory.mktemp("seek")
    for name, how in CLIPS.items():
        sound = [] if name.endswith((".avi", ".h264")) else ["-f", "lavfi", "-i", "sine=d=6"]
        command = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", MOVING, *sound, *how.split(), str(folder / name)]
        subprocess.run(command, check=True)
    return folder


def opened(path: Path, cut: str) -> Source:
    return open_source(InputOptions(str(path), **CUTS[cut]), OutputOptions())  # type: ignore[arg-type]


@cache
def whole(path: Path, cut: str) -> tuple[list[Frame], FrameIndex]:
    source = opened(path, cut)
    frames = [item for item in source if isinstance(item, Frame)]
    index = source.frame_index()
    source.close()
    return frames, index


def frames_from(path: Path, cut: str, key: int) -> list[Frame]:
    source = opened(path, cut)
    source.begin_at(key)
    frames = [item for item in source if isinstance(item, Frame)]
    source.close()
    return frames


def assert_same(found: list[Frame], wanted: list[Frame]) -> None:
    assert [(f.pts, f.time_base, f.duration) for f in found] == [(f.pts, f.time_base, f.duration) for f in wanted]
    for one, other in zip(found, wanted, strict=True):
        for mine, theirs in zip(one.planes, other.planes, strict=True):
            assert np.array_equal(mine, theirs), f"another picture at {one.seconds}"


@pytest.mark.parametrize("name", SEEKS)
@pytest.mark.parametrize("cut", CUTS)
def test_the_index_knows_every_frame(clips: Path, name: str, cut: str) -> None:
    frames, index = whole(clips / name, cut)
    within = [pts for pts in index.pts if frames[0].pts <= pts <= frames[-1].pts]
    assert within == [frame.pts for frame in frames]
    assert index.time_base == frames[0].time_base


@pytest.mark.parametrize("name", [name for name in SEEKS if name != "refresh.mkv"])
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_from_a_key_frame_on_it_is_the_whole(clips: Path, name: str, data: st.DataObject) -> None:
    """VFR, B-frames, open GOP, 10 bits, fields, edit lists; cut at, beside and between frames."""
    cut = data.draw(st.sampled_from(sorted(CUTS)))
    frames, index = whole(clips / name, cut)
    beside = st.tuples(st.sampled_from([f.pts for f in frames]), st.integers(-1, 1)).map(sum)
    start, before = data.draw(beside), data.draw(st.integers(0, 30))
    key = index.entry(start, before)
    if key is None:
        return
    found = frames_from(clips / name, cut, key)
    behind = [f for f in found if f.pts >= start]
    assert_same(behind, [f for f in frames if f.pts >= start])
    context = [f for f in found if f.pts < start][-before:] if before else []
    wanted = [f for f in frames if f.pts < start]
    assert len(context) == min(before, len(wanted))
    assert_same(context, wanted[-before:] if before else [])


SKIMMED = {
    "h264.mp4": "-c:v libx264 -preset veryfast -g 200 -bf 3",
    "h264-untold.mkv": "-c:v libx264 -preset veryfast -g 200 -bf 3 -bsf:v filter_units=remove_types=6",
    "hevc.mp4": "-c:v libx265 -preset ultrafast -x265-params keyint=200:bframes=4:log-level=error",
    "mpeg2.ts": "-c:v mpeg2video -g 200 -bf 2",
    "mpeg4.mkv": "-c:v mpeg4 -g 200 -bf 2",
}


@pytest.mark.parametrize("name", SKIMMED)
def test_what_leads_up_to_the_start_may_be_skimmed(tmp_path: Path, ffmpeg: str, name: str) -> None:
    path = tmp_path / name
    command = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", MOVING, *SKIMMED[name].split(), str(path)]
    subprocess.run(command, check=True)
    found: list[tuple[list[Frame], int]] = []
    for skim in (False, True):
        source = open_source(InputOptions(str(path), start=Fraction(27, 10)), OutputOptions())
        if skim:
            source.skim()
        frames = [item for item in source if isinstance(item, Frame)]
        assert isinstance(source, TrimmedSource)
        assert isinstance(source._source, ContainerSource)
        found.append((frames, source._source._decoder.frames))
        source.close()
        assert source.warnings == []
    (whole, decoded), (skimmed, fewer) = found
    assert_same(skimmed, whole)
    assert fewer < decoded - 20


@pytest.mark.parametrize(
    ("name", "why"), [("reordered.avi", "no time stamps"), ("bare.h264", "numbered from the beginning")]
)
def test_what_cannot_be_begun_in_the_middle_says_why(clips: Path, name: str, why: str) -> None:
    source = opened(clips / name, "whole")
    with pytest.raises(CannotSeekError, match=why):
        source.frame_index()
    source.close()


def test_the_entry_is_the_last_key_frame_with_enough_before() -> None:
    index = FrameIndex.of(Fraction(1, 25), [(n, n % 10 == 0) for n in reversed(range(60))])
    assert index.entry(40, 10 - SPARE_FRAMES) == 30
    assert index.entry(40, 11 - SPARE_FRAMES) == 20
    assert index.entry(39, 10 - SPARE_FRAMES) == 20
    assert index.entry(10, 0) is None, "the beginning is where runs begin anyway"
    assert index.entry(35, 100) is None
    with pytest.raises(CannotSeekError, match="same"):
        FrameIndex.of(Fraction(1), [(1, True), (1, False)])


@pytest.mark.parametrize("name", ["b-frames.mp4", "open.mkv", "vp9.webm"])
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_a_frame_is_kept_where_it_does_not_begin_before_the_cut(clips: Path, name: str, data: st.DataObject) -> None:
    """Cuts at, right before and right behind a frame's stamp, finer than the stream's ticks; and anywhere."""
    frames, _ = whole(clips / name, "whole")
    stamps = [frame.seconds for frame in frames[:100]]
    beside = st.tuples(st.sampled_from(stamps), st.sampled_from([0, 1, -1, 7, -7])).map(
        lambda drawn: drawn[0] + Fraction(drawn[1], 70_001)
    )
    anywhere = st.fractions(0, stamps[-1], max_denominator=1000)
    start = data.draw(st.one_of(beside, anywhere, st.sampled_from([Fraction(1, 7), Fraction(2, 3)])))
    if start <= 0:
        return
    source = open_source(InputOptions(str(clips / name), start=start), OutputOptions())
    kept = [item for item in source if isinstance(item, Frame)]
    source.close()
    wanted = [frame for frame in frames if frame.seconds >= start]
    assert len(kept) == len(wanted), f"-ss {start}"
    tick = frames[0].time_base
    assert all(abs(f.seconds + start - g.seconds) < tick for f, g in zip(kept, wanted, strict=True)), f"-ss {start}"
    source = open_source(InputOptions(str(clips / name)), OutputOptions(start=start))
    behind = TrimmedSource(source, start, None)
    kept = [item for item in behind if isinstance(item, Frame)]
    behind.close()
    assert len(kept) == len(wanted), f"-ss {start} of the output"


def test_a_beginning_behind_the_end_is_told_before_a_network_is_loaded(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from streamvsr import build
    from streamvsr.cli.app import main

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a network was wanted")

    monkeypatch.setattr(build, "NetworkMaker", never)
    for name in ("b-frames.mp4", "vfr.mkv", "vp9.webm", "fields.ts"):
        assert main(["-ss", "7.5", str(clips / name), str(tmp_path / "out.mkv")]) == 1
        assert capsys.readouterr().err == "error: -ss 7.5: the input ends before that\n"
        assert main([str(clips / name), "-ss", "7.5", str(tmp_path / "out.mkv")]) == 1, "the output's"
        assert capsys.readouterr().err == "error: -ss 7.5: the input ends before that\n"
        assert main(["-ss", "1", str(clips / name), "-ss", "6.8", str(tmp_path / "out.mkv")]) == 1, "both add up"
        assert capsys.readouterr().err == "error: -ss 6.8: the input ends before that\n"


def test_a_header_that_is_wrong_about_the_length_ends_no_run(clips: Path) -> None:
    from streamvsr.errors import NoVideoError
    from streamvsr.media.demux import check_begin

    late = InputOptions(str(clips / "b-frames.mp4"), start=Fraction(5))
    check_begin(late, lambda at: open_source(at, OutputOptions()))
    check_begin(InputOptions(late.path), lambda at: open_source(at, OutputOptions()), Fraction(5))
    behind = InputOptions(str(clips / "b-frames.mp4"), start=Fraction(9))
    with pytest.raises(NoVideoError):
        check_begin(behind, lambda at: open_source(at, OutputOptions()))
