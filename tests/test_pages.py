"""The command lines of the documentation, run as they stand."""

from __future__ import annotations

import re
import shlex
from fractions import Fraction
from pathlib import Path

import pytest

from streamvsr.cli import main
from streamvsr.models import registry
from streamvsr.presets import load
from tests.outputs import info, write

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = ("compare.md", "runs.md")


def lines(page: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("streamvsr ")]


@pytest.mark.parametrize("page", PAGES)
def test_the_lines_of_a_page(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whatever network is named: its weights are another test's business.
    plain = registry.Selection(registry.ENTRIES["bicubic"], None, "")
    select = registry.select
    monkeypatch.setattr(registry, "select", lambda name, *rest: select(name, *rest) if name == "identity" else plain)
    monkeypatch.chdir(tmp_path)
    for folder in ("clips", "archive/tape"):
        (tmp_path / folder).mkdir(parents=True)
    clips = ("other.mp4", 64), ("clips/a.mp4", 64), ("archive/tape/a.mp4", 64)
    for name, side in (("in.mp4", 64), ("in_x4.mp4", 256), *clips):
        write(
            name, info(width=side, height=side * 3 // 4, rate=Fraction(25)), [n * 3600 for n in range(6)], duration=3600
        )
    assert len(lines(page)) >= 6
    for line in lines(page):
        assert main([*shlex.split(line)[1:], "--quiet"]) == 0, line


def test_the_preset_of_the_page(tmp_path: Path) -> None:
    text = re.findall(r"```toml\n(.*?)```", (DOCS / "runs.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "news.toml").write_text(text[0], encoding="utf-8")
    assert load(str(tmp_path / "news.toml")).settings["output"]["filters"] == "bwdif,vsr,unsharp"
