"""``benchmarks/bench_peers.py``: a program that is not there, or does not run, costs a line with the reason."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

BENCHMARKS = ROOT / "benchmarks"
pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_a_program_is_measured_with_what_it_starts() -> None:
    from bench_peers import LeftOutError, measured

    child = "x = bytearray(300 << 20); print(sum(x[::64]))"
    work = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    seconds, cpu, mib = measured([sys.executable, "-c", work])
    assert seconds > 0
    assert cpu > 0
    assert mib > 290
    with pytest.raises(LeftOutError, match="does not run here: ValueError: no such device"):
        measured([sys.executable, "-c", "raise ValueError('no such device')"])


def test_what_cannot_be_installed_says_why_and_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bench_peers

    # Of no index and no folder: pip finds nothing, without a network.
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    for _ in range(2):
        with pytest.raises(bench_peers.LeftOutError, match=r"cannot be installed: .*absent-package"):
            bench_peers.environment(tmp_path, "absent", ["absent-package"])
        monkeypatch.setattr(bench_peers.subprocess, "run", pytest.fail)
    with pytest.raises(bench_peers.LeftOutError, match="needs absent-package: --venvs DIR installs it"):
        bench_peers.environment(None, "absent", ["absent-package"])


def test_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Two programs that are there, one that asks for packages; the measures of the results are the metrics' own."""
    import bench_peers

    pytest.importorskip("brisque")
    words = ["bench_peers.py", "--frames", "4", "--only", "ffmpeg", "bicubic", "framelift"]
    monkeypatch.setattr(sys, "argv", words)
    bench_peers.main()
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in capsys.readouterr().out.splitlines()]
    ffmpeg, bicubic, framelift = rows[3:]
    assert (ffmpeg[0], bicubic[0]) == ("ffmpeg, Lanczos", "streamvsr, bicubic")
    assert framelift[1].startswith(("needs framelift-video", "no such file"))
    for row in (ffmpeg, bicubic):
        assert 15 < float(row[6]) < 25
        assert 0.3 < float(row[7]) < 0.7
