"""The manual page: complete, and set by roff without a warning."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from streamvsr.cli.catalogue import COMMANDS, run_options
from streamvsr.cli.manual import manual
from tests.conftest import missing

pytestmark = pytest.mark.io
ROOT = Path(__file__).resolve().parent.parent


def test_every_command_and_option_has_its_place() -> None:
    page = manual()
    for name, about in COMMANDS.items():
        assert f'.SS "streamvsr {name}"' in page
        for face in [*run_options(), *about.own()]:
            assert f"\\fB{face.flags[0].replace('-', chr(92) + '-')}\\fR" in page, face.flags


def test_man_sets_it_without_a_warning(tmp_path: Path) -> None:
    if shutil.which("man") is None:
        missing("the program man")
    (tmp_path / "streamvsr.1").write_text(manual(), encoding="utf-8")
    environment = {**os.environ, "MANWIDTH": "120", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["man", "--warnings", "-P", "cat", "-l", str(tmp_path / "streamvsr.1")],
        env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    words = " ".join(done.stdout.split())
    assert "ffmpeg -i in.avi -c copy -f nut - | streamvsr - -f nut - | ffplay -" in words
    assert "--max-seq-len N frames in a window" in words


def test_the_build_needs_the_standard_library_alone() -> None:
    """An isolated build of the wheel has nothing else."""
    code = (
        "import sys; from streamvsr.cli.manual import manual; from streamvsr.cli.completion_command import SHELLS; "
        "manual(); [make() for make in SHELLS.values()]; "
        "names = {name.partition('.')[0] for name in sys.modules}; "
        "print(sorted(names - sys.stdlib_module_names - {'streamvsr', '__main__'}))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout == "[]\n"
