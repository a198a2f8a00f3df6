"""The recipes of CONTRIBUTING.md, carried out: their blocks go where they say, and their commands run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "CONTRIBUTING.md"


class Recipe(NamedTuple):
    name: str
    blocks: list[tuple[str, str]]
    """(language, text) of each block, in order."""


def recipes() -> list[Recipe]:
    text = PAGE.read_text(encoding="utf-8").partition("## Adding a …")[2]
    parts = re.split(r"^\*\*(\w+)\*\*:", text, flags=re.MULTILINE)
    return [
        Recipe(name, re.findall(r"^```(\w+)\n(.*?)^```$", body, re.MULTILINE | re.DOTALL))
        for name, body in zip(parts[1::2], parts[2::2], strict=True)
    ]


def apply(block: str, root: Path) -> None:
    """A first line ``# new: FILE``, or ``# FILE, before: TEXT``, which has to stand there once."""
    first, _, rest = block.partition("\n")
    if new := re.fullmatch(r"# new: (\S+)", first):
        assert not (root / new[1]).exists()
        (root / new[1]).write_text(rest)
        return
    found = re.fullmatch(r"# (\S+), before: (.+)", first)
    assert found, first
    file, place = root / found[1], found[2].replace(r"\n", "\n")
    text = file.read_text()
    assert text.count(place) == 1, f"{place!r} stands {text.count(place)} times in {found[1]}"
    at = text.rindex("\n", 0, text.index(place)) + 1
    file.write_text(text[:at] + rest + text[at:])


def test_every_kind_has_a_recipe() -> None:
    assert [recipe.name for recipe in recipes()] == ["Filter", "Source", "Sink", "Model", "Option"]
    assert all({language for language, _ in recipe.blocks} == {"python", "sh"} for recipe in recipes())


def test_the_recipes_work(tmp_path: Path) -> None:
    """All in one copy of the package, as they would stand there together."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "streamvsr", tmp_path / "code" / "streamvsr", ignore=ignore)
    for recipe in recipes():
        for language, block in recipe.blocks:
            if language == "python":
                apply(block, tmp_path / "code")
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "streamvsr").write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m streamvsr "$@"\n')
    (commands / "streamvsr").chmod(0o755)
    shutil.copy(ROOT / "demo" / "city_180p.mp4", tmp_path / "demo.mp4")
    path = os.pathsep.join([str(commands), os.environ["PATH"]])
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "code"), "PATH": path}
    for recipe in recipes():
        for language, block in recipe.blocks:
            if language == "sh":
                done = subprocess.run(
                    ["sh", "-eux", "-c", block], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, f"{recipe.name}: {done.stderr[-1500:]}"
    assert (tmp_path / "ramp.mkv").stat().st_size > 0


def test_what_does_not_fit_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one\ntwo\n")
    with pytest.raises(AssertionError, match="stands 0 times"):
        apply("# a.py, before: three\nmore\n", tmp_path)
    apply("# a.py, before: two\nmore\n", tmp_path)
    assert (tmp_path / "a.py").read_text() == "one\nmore\ntwo\n"
