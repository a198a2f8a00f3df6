"""Rubbish in, one clear line out; and nothing under the output's final name unless it is complete."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streamvsr.cli import main
from tests.conftest import ROOT
from tests.outputs import until
from tests.probe import probe

pytestmark = pytest.mark.io


def only_error_line(text: str) -> str:
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, text
    assert "Traceback" not in text
    return errors[0]


def failing(arguments: list[str], capfd: pytest.CaptureFixture[str], code: int = 1) -> str:
    assert main([*arguments, "--quiet"]) == code
    return only_error_line(capfd.readouterr().err)


@pytest.mark.parametrize(
    ("clip", "says"),
    [("bad_vp9.webm", "decode"), ("bad_container.mp4", "damaged"), ("opus_frag.mp4", "no video")],
)
def test_a_bad_input(
    clip: str, says: str, shared_data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.mp4"
    line = failing([str(shared_data / "clips" / clip), str(target), "--model", "identity"], capfd)
    assert clip in line
    assert says in line.lower()
    assert list(tmp_path.iterdir()) == []


def test_a_missing_input(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = failing([str(tmp_path / "none.mp4"), str(tmp_path / "out.mp4"), "--model", "identity"], capfd)
    assert "none.mp4" in line
    assert list(tmp_path.iterdir()) == []


def test_no_folder_for_the_output(shared_data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = str(shared_data / "clips" / "water_cc0_360p.mp4")
    line = failing([source, str(tmp_path / "no" / "such" / "out.mp4"), "--model", "identity"], capfd)
    assert "out.mp4" in line


def test_an_unwritable_folder(shared_data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = str(shared_data / "clips" / "water_cc0_360p.mp4")
    assert "/proc/out.mp4" in failing([source, "/proc/out.mp4", "--model", "identity"], capfd)


def test_an_unknown_model(shared_data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = str(shared_data / "clips" / "water_cc0_360p.mp4")
    line = failing([source, str(tmp_path / "out.mp4"), "--model", "realbasicsr"], capfd, code=2)
    assert "realbasicsr" in line
    assert "realbasicvsr" in line, "the names there are have to be told"


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 broken", b"\x80\x02}q\x00."])
def test_a_broken_checkpoint(
    content: bytes, shared_data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    broken = tmp_path / "broken.pth"
    broken.write_bytes(content)
    source = str(shared_data / "clips" / "water_cc0_360p.mp4")
    line = failing([source, str(tmp_path / "out.mp4"), "--checkpoint", str(broken)], capfd)
    assert "broken.pth" in line
    assert [p.name for p in tmp_path.iterdir()] == ["broken.pth"]


def test_code_in_a_checkpoint_is_not_run(shared_data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch")

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path}/ran",)

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    source = str(shared_data / "clips" / "water_cc0_360p.mp4")
    failing([source, str(tmp_path / "out.mp4"), "--checkpoint", str(tmp_path / "evil.pth")], capfd)
    assert not (tmp_path / "ran").exists()


def test_a_range_without_frames(shared_data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = str(shared_data / "clips" / "water_cc0_360p.mp4")
    failing(["-ss", "100", source, str(tmp_path / "out.mp4"), "--model", "identity"], capfd)
    assert list(tmp_path.iterdir()) == []


def start(source: Path, target: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "streamvsr", str(source), str(target), "--model", "identity", *more]
    # A session of its own: a signal to it must not reach the tests.
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)


AT_ITS_PACE = ["-vf", "realtime=speed=8"]
"""45 s for the clip of six minutes: no machine is through with it when the signal comes, and all that is before the
filter waits for it, as for a network."""


def written(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("sent", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interrupted_job_leaves_a_playable_file(sent: str, shared_data: Path, tmp_path: Path, ffprobe: str) -> None:
    target = tmp_path / "out.mp4"
    job = start(shared_data / "clips" / "long_180p60_av1_363s.mp4", target, "-preset", "medium", *AT_ITS_PACE)
    until(lambda: written(tmp_path) > 20_000, "the job does not write")
    job.send_signal(getattr(signal, sent))
    _, told = job.communicate(timeout=120)
    assert job.returncode == 130, told
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]
    seen = probe(ffprobe, target)
    assert 10 < len(seen.video_pts) < 21_766
    sound = seen.packets[seen.of_type("audio")[0]["index"]]
    assert abs(sound[-1][0] - seen.video_pts[-1]) < 0.1, "sound and picture end together"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_job_leaves_nothing_under_the_final_name(shared_data: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    job = start(shared_data / "clips" / "long_180p60_av1_363s.mp4", target, *AT_ITS_PACE)
    until(lambda: written(tmp_path) > 20_000, "the job does not write")
    job.kill()
    job.communicate(timeout=120)
    assert not target.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_two_interruptions_drop_it(shared_data: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    job = start(shared_data / "clips" / "long_1080p_363s.mp4", target, "-preset", "veryslow")
    assert job.stderr is not None
    assert any("model identity" in line for line in iter(job.stderr.readline, "")), "it does not run"
    until(lambda: written(tmp_path) > 0, "the job does not write")
    job.send_signal(signal.SIGINT)
    job.send_signal(signal.SIGTERM)
    job.communicate(timeout=120)
    assert job.returncode == 130
    assert not target.exists()
