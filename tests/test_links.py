"""Every link of the pages leads somewhere: to a file of the repository, and to a heading where it names one."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.io
ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/*.md", "benchmarks/*.md", "checkpoints/*.md", "demo/*.md")
    for page in ROOT.glob(pattern)
)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_MENTIONED = re.compile(r"(?<![\w/.-])docs/[\w.-]+\.(?:md|png)")


def prose(page: Path) -> str:
    """The page without its fences of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The headings as GitHub makes addresses of them."""
    heads = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page: Path) -> None:
    for link in _LINK.findall(prose(page)):
        parts = urlsplit(link)
        if parts.scheme:
            assert parts.scheme == "https", link
            assert parts.hostname, link
            continue
        target = page.parent / parts.path if parts.path else page
        assert target.exists(), f"{page.name}: {link} leads nowhere"
        assert not parts.fragment or parts.fragment in anchors(target), f"{page.name}: {link}: there is no such heading"


@pytest.mark.parametrize("folder", ["streamvsr", "docs", "."])
def test_pages_that_texts_name(folder: str) -> None:
    """Help and messages send people to ``docs/look.md``."""
    pattern = {"streamvsr": "**/*.py", "docs": "*.md", ".": "*.md"}[folder]
    for file in (ROOT / folder).glob(pattern):
        if file.name == "CHANGELOG.md":  # what was true then
            continue
        for name in _MENTIONED.findall(file.read_text(encoding="utf-8")):
            assert (ROOT / name).is_file(), f"{file}: {name}"


def test_every_page_of_the_docs_is_linked_or_in_the_contents() -> None:
    contents = (ROOT / "docs" / "conf.py").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert f'"docs/{page.stem}"' in contents, page.name
