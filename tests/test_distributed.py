"""Segments computed by several processes: the file of one process, whatever becomes of them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from streamvsr.build import open_job
from streamvsr.cli import main
from streamvsr.config import Config, InputOptions, LiveOptions, ModelOptions, OutputOptions, RunOptions
from streamvsr.distributed import driver as driver_module
from streamvsr.distributed import run as run_module
from streamvsr.distributed import tasks
from streamvsr.distributed import worker as worker_module
from streamvsr.distributed.cluster import Crew, LostError, crew_for
from streamvsr.distributed.run import DistributedRun
from streamvsr.distributed.worker import Worker
from streamvsr.errors import SinkError, WorkerError
from streamvsr.jobs import job as job_module
from streamvsr.jobs.plan import InputIdentity, Plan, Segment, regular_borders
from streamvsr.jobs.store import JobStore, SegmentRecord, job_folder
from streamvsr.models import auto_precision, registry
from streamvsr.models.auto_precision import Choice
from tests.fake_cluster import FakeCluster
from tests.kills import make_clip

SECONDS = 2
"""Length of a segment in these tests."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, ffmpeg: str) -> Path:
    """Twelve seconds with sound: six segments."""
    path = tmp_path_factory.mktemp("distributed") / "in.mp4"
    make_clip(path, ffmpeg, size="48x32", seconds=12.4)
    return path


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "regular_borders", lambda duration: regular_borders(duration, SECONDS))


def config_for(clip: Path, out: Path, **run: Any) -> Config:
    output = OutputOptions(str(out), preset="ultrafast")
    return Config(InputOptions(str(clip)), output, ModelOptions(model="rt"), RunOptions(no_stdin=True, **run))


@pytest.fixture(scope="module")
def whole(clip: Path) -> bytes:
    """What one process writes."""
    out = clip.with_name("whole.mp4")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job_module, "regular_borders", lambda duration: regular_borders(duration, SECONDS))
        assert main([str(clip), str(out), "--model", "rt", "-preset", "ultrafast", "--resume", "-nostdin"]) == 0
    return out.read_bytes()


def distributed(config: Config, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> DistributedRun:
    monkeypatch.setattr(run_module, "Cluster", lambda *_: cluster)
    run = DistributedRun(open_job(config, warn=lambda _: None))
    run.start()
    assert run.wait(300)
    return run


def test_what_workers_answer_is_the_file_of_one_process(
    clip: Path, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, cluster = tmp_path / "out.mp4", FakeCluster(Crew(0, 2, 1))
    run = distributed(config_for(clip, out, workers=2), cluster, monkeypatch)
    run.result()
    assert run.complete
    assert out.read_bytes() == whole
    assert sorted(segment for _, segment in cluster.log) == list(range(6))
    assert cluster.most_in_flight <= 4
    assert cluster.killed == 2
    assert os.listdir(tmp_path) == ["out.mp4"]
    assert run.progress().frames_out == 124


def test_all_workers_compute_in_the_precision_that_was_chosen(
    tmp_path: Path, ffmpeg: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, out = tmp_path / "in.mp4", tmp_path / "out.mp4"
    make_clip(clip, ffmpeg)
    monkeypatch.setattr(auto_precision, "choose", lambda *_: Choice("bf16", "precision bf16: measured"))
    words = ["--model", "rt", "--device", "cpu", "-preset", "ultrafast", "--resume", "-nostdin"]
    assert main([str(clip), str(tmp_path / "whole.mp4"), *words]) == 0
    config = config_for(clip, out, workers=2)
    opened = open_job(replace(config, model=replace(config.model, device="cpu")), warn=lambda _: None)
    assert "precision bf16: measured" in opened.notes
    assert opened.config.model.precision == "bf16"
    monkeypatch.setattr(auto_precision, "choose", lambda *_: pytest.fail("a worker has chosen by itself"))
    monkeypatch.setattr(run_module, "Cluster", lambda *_: FakeCluster(Crew(0, 2, 1)))
    run = DistributedRun(opened)
    run.start()
    assert run.wait(300)
    run.result()
    assert out.read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_a_failed_segment_is_tried_elsewhere(
    clip: Path, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.mp4"
    cluster = FakeCluster(Crew(0, 2, 1), lambda worker, n: MemoryError("full") if (worker, n) == (0, 0) else None)
    distributed(config_for(clip, out, workers=2), cluster, monkeypatch).result()
    assert out.read_bytes() == whole
    assert [worker for worker, segment in cluster.log if segment == 0] == [0, 1]


def test_lost_workers_are_replaced(clip: Path, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out.mp4"
    cluster = FakeCluster(Crew(0, 2, 1), lambda worker, _: LostError("killed") if worker < 4 else None)
    distributed(config_for(clip, out, workers=2), cluster, monkeypatch).result()
    assert out.read_bytes() == whole
    assert cluster.workers == 6, "two, and one for each that was lost"


def test_what_always_fails_ends_with_one_line_and_can_be_gone_on_with(
    clip: Path, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.mp4"
    cluster = FakeCluster(Crew(0, 2, 1), lambda _, n: ValueError("no\nway") if n == 3 else None)
    run = distributed(config_for(clip, out, workers=2), cluster, monkeypatch)
    with pytest.raises(
        WorkerError, match=r"segment 4 of 6 has failed 3 times, last on .*: ValueError: no; .* keeps"
    ) as e:
        run.result()
    assert "\n" not in str(e.value)
    assert not out.exists()
    assert len([n for _, n in cluster.log if n == 3]) == 3
    # One process goes on where the workers were.
    assert main([str(clip), str(out), "--model", "rt", "-preset", "ultrafast", "--resume", "-nostdin"]) == 0
    assert out.read_bytes() == whole


def test_stopped_it_leaves_what_is_done_and_the_job(
    clip: Path, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, runs = tmp_path / "out.mp4", []

    def fault(_: int, number: int) -> None:
        if number == 3:
            runs[0].stop()

    monkeypatch.setattr(run_module, "Cluster", lambda *_: FakeCluster(Crew(0, 1, 1), fault))  # type: ignore[arg-type]
    runs.append(DistributedRun(open_job(config_for(clip, out, workers=1), warn=lambda _: None)))
    runs[0].start()
    assert runs[0].wait(300)
    runs[0].result()
    assert 0 < out.stat().st_size < len(whole)
    assert job_folder(str(out)).is_dir()
    config = config_for(clip, out, workers=2)
    again = replace(config, output=replace(config.output, overwrite=True))
    distributed(again, FakeCluster(Crew(0, 2, 1)), monkeypatch).result()
    assert out.read_bytes() == whole


def test_other_versions_are_refused(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "versions", lambda: {"torch": "1.0"})
    run = distributed(config_for(clip, tmp_path / "o.mp4", workers=2), FakeCluster(Crew(0, 2, 1)), monkeypatch)
    with pytest.raises(WorkerError, match=r"has \w+ .*, this machine .*: results would differ"):
        run.result()


def test_a_worker_without_the_input_and_the_folder(
    clip: Path, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets packets, and gives packets."""
    monkeypatch.setattr(Worker, "_shares", lambda _: False)
    monkeypatch.setattr(worker_module, "InputIdentity", Blind)
    out, notes = tmp_path / "out.mp4", []
    config = config_for(clip, out, workers=2)
    keep = driver_module.Driver._keep
    monkeypatch.setattr(
        driver_module.Driver,
        "_keep",
        lambda self, n, a, packets: (notes.append(len(packets)), keep(self, n, a, packets)),
    )
    distributed(config, FakeCluster(Crew(0, 2, 1)), monkeypatch).result()
    assert len(notes) == 6
    assert out.read_bytes() == whole
    monkeypatch.setattr(worker_module, "MAX_VALUE_BYTES", 10)
    out.unlink()
    with pytest.raises(WorkerError, match="put the output into a folder that all machines share"):
        distributed(config, FakeCluster(Crew(0, 2, 1)), monkeypatch).result()
    monkeypatch.setattr(driver_module, "MAX_VALUE_BYTES", 10)
    with pytest.raises(WorkerError, match="put it where all machines see it"):
        distributed(config, FakeCluster(Crew(0, 2, 1)), monkeypatch).result()


class Blind:
    """An ``InputIdentity`` of a machine that does not see the file."""

    @staticmethod
    def of(path: str) -> None:
        return None


def test_who_works() -> None:
    def crew(wanted: int | None, device: str = "auto", threads: int | None = None, **there: Any) -> Crew:
        given = {"gpus": 0, "smallest_cpus": 8, "all_cpus": 16, "same_device_only": False, **there}
        return crew_for(wanted, threads, device, **given)

    assert crew(2) == Crew(0, 2, 4)
    assert crew(2, all_cpus=2, smallest_cpus=2) == Crew(0, 2, 1)
    assert crew(None) == Crew(0, 4, 4)
    assert crew(None, gpus=3) == Crew(3, 0, 4)
    assert crew(5, gpus=3) == Crew(3, 2, 3)
    assert crew(5, gpus=3, same_device_only=True) == Crew(3, 0, 3)
    assert crew(5, "cpu", gpus=3) == Crew(0, 5, 3)
    assert crew(5, "cuda", gpus=3) == Crew(3, 0, 3)
    assert crew(2, threads=1) == Crew(0, 2, 1)


def test_tasks_go_through_json_and_come_back_equal(clip: Path) -> None:
    config = Config(
        InputOptions(str(clip), start=Fraction(1, 3), options={"probesize": "1M"}),
        OutputOptions("out.mp4", crf=20.5, size=(64, 48), maps=("0:v",), rate=Fraction(30000, 1001)),
        ModelOptions(model="rt", scale=(0, 1080), strength=0.5),
        RunOptions(workers=3),
        LiveOptions(max_latency=2.0),
    )
    segments = (Segment(None, 7, 0, 2), Segment(7, None, 40, 0, entry=5, exit=9, scene=True))
    plan = Plan(InputIdentity.of(str(clip)), {}, ("rt 1",), {"av": "18.1.0"}, Fraction(1, 12800), segments)
    job = tasks.Job(config, plan, "/folder", "t")
    assert tasks.decode_job(tasks.encode(job)) == job
    scaled = replace(job, config=replace(config, model=ModelOptions(scale=2.5)))
    assert tasks.decode_job(tasks.encode(scaled)) == scaled
    place = tasks.Place("node", 7, "cpu", {"av": "18"}, reads_input=True)
    assert tasks.decode_place(tasks.encode(place)) == place
    answer = tasks.Answer(SegmentRecord("00", 7, Fraction(1, 3), None), "path", 1.5)
    assert tasks.decode_answer(tasks.encode(answer)) == answer


def test_a_file_that_is_not_the_workers_is_not_taken(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "job")
    (tmp_path / "packets").write_bytes(b"other")
    with pytest.raises(SinkError, match="not what the worker has written"):
        store.adopt(0, tmp_path / "packets", SegmentRecord("00", 1, None, None))
    store.close()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--workers", "2", "--no-resume"], 2, "leave one of them out"),
        (["--same-device-only"], 2, "is for --workers"),
        (["--workers", "2", "-vf", "fps=5,vsr"], 2, "cannot be computed by several workers"),
        (["--workers", "2"], 1, r"pip install 'streamvsr\[ray\]'"),
    ],
)
def test_what_cannot_be_is_one_line(
    words: list[str], code: int, said: str, clip: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([str(clip), str(tmp_path / "o.mp4"), "--model", "bicubic", "-nostdin", *words]) == code
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert re.search(said, errors[0]), errors[0]
    assert os.listdir(tmp_path) == []


# With Ray itself.


@pytest.fixture(scope="module")
def three_nodes() -> Iterator[Any]:
    """A cluster of three machines, which all are this one."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        yield cluster, nodes
        cluster.shutdown()


def test_a_worker_that_always_fails_on_ray(
    three_nodes: Any, clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "weights.safetensors"
    path = registry.select("rt").path
    assert path is not None
    shutil.copy(path, weights)
    config = config_for(clip, tmp_path / "out.mp4", ray=three_nodes[0].address, workers=2)
    run = DistributedRun(open_job(replace(config, model=ModelOptions(checkpoint=str(weights))), warn=lambda _: None))
    weights.unlink()
    run.start()
    assert run.wait(600)
    with pytest.raises(WorkerError, match="has failed 3 times"):
        run.result()
    assert not (tmp_path / "out.mp4").exists()


def test_a_worker_killed_and_a_machine_gone_in_mid_run(
    three_nodes: Any, clip: Path, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, nodes = three_nodes
    drivers: list[driver_module.Driver] = []

    class Remembered(driver_module.Driver):
        def __init__(self, *words: Any, **more: Any) -> None:
            super().__init__(*words, **more)
            drivers.append(self)

    monkeypatch.setattr(run_module, "Driver", Remembered)
    out = tmp_path / "out.mp4"
    run = DistributedRun(
        open_job(config_for(clip, out, ray=cluster.address, workers=3, restart=True), warn=lambda _: None)
    )
    run.start()
    limit = time.monotonic() + 600
    while not (drivers and any(m.place for m in drivers[0]._members)) and not run.wait(0.02):
        assert time.monotonic() < limit
    # It has its first segment by now, or nearly.
    victim = next(m.place for m in drivers[0]._members if m.place)
    os.kill(victim.pid, signal.SIGKILL)
    cluster.remove_node(nodes[1], allow_graceful=False)
    assert run.wait(600)
    run.result()
    assert out.read_bytes() == whole


def test_the_command_line_with_workers_on_this_machine(clip: Path, whole: bytes, tmp_path: Path) -> None:
    """As users call it, and killed in the middle: what it had started goes with it, and one process goes on."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    out = tmp_path / "out.mp4"
    program = (
        "import sys\nfrom streamvsr.jobs import job, plan\nregular = plan.regular_borders\n"
        f"job.regular_borders = lambda duration: regular(duration, {SECONDS})\n"
        "from streamvsr.cli import main\nsys.exit(main(sys.argv[1:]))\n"
    )
    words = [str(clip), str(out), "--model", "rt", "-preset", "ultrafast", "-nostdin"]
    process = subprocess.Popen([sys.executable, "-c", program, *words, "--workers", "2", "--threads", "1"])
    limit = time.monotonic() + 600
    while not list(job_folder(str(out)).glob("0*.json")) and process.poll() is None:
        assert time.monotonic() < limit
        time.sleep(0.02)
    with suppress(ProcessLookupError):
        process.kill()
    process.wait()
    if not out.exists():
        assert main([*words, "--resume"]) == 0
    assert out.read_bytes() == whole


def test_no_cluster_there_is_one_line(clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    words = [str(clip), str(tmp_path / "o.mp4"), "--model", "bicubic", "-nostdin", "--ray", "nowhere"]
    assert main(words) == 1
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error:")]
    assert errors == [line for line in errors if "Ray cannot be used at nowhere" in line]
    assert len(errors) == 1
