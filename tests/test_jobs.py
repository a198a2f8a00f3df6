"""Runs that are cut off and gone on with: the output is that of a run that was not, byte for byte."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from streamvsr.cli import main
from streamvsr.config import Config, InputOptions, ModelOptions, OutputOptions
from streamvsr.frames import Packet
from streamvsr.jobs import job as job_module
from streamvsr.jobs import store as store_module
from streamvsr.jobs.job import Job
from streamvsr.jobs.plan import InputIdentity, Plan, Segment, regular_borders, stated_options
from streamvsr.jobs.store import JobStore, job_folder, read_packets
from streamvsr.media.demux import Source, open_source
from streamvsr.media.demux.demuxer import Demuxer
from streamvsr.models import auto_precision
from streamvsr.models.auto_precision import FP32, Choice
from tests.kills import PLACES, kills, make_clip

SECONDS = 2
"""Length of a segment in these tests."""

FAST = ["--model", "bicubic", "-preset", "ultrafast", "--resume", "-nostdin"]

PROGRAM = f"""
import sys
from streamvsr.jobs import job, plan
regular = plan.regular_borders
job.regular_borders = lambda duration: regular(duration, {SECONDS})
from streamvsr.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def clip(tmp_path: Path, ffmpeg: str) -> Path:
    """Seven seconds with sound: three segments."""
    path = tmp_path / "in.mp4"
    make_clip(path, ffmpeg)
    return path


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "regular_borders", lambda duration: regular_borders(duration, SECONDS))


def frames_of(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [frame.pts for frame in container.decode(video=0)]


def undisturbed(clip: Path, *words: str) -> bytes:
    out = clip.with_name("whole.mp4")
    assert main([str(clip), str(out), *FAST, *words]) == 0
    assert not job_folder(str(out)).exists(), "cleaned up"
    return out.read_bytes()


def begun(clip: Path, out: Path, *words: str) -> subprocess.Popen[bytes]:
    """A run at the speed of its time stamps, in a process of its own."""
    return subprocess.Popen([sys.executable, "-c", PROGRAM, "-re", str(clip), str(out), *FAST, *words])


def wait_for(path: Path) -> None:
    limit = time.monotonic() + 300
    while not path.exists():
        assert time.monotonic() < limit, f"{path} has not come"
        time.sleep(0.02)


def test_the_parts_are_the_whole(clip: Path) -> None:
    undisturbed(clip)
    single = clip.with_name("single.mp4")
    assert main([str(clip), str(single), *FAST, "--no-resume"]) == 0
    assert frames_of(clip.with_name("whole.mp4")) == frames_of(single)
    with av.open(str(clip.with_name("whole.mp4"))) as one, av.open(str(single)) as other:
        sounds = [[bytes(p) for p in c.demux(audio=0) if p.size] for c in (one, other)]
    assert sounds[0] == sounds[1]
    assert sounds[0]


@pytest.mark.parametrize("segment", [0, 1])
def test_killed_and_gone_on_with(clip: Path, segment: int) -> None:
    whole = undisturbed(clip)
    out = clip.with_name("out.mp4")
    process = begun(clip, out)
    wait_for(job_folder(str(out)) / f"{segment:05d}.json")
    process.kill()
    process.wait()
    assert not out.exists()
    assert main([str(clip), str(out), *FAST]) == 0
    assert out.read_bytes() == whole
    assert sorted(p.name for p in clip.parent.iterdir()) == ["in.mp4", "out.mp4", "whole.mp4"]


def test_a_job_goes_on_in_the_precision_that_it_was_begun_in(
    tmp_path: Path, ffmpeg: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it would be another one now: on another machine, or with other threads."""
    clip, out = tmp_path / "in.mp4", tmp_path / "out.mp4"
    make_clip(clip, ffmpeg)
    words = ["--model", "rt", *FAST[2:], "--device", "cpu"]
    monkeypatch.setattr(auto_precision, "choose", lambda *_: Choice("bf16", "precision bf16: measured"))
    assert main([str(clip), str(tmp_path / "whole.mp4"), *words]) == 0
    chosen = "from streamvsr.models import auto_precision as a; a.choose = lambda *_: a.Choice('bf16', '')"
    process = subprocess.Popen([sys.executable, "-c", f"{chosen}\n{PROGRAM}", "-re", str(clip), str(out), *words])
    wait_for(job_folder(str(out)) / "00000.json")
    process.kill()
    process.wait()
    assert b'"precision": "bf16"' in (job_folder(str(out)) / "plan.json").read_bytes()
    monkeypatch.setattr(auto_precision, "choose", lambda *_: pytest.fail("chosen again"))
    assert main([str(clip), str(out), *words]) == 0
    assert out.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    monkeypatch.setattr(auto_precision, "choose", lambda *_: FP32)
    assert main([str(clip), str(tmp_path / "fp32.mp4"), *words]) == 0
    assert (tmp_path / "fp32.mp4").read_bytes() != out.read_bytes()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux")
def test_on_fewer_processors_the_encoder_gives_the_same_bytes(clip: Path) -> None:
    """x264's packets depend on its threads, and it counts processors."""
    usable = os.sched_getaffinity(0)
    if len(usable) < 2:
        pytest.skip("one processor")
    whole = undisturbed(clip)
    out = clip.with_name("out.mp4")
    process = begun(clip, out)
    wait_for(job_folder(str(out)) / "00000.json")
    process.kill()
    process.wait()
    os.sched_setaffinity(0, {min(usable)})
    try:
        assert main([str(clip), str(out), *FAST]) == 0
        assert main([str(clip), str(clip.with_name("other.mp4")), *FAST]) == 0
    finally:
        os.sched_setaffinity(0, usable)
    assert out.read_bytes() == whole
    assert clip.with_name("other.mp4").read_bytes() != whole, "they do depend on it"


def test_killed_in_front_of_whatever_matters(tmp_path: Path, ffmpeg: str) -> None:
    """Once at each place; ``make kills`` does it for long."""
    make_clip(tmp_path / "in.mp4", ffmpeg)
    killed = kills(tmp_path, len(PLACES) + 1, seed=7, words=FAST, say=False)
    assert len(killed) >= len(PLACES)


def test_interrupted_it_leaves_a_playable_file_and_the_job(clip: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = undisturbed(clip)
    out = clip.with_name("out.mp4")
    process = begun(clip, out)
    wait_for(job_folder(str(out)) / "00000.json")
    process.send_signal(signal.SIGINT)
    assert process.wait(300) == 130
    done = frames_of(out)
    assert 20 <= len(done) < 70
    assert main([str(clip), str(out), *FAST]) == 0, capfd.readouterr().err
    assert out.read_bytes() == whole


def test_interrupted_before_a_segment_is_finished(clip: Path) -> None:
    """The next run may replace what the first has left, without -y."""
    out = clip.with_name("out.mp4")
    process = begun(clip, out)
    packets = job_folder(str(out)) / "00000.packets.new"
    wait_for(packets)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(300) == 130
    assert main([str(clip), str(out), *FAST]) == 0
    assert len(frames_of(out)) == 70
    assert not job_folder(str(out)).exists()


def test_a_full_disk_and_then_room(
    clip: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = undisturbed(clip)
    out = clip.with_name("out.mp4")
    write, left = store_module.SegmentWriter.write, 35

    def until_full(self: store_module.SegmentWriter, packet: Packet) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, packet)

    with monkeypatch.context() as full:
        full.setattr(store_module.SegmentWriter, "write", until_full)
        assert main([str(clip), str(out), *FAST]) == 1
    assert "space" in capfd.readouterr().err.lower()
    assert not out.exists()
    assert main([str(clip), str(out), *FAST]) == 0
    assert "going on after 1 of" in capfd.readouterr().err
    assert out.read_bytes() == whole


def stopped(clip: Path, out: Path) -> None:
    """A job whose first segments are finished."""
    process = begun(clip, out)
    wait_for(job_folder(str(out)) / "00000.json")
    process.kill()
    process.wait()


def test_what_has_changed_is_noticed(clip: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = clip.with_name("out.mp4")
    stopped(clip, out)
    assert main([str(clip), str(out), *FAST, "-crf", "30"]) == 2
    assert "output option crf was not given, is 30" in capfd.readouterr().err
    os.utime(clip, ns=(0, 0))
    assert main([str(clip), str(out), *FAST]) == 2
    said = capfd.readouterr().err
    assert "the input has changed" in said
    assert "--restart" in said
    assert main([str(clip), str(out), *FAST, "--restart"]) == 0


def test_damaged_packets_are_computed_again(clip: Path) -> None:
    whole = undisturbed(clip)
    out = clip.with_name("out.mp4")
    stopped(clip, out)
    path = job_folder(str(out)) / "00000.packets"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert main([str(clip), str(out), *FAST]) == 0
    assert out.read_bytes() == whole


def test_two_processes_do_not_share_a_job(tmp_path: Path) -> None:
    one = JobStore(tmp_path / "job")
    with pytest.raises(store_module.SinkError, match="another process"):
        JobStore(tmp_path / "job")
    one.close()
    assert not (tmp_path / "job").exists(), "nothing in it was worth keeping"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["-r", "5"], "number of frames"),
        (["-vf", "hqdn3d,vsr" if "hqdn3d" in av.filter.filters_available else "tmix,vsr"], "remember them"),
        (["-vf", "vsr,tblend=all_mode=average"], "remember them"),
        (["-vf", "fps=5,vsr"], "number of frames"),
        (["-vf", "vsr,crop=w=iw-2*mod(n\\,2)"], "count them"),
        (["-frames:v", "9"], "counts from"),
        (["-vf", "vsr,vsr"], "more than one"),
    ],
)
def test_what_cannot_be_cut_is_told(
    clip: Path, words: list[str], reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([str(clip), str(clip.with_name("o.mp4")), *FAST, "-t", "1", *words]) == 0
    assert reason in capfd.readouterr().err


@pytest.mark.parametrize(
    ("traced", "least", "said"),
    [(False, 100, None), (False, 1, "looking for scenes near 3 cuts"), (True, 100, "the input is decoded once")],
)
def test_a_long_plan_is_announced_before_it_is_made_and_its_cost_kept(
    traced: bool, least: int, said: str | None, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []

    def plan_segments(*_: object) -> tuple[tuple[Segment, ...], str]:
        assert bool(lines) == (said is not None), "before it is made, or not at all"
        return (Segment(None, None, 0, 0),), ""

    def open_input() -> Source:
        return open_source(config.input, config.output)

    monkeypatch.setattr(job_module, "plan_segments", plan_segments)
    monkeypatch.setattr(job_module, "ANNOUNCED_CUTS", least)
    monkeypatch.setattr(job_module, "SHOWN_SECONDS", 0)
    config = Config(InputOptions(str(clip)), OutputOptions(str(clip.with_name("out.mp4"))))
    with closing(open_input()) as source:
        job = Job(config, source.info)
    tracer: Any = object() if traced else None
    job.begin([("bicubic", None)], "fp32", (0, 0), 0.0, open_input, tracer, lines.append)
    assert job.plan is not None
    assert f"planned in {job.plan.seconds:.0f} s" in job.note
    assert job.store.plan() == job.plan
    job.store.close()
    assert [said in line for line in lines if said is not None] == [True] * (said is not None)


def test_a_plan_goes_through_json_and_comes_back_equal(clip: Path) -> None:
    config = Config(
        InputOptions(str(clip), start=Fraction(1, 3)),
        OutputOptions("out.mp4", crf=20.5, size=(64, 48), options={"tune": "grain"}),
        ModelOptions(model="rt", scale=(0, 1080)),
    )
    plan = Plan(
        InputIdentity.of(str(clip)),
        stated_options(config),
        ("rt 00ff",),
        {"av": "18.1.0"},
        Fraction(1, 12800),
        (Segment(None, 7, 0, 2), Segment(7, None, 40, 0, entry=5, scene=True)),
        "bf16",
        3,
    )
    assert Plan.from_json(plan.to_json()) == plan
    assert plan.differences(plan) == []
    assert plan.encoder_threads == 3
    older = plan.to_json().replace(b'"precision": "bf16"', b'"decoded_through": ""')
    assert Plan.from_json(older).precision == "fp32", "what jobs of older versions were computed in"


def test_packets_come_back_equal(tmp_path: Path) -> None:
    packets = [
        Packet(
            0,
            b"\x00\xff" * n,
            n - 2,
            None if n else -5,
            3,
            Fraction(1001, 30000),
            n == 0,
            (("skip_samples", b"x" * n),),
        )
        for n in range(4)
    ]
    store = JobStore(tmp_path / "job")
    writer = store.writer(0)
    for packet in packets:
        writer.write(packet)
    store.finish(0, writer)
    assert list(read_packets(store.packets_path(0))) == packets
    data = store.packets_path(0).read_bytes()
    store.packets_path(0).write_bytes(data[:-1])
    with pytest.raises(store_module.SinkError, match="damaged"):
        list(read_packets(store.packets_path(0)))
    store.close()


@pytest.mark.parametrize(("seconds", "count"), [(0, 0), (59, 0), (89, 0), (90, 1), (149, 1), (150, 2), (3600, 59)])
def test_cuts(seconds: int, count: int) -> None:
    """The last segment is at least half as long as the others."""
    assert len(regular_borders(Fraction(seconds))) == count


def test_sound_is_cut_as_the_video_is(clip: Path) -> None:
    whole, single = clip.with_name("whole.mkv"), clip.with_name("single.mkv")
    for out, how in ((whole, "--resume"), (single, "--no-resume")):
        assert main([str(clip), "-ss", "1.5", "-t", "3", str(out), *FAST[:-2], how]) == 0
    with av.open(str(whole)) as one, av.open(str(single)) as other:
        sounds = [[(p.pts, bytes(p)) for p in c.demux(audio=0) if p.size] for c in (one, other)]
    assert sounds[0] == sounds[1]


def test_an_input_that_breaks_off_is_kept_and_gone_on_with(
    clip: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A bad sector, a network drive that went away: what is done can be seen, and the same command goes on."""
    whole = undisturbed(clip)
    out = clip.with_name("out.mp4")
    reading = Demuxer.packets

    def breaking(self: Demuxer, streams: Any) -> Iterator[Any]:
        for packet in reading(self, streams):
            if len(streams) > 1 and packet.stream.type == "video" and float(packet.pts * packet.time_base) > 4.5:
                self.broken = OSError(errno.EIO, "Input/output error")
                return
            yield packet

    with monkeypatch.context() as patch:
        patch.setattr(Demuxer, "packets", breaking)
        assert main([str(clip), str(out), *FAST]) == 1
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "Input/output error" in line
    assert "breaks off at 4." in line
    assert not out.exists()
    assert 20 < len(frames_of(clip.with_name("out.incomplete.mp4"))) < 70
    assert main([str(clip), str(out), *FAST]) == 0
    assert out.read_bytes() == whole
