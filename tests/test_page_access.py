"""The page for everybody: keyboard, narrow screens, languages, assistive technology; live inputs; results."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

pytest.importorskip("starlette", reason="the extra ui is not installed")

from tests.browser import Browser, Page, axe, browser, expect, opened, tab_to, until
from tests.conftest import ROOT, missing
from tests.rtsp_server import NEEDS, RtspServer, is_here, make_clip
from tests.ui_server import UiServer, ui_server

__all__ = ["browser"]
DEMO = ROOT / "demo" / "city_180p.mp4"


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file manager that writes down what it was asked to open."""
    folder = tmp_path_factory.mktemp("programs")
    opener = folder / "xdg-open"
    opener.write_text(f'#!/bin/sh\nprintf %s "$1" > "{folder}/opened"\n')
    opener.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, programs: Path) -> Iterator[UiServer]:
    folder = tmp_path_factory.mktemp("videos")
    shutil.copy(DEMO, folder / "city.mp4")
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    with ui_server(folder, tmp_path_factory.mktemp("state"), env={"PATH": path}) as running:
        spec = {"model": {"--model": "bicubic"}, "output": {"-frames:v": "10"}}
        assert running.wait(running.submit(folder / "city.mp4", options=spec))["state"] == "done"
        yield running


def choose(page: Page) -> None:
    page.get_by_role("button", name="city.mp4", exact=True).click()
    expect(page.get_by_role("img", name="city.mp4")).to_be_visible()


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_by_keyboard_alone(browser: Browser, server: UiServer) -> None:
    with opened(browser, server) as page:
        keys = page.keyboard
        tab_to(page, page.get_by_role("button", name="choose files"))
        tab_to(page, page.get_by_role("button", name="city.mp4", exact=True))
        keys.press("Enter")
        expect(page.get_by_role("img", name="city.mp4")).to_be_visible()
        tab_to(page, page.get_by_role("radio", name="for watching"))
        keys.press("ArrowDown")
        expect(page.locator("code")).to_contain_text("--preset=archive")
        keys.press("ArrowUp")
        expect(page.locator("code")).not_to_contain_text("--preset")
        assert page.evaluate("document.activeElement.type") == "radio", "the focus stays"
        tab_to(page, page.get_by_role("combobox", name="Network", exact=True))
        keys.type("bic")
        expect(page.locator("code")).to_contain_text("--model=bicubic")
        tab_to(page, page.get_by_role("slider", name="Strength"))
        keys.press("ArrowLeft")
        expect(page.locator("code")).to_contain_text("--strength=0.95")
        tab_to(page, page.get_by_role("button", name="Strength: usual"))
        keys.press("Enter")
        expect(page.locator("code")).not_to_contain_text("--strength")
        for name in ("Classical filters", "More: every other option"):
            tab_to(page, page.locator("summary", has_text=name))
            keys.press("Enter")
        tab_to(page, page.get_by_role("checkbox", name="unsharp_mask"))
        keys.press("Space")
        expect(page.locator("code")).to_contain_text("-vf unsharp_mask,vsr")
        tab_to(page, page.get_by_label("-frames:v: ", exact=False).first)
        keys.type("30")
        tab_to(page, page.get_by_role("button", name="copy", exact=True))
        expect(page.locator("code")).to_contain_text("-frames:v 30")
        tab_to(page, page.get_by_role("slider", name="moment"))
        tab_to(page, page.get_by_role("button", name="One frame", exact=True))
        keys.press("Enter")
        handle = page.locator("section[aria-labelledby=preview-title]").get_by_role("slider", name="Where before")
        tab_to(page, handle)
        keys.press("Shift+ArrowRight")
        expect(handle).to_have_attribute("aria-valuenow", "60")
        tab_to(page, page.get_by_role("button", name="Add to the queue"))
        keys.press("Enter")
        job = page.get_by_role("article", name="city_x4_2.mp4")
        expect(job.get_by_text("done", exact=True)).to_be_visible()
        tab_to(page, job.get_by_role("button", name="Result"))
        keys.press("Enter")
        expect(job.locator("video")).to_have_count(2)
        for name in ("Play", "One frame back", "One frame on"):
            tab_to(page, job.get_by_role("button", name=name, exact=True))
        tab_to(page, job.get_by_label("Position"))


def test_no_serious_fault_for_assistive_technology(browser: Browser, server: UiServer) -> None:
    for how in ({}, {"color_scheme": "dark"}, {"locale": "zh-CN", "viewport": {"width": 390, "height": 844}}):
        with opened(browser, server, **how) as page:
            assert axe(page) == []
            page.locator(".files button.link", has_text=re.compile(r"^city\.mp4$")).click()
            expect(page.get_by_role("img", name="city.mp4")).to_be_visible()
            for summary in page.locator("summary").all():
                if summary.locator("..").get_attribute("open") is None:
                    summary.click()
            page.locator("section[aria-labelledby=preview-title] button.main").click()
            expect(page.locator("compare-slider")).to_be_visible()
            page.locator(".job button.main").first.click()
            expect(page.locator(".job video").first).to_be_visible()
            assert axe(page) == []


def test_a_narrow_screen(browser: Browser, server: UiServer) -> None:
    with opened(browser, server, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True) as page:
        expect(page.locator(".job")).not_to_have_count(0)
        assert fits(page)
        choose(page)
        for summary in page.locator("summary").all():
            if summary.locator("..").get_attribute("open") is None:
                summary.click()
        page.get_by_role("button", name="One frame", exact=True).click()
        expect(page.locator("compare-slider img")).to_have_count(2)
        page.get_by_role("button", name="Result").first.click()
        expect(page.locator(".job video")).to_have_count(2)
        assert fits(page)
        handle = page.locator("section[aria-labelledby=preview-title]").get_by_role("slider", name="Where before")
        page.locator("section[aria-labelledby=preview-title] .stage").tap(position={"x": 20, "y": 60})
        assert float(handle.get_attribute("aria-valuenow") or 50) < 10, "a finger moves the line"


def test_languages(browser: Browser, server: UiServer) -> None:
    with opened(browser, server, locale="zh-CN") as page:
        expect(page.get_by_role("button", name="选择文件")).to_be_visible()
        assert page.evaluate("document.documentElement.lang") == "zh-CN"
        expect(page.locator(".job").first).to_contain_text(re.compile("[0-9]{4}年[0-9]{1,2}月"))
        page.get_by_role("button", name="English").click()
        expect(page.get_by_role("button", name="choose files")).to_be_visible()
        page.reload()
        expect(page.get_by_role("button", name="choose files")).to_be_visible()
    with opened(browser, server, locale="de-DE") as page:
        choose(page)
        expect(page.locator(".files", has_text="city_x4").first).to_contain_text(re.compile("[0-9] kB"))
        page.get_by_role("combobox", name="Size", exact=True).select_option("1,5 times")


def test_what_a_result_offers(browser: Browser, server: UiServer, programs: Path) -> None:
    with opened(browser, server) as page:
        job = page.get_by_role("article", name="city_x4.mp4")
        job.get_by_role("button", name="Measure").click()
        expect(job).to_contain_text(re.compile(r"BRISQUE.*before -?[0-9.]+, after -?[0-9.]+"))
        job.get_by_role("button", name="Open folder").click()
        opened_folder = programs / "opened"
        until(page, lambda: opened_folder.exists() and opened_folder.read_text() == str(server.folder))
        job.get_by_role("button", name="Make a comparison video").click()
        compared = page.get_by_role("article", name="city_x4_compare")
        expect(compared.get_by_text("done", exact=True)).to_be_visible()
        compared.get_by_role("button", name="Result").click()
        video = compared.locator("video")
        expect(video).to_be_visible()
        expect(video).to_have_js_property("videoWidth", 1280)


def test_a_live_input(browser: Browser, server: UiServer, tmp_path: Path) -> None:
    if not is_here():
        missing(NEEDS)
    make_clip(tmp_path / "clip.mp4", 200)
    with RtspServer(file=tmp_path / "clip.mp4") as camera, opened(browser, server) as page:
        page.locator("summary", has_text="Live stream").click()
        page.get_by_role("textbox", name="Live stream").fill("http://example.org/")
        page.get_by_role("button", name="Use", exact=True).click()
        expect(page.get_by_role("status").filter(has_text="an address begins with")).to_be_visible()
        page.get_by_role("textbox", name="Live stream").fill(camera.url("/live"))
        page.get_by_role("button", name="Use", exact=True).click()
        page.get_by_role("combobox", name="Network", exact=True).select_option("bicubic")
        page.get_by_role("radio", name="for streams").check()
        page.get_by_role("button", name="Start", exact=True).click()
        job = page.locator(".job", has_text="live_127.0.0.1")
        expect(job.locator("compare-slider img")).to_have_count(2)
        expect(job.get_by_role("button", name="Pause")).to_have_count(0)
        job.get_by_role("button", name="Stop and keep").click()
        expect(job.get_by_text("done", exact=True)).to_be_visible()
        name = job.locator("h3").inner_text()
        job.get_by_role("button", name="Result").click()
        expect(job.locator("video")).to_be_visible()
    with av.open(str(server.folder / name)) as container:
        assert (container.streams.video[0].width, len(container.streams.audio)) == (1280, 1)
        assert sum(1 for _ in container.decode(video=0)) > 5
