"""Whatever comes in through the command line's doors: one error in plain words, never an internal one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from streamvsr.cli.app import main
from streamvsr.config import Config, InputOptions, OutputOptions, check
from streamvsr.errors import UsageError
from streamvsr.frames import MediaInfo
from streamvsr.models import resources
from streamvsr.presets import folders, names
from tests.hostile_names import HOSTILE_NAMES
from tests.outputs import CFR, info, write


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("doors") / "in.mkv"
    write(path, info(), CFR[:3])
    return path


COMMANDS = [
    ["--model", "identity", "-i", "NAME", "OUT"],
    ["--model", "identity", "GOOD", "./NAME"],
    ["--print-config", "./NAME", "o.mkv"],
    ["-vf", "NAME", "GOOD", "o.mkv"],
    ["GOOD", "-vf", "NAME", "o.mkv"],
    ["GOOD", "-metadata", "title=NAME", "-vf", "null", "o.mkv"],
    ["--checkpoint", "./NAME", "GOOD", "o.mkv"],
    ["--config", "./NAME", "GOOD", "o.mkv"],
    ["--preset", "./NAME", "GOOD", "o.mkv"],
    ["--preset", "NAME", "GOOD", "o.mkv"],
    ["--model", "NAME", "GOOD", "o.mkv"],
    ["GOOD", "-c:v", "NAME", "o.mkv"],
    ["GOOD", "-f", "NAME", "o.mkv"],
    ["GOOD", "-foo", "NAME", "o.mkv"],
    ["./NAME", "-o", "./NAME.d", "--model", "identity"],
    ["metrics", "./NAME", "GOOD", "--metric", "psnr_y", "--json", "./NAME.json", "--csv", "./NAME.csv"],
    ["compare", "./NAME", "GOOD", "o.mkv", "-y"],
    ["split", "./NAME", "./NAME.frames/"],
    ["merge", "./NAME.frames/", "o.mkv", "--audio-from", "./NAME", "-y"],
    ["models", "fetch", "NAME"],
    ["filters", "NAME"],
    ["train", "NAME", "./NAME"],
    ["evaluate", "./NAME"],
]


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_no_name_ends_a_command_in_an_internal_error(
    name: str, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(video, name)
    for words in COMMANDS:
        given = [word.replace("NAME", name).replace("GOOD", str(video)).replace("OUT", "out.mkv") for word in words]
        code = main(["-y", "-nostdin", *given] if words[0] not in COMMANDS_OF_THEIR_OWN else given)
        shown = "".join(capfd.readouterr())
        assert "internal" not in shown, (words, shown)
        assert code in (0, 1, 2), (words, shown)
        assert "\x1b[31m" not in shown
    assert os.path.getsize(name)


COMMANDS_OF_THEIR_OWN = {"metrics", "compare", "split", "merge", "models", "filters", "train", "evaluate"}


@pytest.mark.parametrize("locale", [{"LC_ALL": "C", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "ascii:strict"}])
def test_locales(locale: dict[str, str], video: Path, tmp_path: Path) -> None:
    shutil.copy(video, tmp_path / "новое \udce9.mkv")
    for words in (["models"], ["--help"], ["filters"], ["--model", "identity", "-y", "новое \udce9.mkv", "o.mkv"]):
        done = subprocess.run(
            [sys.executable, "-m", "streamvsr", *words], cwd=tmp_path, env=os.environ | locale, capture_output=True
        )
        assert done.returncode == 0, done.stderr
        assert b"internal" not in done.stderr


def without_rights(*words: str, cwd: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """A run of somebody who is not root."""
    drop: list[str] = []
    if os.geteuid() == 0:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("root may read everything, and there is no setpriv to change that")
        lost = "-dac_override,-dac_read_search"
        drop = [setpriv, f"--inh-caps={lost}", f"--bounding-set={lost}"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("XDG_")} | {"HOME": str(home)}
    return subprocess.run(
        [*drop, sys.executable, "-m", "streamvsr", *words], cwd=cwd, env=env, capture_output=True, text=True
    )


def test_what_may_not_be_read_or_written(video: Path, tmp_path: Path) -> None:
    home, shut = tmp_path / "home", tmp_path / "shut"
    for folder in (home, shut):
        folder.mkdir()
        shutil.copy(video, folder / "in.mkv")
        folder.chmod(0)
    unreadable = tmp_path / "unreadable.mkv"
    shutil.copy(video, unreadable)
    unreadable.chmod(0)
    good, calls = str(video), 0
    try:
        for code, words in (
            (0, ["models"]),
            (0, ["--preset", "archive", "--print-config"]),
            (0, ["-y", good, "-preset", "ultrafast", "--threads", "1", "-frames:v", "1", str(tmp_path / "o.mkv")]),
            (1, [str(shut), "-vf", "null", "o.mkv"]),
            (1, [str(shut / "in.mkv"), "-vf", "null", "o.mkv"]),
            (1, [str(shut / "%d.png"), "-vf", "null", "o.mkv"]),
            (1, [str(unreadable), "-vf", "null", "o.mkv"]),
            (1, ["--checkpoint", str(unreadable), good, "o.mkv"]),
            (1, ["--config", str(shut / "c.py"), good, "o.mkv"]),
            (2, ["--preset", str(unreadable) + ".toml", good, "o.mkv"]),
            (None, [good, "-vf", "null", str(shut / "o.mkv")]),
            (None, [good, "-vf", "null", str(shut) + "/"]),
            (None, [good, "-o", str(shut / "x"), "-vf", "null"]),
            (None, [str(shut), "-o", str(tmp_path / "x"), "-vf", "null"]),
            (None, ["metrics", str(shut), good]),
            (None, ["metrics", good, good, "--metric", "psnr_y", "--json", str(shut / "x.json")]),
            (None, ["compare", good, str(shut), "o.mkv"]),
            (None, ["merge", str(shut), "o.mkv"]),
            (None, ["split", good, str(shut) + "/"]),
        ):
            done = without_rights(*words, cwd=tmp_path, home=home)
            calls += 1
            assert "internal" not in done.stderr, (words, done.stderr)
            assert done.returncode == code or (code is None and done.returncode in (1, 2)), (words, done.stderr)
    finally:
        for path in (home, shut, unreadable):
            path.chmod(0o700)
    assert calls > 15


def test_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare uid in a container: no HOME, no entry in the passwd file."""
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "STREAMVSR_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert resources.cache_folder() == Path("checkpoints")
    assert resources.packaged_folder() in resources.checkpoint_folders()
    assert folders()
    assert "archive" in names()


VAST = [str(2**63), str(2**31), str(2**32), "9" * 400, "9" * 6000, "0." + "0" * 400 + "1", "1e99", "nan", "inf", "-1"]


@pytest.mark.parametrize("number", VAST, ids=lambda text: f"{text[:12]} ({len(text)})")
def test_numbers(number: str, video: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source, out = str(video), str(tmp_path / "o.mkv")
    lines = [[flag, number, source, "-vf", "null", out] for flag in ("-ss", "-t", "-to", "-r", "-s")]
    lines += [
        [source, "-vf", "null", "-frames:v", "1", flag, number, out]
        for flag in (
            "-ss",
            "-t",
            "-to",
            "-r",
            "-s",
            "-crf",
            "-b:v",
            "-b:a",
            "-g",
            "-maxrate",
            "-bf",
            "--tile",
            "--threads",
        )
    ]
    lines += [[source, "-vf", f"{name}={number}", "-frames:v", "1", out] for name in ("scale", "fps", "unsharp")]
    lines += [[source, "-vf", "null", "-start_number", number, str(tmp_path / "%d.png")]]
    lines += [[source, "-vf", "null", "--max-seq-len", number, "--overlap", number, out]]
    for words in lines:
        code = main(["-y", "-nostdin", *words])
        shown = capfd.readouterr().err
        assert "internal" not in shown, (words, shown)
        assert code in (0, 1, 2)
        assert len(shown) < 10_000


def test_numbers_from_python() -> None:
    from fractions import Fraction

    for options in (OutputOptions(gop=2**31), OutputOptions(rate=Fraction(2**40, 7)), OutputOptions(size=(2**33, 4))):
        with pytest.raises(UsageError):
            check(Config(InputOptions("x"), options))
    with pytest.raises(UsageError, match="seconds"):
        check(Config(InputOptions("x", start=Fraction(10**12)), OutputOptions("y")))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[output]\ncrf = " + "[" * 5000 + "]" * 5000, "not TOML"),
        ("[output]\ncrf = " + "9" * 6000, "not TOML"),
        ("[output.options]\ntune = 0x" + "f" * 5000, "not TOML"),
        ("a = [" * 3000, "not TOML"),
    ],
)
def test_presets_that_are_too_much(text: str, says: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.toml").write_text(text)
    assert main(["--preset", str(tmp_path / "x.toml"), "--print-config"]) == 2
    assert says in capfd.readouterr().err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("words", [["--help"], ["--version"], ["models"], ["filters"], ["filters", "scale"]])
def test_a_full_standard_output(words: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([sys.executable, "-m", "streamvsr", *words], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr.decode().startswith("error: standard output cannot be written: No space left")
    assert done.stderr.count(b"\n") == 1


def test_an_abort_that_comes_too_late_is_none(tmp_path: Path) -> None:
    from streamvsr.build import build

    source = tmp_path / "in.mkv"
    write(source, info(), CFR[:3], media=MediaInfo(info()))
    out = tmp_path / "out.mkv"
    run = build(Config(InputOptions(str(source)), OutputOptions(str(out), filters="null")), warn=print)
    run.start()
    while not run.wait(1):
        pass
    run.abort()
    assert run.complete
    assert out.exists()
    run.result()


def test_white_noise_for_a_video(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0)
    for suffix in (".mp4", ".mkv", ".png", ".pth", ".toml", ".py", ".y4m", ""):
        path = tmp_path / f"noise{suffix}"
        path.write_bytes(noise.bytes(5000))
        for words in (
            [str(path), "-vf", "null"],
            ["--checkpoint", str(path), "x.mkv"],
            ["--config", str(path), "x.mkv"],
        ):
            assert main([*words, str(tmp_path / "o.mkv")]) in (1, 2)
            assert "internal" not in capfd.readouterr().err
