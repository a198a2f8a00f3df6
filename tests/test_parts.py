"""One segment of a job, computed alone from the middle of the input, has the packets that the whole job gives it."""

from __future__ import annotations

import subprocess
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import pytest

from streamvsr.build import build, open_job
from streamvsr.config import Config, InputOptions, ModelOptions, OutputOptions, RunOptions
from streamvsr.frames import Frame
from streamvsr.jobs import job as job_module
from streamvsr.jobs.job import Part
from streamvsr.jobs.part_source import PartSource
from streamvsr.jobs.plan import Plan, Segment, regular_borders
from streamvsr.jobs.segments import plan_segments
from streamvsr.jobs.store import JobStore, job_folder
from streamvsr.media.demux import open_source

SCENES = (
    "testsrc2=s=64x48:r=25:d=2.6[a];mandelbrot=s=64x48:r=25,trim=0:1.7,setsar=1[b];"
    "testsrc=s=64x48:r=25:d=3.7,negate[c];[a][b][c]concat=n=3"
)
X264 = "-c:v libx264 -preset veryfast -g 20 -sc_threshold 0"
CLIPS = {
    "scenes.mp4": f"{X264} -bf 3",
    "vfr.mkv": f"-vf select='not(eq(mod(n,7),3)+between(n,60,90))' -fps_mode vfr {X264} -bf 2",
    "ten.mp4": "-pix_fmt yuv420p10le -c:v libx265 -preset ultrafast -x265-params keyint=20:log-level=error",
    "fields.ts": "-vf tinterlace=interleave_top,setfield=tff -c:v mpeg2video -g 12 -bf 2 -flags +ildct+ilme",
    "reordered.avi": f"{X264} -bf 2",
}
RUNS = {
    "scenes": ("scenes.mp4", {}, {}, "rt"),
    "no scenes": ("scenes.mp4", {}, {"filters": "hflip,vsr=scene_threshold=0,crop=64:64"}, "rt"),
    "frames left out": ("vfr.mkv", {}, {}, "bicubic"),
    "10 bits": ("ten.mp4", {}, {"video_codec": "libx265"}, "bicubic"),
    "fields": ("fields.ts", {}, {}, "rt"),
    "cut": ("vfr.mkv", {"start": Fraction(1, 7), "duration": Fraction(6)}, {}, "bicubic"),
    "cut twice": ("scenes.mp4", {"start": Fraction(2, 3)}, {"start": Fraction(1, 3), "end": Fraction(6)}, "bicubic"),
    "decoded through": ("reordered.avi", {}, {}, "bicubic"),
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, ffmpeg: str) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    for name, how in CLIPS.items():
        made = ["-f", "lavfi", "-i", SCENES, *how.split(), str(folder / name)]
        subprocess.run([ffmpeg, "-v", "error", *made], check=True)
    return folder


def run(config: Config, part: Part | None = None) -> None:
    made = build(config, warn=lambda _: None, part=part)
    made.start()
    while not made.wait(60):
        pass
    made.result()


@pytest.mark.parametrize("name", RUNS)
def test_a_part_has_the_packets_of_the_whole(
    name: str, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, read, written, model = RUNS[name]
    monkeypatch.setattr(job_module, "regular_borders", lambda duration: regular_borders(duration, 2))
    monkeypatch.setattr(JobStore, "remove", JobStore.close)
    config = Config(
        InputOptions(str(clips / clip), **read),  # type: ignore[arg-type]
        OutputOptions(str(tmp_path / "out.mkv"), preset="ultrafast", **written),  # type: ignore[arg-type]
        ModelOptions(model=model),
        RunOptions(resume=True),
    )
    run(config)
    folder = job_folder(config.output.path)
    plan = Plan.from_json((folder / "plan.json").read_bytes())
    assert len(plan.segments) >= 3
    if name == "decoded through":
        assert "time stamps" in plan.decoded_through
    else:
        assert plan.decoded_through == ""
        assert any(one.entry is not None for one in plan.segments)
    assert any(one.scene for one in plan.segments) == (name in ("scenes", "fields"))
    for number in range(len(plan.segments)):
        run(config, Part(plan, number, tmp_path / "part"))
        made, wanted = tmp_path / "part" / f"{number:05d}.packets", folder / f"{number:05d}.packets"
        assert made.read_bytes() == wanted.read_bytes(), plan.segments[number]
        record, other = (msgspec.json.decode(p.with_suffix(".json").read_bytes()) for p in (made, wanted))
        assert record == other


def test_segments_begin_with_scenes_else_with_key_frames(clips: Path) -> None:
    def opened():  # type: ignore[no-untyped-def]
        return open_source(InputOptions(str(clips / "scenes.mp4")), OutputOptions())

    borders = [Fraction(2), Fraction(4), Fraction(6)]
    segments, why = plan_segments(opened, borders, (40, 2), 8.0)
    assert why == ""
    tick = Fraction(1, 12800)
    # Scenes begin at frames 65 and 108 (4.32 s); key frames stand every 0.8 s.
    assert [one.start and one.start * tick for one in segments] == [
        None,
        Fraction(8, 5),
        Fraction(108, 25),
        Fraction(28, 5),
    ]
    assert [one.scene for one in segments] == [False, False, True, False]
    assert [(one.before, one.after) for one in segments] == [(0, 2), (40, 0), (0, 2), (40, 0)]
    assert plan_segments(opened, borders, (40, 2), 0)[0][2].scene is False


def test_missing_context_is_decoded_from_the_beginning(clips: Path) -> None:
    """A plan whose key frame has too little before the segment, as where frames are damaged."""

    def opened():  # type: ignore[no-untyped-def]
        return open_source(InputOptions(str(clips / "scenes.mp4")), OutputOptions())

    whole = [item for item in opened() if isinstance(item, Frame)]
    key = opened().frame_index().keys[2]
    first = Segment(whole[45].pts, None, 20, 0, entry=key)
    part = PartSource(opened(), first, None, opened)
    frames = [item for item in part if isinstance(item, Frame)]
    part.close()
    assert [f.pts for f in frames] == [f.pts for f in whole]
    first = Segment(whole[45].pts, None, 5, 0, entry=key)
    frames = [item for item in PartSource(opened(), first, None, opened) if isinstance(item, Frame)]
    assert [f.pts for f in frames] == [f.pts for f in whole[40:]]
    assert all(
        np.array_equal(a, b)
        for f, g in zip(frames, whole[40:], strict=True)
        for a, b in zip(f.planes, g.planes, strict=True)
    )


@pytest.mark.parametrize("name", ["scenes", "10 bits", "fields", "cut twice"])
def test_compressed_packets_do_for_a_part(
    name: str, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a worker gets that does not see the input."""
    clip, read, written, _ = RUNS[name]
    monkeypatch.setattr(job_module, "regular_borders", lambda duration: regular_borders(duration, 2))
    out = OutputOptions(str(tmp_path / "out.mkv"), preset="ultrafast", **written)  # type: ignore[arg-type]
    config = Config(InputOptions(str(clips / clip), **read), out, ModelOptions(model="bicubic"))  # type: ignore[arg-type]
    opened = open_job(config, warn=lambda _: None)
    assert opened.job.plan is not None
    for number, segment in enumerate(opened.job.plan.segments):
        with closing(opened.open_input()) as source:
            sent = source.clip(segment.entry, segment.exit)
        away = replace(opened.config, input=replace(config.input, path=str(tmp_path / "not here")))
        run(opened.config, Part(opened.job.plan, number, tmp_path / "near"))
        run(away, Part(opened.job.plan, number, tmp_path / "far", sent))
        near, far = (tmp_path / where / f"{number:05d}.packets" for where in ("near", "far"))
        assert far.read_bytes() == near.read_bytes(), segment
    opened.sink.abort()
