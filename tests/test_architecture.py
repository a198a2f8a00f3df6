"""Who may import whom. A new arrow has to be drawn here, on purpose."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "streamvsr"

pytestmark = pytest.mark.io

BASICS = {
    "errors",
    "frames",
    "config",
    "options",
    "part_file",
    "plain_json",
    "quoting",
    "secrets",
    "system_memory",
    "threads",
}
MEDIA = BASICS | {"media", "media.color"}
MAY_IMPORT = {
    "errors": set(),
    "part_file": set(),
    "plain_json": set(),
    "quoting": set(),
    "typed_options": set(),
    "secrets": set(),
    "system_memory": set(),
    "threads": set(),
    "frames": set(),
    "options": {"errors"},
    "config": {"errors", "options"},
    "pipeline": {"errors", "frames"},
    "media": BASICS,
    "media.color": BASICS | {"media"},
    "media.decode": MEDIA,
    "media.demux": MEDIA | {"media.decode", "pipeline"},
    "media.encode": MEDIA,
    "media.mux": MEDIA | {"media.encode", "pipeline"},
    "models": BASICS | {"media.color"},
    "filters": MEDIA,
    "vsr": MEDIA | {"filters", "models"},
    "fidelity": MEDIA | {"filters", "media.demux", "media.encode", "media.mux"},
    "jobs": MEDIA | {"media.demux", "media.encode", "media.mux", "pipeline", "vsr"},
    "footage": MEDIA | {"media.demux", "models"},
    "look": MEDIA | {"build", "compare", "filters", "footage", "media.demux", "models", "pipeline", "reading"},
    "networks": BASICS | {"filters", "footage", "models", "vsr"},
    "rings": {"frames", "pipeline", "vsr"},
    "memory_need": {"errors", "system_memory"},
    "build": BASICS
    | {
        "fidelity",
        "jobs",
        "media.demux",
        "media.mux",
        "filters",
        "memory_need",
        "networks",
        "vsr",
        "pipeline",
        "rings",
    },
    "distributed": BASICS | {"build", "jobs", "media.demux", "models", "networks", "pipeline"},
    "ui": BASICS,
    "presets": {"config", "errors", "options"},
    "api": MEDIA | {"build", "media.demux", "pipeline", "typed_options"},
    "merge": BASICS | {"build", "pipeline", "media.demux"},
    "compare": MEDIA | {"build", "pipeline", "media.demux", "media.mux"},
    "reading": BASICS | {"build", "pipeline", "media.demux"},
    "metrics": MEDIA | {"degrade", "pipeline", "media.demux", "models", "reading"},
    "degrade": MEDIA | {"build", "reading"},
    "training": MEDIA | {"degrade", "models", "media.demux", "filters"},
    "cli": BASICS
    | {
        "build",
        "distributed",
        "footage",
        "jobs",
        "pipeline",
        "filters",
        "models",
        "presets",
        "compare",
        "look",
        "merge",
        "metrics",
        "networks",
        "training",
        "ui",
    },
    "__main__": {"cli"},
    "__init__": {"api", "config", "errors", "pipeline"},  # each at its first use
}
FOREIGN_BANNED = {"pipeline": {"av", "torch"}, "frames": {"av", "torch"}, "models": {"av"}}
MAX_LINES = 400
ONLY_CLI_MAY = {"print", "input", "exit"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(name: str) -> str:
    """The room of a dotted name below ``streamvsr``: its first part, and below ``media`` the folder too."""
    parts = name.split(".")
    if parts[0] == "media" and len(parts) > 1 and (PACKAGE / "media" / parts[1]).is_dir():
        return f"media.{parts[1]}"
    return parts[0]


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


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
    here = room(dotted(path))
    assert here in MAY_IMPORT, f"the new room '{here}' needs a line in MAY_IMPORT"
    for name in imports(path):
        top, _, inside = name.partition(".")
        if top == "streamvsr":
            # `import streamvsr.x` and `from streamvsr import x` both name a room; `__version__` lives in the package.
            if inside and inside != "__version__":
                target = room(inside)
                assert target == here or target in MAY_IMPORT[here], f"{here} may not import {target} ({path.name})"
        elif top in FOREIGN_BANNED.get(here, set()):
            raise AssertionError(f"{here} may not import {top} ({path.name})")


def test_no_circle() -> None:
    """The arrows that are drawn; each module's are among them."""
    left = {room: set(targets) for room, targets in MAY_IMPORT.items()}
    while free := [room for room, targets in left.items() if not targets & left.keys() - {room}]:
        for room in free:
            del left[room]
    assert not left, "in a circle, or behind one"


def test_no_module_is_too_long() -> None:
    assert [p.name for p in modules() if len(p.read_text().splitlines()) > MAX_LINES] == []


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_command_line_talks(path: Path) -> None:
    if room(dotted(path)) in ("cli", "__main__", "training"):
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ONLY_CLI_MAY, f"{path.name}:{node.lineno} calls {node.func.id}()"


@pytest.mark.parametrize("package", ["media.demux", "media.mux"])
def test_inputs_and_outputs_import_without_torch(package: str) -> None:
    code = f"import sys, streamvsr.{package}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent).returncode == 0


def test_the_project_speaks_of_itself_alone() -> None:
    for path in modules():
        text = path.read_text().lower()
        for word in ("/work/", "openai", "anthropic", "claude", "pyenv"):
            assert word not in text, f"{path.name} names {word}"
