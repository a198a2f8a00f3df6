"""What happens before the first frame: what a plain run loads, and Ctrl-C in the middle of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streamvsr.cli.app import run_config
from streamvsr.config import Config, InputOptions, OutputOptions, RunOptions
from tests.fake_run import FakeRun

pytestmark = pytest.mark.io
ROOT = Path(__file__).resolve().parent.parent


def run_code(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


def test_a_plain_transcode_loads_no_network_no_opencv_and_no_progress_bar(tmp_path: Path) -> None:
    code = (
        "import sys, numpy; there = set(sys.modules); from streamvsr.cli import main; code = main(sys.argv[1:]); "
        "heavy = {'torch', 'spandrel', 'torchvision', 'cv2', 'rich', 'tempfile', 'tomllib', 'secrets',"
        " 'importlib.metadata', 'argparse'}; "
        "print(code, sorted(heavy & set(sys.modules) - there))"
    )
    chain = "bwdif,scale=4*iw:4*ih"
    done = run_code(code, str(ROOT / "demo" / "city_180p.mp4"), "-vf", chain, "-frames:v", "2", str(tmp_path / "o.mkv"))
    assert done.stdout == "0 []\n", done.stderr
    assert (tmp_path / "o.mkv").stat().st_size > 1000


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interrupt_while_modules_load_ends_the_process_without_a_word() -> None:
    code = (
        "import os, signal; from streamvsr.cli.interrupts import loading\n"
        "with loading():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    except KeyboardInterrupt:\n"
        "        raise ImportError('as numpy makes of it')\n"
    )
    done = run_code(code)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("lost", [False, True])
def test_an_interrupt_while_building_counts_whatever_becomes_of_it(tmp_path: Path, lost: bool) -> None:
    """An import inside may turn the exception into another one, or lose it."""
    run = FakeRun(seconds=60)

    def make(config: Config, *, warn: object) -> FakeRun:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            if not lost:
                raise ImportError("half a module") from None
        return run

    config = Config(InputOptions("in.mp4"), OutputOptions(str(tmp_path / "out.mkv")), run=RunOptions(quiet=True))
    if lost:
        assert run_config(config, make=make) == 130
        assert run.log == ["start", "stop"]
    else:
        with pytest.raises(KeyboardInterrupt):
            run_config(config, make=make)
