"""What a run shows of itself while it goes and at its end."""

from __future__ import annotations

import io
import json
import re
import sys
from dataclasses import replace
from fractions import Fraction

import pytest

from streamvsr.cli.console import Console, encodable, one_line, redact
from streamvsr.cli.progress import (
    Bar,
    NoDisplay,
    PlainLines,
    clock,
    counted,
    done_fraction,
    eta_seconds,
    make_display,
    plain_line,
    size,
)
from streamvsr.cli.stats_table import stats_table
from streamvsr.pipeline.stats import Progress, RingLevel, StageStats

pytestmark = pytest.mark.io

HALF_WAY = Progress(
    frames_in=130,
    frames_out=120,
    frames_total=312,
    seconds_total=Fraction(1248, 100),
    position_seconds=Fraction(48, 10),
    dropped=0,
    rings=(RingLevel("decode", 3, 16), RingLevel("encode", 1, 16)),
    elapsed_seconds=16.0,
    fps=8.0,
)


class Terminal(io.StringIO):
    encoding = "ascii"

    def isatty(self) -> bool:
        return True


def test_plain_line() -> None:
    expected = "frame=  120/312  fps=8.0  time=00:00:04.80  eta=00:00:24  dropped=0"
    assert plain_line(HALF_WAY) == expected


def test_final_line_gives_the_average() -> None:
    assert plain_line(HALF_WAY, final=True) == "frame=  120/312  fps=7.5  time=00:00:04.80  dropped=0"


def test_plain_line_of_a_live_run_that_has_just_begun() -> None:
    live = replace(
        HALF_WAY,
        frames_out=0,
        frames_total=None,
        seconds_total=None,
        position_seconds=None,
        rings=(),
        fps=0.0,
        dropped=7,
    )
    assert plain_line(live) == "frame=    0  fps=0.0  time=00:00:00.00  dropped=7"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "00:00:00.00"), (59.999, "00:01:00.00"), (3661.5, "01:01:01.50"), (-1, "00:00:00.00")]
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds, hundredths=True) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(950, "950 bytes"), (3_140_000, "3.1 MB"), (99_400, "99 kB"), (99_588, "100 kB"), (312_000, "312 kB")],
)
def test_sizes_are_whole_words(count: int, text: str) -> None:
    assert size(count) == text


def test_one_frame_is_no_frames() -> None:
    assert (counted(0), counted(1), counted(2)) == ("0 frames", "1 frame", "2 frames")


def test_clock_of_a_long_run() -> None:
    assert clock(360_000) == "100:00:00"


def test_eta_by_time_where_frames_are_not_known() -> None:
    by_time = replace(HALF_WAY, frames_total=None, seconds_total=Fraction(96, 10))
    assert done_fraction(by_time) == 0.5
    assert eta_seconds(by_time) == 16.0


def test_a_container_that_promises_too_few_frames() -> None:
    beyond = replace(HALF_WAY, frames_out=400)
    assert done_fraction(beyond) == 1.0
    assert eta_seconds(beyond) == 0.0


def test_plain_lines_come_now_and_then_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("streamvsr.cli.progress.time.monotonic", lambda: now)
    out = io.StringIO()
    display = make_display(Console(stream=out))
    assert isinstance(display, PlainLines)
    for step in range(60):
        now = 100.0 + step / 5
        display.update(HALF_WAY)
    display.close(HALF_WAY)
    display.close(HALF_WAY)
    assert out.getvalue().splitlines() == [plain_line(HALF_WAY)] * 2 + [plain_line(HALF_WAY, final=True)]


def test_quiet_shows_nothing() -> None:
    assert isinstance(make_display(Console(quiet=True, stream=Terminal())), NoDisplay)


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(make_display(Console(stream=Terminal())), PlainLines)


def test_a_terminal_without_rich_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert isinstance(make_display(Console(stream=Terminal())), PlainLines)


def test_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    out = Terminal()
    console = Console(stream=out)
    bar = make_display(console)
    assert isinstance(bar, Bar)
    bar.update(replace(HALF_WAY, dropped=2, encoded_bytes=3_140_000))
    painted = out.getvalue()
    for text in ("120/312", "8.0 fps", "38%", "00:00:16  eta 00:00:24", "dropped 2", "3.1 MB"):
        assert text in painted
    assert painted.isascii()  # the terminal says that it cannot show more
    console.warning("[bold]brackets[/] are not markup")
    assert "warning: [bold]brackets[/] are not markup\n" in out.getvalue()
    bar.close(HALF_WAY)
    bar.close(HALF_WAY)
    assert "7.5 fps  in 00:00:16" in out.getvalue()
    console.note("after")
    assert out.getvalue().endswith("after\n")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("columns", [20, 30, 44, 60, 80])
def test_a_bar_fits_every_width(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    out = Terminal()
    bar = make_display(Console(stream=out))
    bar.update(replace(HALF_WAY, frames_out=12000, frames_total=31200, dropped=3, encoded_bytes=3_140_000))
    line = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue()).split("\r")[-1].rstrip()
    bar.close(None)
    assert len(line) <= columns
    assert "12000/31200" in line
    assert "\n" not in line
    assert ("eta" in line) == (columns >= 44)


def test_at_the_end_nobody_counts_down() -> None:
    for late in (replace(HALF_WAY, frames_out=312), replace(HALF_WAY, stopping=True)):
        assert plain_line(late).split("  ")[-2:] == ["finishing", "dropped=0"]


def test_json_lines() -> None:
    out = io.StringIO()
    console = Console(stream=out, as_json=True)
    display = make_display(console, "json")
    display.update(replace(HALF_WAY, stage_seconds=(("decode", 1.5),), encoded_bytes=4000))
    display.update(HALF_WAY)  # too soon
    console.warning("careful\n")
    console.error("http://u:p@h/ is lost")
    display.close(replace(HALF_WAY, frames_out=312))
    display.close(HALF_WAY)
    first, warning, error, last = map(json.loads, out.getvalue().splitlines())
    assert first == {
        "type": "progress", "state": "running", "frames": 120, "frames_total": 312, "done": 120 / 312, "fps": 8.0,
        "eta_seconds": 24.0, "elapsed_seconds": 16.0, "position_seconds": 4.8, "encoded_bytes": 4000,
        "dropped": 0, "latency_seconds": None, "stages": {"decode": 1.5},
    }  # fmt: skip
    assert warning == {"type": "message", "level": "warning", "text": "careful"}
    assert error == {"type": "message", "level": "error", "text": "http://***@h/ is lost"}
    assert (last["state"], last["frames"], last["eta_seconds"]) == ("ended", 312, None)


def test_bar_without_a_known_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    out = Terminal()
    bar = make_display(Console(stream=out))
    bar.update(replace(HALF_WAY, frames_total=None, seconds_total=None))
    bar.close(None)
    assert "eta --:--:--" in out.getvalue()


def test_stats_table() -> None:
    stages = [
        StageStats("decode", 100, 1.0, 0.0, 9.0),
        StageStats("vsr", 100, 9.0, 0.5, 0.5),
        StageStats("encode", 0, 0.0, 0.0, 0.0),
    ]
    assert stats_table(stages).splitlines() == [
        "stage   frames  ms/frame  wait in  wait out  busy",
        "decode     100      10.0    0.0 s     9.0 s   10%",
        "vsr        100      90.0    0.5 s     0.5 s   90%  <- slowest",
        "encode       0         -    0.0 s     0.0 s     -",
    ]


def test_stats_table_of_no_stages() -> None:
    assert stats_table([]).startswith("stage")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot open 'rtsp://user:secret@host/x'", "cannot open 'rtsp://***@host/x'"),
        ("rtsp://user:p/a@ss@host/x: refused", "rtsp://***@host/x: refused"),
        ("http://h/x?a=1&token=abc&b=2", "http://h/x?a=1&token=***&b=2"),
        ("http://h/x?Password=abc'", "http://h/x?Password=***'"),
        ("http://h/x?session_token=abc&user=me#t", "http://h/x?session_token=***&user=***#t"),
        ("mail a@b.c about http://h/x", "mail a@b.c about http://h/x"),
    ],
)
def test_credentials_never_reach_the_screen(text: str, shown: str) -> None:
    assert redact(text) == shown
    out = io.StringIO()
    Console(stream=out).error(text)
    assert out.getvalue() == f"error: {shown}\n"


def test_one_line() -> None:
    assert one_line("a\nb\x1b[31m\udcff é\n") == "a b\\x1b[31m\\udcff é"


def test_encodable() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    assert encodable("é \u2573", stream) == "é \\u2573"


def test_a_lost_screen_is_no_error() -> None:
    class Lost(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    Console(stream=Lost()).warning("nobody reads this")
