"""The program from its arguments to its exit code, with a run that only pretends."""

from __future__ import annotations

import os
import signal
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from streamvsr import __version__
from streamvsr.cli import app, main
from streamvsr.config import Config
from streamvsr.errors import CheckpointError, ReaderLeftError, SinkError, SourceError
from tests.fake_run import FakeRun

pytestmark = pytest.mark.io
ROOT = Path(__file__).resolve().parent.parent


class Bench:
    """Runs ``main`` with fakes; remembers the config that was built."""

    def __init__(self) -> None:
        self.run = FakeRun()
        self.config: Config | None = None
        self.raises: BaseException | None = None
        self.warnings: list[str] = []

    def build(self, config: Config, *, warn: Callable[[str], None], announce: Callable[[str], None]) -> FakeRun:
        self.config = config
        for text in self.warnings:
            warn(text)
        if self.raises:
            raise self.raises
        return self.run


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    bench = Bench()
    module = types.ModuleType("streamvsr.build")
    module.build = bench.build  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "streamvsr.build", module)
    monkeypatch.chdir(tmp_path)
    return bench


def test_done(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.run = FakeRun(notes=("model rt: there is no GPU",))
    bench.warnings = ["track 3 is left out"]
    assert main(["a", "b"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "warning: track 3 is left out",
        "model rt: there is no GPU",
        "frame=   10/20  fps=5.0  time=00:00:00.40  dropped=1",
        "b: 10 frames in 2 s",
    ]
    assert bench.run.log == ["start"]


def test_a_note_that_comes_late_is_told(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    run = bench.run = FakeRun(notes=("early",))
    run.wait = lambda timeout=None: run.notes.append("late") or True  # type: ignore[func-returns-value,method-assign]
    assert main(["a", "b"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert (lines[0], lines[-2], len(lines)) == ("early", "late", 4)


def test_quiet(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.run = FakeRun(notes=("note",))
    bench.warnings = ["warning"]
    assert main(["a", "b", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_stats_even_when_quiet(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["a", "b", "--quiet", "--stats"]) == 0
    assert "100.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (SourceError("'a': no such file"), 1, "error: 'a': no such file\n"),
        (CheckpointError("x.pth: two\nlines"), 1, "error: x.pth: two lines\n"),
        (SourceError("rtsp://u:p@h/: refused"), 1, "error: rtsp://***@h/: refused\n"),
        (ReaderLeftError("pipe"), 141, ""),
        (KeyError("x"), 1, "error: internal: KeyError: 'x' (please report; --debug shows the traceback)\n"),
        (MemoryError(), 1, "error: internal: MemoryError:  (please report; --debug shows the traceback)\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_while_building(
    bench: Bench, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, text: str
) -> None:
    bench.raises = error
    assert main(["a", "b"]) == code
    assert capsys.readouterr() == ("", text)


def test_error_of_the_run(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.run = FakeRun(error=SinkError("disk full"))
    assert main(["a", "b"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "error: disk full"


def test_debug_shows_the_traceback(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_show_ffmpeg_messages", lambda: None)
    bench.raises = ValueError("http://u:p@h/")
    assert main(["a", "b", "--debug"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "u:p" not in err
    assert err.splitlines()[-1] == "error: internal: ValueError: http://***@h/ (please report)"


@pytest.mark.parametrize(("path", "shown"), [("a", True), ("rtsp://h/x", True), ("rtsp://u:p@h/x", False)])
def test_ffmpeg_may_not_print_passwords(bench: Bench, monkeypatch: pytest.MonkeyPatch, path: str, shown: bool) -> None:
    calls: list[bool] = []
    monkeypatch.setattr(app, "_show_ffmpeg_messages", lambda: calls.append(True))
    assert main([path, "b", "--debug"]) == 0
    assert bool(calls) == shown


def test_a_failing_screen_aborts_the_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.run = FakeRun(seconds=60)
    monkeypatch.setattr(app, "make_display", lambda console: 1 / 0)
    assert main(["a", "b"]) == 1
    assert bench.run.log == ["start", "abort"]


def test_signal_handlers_are_given_back(bench: Bench) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert main(["a", "b"]) == 0
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_from_another_thread(bench: Bench) -> None:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(main(["a", "b"])))
    thread.start()
    thread.join(120)
    assert codes == [0]


class TestTexts:
    def test_no_arguments(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("usage: streamvsr")

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--version"]) == 0
        assert capsys.readouterr().out == f"streamvsr {__version__}\n"

    def test_usage_error(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["a", "b", "--modle", "rt"]) == 2
        assert capsys.readouterr().err == "error: unknown option --modle: did you mean --model?\n"

    def test_commands_misspelt_and_called_as_elsewhere(self, capsys: pytest.CaptureFixture[str]) -> None:
        for word, meant in {"comapre": "compare", "modls": "models", "info": "look", "version": "--version"}.items():
            assert main([word, "in.mp4"]) == 2
            assert capsys.readouterr().err == f"error: there is no file '{word}'; did you mean streamvsr {meant}?\n"

    def test_a_command_that_there_is_not(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "in.mp4").touch()
        for words in (["upscale", "in.mp4", "out.mp4"], ["upscale", str(tmp_path / "in.mp4")]):
            assert main(words) == 2
            wanted = "there is no file or command 'upscale'; streamvsr --help lists the commands"
            assert capsys.readouterr().err == f"error: {wanted}\n"
        assert main(["upscale", str(tmp_path / "out.mp4")]) == 1
        assert capsys.readouterr().err == "error: no such file: 'upscale'\n"

    def test_a_command_behind_options(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["-y", "--preset", "archive", "compare", "a b.mp4", "b.mp4"]) == 2
        wanted = "streamvsr compare -y --preset archive 'a b.mp4' b.mp4"
        assert capsys.readouterr().err == f"error: 'compare' is a command, and a command comes first: {wanted}\n"
        assert main(["--preset", "look", "nosuch.mp4"]) == 2
        assert "a command comes first" not in capsys.readouterr().err, "a value is no command"

    def test_a_videos_output_without_extension(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("in.mp4").write_bytes(b"")
        assert main(["in.mp4", "out"]) == 2
        assert "'out' has no extension: out.mp4 is a video, out/ a folder of images" in capsys.readouterr().err
        for folder in ("out/", "-f image2 new"):
            assert main(["in.mp4", *folder.split()]) == 1  # an empty file

    def test_usage_error_names_no_password(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["rtsp://u:p@h/"]) == 2
        assert capsys.readouterr().err == "error: no output for 'rtsp://***@h/'\n"


class TestModels:
    def test_list(self, bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["models"]) == 0
        assert "rt            x4, small" in capsys.readouterr().out

    def test_help(self, bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["models", "--help"]) == 0
        assert "usage: streamvsr models" in capsys.readouterr().out

    @pytest.mark.parametrize("words", [["rt"], ["--list"], ["--lst"], ["fetch"], ["fetch", "rt2"]])
    def test_misuse(self, bench: Bench, words: list[str]) -> None:
        assert main(["models", *words]) == 2

    def test_a_file_of_that_name_wins(self, bench: Bench) -> None:
        Path("models").write_bytes(b"")
        assert main(["models", "b"]) == 0
        assert bench.config is not None
        assert bench.config.input.path == "models"


class TestOutput:
    @pytest.fixture(autouse=True)
    def existing(self, bench: Bench) -> None:
        Path("a").write_bytes(b"in")
        Path("b").write_bytes(b"out")

    def at_a_terminal(self, monkeypatch: pytest.MonkeyPatch, answer: str = "") -> None:
        """Called by the test itself: between its fixtures and the test, pytest exchanges the streams."""
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(sys.stdin, "readline", lambda: answer, raising=False)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        monkeypatch.setenv("TERM", "dumb")

    def test_y(self, bench: Bench) -> None:
        assert main(["a", "b", "-y"]) == 0

    def test_n(self, bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["a", "b", "-n"]) == 1
        assert bench.config is None
        assert "'b' already exists" in capsys.readouterr().err

    def test_elsewhere_than_on_a_terminal(self, bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["a", "b"]) == 1
        assert capsys.readouterr().err == "error: 'b' already exists; -y overwrites it\n"

    @pytest.mark.parametrize("text", ["y\n", "YES\n"])
    def test_yes(
        self, bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str
    ) -> None:
        self.at_a_terminal(monkeypatch, text)
        assert main(["a", "b"]) == 0
        assert bench.config is not None
        assert bench.config.output.overwrite is True
        assert "File 'b' already exists. Overwrite? [y/N] " in capsys.readouterr().err

    @pytest.mark.parametrize("text", ["\n", "n\n", "", "x\n"])
    def test_no(self, bench: Bench, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        self.at_a_terminal(monkeypatch, text)
        assert main(["a", "b"]) == 1
        assert bench.config is None

    def test_nostdin_never_asks(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at_a_terminal(monkeypatch, "y\n")
        assert main(["-nostdin", "a", "b"]) == 1

    @pytest.mark.parametrize("target", ["a", "./a", "link"])
    def test_the_input_itself(self, bench: Bench, capsys: pytest.CaptureFixture[str], target: str) -> None:
        Path("link").symlink_to("a")
        assert main(["-y", "a", target]) == 2
        assert "is the input itself" in capsys.readouterr().err

    def test_folders_pipes_and_new_files_are_left_to_the_sink(self, bench: Bench) -> None:
        Path("folder").mkdir()
        os.mkfifo("fifo")
        for target in ("folder", "fifo", "new", "rtmp://h/x", "%03d.png"):
            assert main(["a", target]) == 0

    def test_no_video_to_a_terminal(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        assert main(["a", "-"]) == 2

    def test_no_video_from_a_terminal(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at_a_terminal(monkeypatch)
        assert main(["-", "new"]) == 2
