"""Every command, in places and with words that nobody had in mind: one plain error, and nothing is lost."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import ROOT
from tests.every_command import (
    FOLDER,
    GOOD,
    NAME,
    OUT,
    REASONABLE,
    SHAPES,
    check,
    commands,
    flags,
    run_all,
    with_words,
)
from tests.hostile_names import HOSTILE_NAMES
from tests.outputs import info, write

NAMES = [*HOSTILE_NAMES, "--", "x" * 300 + ".mkv", "", " "]
WORST = "-a'\n\udce9\x1b[31m%d{}" + "x" * 200 + ".mkv"

IMPORTED_AS = {"opencv-python-headless": "cv2", "pillow": "PIL", "mmcv-full": "mmcv"}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("original") / "in.mkv"
    write(path, info(), [n * 3003 for n in range(3)])
    return path


@pytest.fixture
def place(original: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder to work in, beside a video and a folder of frames, which no command may change."""
    (tmp_path / "here").mkdir()
    shutil.copy(original, tmp_path / "good.mkv")
    (tmp_path / "folder").mkdir()
    for number in range(3):
        cv2.imwrite(str(tmp_path / "folder" / f"{number}.png"), np.full((24, 32, 3), 80 * number, np.uint8))
    kept = {path: path.read_bytes() for path in (tmp_path / "good.mkv", *(tmp_path / "folder").iterdir())}
    yield tmp_path / "here"
    assert {path: path.read_bytes() for path in (tmp_path / "good.mkv", *(tmp_path / "folder").iterdir())} == kept


def meanings(place: Path, name: str = NAME) -> dict[str, str]:
    weights = ROOT / "checkpoints" / "rt.safetensors"
    found = {GOOD: place.parent / "good.mkv", FOLDER: place.parent / "folder", "WEIGHTS": weights, OUT: place / "out"}
    return {NAME: name, **{key: str(value) for key, value in found.items()}}


def reasonable(place: Path) -> list[list[str]]:
    lines = []
    for command in commands():
        words = with_words(REASONABLE.get(command, ["--help"]), meanings(place))
        lines.append([*command, *(f"{word}.mkv" if word == str(place / "out") else word for word in words)])
    return lines


def shapes(place: Path, name: str) -> list[list[str]]:
    return [[*command, *with_words(shape, meanings(place, name))] for command in commands() for shape in SHAPES]


def test_reasonable_calls_succeed(place: Path) -> None:
    check(run_all(reasonable(place), place), succeed=True)


def test_names(place: Path) -> None:
    given = [way for name in NAMES for way in (name, f"{place.parent}/{name}")]
    check(run_all([line for name in given for line in shapes(place, name)], place))


def test_a_file_of_that_name(original: Path, place: Path) -> None:
    names = [name for name in NAMES if name.strip() and len(os.fsencode(name)) < 256]
    for name in names:
        shutil.copy(original, place.parent / name)
    check(run_all([line for name in names for line in shapes(place, f"../{name}")], place))
    for name in names:
        assert (place.parent / name).read_bytes() == original.read_bytes()


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_values_of_options(command: tuple[str, ...], place: Path) -> None:
    lines = []
    for flag in flags(command):
        for value in (WORST, ""):
            lines.append([*command, GOOD, flag, value, "out.mkv"])
            lines.append([*command, flag, value, GOOD, GOOD, "out.mkv"])
        lines += [[*command, f"{flag}=nan", GOOD, "out.mkv"], [*command, GOOD, flag]]
    check(run_all([with_words(line, meanings(place)) for line in lines], place))


@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": None, "LANG": None, "LC_CTYPE": None},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"LC_ALL": None, "LANG": "zh_CN.UTF-8"},
        {"LC_ALL": "zh_CN.GBK", "PYTHONIOENCODING": "gbk:strict"},
        {"LC_ALL": "xx_YY.nothing"},
        {"TERM": "dumb", "COLUMNS": "5", "LINES": "1"},
    ],
    ids=lambda env: " ".join(env),
)
def test_locales_and_terminals(env: dict[str, str | None], place: Path) -> None:
    check(run_all(reasonable(place), place, env=env), succeed=True)
    check(run_all(shapes(place, WORST), place, env=env))


def setpriv(*words: str) -> list[str]:
    """Words before a command that is to have other rights, where whoever runs the tests may give them."""
    program = shutil.which("setpriv")
    if program is None or os.geteuid() != 0:
        pytest.skip("only root can run something with other rights, and by setpriv")
    prefix = [program, *words]
    if subprocess.run([*prefix, sys.executable, "-c", ""], capture_output=True).returncode:
        pytest.skip(f"no {' '.join(prefix)} here")
    return prefix


NO_HOME = {"HOME": None, "XDG_CACHE_HOME": None, "XDG_CONFIG_HOME": None, "STREAMVSR_CACHE": None}


def test_without_a_home(place: Path) -> None:
    check(run_all(reasonable(place), place, env=NO_HOME), succeed=True)


def test_a_bare_number_for_a_user(place: Path) -> None:
    """As in containers: no HOME, no name."""
    rights = "+dac_override,+dac_read_search"
    prefix = setpriv(
        "--reuid=54321", "--regid=54321", "--clear-groups", f"--inh-caps={rights}", f"--ambient-caps={rights}"
    )
    # Not below pytest's own folder, which is for its owner alone.
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        mine = Path(shutil.copytree(place.parent, Path(name) / "all")) / place.name
        for folder in (mine.parent, mine):
            folder.chmod(0o777)
        check(run_all(reasonable(mine), mine, env=NO_HOME, prefix=prefix), succeed=True)


def test_what_may_be_neither_read_nor_written(original: Path, place: Path) -> None:
    shut, bare, home = place.parent / "shut", place.parent / "bare", place.parent / "home"
    for folder in (shut, bare, home):
        folder.mkdir()
    shutil.copy(original, shut / "in.mkv")
    secret = place.parent / "secret.mkv"
    shutil.copy(original, secret)
    prefix: Sequence[str] = ()
    if os.geteuid() == 0:
        lost = "-dac_override,-dac_read_search"
        prefix = setpriv(f"--inh-caps={lost}", f"--bounding-set={lost}")
    for path, mode in ((shut, 0), (bare, 0o555), (home, 0), (secret, 0)):
        path.chmod(mode)
    try:
        env = {**NO_HOME, "HOME": str(home)}
        for name in (secret, shut, shut / "in.mkv", shut / "%d.png", bare / "out.mkv", bare):
            check(run_all(shapes(place, str(name)), place, env=env, prefix=prefix))
        check(run_all(reasonable(place), place, env=env, prefix=prefix))
        # A working folder that may not be written.
        moved = [with_words(line, {f"{place}/": ""}) for line in reasonable(place)]
        check(run_all(moved, bare, env=env, prefix=prefix))
    finally:
        for path in (shut, bare, home, secret):
            path.chmod(0o700)


def packages() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *(one for name in extras if name not in ("dev", "docs") for one in extras[name]),
    ]
    names = [found[0] for one in wanted if (found := re.match(r"[\w-]+", one))]
    return list(dict.fromkeys(IMPORTED_AS.get(name, name) for name in names))


@pytest.mark.parametrize("package", packages())
def test_a_package_that_is_not_installed(package: str, place: Path) -> None:
    lines = [
        *reasonable(place),
        ["metrics", GOOD, GOOD, "--plot", "out.png"],
        ["metrics", GOOD, GOOD, "--metric", "ssimulacra2"],
        ["metrics", GOOD, "--metric", "brisque"],
        ["--backend", "mmedit", "--config", str(ROOT / "configs" / "realbasicvsr_x4.py"), GOOD, "o.mkv"],
        [GOOD, "-vf", "sobel", "o.mkv"],
        [FOLDER, "-vf", "null", "o.mkv"],
    ]
    results = run_all([with_words(line, meanings(place)) for line in lines], place, without=[package])
    check(results)
    for done in results:
        assert "is not installed" not in done.shown or "pip install" in done.shown, done


def test_a_library_that_a_package_lacks() -> None:
    from streamvsr.errors import missing_package

    error = ImportError("libGL.so.1: cannot open shared object file: No such file or directory", name="cv2")
    told = str(missing_package(error))
    assert "libGL.so.1" in told
    assert "opencv-python" in told
    # What is ours is no package of others.
    assert missing_package(ImportError("cannot import name 'x'", name="streamvsr.build")) is None


TELLING = (
    ("models",),
    ("filters",),
    ("metrics",),
    ("look",),
    ("completion",),
    ("models", "verify"),
    ("models", "fetch"),
)
"""Commands whose result is what they print."""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_standard_streams(command: tuple[str, ...], place: Path) -> None:
    """A full standard output, a reader that leaves, none at all, and the same of standard error."""
    calls = {"--help": [[*command, "--help"], [">&- 2>&- <&-"]]}
    if command in TELLING:
        words = [*command, *with_words(REASONABLE[command], meanings(place))]
        calls["reasonable"] = [words, [">&-", "2>&-", "<&-", "2>/dev/full"]]
    for words, redirections in calls.values():
        program = [sys.executable, "-m", "streamvsr", *words]
        with open("/dev/full", "wb") as full:
            done = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, cwd=place)
        assert done.returncode == 1
        assert [line for line in done.stderr.splitlines() if line.startswith("error: ")] == [
            "error: standard output cannot be written: No space left on device"
        ]
        begin, end = os.pipe()
        os.close(begin)
        done = subprocess.run(program, stdout=end, stderr=subprocess.PIPE, text=True, cwd=place)
        os.close(end)
        assert done.returncode == 141
        assert "error" not in done.stderr
        for redirection in redirections:
            shell = ["sh", "-c", f'exec "$@" {redirection}', "sh", *program]
            done = subprocess.run(shell, capture_output=True, text=True, cwd=place)
            assert done.returncode == 0, (redirection, done.stderr)


def test_what_libraries_print_stays_out_of_the_output(original: Path, tmp_path: Path) -> None:
    program = [sys.executable, "-m", "streamvsr", str(original), "-vf", "null", "-c:v", "libsvtav1", "o.mkv"]
    subprocess.run(["sh", "-c", 'exec "$@" 2>&- >&- <&-', "sh", *program], cwd=tmp_path, check=True)
    assert b"Svt[" not in (tmp_path / "o.mkv").read_bytes()
    # Standard output as the output, where there is none: no file becomes it.
    shell = ["sh", "-c", 'exec "$@" 2>said >&-', "sh", *program[:-1], "-f", "nut", "-"]
    done = subprocess.run(shell, cwd=tmp_path)
    assert done.returncode == 1
    assert "error: standard output: Bad file descriptor" in (tmp_path / "said").read_text()
