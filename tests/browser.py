"""For tests of the page: Chromium, driven by Playwright, and axe-core, which finds what keeps people out."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import IN_CI, ROOT, missing
from tests.ui_server import UiServer

if not IN_CI:
    pytest.importorskip("playwright", reason="Playwright is not installed: make setup")
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage

__all__ = ["ARGUMENTS", "SIZES", "axe", "browser", "chromium", "opened", "tab_to", "until"]
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
]
"""Nothing but the page is asked for."""
AXE = "axe-core@4.14.1"
NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 120_000
MOST_TABS = 400
SIZES = "['navigation', 'resource'].flatMap(kind => performance.getEntriesByType(kind)).map(one => one.transferSize)"
"""JavaScript: bytes of the page and of all that it has asked for."""


def chromium() -> str:
    """The program. Skips, or fails in CI, where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        missing("Chromium (Debian: apt install chromium)")
    return found or ""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = chromium()
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield found
        found.close()


@contextlib.contextmanager
def opened(browser: Browser, server: UiServer, **how: Any) -> Iterator[Page]:
    """The page in a context of its own. Errors of scripts, and what the content-security-policy had to block, fail."""
    context = browser.new_context(**{"locale": "en-GB", "viewport": {"width": 1280, "height": 900}, **how})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    wrong: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        # What the server refuses, or is not there to answer, is shown by the page.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            wrong.append(message.text)

    page.on("console", listen)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    page.goto(server.url)
    try:
        yield page
        assert wrong == []
    finally:
        context.close()


def tab_to(page: Page, wanted: Locator) -> None:
    """Press the tab key until the focus is there."""
    expect(wanted).to_be_visible()
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"{wanted} is not reached by the tab key")


def until(page: Page, condition: Callable[[], bool]) -> None:
    """Wait for what Playwright has no waiting for; its own ``wait_for_function`` needs eval, which the page forbids."""
    end = time.monotonic() + PATIENCE_MS / 1000
    while not condition():
        assert time.monotonic() < end, "this does not come"
        page.wait_for_timeout(50)


def axe(page: Page) -> list[str]:
    """Serious and critical faults of what is shown. Fetches axe-core once into build/."""
    folder = ROOT / "build" / "axe"
    script = folder / "package" / "axe.min.js"
    if not script.exists():
        folder.mkdir(parents=True, exist_ok=True)
        npm = shutil.which("npm")
        if npm is None:
            missing("npm, which fetches axe-core")
        done = subprocess.run([str(npm), "pack", AXE], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            missing(f"axe-core ({done.stderr.strip()[-200:]})")
        with tarfile.open(folder / done.stdout.strip().splitlines()[-1]) as archive:
            archive.extract("package/axe.min.js", folder, filter="data")
    # Not as an element, which the page's policy would block.
    page.evaluate(script.read_text(encoding="utf-8"))
    found = page.evaluate("async () => (await axe.run()).violations")
    return [
        f"{one['id']}: {node['html'][:200]} {node['failureSummary']}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
