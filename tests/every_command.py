"""All commands of the program, as it lists them itself, run with whatever words and wherever nobody had in mind.

Run as a program this is the process that they run in, one after another: command lines come in as JSON on standard
input, and (exit code, what was shown) go out. ``--without NAME,NAME`` makes packages look as if not installed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

GOOD, OUT, NAME, FOLDER = "GOOD", "OUT", "NAME", "FOLDER"
"""Stand for a video, a file or a folder that can be written, what the test is about, and a folder of frames."""

REASONABLE: Mapping[tuple[str, ...], Sequence[str]] = {
    (): ["-y", "-nostdin", "--model", "bicubic", GOOD, OUT],
    ("models",): [],
    ("models", "fetch"): ["--list"],
    ("models", "convert"): ["WEIGHTS", "OUT.safetensors", "-y"],
    ("models", "export"): ["rt", "OUT.onnx", "-y"],
    ("models", "verify"): ["WEIGHTS"],
    ("look",): [GOOD, "--no-trial"],
    ("preview",): [GOOD, "OUT.png", "-y", "--at", "0", "--model", "bicubic"],
    ("ab",): [GOOD, GOOD, "OUT.html", "-y", "--pairs", "1"],
    ("compare",): [GOOD, GOOD, OUT, "-y", "--still", "1"],
    ("split",): [GOOD, "OUT.d/%d.png", "-y"],
    ("merge",): [FOLDER, OUT, "-y"],
    ("filters",): ["unsharp"],
    ("completion",): ["bash"],
    ("metrics",): [GOOD, GOOD, "--metric", "psnr_y"],
    ("train",): ["rt", GOOD, "--out", "OUT.safetensors", "--run", "OUT.run", "--steps", "1", "--patch", "32",
                 "--frames", "2", "--batch", "1"],
    ("evaluate",): ["bicubic", FOLDER, "--degrade", "bicubic", "--metric", "psnr_y"],
}  # fmt: skip
"""A call of each command that succeeds; one that is not here yet is asked for its help, and given the other words."""

SHAPES = (
    [NAME],
    [NAME, OUT],
    [GOOD, NAME],
    [NAME, GOOD, OUT],
    [GOOD, NAME, OUT],
    [GOOD, GOOD, NAME],
    [NAME, "-o", OUT],
    [GOOD, "-o", NAME],
    ["-i", NAME, OUT],
    ["--", NAME, OUT],
)
"""Where the words of a command may stand."""

ALLOWED_CODES = (0, 1, 2)


class Done(NamedTuple):
    words: list[str]
    code: int
    shown: str


@cache
def commands() -> tuple[tuple[str, ...], ...]:
    """The words that begin a call: none for a run, the program's commands, and what their help names below them."""
    from streamvsr.cli.app import COMMANDS

    found: list[tuple[str, ...]] = [()]
    for name in COMMANDS:
        below = re.findall(rf"streamvsr {name} ([a-z]+)(?= |$)", help_of((name,)), re.MULTILINE)
        found += [(name,), *((name, word) for word in dict.fromkeys(below) if name == "models")]
    return tuple(found)


@cache
def help_of(command: tuple[str, ...]) -> str:
    done = subprocess.run([sys.executable, "-m", "streamvsr", *command, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def flags(command: tuple[str, ...]) -> list[str]:
    """All options in its help."""
    return list(dict.fromkeys(re.findall(r"(?<![\w-])--?[A-Za-z][\w:-]*", help_of(command))))


def with_words(words: Sequence[str], meanings: Mapping[str, str]) -> list[str]:
    def meant(word: str) -> str:
        for name, value in meanings.items():
            word = word.replace(name, value)
        return word

    return [meant(word) for word in words]


def run_all(
    lines: Sequence[Sequence[str]],
    folder: Path,
    *,
    env: Mapping[str, str | None] | None = None,
    without: Sequence[str] = (),
    prefix: Sequence[str] = (),
) -> list[Done]:
    """Run command lines in ``folder``, in one process; ``env`` changes its environment, None removes a name from it."""
    around = {**os.environ, **{k: v for k, v in (env or {}).items() if v is not None}}
    for name in (name for name, value in (env or {}).items() if value is None):
        around.pop(name, None)
    command = [*prefix, sys.executable, "-m", "tests.every_command", "--without", ",".join(without)]
    if "HOME" not in (env or {}):
        around.setdefault("XDG_STATE_HOME", str(folder.parent / "state"))
    around["PYTHONPATH"] = str(Path(__file__).parents[1])
    given = json.dumps([list(line) for line in lines]).encode()
    done = subprocess.run(command, cwd=folder, env=around, input=given, capture_output=True)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == len(lines), (lines[len(results)], done.returncode, done.stderr[-2000:])
    return [Done(list(line), code, shown) for line, (code, shown) in zip(lines, results, strict=True)]


def wrong(done: Done) -> str:
    """What is wrong with how a call ended, whatever it was; nothing where all is well."""
    bad = ("internal: ", "in stage '", "\x1b[31m", *(["Traceback"] if "--debug" not in done.words else []))
    if found := [one for one in bad if one in done.shown]:
        return f"shows {found}"
    if done.code not in ALLOWED_CODES:
        return f"ends with code {done.code}"
    # "BAD" is what `models verify` says of a file.
    said = [line for line in done.shown.splitlines() if line.startswith(("error: ", "BAD "))]
    # Who asks for nothing is shown the usage; several inputs may have an error each.
    if (done.code == 0) != (not said) and "usage: " not in done.shown:
        return f"ends with code {done.code} and says {said}"
    several = "-o" in done.words or said[:1] == [line for line in said[:1] if line.startswith("BAD ")]
    return f"says {said}" if len(said) > 1 and not several else ""


def check(results: Sequence[Done], *, succeed: bool = False) -> None:
    """None of these calls ended badly; ``succeed``: all of them did what they were asked for."""
    found = [(one.words, one.shown[-1000:], bad) for one in results if (bad := wrong(one))]
    assert not found, found[:5]
    failed = [(one.words, one.shown[-1000:]) for one in results if one.code]
    assert not (succeed and failed), failed[:5]


class _Missing:
    """A finder that comes first and says that these packages are not there."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] in self._names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _serve_nothing() -> None:
    """``streamvsr ui`` ends where it would begin to serve; no browser is opened."""
    import webbrowser

    webbrowser.open = lambda *_, **__: True  # type: ignore[assignment]
    with suppress(ImportError):
        import uvicorn

        uvicorn.Server.run = lambda *_, **__: None  # type: ignore[method-assign]


def _main() -> None:
    missing = [name for name in sys.argv[2].split(",") if name]
    sys.meta_path.insert(0, _Missing(missing))  # type: ignore[arg-type]
    lines = json.loads(sys.stdin.buffer.read().decode())
    answers = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    from streamvsr.cli import main

    if any(words[:1] == ["ui"] for words in lines):
        _serve_nothing()
    here = sorted(os.listdir())
    for words in lines:
        shown = os.memfd_create("shown") if hasattr(os, "memfd_create") else os.open("shown", os.O_RDWR | os.O_CREAT)
        os.dup2(shown, 1)
        os.dup2(shown, 2)
        code = main([os.fsdecode(word.encode("utf-8", "surrogateescape")) for word in words])
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        text = os.pread(shown, 1 << 20, 0).decode("utf-8", "backslashreplace")
        os.close(shown)
        os.write(answers, json.dumps([code, text]).encode() + b"\n")
        for name in set(os.listdir()) - set(here):
            shutil.rmtree(name) if os.path.isdir(name) and not os.path.islink(name) else os.unlink(name)


if __name__ == "__main__":
    _main()
