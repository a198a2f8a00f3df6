"""Who may import whom. A new arrow has to be drawn here, on purpose."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "streamvsr"

pytestmark = pytest.mark.io

BASICS = {"errors", "frames", "config", "atomic"}
MAY_IMPORT = {
    "errors": set(),
    "atomic": set(),
    "frames": set(),
    "windows": {"errors"},
    "config": {"errors"},
    "pipeline": {"errors", "frames"},
    "media": BASICS,
    "models": BASICS,
    "filters": BASICS | {"models", "windows", "media"},
    "sources": BASICS | {"media"},
    "sinks": BASICS | {"media"},
    "training": BASICS | {"models", "media", "sources", "filters"},
    "api": BASICS | {"build", "pipeline", "media"},
    "build": BASICS | {"sources", "sinks", "filters", "models", "pipeline", "windows"},
    "presets": {"config", "errors"},
    "compare": BASICS | {"build", "pipeline", "media", "sources", "sinks"},
    "merge": BASICS | {"build", "pipeline", "sources"},
    "metrics": BASICS | {"build", "pipeline", "media", "sources", "models"},
    "cli": BASICS | {"build", "pipeline", "filters", "models", "presets", "compare", "merge", "metrics", "training"},
    "__main__": {"cli"},
    "__init__": {"api", "errors"},  # for type checkers; at run time each name is imported when it is used
}
FOREIGN_BANNED = {"pipeline": {"av", "torch"}, "frames": {"av", "torch"}, "windows": {"av", "torch"}, "models": {"av"}}
ONLY_CLI_MAY = {"print", "input", "exit"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows(path: Path) -> None:
    here = room(path)
    assert here in MAY_IMPORT, f"the new room '{here}' needs a line in MAY_IMPORT"
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "streamvsr":
            # `import streamvsr.x` and `from streamvsr import x` both name a room; `__version__` lives in the package.
            target = parts[1] if len(parts) > 1 else "__init__"
            if target != "__version__" and name != "streamvsr":
                assert target == here or target in MAY_IMPORT[here], f"{here} may not import {target} ({path.name})"
        elif parts[0] in FOREIGN_BANNED.get(here, set()):
            raise AssertionError(f"{here} may not import {parts[0]} ({path.name})")


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_command_line_talks(path: Path) -> None:
    if room(path) in ("cli", "__main__", "training"):
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ONLY_CLI_MAY, f"{path.name}:{node.lineno} calls {node.func.id}()"


@pytest.mark.parametrize("package", ["sources", "sinks"])
def test_sources_and_sinks_import_without_torch(package: str) -> None:
    code = f"import sys, streamvsr.{package}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent).returncode == 0


def test_the_project_speaks_of_itself_alone() -> None:
    for path in modules():
        text = path.read_text().lower()
        for word in ("/work/", "openai", "anthropic", "claude", "pyenv"):
            assert word not in text, f"{path.name} names {word}"
