"""Files that other programs read: they are well-formed, and say what pyproject.toml says."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import streamvsr
from streamvsr.cli.parser import parse

yaml = pytest.importorskip("yaml", reason="PyYAML comes with the extra docs")
ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA = {"opencv-python-headless": "py-opencv", "torch": "pytorch"}
"""What conda-forge calls packages that it has under other names."""


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def bounds(requirement: str) -> tuple[str, frozenset[str]]:
    """(name, bounds) of ``numpy>=1.26,<3`` and of conda's ``numpy >=1.26,<3``."""
    found = re.fullmatch(r"([\w.-]+) ?(.*)", requirement)
    assert found is not None
    return found[1], frozenset(found[2].replace(" ", "").split(","))


def test_the_citation_names_the_papers() -> None:
    citation = read("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == streamvsr.__version__
    assert citation["license"] == PROJECT["license"]
    papers = {paper["notes"] for paper in citation["references"]}
    assert papers == {"RealBasicVSR", "BasicVSR", "BasicVSR++", "Real-ESRGAN", "AnimeSR", "NanoVSR"}
    for paper in citation["references"]:
        assert paper["authors"]
        assert re.fullmatch(r"https://arxiv\.org/abs/\d{4}\.\d{5}", paper["url"])


def test_the_conda_recipe_asks_for_what_pyproject_asks_for() -> None:
    recipe = read("recipe/recipe.yaml")
    assert recipe["context"]["version"] == streamvsr.__version__
    python = next(r for r in recipe["requirements"]["run"] if r.startswith("python "))
    python = python.replace("${{ python_min }}", recipe["context"]["python_min"])
    assert bounds(python)[1] == set(PROJECT["requires-python"].split(","))
    wanted = {bounds(r) for r in PROJECT["dependencies"]}
    named = {(CONDA.get(name, name), versions) for name, versions in wanted}
    run = [r for r in recipe["requirements"]["run"] if not r.startswith("python ")]
    assert {bounds(r) for r in run} == named
    assert recipe["build"]["python"]["entry_points"] == [
        f"{name} = {target}" for name, target in PROJECT["scripts"].items()
    ]


def test_the_conda_recipe_tests_what_works() -> None:
    imports, commands = read("recipe/recipe.yaml")["tests"]
    for name in imports["python"]["imports"]:
        importlib.import_module(name)
    for command in commands["script"]:
        program, *words = shlex.split(command)
        subprocess.run([sys.executable, "-m", program, *words], check=True, stdout=subprocess.DEVNULL)


def test_pre_commit_runs_the_tools_of_make_check() -> None:
    hooks = read(".pre-commit-config.yaml")["repos"][0]["hooks"]
    entries = {hook["entry"].removeprefix(".venv/bin/") for hook in hooks}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    checks = re.findall(r"\$\(VENV\)/bin/(ruff .*|mypy|basedpyright) ?\.?$", makefile, re.MULTILINE)
    assert len(checks) == 4
    assert {check.removesuffix(" .") for check in checks} <= entries
    for hook in hooks:
        assert hook["language"] == "system"


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_issue_templates(name: str) -> None:
    template = read(f".github/ISSUE_TEMPLATE/{name}.yml")
    assert {"name", "description", "body"} <= template.keys()
    kinds = [part["type"] for part in template["body"]]
    assert set(kinds) <= {"markdown", "textarea", "input", "dropdown", "checkboxes"}
    ids = [part["id"] for part in template["body"] if part["type"] != "markdown"]
    assert len(ids) == len(set(ids))


def docker_lines() -> list[tuple[str, str]]:
    """(instruction, rest) of the Dockerfile."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    pairs = [line.partition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in pairs]


def test_the_dockerfile() -> None:
    lines = docker_lines()
    python = re.fullmatch(r"python:(3\.\d+)-slim-\w+", dict(lines)["FROM"])
    assert python is not None
    least, most = re.findall(r"3\.(\d+)", PROJECT["requires-python"])
    assert int(least) <= int(python[1].split(".")[1]) < int(most)
    runs = [command.strip() for name, rest in lines if name == "RUN" for command in rest.split("&&")]
    programs = {shlex.split(command)[0] for command in runs}
    assert programs == {"pip", "streamvsr", "rm", "mkdir"}, "nothing of Debian is needed"
    for command in runs:
        words = shlex.split(command)
        if words[0] == "streamvsr":
            assert parse(words[1:]) is not None
        for path in (word for word in words if word.startswith("/src/")):
            assert (ROOT / path.removeprefix("/src/")).exists(), path
    assert [rest for name, rest in lines if name == "ENTRYPOINT"] == ['["streamvsr"]']


def test_compose_builds_both_variants() -> None:
    services = read("compose.yaml")["services"]
    arguments = {rest.partition("=")[0] for name, rest in docker_lines() if name == "ARG"}
    assert set(services["streamvsr-cuda"]["build"]["args"]) <= arguments
    assert services["streamvsr"]["build"] == "."
    for service in services.values():
        assert any(volume.endswith(":/data") for volume in service["volumes"])
