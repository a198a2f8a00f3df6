"""The command lines of the README and of the documentation: each is understood, and run wherever that can be."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from glob import glob
from importlib import import_module
from pathlib import Path

import pytest

from streamvsr.cli import main, models_command
from streamvsr.cli.catalogue import COMMANDS
from streamvsr.cli.own_options import take
from streamvsr.cli.parser import parse, parse_paths
from streamvsr.models import registry
from streamvsr.presets import load
from tests.conftest import missing
from tests.outputs import info, write

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"

NOT_RUN = {
    r"rtsp://|rtmp://|udp://|https://|srt://|--live": "a server; tests/test_live*.py and test_publish.py have some",
    r"^streamvsr models (fetch \w|convert)": "a download; tests/test_fetch.py has a server",
    r"^streamvsr models (--measure|export)": "seconds of work; tests/test_export.py",
    r"--checkpoint|checkpoint=|configs/|--denoise": "weights that are not here",
    r"--ray|--workers": "processes that Ray starts; tests/test_distributed.py",
    r"^streamvsr (ui|submit)|streamvsr\[": "a server; tests/test_ui.py, tests/test_page.py",
    r"^streamvsr train": "minutes; tests/test_training.py",
    r"^streamvsr evaluate": "data sets; tests/test_evaluate.py",
    r"--plot|--metric brisque": "the extra metrics; tests/test_metrics.py",
}
"""What is understood only, and why."""
REPLACED = {
    "-ss 60 -t 10": "-ss 0.04 -t 0.1", "--at 12:30": "--at 0.1", "| ffplay -": "| ffmpeg -v error -i - -f null -",
    "-i in.avi": "-i in.mp4",
}  # fmt: skip
"""For clips of a quarter of a second, and machines without a screen."""
SMALL = (64, 48)
VIDEOS = {
    **dict.fromkeys(("in.mp4", "other.mp4", "clips/a.mp4", "archive/tape/a.mp4", "phone.mp4", "web.mp4"), SMALL),
    **dict.fromkeys(("in.mkv", "old.avi", "film.mkv", "tape.avi", "dvd.mkv", "anime.mkv", "hdr.mkv"), SMALL),
    **dict.fromkeys(("in_x4.mp4", "truth.mp4", "out.mp4"), (256, 192)),
    "ntsc_film.mkv": SMALL,
}
IMAGES = ("photos/a.jpg", "photos/b.jpg", "scan/1.png", "scan/2.png", "frames/000001.png", "frames/000002.png")


def lines(page: Path) -> list[str]:
    """The commands of a page: in fences of ``sh``, and indented by four."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    fenced = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    indented = re.findall(r"(?:^|\n) {4}(\S.*)", text)
    return [line for line in fenced + indented if re.match(r"(ffmpeg .*\| )?streamvsr ", line)]


PAGES = [page for page in (ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted(DOCS.glob("*.md"))) if lines(page)]


def commands(line: str) -> list[list[str]]:
    """The commands of a pipe, without comments and redirections."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|>")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if word == ">":
            break
        if word == "|":
            found.append([])
        else:
            found[-1].append(word)
    return found


def understand(words: Sequence[str]) -> None:
    """Raise ``UsageError`` for what the command does not take; no file has to be there."""
    if words[0] not in COMMANDS:
        assert parse(words).config is not None
        return
    about, rest = COMMANDS[words[0]], list(words[1:])
    if about.options:
        module, _, name = about.options.partition(":")
        _, rest = take(rest, getattr(import_module(module), name))
    if about.of_a_run:
        parse_paths(rest)
    elif words[0] == "models":
        names, _ = models_command._split(rest)
        assert not names or names[0] in about.words
    else:
        assert not [word for word in rest if word.startswith("-")], rest


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_line_is_understood(page: Path) -> None:
    for line in lines(page):
        ours = [words[1:] for words in commands(line) if words[:1] == ["streamvsr"]]
        assert ours, line
        for words in ours:
            understand(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_lines_of_a_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whatever network is named: its weights are another test's business. rt-real's are here, and have options of their
    # own.
    plain = registry.Selection(registry.ENTRIES["bicubic"], None, "")
    select, here = registry.select, ("identity", "rt-real")
    monkeypatch.setattr(registry, "select", lambda name, *rest: select(name, *rest) if name in here else plain)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMVSR_CACHE", str(tmp_path / "cache"))
    found = [line for line in lines(page) if not any(re.search(pattern, line) for pattern in NOT_RUN)]
    for name, size in VIDEOS.items():
        if any(name in line or name.partition("/")[0] + "/" in line or "*" in line for line in found):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            stream = info(width=size[0], height=size[1], rate=Fraction(25))
            write(name, stream, [n * 3600 for n in range(6)], duration=3600)
    for name in IMAGES:
        if any(name.partition("/")[0] + "/" in line for line in found) and not any("split" in line for line in found):
            Path(name).parent.mkdir(exist_ok=True)
            assert main([_one_image(), "--model", "identity", "-y", "--quiet", name]) == 0
    for line in found:
        for typed, instead in REPLACED.items():
            line = line.replace(typed, instead)
        pipe = commands(line)
        if len(pipe) > 1:
            run_pipe(pipe)
            continue
        words = [path for word in pipe[0][1:] for path in (sorted(glob(word)) if "*." in word else [word])]
        if COMMANDS.get(words[0], COMMANDS["look"]).of_a_run and "--skip-existing" not in words:
            words.append("-y")
        assert main([*words, *([] if words[0] in ("filters", "completion") else ["--quiet"])]) == 0, line


def _one_image() -> str:
    """A video of one frame, to make images of."""
    if not Path("one.mkv").exists():
        write("one.mkv", info(width=SMALL[0], height=SMALL[1], rate=Fraction(25)), [0], duration=3600)
    return "one.mkv"


def run_pipe(pipe: list[list[str]]) -> None:
    """A pipe as the shell would run it: every command of it has to end with 0."""
    if shutil.which("ffmpeg") is None:
        missing("the program ffmpeg")
    program = [sys.executable, "-c", "import sys; from streamvsr.cli import program; sys.exit(program())"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started: list[subprocess.Popen[bytes]] = []
    for words in pipe:
        call = [*program, "--quiet", *words[1:]] if words[0] == "streamvsr" else words
        before = started[-1].stdout if started else subprocess.DEVNULL
        started.append(subprocess.Popen(call, stdin=before, stdout=subprocess.PIPE, env=environment))
        if len(started) > 1 and started[-2].stdout is not None:
            started[-2].stdout.close()
    assert [process.wait(timeout=300) for process in reversed(started)] == [0] * len(pipe), pipe

    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_the_preset_of_the_page(tmp_path: Path) -> None:
    text = re.findall(r"```toml\n(.*?)```", (DOCS / "runs.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "news.toml").write_text(text[0], encoding="utf-8")
    assert load(str(tmp_path / "news.toml")).settings["output"]["filters"] == "vsr,unsharp=5:5:0.5"


def test_no_page_shows_the_chain_that_doubles_frames() -> None:
    """A bare ``bwdif`` makes two frames of each, of progressive ones too."""
    for page in PAGES:
        for line in lines(page):
            assert not re.search(r"bwdif(?!=\d:-?\d:1)", line), line
