"""The page in a real browser: the whole way of a video, and what can come between."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest

pytest.importorskip("starlette", reason="the extra ui is not installed")

from tests.browser import SIZES, Browser, Page, browser, expect, opened, until
from tests.conftest import ROOT
from tests.ui_server import UiServer, ui_server

if TYPE_CHECKING:
    from playwright.sync_api import APIResponse, Route

__all__ = ["browser"]
DEMO = ROOT / "demo" / "city_180p.mp4"
FRAME_SECONDS = 1 / 25
IN_STEP = """([left, right], seconds) => new Promise((resolve) => {
    const differences = [];
    const begin = performance.now();
    const look = () => {
        differences.push(Math.abs(left.currentTime - right.currentTime));
        if (right.ended || performance.now() - begin > 1000 * seconds) resolve(differences);
        else requestAnimationFrame(look);
    };
    look();
})"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UiServer]:
    folder = tmp_path_factory.mktemp("videos")
    for name in ("city.mp4", "late.mp4", "order.mp4"):
        shutil.copy(DEMO, folder / name)
    with ui_server(folder, tmp_path_factory.mktemp("state")) as running:
        yield running


def choose(page: Page, name: str = "city.mp4") -> None:
    page.get_by_role("button", name=name, exact=True).click()
    expect(page.get_by_role("img", name=name)).to_be_visible()


def set_option(page: Page, flag: str, value: str) -> None:
    """One of "more", by its line of help."""
    if page.get_by_text("More: every other option").locator("..").get_attribute("open") is None:
        page.get_by_text("More: every other option").click()
    field = page.get_by_label(f"{flag}: ", exact=False).first
    field.fill(value)
    field.press("Tab")


def fast(page: Page) -> None:
    page.get_by_role("combobox", name="Network", exact=True).select_option("bicubic")
    expect(page.locator("code")).to_contain_text("--model=bicubic")


def test_the_whole_way(browser: Browser, server: UiServer) -> None:
    with opened(browser, server) as page:
        expect(page.locator(".files li")).not_to_have_count(0)
        assert 20_000 < sum(page.evaluate(SIZES)) < 150_000
        assert page.url == f"http://127.0.0.1:{server.port}/", "the token is in no history"
        # Choose and look.
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="choose files").click()
        chooser.value.set_files(DEMO)
        look = page.locator("section[aria-labelledby=look-title]")
        expect(look).to_contain_text("320\u00d7180")
        expect(look).to_contain_text("sound aac")
        assert look.get_by_role("img").evaluate("image => image.naturalWidth") > 500
        # Decide.
        set_option(page, "-frames:v", "50")
        page.get_by_role("slider", name="Quality").fill("30")
        page.get_by_role("radio", name="to have a look soon").check()
        for words in ("--preset=preview", "-crf 30", "-frames:v 50", "city_180p.mp4"):
            expect(page.locator("code")).to_contain_text(words)
        # Preview.
        page.get_by_role("slider", name="moment").fill("1")
        page.get_by_role("button", name="One frame", exact=True).click()
        preview = page.locator("section[aria-labelledby=preview-title]")
        handle = preview.get_by_role("slider", name="Where before")
        expect(handle).to_have_attribute("aria-valuenow", "50")
        sizes = preview.get_by_role("img").evaluate_all("all => all.map(one => [one.naturalWidth, one.naturalHeight])")
        assert sizes[0] == sizes[1] != [0, 0]
        handle.press("ArrowLeft")
        expect(handle).to_have_attribute("aria-valuenow", "49")
        handle.press("Home")
        expect(handle).to_have_attribute("aria-valuenow", "0")
        box = preview.locator(".stage").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 1, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + box["height"] / 2, steps=5)
        page.mouse.up()
        expect(handle).to_have_attribute("aria-valuenow", "75")
        assert "inset(0px 25%" in preview.locator(".layer").last.evaluate("layer => layer.style.clipPath")
        preview.get_by_role("button", name="Zoom in").click()
        assert "scale(2)" in preview.get_by_role("img").first.evaluate("image => image.style.transform")
        preview.get_by_role("button", name="Two seconds").click()
        expect(preview.locator("video")).to_have_count(2)
        # Forecast and start.
        page.get_by_role("button", name="How long").click()
        expect(page.locator("section[aria-labelledby=start-title]")).to_contain_text("free on the disk")
        page.get_by_role("button", name="Add to the queue").click()
        job = page.get_by_role("article", name="city_180p_x4.mp4")
        # Watch.
        expect(job.get_by_role("progressbar")).to_be_visible()
        expect(job.locator("compare-slider img")).to_have_count(2)
        expect(job).to_contain_text("stage times")
        page.reload()
        expect(job).to_be_visible()
        expect(job.get_by_text("done", exact=True)).to_be_visible()
        expect(job).to_contain_text("50 / 50 frames")
        # The result.
        job.get_by_role("button", name="Result").click()
        in_step(page, job)
        with page.expect_download() as download:
            job.get_by_role("link", name="Download").click()
        with av.open(str(download.value.path())) as container:
            video = container.streams.video[0]
            assert (video.width, video.height, sum(1 for _ in container.decode(video))) == (1280, 720, 50)


def test_frames_that_come_late_leave_the_result_alone(browser: Browser, server: UiServer) -> None:
    held: list[tuple[Route, APIResponse]] = []
    with opened(browser, server) as page:
        page.route(re.compile("/pair/after"), lambda route: held.append((route, route.fetch())))
        choose(page, "late.mp4")
        set_option(page, "-frames:v", "40")
        page.get_by_role("button", name="Add to the queue").click()
        job = page.get_by_role("article", name="late_x4.mp4")
        until(page, lambda: held)
        expect(job.get_by_text("done", exact=True)).to_be_visible()
        job.get_by_role("button", name="Result").click()
        expect(job.locator("video")).to_have_count(2)
        for route, response in held:
            route.fulfill(response=response)
        page.wait_for_timeout(500)
        expect(job.locator("video")).to_have_count(2)


def in_step(page: Page, job: object) -> None:
    """Two videos, played, sought and stepped through."""
    videos = page.locator(".job video")
    expect(videos).to_have_count(2)
    ready = "all => all.every(one => one.readyState >= 3 && !one.seeking)"
    until(page, lambda: videos.evaluate_all(ready))
    page.locator(".job").get_by_role("button", name="Play", exact=True).click()
    until(page, lambda: videos.evaluate_all("all => all.every(one => one.currentTime > 0)"))
    differences = videos.evaluate_all(IN_STEP, 1.2)
    page.locator(".job").get_by_role("button", name=re.compile("^(Pause|Play)$")).first.click()
    assert len(differences) > 3
    assert max(differences) < FRAME_SECONDS, differences
    until(page, lambda: videos.evaluate_all("all => all.every(one => one.paused)"))
    times = []
    for act in (
        lambda: page.locator(".job").get_by_label("Position").fill("500"),
        lambda: page.locator(".job").get_by_role("button", name="One frame on").click(),
    ):
        act()
        until(page, lambda: videos.evaluate_all(ready))
        times.append(videos.evaluate_all("all => all.map(one => one.currentTime)"))
        assert abs(times[-1][0] - times[-1][1]) < FRAME_SECONDS / 2
    assert abs(times[0][0] - 1) < FRAME_SECONDS, "the middle of two seconds"
    assert abs(times[1][0] - times[0][0] - FRAME_SECONDS) < 0.001


def test_both_ways_in_one_view(browser: Browser, server: UiServer) -> None:
    with opened(browser, server) as page:
        choose(page)
        fast(page)
        set_option(page, "-frames:v", "20")
        page.get_by_role("radio", name="both, to compare").check()
        page.get_by_role("button", name="One frame", exact=True).click()
        preview = page.locator("section[aria-labelledby=preview-title]")
        expect(preview.locator(".tag")).to_have_text(["traditional", "network"])
        page.get_by_role("button", name="Add to the queue").click()
        jobs = [page.get_by_role("article", name=name) for name in ("city_x4.mp4", "city_traditional.mp4")]
        for job in jobs:
            expect(job.get_by_text("done", exact=True)).to_be_visible()
        jobs[0].get_by_role("button", name="Result").click()
        jobs[0].get_by_role("combobox", name="left side").select_option("traditional")
        expect(jobs[0].locator(".tag")).to_have_text(["traditional", "network"])
        until(page, lambda: jobs[0].locator("video").evaluate_all("all => all.every(one => one.videoWidth === 1280)"))


def test_a_killed_server_in_mid_job(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    shutil.copy(DEMO, folder / "city.mp4")
    with ui_server(folder, tmp_path / "state") as server, opened(browser, server) as page:
        choose(page)
        fast(page)
        page.get_by_role("button", name="Add to the queue").click()
        job = page.get_by_role("article", name="city_x4.mp4")
        expect(job.get_by_role("progressbar")).to_be_visible()
        job.get_by_role("button", name="Pause").click()
        expect(job.get_by_text("paused", exact=True)).to_be_visible()
        server.kill()
        lost = page.get_by_text("the server does not answer")
        expect(lost).to_be_visible()
        server.start()
        expect(lost).to_have_count(0)
        expect(job.get_by_text("paused", exact=True)).to_be_visible()
        job.get_by_role("button", name="Go on").click()
        expect(job.get_by_text("done", exact=True)).to_be_visible()
        expect(job).to_contain_text("120 / 120 frames")


def test_cancel_retry_and_the_order(browser: Browser, server: UiServer) -> None:
    with opened(browser, server) as page:
        choose(page, "order.mp4")
        fast(page)
        page.get_by_role("combobox", name="Size", exact=True).select_option("1.5")
        waiting = page.locator(".job", has_text="waiting")
        for count in range(3):
            page.get_by_role("button", name="Add to the queue").click()
            expect(page.locator(".job", has_text="order_x4")).to_have_count(count + 1)
        running = page.locator(".job", has_text="running")
        expect(running.get_by_role("progressbar")).to_be_visible()
        running.get_by_role("button", name="Pause").click()
        expect(page.locator(".job", has_text="paused")).to_be_visible()
        names = waiting.locator("h3").all_text_contents()
        waiting.first.get_by_role("button", name="Later").click()
        expect(waiting.locator("h3")).to_have_text(names[::-1])
        assert page.evaluate("document.activeElement.textContent") == "Later"
        waiting.first.get_by_role("button", name="Cancel").click()
        waiting.first.get_by_role("button", name="Cancel").click()
        page.locator(".job", has_text="paused").get_by_role("button", name="Cancel").click()
        expect(page.locator(".job", has_text="cancelled")).to_have_count(3)
        page.get_by_role("button", name="Try again").first.click()
        expect(page.locator(".job", has_text="order_x4").get_by_text("done", exact=True)).to_have_count(1)
        for _ in range(2):
            page.locator(".job", has_text="cancelled").first.get_by_role("button", name="Forget").click()
        expect(page.locator(".job", has_text="cancelled")).to_have_count(0)


def test_wrong_files_and_hostile_names(browser: Browser, server: UiServer, tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)><script>alert(2)<script>.mkv"
    with av.open(str(DEMO)) as source, av.open(str(tmp_path / "in.mkv"), "w") as target:
        target.metadata["title"] = "<script>alert(3)</script><b>bold</b>"
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    (tmp_path / "notes.txt").write_text("no video")
    (tmp_path / "broken.mp4").write_bytes(b"no video" * 1000)
    shutil.copy(tmp_path / "in.mkv", tmp_path / evil)
    with opened(browser, server) as page:
        picker = page.locator("input[type=file]")
        picker.set_input_files(tmp_path / "notes.txt")
        expect(page.get_by_role("alert").filter(has_text="no video by its name")).to_be_visible()
        picker.set_input_files(tmp_path / "broken.mp4")
        expect(page.get_by_role("alert").filter(has_text="FFmpeg cannot make sense of it")).to_be_visible()
        expect(page.get_by_role("button", name="Add to the queue")).to_be_hidden()
        picker.set_input_files(tmp_path / evil)
        look = page.locator("section[aria-labelledby=look-title]")
        expect(look.get_by_text("<script>alert(3)</script><b>bold</b>")).to_be_visible()
        expect(page.locator("section[aria-labelledby=choose-title]")).to_contain_text("<img src=x onerror=alert(1)>")
        fast(page)
        set_option(page, "-frames:v", "3")
        page.get_by_role("button", name="Add to the queue").click()
        job = page.locator(".job", has_text="<img src=x onerror=alert(1)>")
        expect(job.get_by_text("done", exact=True)).to_be_visible()
        job.get_by_role("button", name="Log").click()
        expect(job.locator("pre")).to_contain_text("frames")
        assert page.evaluate("document.querySelectorAll('script, b, img[src=x]').length") == 1, "the page's own script"


def test_a_full_disk(browser: Browser, tmp_path: Path) -> None:
    """The videos' disk has 3 MB, in a mount namespace of the server; then that of its uploads."""
    import subprocess

    from tests.conftest import missing

    apart = ["unshare", "--mount", "--map-root-user"]
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"], capture_output=True).returncode:
        missing("a mount namespace (unshare --mount)")
    for name in ("videos", "state"):
        (tmp_path / name).mkdir()
    script = 'mount -t tmpfs -o size=3m none "$0" && cp "$1" "$0/city.mp4" && shift && exec "$@"'
    before = [*apart, "sh", "-c", script, str(tmp_path / "videos"), str(DEMO)]
    with ui_server(tmp_path / "videos", tmp_path / "state", before=before) as server, opened(browser, server) as page:
        choose(page)
        fast(page)
        page.get_by_role("slider", name="Quality").fill("0")
        page.get_by_role("button", name="Add to the queue").click()
        job = page.get_by_role("article", name="city_x4.mp4")
        expect(job.get_by_text("failed", exact=True)).to_be_visible()
        expect(job.get_by_role("alert")).to_contain_text("no space left on the device")
        listed = server.ask("GET", f"/files?path={server.folder}")["entries"]
        assert [one["name"] for one in listed if not one["folder"]] == ["city.mp4"]
    (tmp_path / "videos" / "x").mkdir()
    before = [*apart, "sh", "-c", script, str(tmp_path / "state"), str(DEMO)]
    with ui_server(tmp_path / "videos", tmp_path / "state", before=before) as server, opened(browser, server) as page:
        page.locator("input[type=file]").set_input_files(DEMO)
        expect(page.get_by_role("alert").filter(has_text="not enough space on the disk")).to_be_visible()
