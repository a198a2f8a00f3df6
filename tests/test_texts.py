"""Help and errors in Chinese where the environment asks for it, and in English everywhere else."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from types import ModuleType

import pytest

from streamvsr.cli import texts, zh_cn
from streamvsr.cli.catalogue import COMMANDS, RUN_GROUPS
from streamvsr.cli.help import EXAMPLES, MORE, PATHS, WIDTH, full_help, short_usage
from streamvsr.options import options_of
from tests.test_messages import generator

__all__ = ["generator"]
pytestmark = pytest.mark.io
ROOT = Path(__file__).resolve().parent.parent


def width(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


def run(language: str, *words: str, encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in texts.VARIABLES}
    environment |= {"LANG": language, "PYTHONIOENCODING": encoding}
    code = "import sys; from streamvsr.cli import program; sys.exit(program())"
    return subprocess.run(
        [sys.executable, "-c", code, *words], cwd=ROOT, env=environment, capture_output=True, encoding=encoding
    )


@pytest.mark.parametrize(
    ("language", "chinese"),
    [
        ("zh_CN.UTF-8", True),
        ("zh_CN", True),
        ("zh", True),
        ("en_US.UTF-8", False),
        ("zh_TW.UTF-8", False),
        ("C", False),
    ],
)
def test_the_environment_chooses(language: str, chinese: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in texts.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", language)
    translate = texts.help_texts(io.TextIOWrapper(io.BytesIO(), "utf-8"))
    assert translate("video encoder") == ("视频编码器" if chinese else "video encoder")


def test_a_console_that_has_no_chinese_gets_english() -> None:
    assert run("zh_CN", "--help", encoding="latin-1").stdout == full_help() + "\n"


def test_help_and_errors_of_the_program() -> None:
    shown = run("zh_CN.UTF-8", "--help")
    assert shown.returncode == 0
    assert "输入的选项" in shown.stdout
    failed = run("zh_CN.UTF-8", "missing.mp4")
    assert (failed.returncode, failed.stderr) == (
        2,
        "error: 没有指定“missing.mp4”的输出: streamvsr missing.mp4 missing_x4.mp4\n",
    )
    told = run("zh_CN.UTF-8", "missing.mp4", "--progress", "json")
    assert '"no output for' in told.stdout + told.stderr, "programs read English"
    assert run("zh_CN.UTF-8").stderr.endswith("streamvsr --help 说明各个选项。\n")
    assert run("en_US.UTF-8", "missing.mp4").stderr.startswith("error: no output for 'missing.mp4'")


def test_every_text_of_the_help_is_translated() -> None:
    used = {face.help for group in RUN_GROUPS.values() for _, face in options_of(group) if not face.as_ffmpeg}
    used |= {PATHS, *RUN_GROUPS, *MORE.values(), *(about.summary for about in COMMANDS.values())}
    missing = used - set(zh_cn.HELP)
    assert not missing, "streamvsr/cli/zh_cn.py lacks these"
    shown = full_help(lambda text: zh_cn.HELP.get(text, text))
    assert max(map(width, shown.splitlines())) <= WIDTH + 1


def test_no_translation_is_left_over(generator: ModuleType) -> None:
    english = full_help() + short_usage()
    wrapped = " ".join(english.split())
    for text in zh_cn.HELP:
        assert " ".join(text.split()) in wrapped, text
    raised = {text for texts in generator.messages().values() for text in texts}
    for text in zh_cn.ERRORS:
        assert text.replace("{}", "…") in raised, text
        assert text.count("{}") >= zh_cn.ERRORS[text].count("{}")
    assert EXAMPLES


def test_a_translated_error_keeps_what_was_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    translate = texts.error_texts(None)
    assert translate("--crf 99: must be at most 51") == "--crf 99：不能大于 51"
    assert translate("'a {b} c.mp4': out of memory") == "“a {b} c.mp4”：内存不足"
    assert translate("unknown model 'rtreal': did you mean rt-real?") == "未知的模型 'rtreal'：是不是 rt-real？"
    assert translate("-crf 99: libx264 takes 0 to 63, less is better") == "-crf 99：libx264 的范围是 0 到 63，越小越好"
    assert translate("what no table has") == "what no table has"


def test_english_loads_no_table() -> None:
    code = (
        "import sys; from streamvsr.cli import main; main(['--help']); assert 'streamvsr.cli.zh_cn' not in sys.modules"
    )
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
