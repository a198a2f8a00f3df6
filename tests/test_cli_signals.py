"""Signals, and readers that leave: the program in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.io


CHILD = """
import sys
sys.path.insert(0, {tests!r})
from tests import fake_run as t
from streamvsr.cli import main
run = t.FakeRun(60, deaf={deaf})
def build(config, *, warn, announce):
    if {in_build}:
        print("ready", flush=True)
        t.time.sleep(60)
    return run
t.install(build)
start = run.start
run.start = lambda: (start(), print("ready", flush=True))
code = main(["a", "b"])
print(" ".join(run.log), flush=True)
sys.exit(code)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
class TestSignals:
    def child(self, tmp_path: Path, *, deaf: bool = False, in_build: bool = False) -> subprocess.Popen[str]:
        code = CHILD.format(tests=str(ROOT / "tests"), deaf=deaf, in_build=in_build)
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_first_stops(self, tmp_path: Path, number: signal.Signals) -> None:
        with self.child(tmp_path) as process:
            process.send_signal(number)
            out, err = process.communicate(timeout=120)
        assert process.returncode == 130
        assert out == "start stop\n"
        assert "stopping: " in err
        assert err.splitlines()[-1] == "interrupted: 10 frames are in b"

    def test_second_aborts(self, tmp_path: Path) -> None:
        with self.child(tmp_path, deaf=True) as process:
            process.send_signal(signal.SIGTERM)
            assert process.stderr is not None
            assert process.stderr.readline().startswith("stopping: ")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=120)
        assert process.returncode == 130
        assert out == "start stop abort\n"
        assert err.splitlines()[-1] == "aborted"

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_while_building(self, tmp_path: Path, number: signal.Signals) -> None:
        with self.child(tmp_path, in_build=True) as process:
            process.send_signal(number)
            out, err = process.communicate(timeout=120)
        assert (process.returncode, out, err) == (130, "\n", "")


def test_a_reader_of_the_help_that_leaves(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "streamvsr", "--help"], cwd=ROOT, stdout=write, stderr=subprocess.PIPE, timeout=120
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")
