"""The scripts of ../shared/faults, each of which builds an input that broke something once, and says PASS or FAIL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, missing

FAULTS = ROOT.parent / "shared" / "faults"
SCRIPTS = sorted([*FAULTS.glob("[0-9]*.sh"), *FAULTS.glob("more/[0-9]*.sh")])


def test_the_scripts_are_there() -> None:
    if not SCRIPTS:
        missing("the folder ../shared/faults")
    assert len(SCRIPTS) >= 24


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(FAULTS)))
def test_a_fault_that_was(script: Path, ffmpeg: str, ffprobe: str, tmp_path: Path) -> None:
    assert ffmpeg
    assert ffprobe
    program = Path(sys.executable).parent / "streamvsr"
    if not program.exists():
        missing("the command streamvsr beside this Python")
    # One of them filled the memory.
    command = ["bash", "-c", 'ulimit -v 12000000; exec bash "$0"', str(script)]
    env = {**os.environ, "STREAMVSR": str(program), "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
    said = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert said[-1].startswith("PASS"), done.stdout + done.stderr
