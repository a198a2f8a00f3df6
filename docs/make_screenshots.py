"""Makes the pictures of docs/ui.md in docs/pictures: the page in Chromium, with the demo clip. ui.webp moves.

    python docs/make_screenshots.py [--all FOLDER]

``--all``: every step, as PNG, at 1280 and 390 pixels, to be looked at.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import Locator, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser import ARGUMENTS, chromium, until  # noqa: E402
from tests.ui_server import ui_server  # noqa: E402

TARGET = ROOT / "docs" / "pictures"
SIZE = {"width": 1280, "height": 800}
NARROW = {"width": 390, "height": 844}
QUALITY = 82
SHOWN = "[...document.querySelectorAll('video')].every(video => video.readyState > 1 && !video.seeking)"
"""JavaScript: whether videos show a frame."""
FILM_SIZE, FILM_QUALITY = (800, 500), 60
PATIENCE_MS = 300_000


def keep(page: Page, name: str) -> None:
    pixels = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    cv2.imwrite(str(TARGET / name), pixels, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    print(f"{name}: {(TARGET / name).stat().st_size // 1000} kB")


class Film:
    """Moments of the page, one after another."""

    def __init__(self) -> None:
        self._frames: list[np.ndarray] = []
        self._durations: list[int] = []

    def add(self, page: Page, milliseconds: int) -> None:
        pixels = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
        self._frames.append(cv2.resize(pixels, FILM_SIZE, interpolation=cv2.INTER_AREA))
        self._durations.append(milliseconds)

    def sweep(self, page: Page, slider: Locator) -> None:
        """The line to the left, and to the right again."""
        for key in (*["Shift+ArrowLeft"] * 3, *["Shift+ArrowRight"] * 6):
            slider.press(key)
            self.add(page, 250)

    def keep(self, name: str) -> None:
        film = cv2.Animation()
        film.frames, film.durations = self._frames, np.array(self._durations, np.int32)
        cv2.imwriteanimation(str(TARGET / name), film, [cv2.IMWRITE_WEBP_QUALITY, FILM_QUALITY])
        print(f"{name}: {(TARGET / name).stat().st_size // 1000} kB, {len(self._frames)} frames")


def scroll_to(page: Page, section: str) -> None:
    page.evaluate("id => document.getElementById(id).closest('section').scrollIntoView()", section)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", type=Path)
    every = parser.parse_args().all

    def step(page: Page, name: str) -> None:
        if every is None:
            return
        every.mkdir(parents=True, exist_ok=True)
        for size in (SIZE, NARROW):
            page.set_viewport_size(size)  # type: ignore[arg-type]
            page.screenshot(path=every / f"{name}_{size['width']}.png", full_page=True)
        page.set_viewport_size(SIZE)  # type: ignore[arg-type]

    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name) / "Videos"
        (folder / "Tapes").mkdir(parents=True)
        shutil.copy(ROOT / "demo" / "city_180p.mp4", folder / "city.mp4")
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        with ui_server(folder, Path(name) / "state") as server:
            page = browser.new_context(viewport=SIZE, locale="en-GB").new_page()  # type: ignore[arg-type]
            page.set_default_timeout(PATIENCE_MS)
            expect.set_options(timeout=PATIENCE_MS)
            film = Film()
            page.goto(server.url)
            expect(page.get_by_role("button", name="city.mp4", exact=True)).to_be_visible()
            film.add(page, 1500)
            page.get_by_role("button", name="city.mp4", exact=True).click()
            expect(page.get_by_role("img", name="city.mp4")).to_be_visible()
            step(page, "1_look")
            scroll_to(page, "look-title")
            film.add(page, 2000)
            page.get_by_role("button", name="One frame", exact=True).click()
            preview = page.locator("section[aria-labelledby=preview-title]")
            slider = preview.get_by_role("slider", name="Where before")
            expect(slider).to_be_visible()
            scroll_to(page, "preview-title")
            film.sweep(page, slider)
            slider.press("Shift+ArrowLeft")
            page.get_by_role("button", name="How long").click()
            expect(page.get_by_text("free on the disk")).to_be_visible()
            step(page, "2_preview")
            film.add(page, 2000)
            scroll_to(page, "decide-title")
            page.get_by_role("button", name="Add to the queue").click()
            expect(page.get_by_text("in the queue")).to_have_count(1)
            expect(page.locator(".job compare-slider")).to_be_visible()
            page.locator(".job [role=slider]").press("Shift+ArrowRight")
            film.add(page, 1000)
            step(page, "3_watch")
            expect(page.locator("#said")).to_be_empty()
            scroll_to(page, "preview-title")
            keep(page, "ui_watch.webp")
            scroll_to(page, "look-title")
            keep(page, "ui_decide.webp")
            film.sweep(page, page.locator(".job [role=slider]"))
            page.get_by_role("button", name="Result").click()
            page.get_by_role("button", name="One frame on").click()
            until(page, lambda: bool(page.evaluate(SHOWN)))
            film.add(page, 2500)
            film.keep("ui.webp")
            step(page, "4_result")
            page.get_by_role("button", name="中文").click()
            step(page, "5_chinese")
        browser.close()


if __name__ == "__main__":
    main()
