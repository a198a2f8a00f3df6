"""``benchmarks/gpu.py``: what goes wrong in a step costs that step alone; all of it is rehearsed on the CPU."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from streamvsr.models.basicvsr.network import RealBasicVSRNet
from tests.conftest import ROOT
from tests.test_basicvsr import random_model, video

BENCHMARKS = ROOT / "benchmarks"
WORKER = """
import json, os, sys, time
for line in sys.stdin:
    step = json.loads(line)["step"]
    print(json.dumps({"kind": "fact", "what": step, "value": "begun"}), flush=True)
    if step.startswith("numbers"):
        os._exit(3)
    if step.startswith("steady"):
        time.sleep(600)
    if step.startswith("memory"):
        print("no JSON", flush=True)
    print(json.dumps({"kind": "done", "step": step}), flush=True)
"""


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """They import each other by name, as scripts do."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def gpu(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_step_that_crashes_hangs_or_babbles_costs_itself_alone(tmp_path: Path) -> None:
    from gpu import Worker

    (tmp_path / "worker.py").write_text(WORKER)
    worker = Worker([sys.executable, str(tmp_path / "worker.py")], {}, subprocess.DEVNULL)
    try:
        found = {
            name: list(worker.run(name, 1.0, time.monotonic() + patience))
            for name, patience in (("rt", 60), ("numbers", 60), ("steady", 2), ("memory", 60), ("again", 60))
        }
    finally:
        worker.close()
    assert [line["kind"] for line in found["rt"]] == ["fact", "done"]
    assert found["numbers"][-1]["reason"] == "its process ended with 3"
    assert found["steady"][-1]["reason"] == "took too long; its process was ended"
    assert found["memory"][-1]["reason"].startswith("JSONDecodeError")
    assert [line["kind"] for line in found["again"]] == ["fact", "done"]
    assert all(step[0]["kind"] == "fact" for step in found.values())
    assert worker.starts == 4


def test_what_the_budget_does_not_reach_is_named(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    worker = ["--worker", sys.executable, str(tmp_path / "worker.py")]
    done = gpu("--budget", "9", "--only", "machine", "ceilings", "steady", "tensors", *worker, cwd=tmp_path)
    assert done.returncode == 1
    assert "FAILED  steady:realbasicvsr: took too long" in done.stdout
    assert "not reached within 9 s: steady:rt, tensors" in done.stdout
    kept = lines(tmp_path / "gpu.jsonl")
    assert [line["step"] for line in kept if line["kind"] == "done"] == ["machine", "ceilings"]
    assert kept[-1] == {"kind": "unreached", "steps": ["steady:rt", "tensors"]}


def test_without_the_device_there_is_nothing_to_do(tmp_path: Path) -> None:
    done = gpu("--device", "cuda:99", "--only", "machine", "ceilings", "numbers", cwd=tmp_path)
    assert done.returncode == 1
    assert "FAILED  machine: " in done.stdout
    assert "without the device there is nothing to do" in done.stdout
    assert lines(tmp_path / "gpu.jsonl")[-1]["step"] == "machine"


def test_every_step_has_its_function_and_checks_come_before_sizes() -> None:
    from gpu_steps import FUNCTIONS, steps

    for rehearse in (True, False):
        names = [step.name for step in steps(rehearse)]
        assert len(names) == len(set(names))
        assert {name.split(":")[0] for name in names} == set(FUNCTIONS)
        assert names[:5] == ["machine", "ceilings", "numbers:realbasicvsr", "numbers:rt", "numbers:rt-real"]
    for network in ("realbasicvsr", "basicvsr", "rt", "rt-real", "rt-real-l"):
        for size in ("320x180", "640x360", "960x540"):
            assert any(name.startswith(f"network:{network}:{size}:") for name in names)


def test_functions_of_torch_that_only_a_gpu_reaches_exist() -> None:
    """In the oldest torch as well, where this test runs too."""
    text = "".join((BENCHMARKS / f"gpu_{part}.py").read_text() for part in ("measure", "checks", "steps"))
    names = set(re.findall(r"torch\.cuda\.(\w+)", text))
    assert {"synchronize", "set_sync_debug_mode", "set_per_process_memory_fraction"} <= names
    assert [name for name in names if not hasattr(torch.cuda, name)] == []


def test_the_restated_original_loop_is_the_network() -> None:
    from original_loop import OriginalLoop

    network = random_model().network
    assert isinstance(network, RealBasicVSRNet)
    frames = video(5, 70, 66)[None]
    with torch.no_grad():
        wanted = network(frames)
    assert torch.allclose(OriginalLoop(network)(frames), wanted, atol=1e-5)


@pytest.mark.mm
def test_the_restated_original_loop_is_that_of_mmedit() -> None:
    pytest.importorskip("mmedit")
    from original_loop import OriginalLoop

    from streamvsr.models.mm_shim import import_mmedit

    import_mmedit()
    from mmedit.models.backbones.sr_backbones.real_basicvsr_net import RealBasicVSRNet as Theirs

    theirs = Theirs(mid_channels=8, num_propagation_blocks=1, num_cleaning_blocks=1, dynamic_refine_thres=255).eval()
    ours = RealBasicVSRNet(8, 1, 1)
    ours.load_state_dict(theirs.state_dict(), strict=False)
    frames = video(4)[None]
    with torch.no_grad():
        assert torch.allclose(OriginalLoop(ours)(frames), theirs(frames), atol=1e-4)


def test_wheels_that_are_not_there_cost_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                               monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    import gpu as script

    assert set(script.requirements()) >= {"av", "msgspec", "numpy", "opencv-python-headless", "rich", "safetensors"}
    assert "torch" not in script.requirements()
    monkeypatch.setattr(script, "find_spec", lambda name: None if name == "av" else name)
    script.install(str(tmp_path), str(tmp_path / "site"))
    assert capsys.readouterr().out.startswith(f"av is missing and cannot be installed from {tmp_path}: ")


def test_the_rehearsal_passes(tmp_path: Path) -> None:
    """A short form; ``python benchmarks/gpu.py --rehearse`` does it all, in some minutes."""
    words = ["machine", "ceilings", "numbers:rt", "numbers:realbasicvsr", "network:realbasicvsr:64x64:fp32"]
    words += ["network:rt:", "original", "run:rt:64x64", "steady:rt", "memory", "hardware", "tensors", "scenes"]
    done = gpu("--rehearse", "--budget", "600", "--only", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + (tmp_path / "gpu.jsonl.log").read_text()
    kept = lines(tmp_path / "gpu.jsonl")
    assert not [line for line in kept if line["kind"] == "failed"]
    assert sum(line["kind"] == "check" for line in kept) >= 15
    speeds = {line["what"]: line for line in kept if line["kind"] == "speed"}
    assert {"realbasicvsr 64x64 fp32", "rt 64x64 fp16", "original loop 64x64 fp32, restated, 4 frames"} <= set(speeds)
    assert speeds["realbasicvsr 64x64 fp32"]["gflop"] > 0
    shown = done.stdout.split("| what |")[1]
    assert all(f"| {what} |" in shown for what in speeds)
