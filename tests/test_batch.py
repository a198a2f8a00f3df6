"""Many inputs into a folder: names, failures, what is there already, interrupts."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamvsr.cli import main
from streamvsr.cli.batch import UNWRITTEN, BatchConsole, Job, Line, plan
from streamvsr.config import VIDEOS
from streamvsr.errors import UsageError
from streamvsr.pipeline.stats import Progress
from tests.outputs import info, numbers, readable, until, write

pytestmark = pytest.mark.io
ROOT = Path(__file__).resolve().parent.parent
FAST = ["--model", "identity", "-preset", "ultrafast"]


@pytest.fixture(autouse=True)
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, count in (("a.mp4", 3), ("b.mkv", 4)):
        write(tmp_path / name, info(), [n * 3003 for n in range(count)], crf=1.0)
    return tmp_path


def batch(*words: str, out: str = "out") -> int:
    return main([*words, *FAST, "-o", out])


def test_each_input_keeps_its_name_and_kind(clips: Path) -> None:
    assert batch("a.mp4", "b.mkv") == 0
    assert sorted(os.listdir("out")) == ["a.mp4", "b.mkv"]
    assert numbers("out/b.mkv") == [0, 1, 2, 3]


@pytest.mark.parametrize("suffix", VIDEOS)
def test_each_kind_of_video_can_be_an_input(suffix: str, clips: Path) -> None:
    """Many of them nobody writes: every such file failed."""
    (clips / "b.mkv").rename(f"film{suffix}")
    assert main([f"film{suffix}", "--model", "identity", "-o", "out"]) == 0
    assert os.listdir("out") == [f"film{'.mkv' if suffix in UNWRITTEN else suffix}"]


def test_a_kind_that_is_named_keeps_the_files_names(clips: Path) -> None:
    (clips / "b.mkv").rename("film.divx")
    assert main(["film.divx", *FAST, "-f", "avi", "-o", "out"]) == 0
    assert os.listdir("out") == ["film.divx"]


def test_one_input_is_a_batch_too_and_options_hold_for_all(clips: Path) -> None:
    assert main(["-o", "new/out", "a.mp4", "b.mkv", *FAST, "-frames:v", "2", "--suffix", ".mkv"]) == 0
    assert sorted(os.listdir("new/out")) == ["a.mkv", "b.mkv"]
    assert numbers("new/out/a.mkv") == numbers("new/out/b.mkv") == [0, 1]


def test_folders_of_videos_and_folders_of_pictures(clips: Path) -> None:
    (clips / "videos").mkdir()
    (clips / "a.mp4").rename(clips / "videos" / "a.mp4")
    (clips / "videos" / "notes.txt").write_text("no video")
    (clips / "shots").mkdir()
    cv2.imwrite("shots/5.png", np.zeros((16, 16, 3), np.uint8))
    assert batch("videos/", "shots/") == 0
    assert sorted(os.listdir("out")) == ["a.mp4", "shots"]
    assert len(os.listdir("out/shots")) == 1


def test_what_is_left_out_of_a_folder_is_told(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (clips / "in" / "sub" / "deep").mkdir(parents=True)
    (clips / "in" / ".hidden").mkdir()
    for name in ("in/a.MP4", "in/b.divx", "in/c.rm", "in/sub/d.mp4", "in/sub/deep/e.mkv"):
        (clips / name).write_bytes((clips / "a.mp4").read_bytes())
    (clips / "in" / "notes.txt").write_text("no video")
    (clips / "in" / "sub" / "shots").mkdir()
    cv2.imwrite("in/sub/shots/5.png", np.zeros((16, 16, 3), np.uint8))
    assert batch("in", "--suffix", ".mkv") == 0
    assert sorted(os.listdir("out")) == ["a.mkv", "b.mkv", "c.mkv"]
    told = capsys.readouterr().err
    assert "'in': not known as videos, and left out: notes.txt;" in told
    assert "'in': folders in it are left out: sub; --recursive takes them too" in told
    # Into a folder inside of what is read, which is not read in turn.
    assert batch("in", "--recursive", "--suffix", ".mkv", out="in/out") == 0
    found = sorted(str(path.relative_to("in/out")) for path in Path("in/out").rglob("*.mkv"))
    assert found == ["a.mkv", "b.mkv", "c.mkv", "sub/d.mkv", "sub/deep/e.mkv", "sub/shots.mkv"]
    assert batch("in", "--recursive", "--skip-existing", "--suffix", ".mkv", out="in/out") == 0
    assert "6 were there already" in capsys.readouterr().err
    with pytest.raises(UsageError, match="nothing to do"):
        plan(["in/.hidden"], "out", None)
    assert main(["a.mp4", "--recursive", "b.mp4"]) == 2


def test_failures_do_not_end_the_rest_and_are_listed(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (clips / "bad.mp4").write_text("not a video")
    assert batch("missing.mp4", "bad.mp4", "a.mp4") == 1
    assert os.listdir("out") == ["a.mp4"]
    lines = capsys.readouterr().err.splitlines()
    assert lines[-3] == "1 done, 2 failed"
    assert lines[-2].startswith("error: missing.mp4: ")
    assert lines[-1].startswith("error: bad.mp4: ")


def test_one_line_for_each(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert batch("a.mp4", "b.mkv") == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("[")]
    assert [line.split(" frames")[0] for line in lines] == ["[1/2] a.mp4: 3", "[2/2] b.mkv: 4"]


def test_what_is_there_is_passed_over_overwritten_or_a_failure(clips: Path) -> None:
    (clips / "out").mkdir()
    (clips / "out" / "a.mp4").write_text("done before")
    assert batch("a.mp4", "b.mkv") == 1
    assert (clips / "out" / "a.mp4").read_text() == "done before"
    assert numbers("out/b.mkv") == [0, 1, 2, 3]
    assert batch("a.mp4", "b.mkv", "--skip-existing") == 0
    assert (clips / "out" / "a.mp4").read_text() == "done before"
    assert batch("a.mp4", "b.mkv", "-y") == 0
    assert numbers("out/a.mp4") == [0, 1, 2]


def test_plans_that_cannot_work_are_refused_before_anything_is_done(clips: Path) -> None:
    (clips / "empty").mkdir()
    for inputs, folder, suffix, message in (
        (["a.mp4"], ".", None, "would be the input itself"),
        (["a.mp4", "./a.mp4"], "out", None, "'./a.mp4' is given twice"),
        (["a.mp4", "a.mkv"], "out", ".mkv", "would both become"),
        (["-"], "out", None, "files and folders"),
        (["rtsp://u:p@h/x"], "out", None, "files and folders"),
        (["a.mp4"], "out", "mkv", "with its dot"),
    ):
        with pytest.raises(UsageError, match=message):
            plan(inputs, folder, suffix)
    assert main(["a.mp4", "--skip-existing", "b.mp4"]) == 2
    (clips / "file").write_text("")
    assert batch("a.mp4", out="file") == 2


@pytest.mark.parametrize(
    ("words", "out", "says"),
    [
        (["-vf", "hflop"], "out", "error: -vf, at column 1: there is no filter 'hflop'"),
        (["-vf", "hflip", "--model", "rt"], "out", "error: --model rt: there is no vsr in -vf"),
        ([], "b.mkv", "error: -o b.mkv: several files go into a folder"),
    ],
)
def test_what_is_wrong_for_all_is_told_once(
    words: list[str], out: str, says: str, clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["a.mp4", "b.mkv", *words, "-o", out]) == 2
    told = capsys.readouterr().err
    assert told.startswith(says)
    assert told.count("\n") == 1
    assert sorted(os.listdir()) == ["a.mp4", "b.mkv"]


def test_a_plan() -> None:
    assert plan(["a.mp4", "b.mkv"], "out", None) == [Job("a.mp4", "out/a.mp4"), Job("b.mkv", "out/b.mkv")]
    assert plan(["a.mp4"], "out", ".mov") == [Job("a.mp4", "out/a.mov")]


def test_an_interrupt_before_anything_was_written_leaves_what_was_there(
    clips: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("streamvsr.cli.app.run_config", interrupted)
    (clips / "out").mkdir()
    (clips / "out" / "a.mp4").write_text("done before")
    assert batch("a.mp4", "b.mkv", "-y") == 130
    assert (clips / "out" / "a.mp4").read_text() == "done before"
    assert "0 done, 2 left undone" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_line_is_painted_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    screen = Terminal()
    console = BatchConsole(stream=screen)
    line = Line(console, "[1/2] a name that is much longer than the screen is wide.mp4")
    progress = Progress(12, 10, 20, None, Fraction(2, 5), 0, (), 2.0, 5.0)
    line.update(progress)
    console.warning("something")
    line.update(progress)
    line.close(progress)
    line.close(None)
    painted = screen.getvalue()
    assert all(len(part.rstrip()) < 40 for part in painted.split("\r")[:-1])
    assert "\rwarning: something\n" in painted
    assert painted.endswith("10 frames in 00:00:02, 5.0 frames a second\n")


def test_an_interrupt_ends_the_batch_with_a_playable_file_that_is_not_taken_for_whole(clips: Path) -> None:
    # Taken in at its own pace, 20 s: no machine is through with it when the signal comes.
    write(clips / "long.mkv", info(), [n * 3003 for n in range(600)], preset="ultrafast")
    words = [sys.executable, "-m", "streamvsr", "long.mkv", "b.mkv", *FAST, "-vf", "realtime", "-o", "out"]
    # Each frame reaches the file at once: that is when the signal is sent, and not after some time.
    words += ["-cluster_time_limit", "1", "-flush_packets", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment) as process:
        until(lambda: any(readable(path) for path in clips.glob("out/.*.mkv")), "nothing was written")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert os.listdir("out") == ["long.partial.mkv"], err
    assert 0 < len(numbers("out/long.partial.mkv")) < 600
    assert "0 done, 2 left undone" in err
