"""The site: the Markdown of the repository, as it lies there, by Sphinx. ``make docs`` builds it into build/site."""

from __future__ import annotations

import re
from dataclasses import is_dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from streamvsr.options import options_of

project = "streamvsr"
author = "The streamvsr developers"
copyright = "The streamvsr developers, Apache-2.0"
version = release = installed_version("streamvsr")

# The source folder is the repository, so that links between pages are the same here and there.
root_doc = "README"
include_patterns = [
    "README.md", "README.zh-CN.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**.md",
    "benchmarks/RESULTS.md", "checkpoints/*.md", "demo/README.md",
]  # fmt: skip
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_heading_anchors = 4
# A fence without a language is text.
highlight_language = "none"
html_theme = "furo"
html_title = f"streamvsr {release}"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
# Types of others, which have no page here.
nitpicky = False

CONTENTS = {
    "Begin": ["docs/install", "docs/ui", "docs/recipes", "docs/look", "docs/models", "docs/messages"],
    "Use": [
        "docs/filters",
        "docs/outputs",
        "docs/live",
        "docs/runs",
        "docs/resume",
        "docs/scale",
        "docs/progress",
        "docs/compare",
    ],
    "Measure": ["docs/metrics", "docs/quality", "docs/compatibility", "benchmarks/RESULTS"],
    "Build on it": ["docs/python", "docs/api", "docs/training", "docs/engine", "ARCHITECTURE", "CONTRIBUTING"],
    "About": ["README.zh-CN", "demo/README", "checkpoints/rt", "checkpoints/rt-real", "CHANGELOG"],
}
"""Title -> pages. A page that is in none of these is an error of the build."""


def _contents(app: Any, docname: str, source: list[str]) -> None:
    """The README is the front page; what only a site needs is added to it here."""
    if docname != root_doc:
        return
    for title, pages in CONTENTS.items():
        there = "\n".join(page for page in pages if (Path(app.srcdir) / f"{page}.md").is_file())
        source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n{there}\n```\n"


def _front_page(app: Any, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        page = f'<!DOCTYPE html><meta http-equiv="refresh" content="0; url={root_doc}.html"><title>{project}</title>\n'
        (Path(app.outdir) / "index.html").write_text(page, encoding="utf-8")


def _docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Two of reStructuredText's rules that docstrings here do not follow: stars are stars, and so are bars."""
    lines[:] = [re.sub(r"(?<!`)([*|])(?!`)", r"\\\1", line) if "``" not in line else line for line in lines]
    if what == "class" and is_dataclass(obj):
        for field, face in options_of(obj):
            lines += ["", f"``{field}`` (``{face.flags[0]}``)", f"   {face.help}"]


def setup(app: Any) -> None:
    app.connect("source-read", _contents)
    app.connect("build-finished", _front_page)
    app.connect("autodoc-process-docstring", _docstring)
