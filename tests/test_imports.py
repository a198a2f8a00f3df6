"""Every module of the package can be imported, and compiles without a warning on each Python that is tested."""

from __future__ import annotations

import importlib
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest

import streamvsr

pytestmark = pytest.mark.io

ROOT = Path(streamvsr.__file__).resolve().parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if path.name != "__main__.py" and path.is_relative_to(ROOT) and "configs" not in path.parts
)
OPTIONAL = {
    *("torch", "safetensors", "mmcv", "mmedit", "ray", "onnx", "matplotlib", "brisque", "ssimulacra2", "spandrel"),
    "starlette",
}
"""Where one of these is not installed, modules that need it are told apart by the error that names it."""


def test_the_modules_are_found() -> None:
    assert len(MODULES) > 200
    assert {"streamvsr.cli.app", "streamvsr.vsr.filter", "streamvsr.models.rt.network"} <= set(MODULES)


def test_every_module_can_be_imported() -> None:
    left_out: dict[str, str] = {}
    for name in MODULES:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            left_out[name] = (error.name or str(error)).partition(".")[0]
    missing = set(left_out.values())
    assert missing <= OPTIONAL, left_out
    assert {package for package in missing if find_spec(package) is not None} == set(), left_out
    assert len(left_out) < len(MODULES) / 2, left_out


def test_the_source_compiles_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in ROOT.rglob("*.py"):
            compile(path.read_text(encoding="utf-8"), str(path), "exec")
