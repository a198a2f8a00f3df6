"""What the page costs: its weight and first paint, the live pair to a run, and fifty open pages to the server.

    python benchmarks/bench_ui.py [--rounds N]

First paint: the page in Chromium on this machine, each time in a context without a cache. Live pair: the demo clip with
and without a client that touches ``watched`` and reads both JPEGs every 1.5 seconds, as the page does; in turns,
processor seconds of the run's process, median of the rounds. Events: fifty connections that never read, and the
server's memory after 100 changes of the queue and after 500.
"""

from __future__ import annotations

import argparse
import http.client
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser import ARGUMENTS, SIZES, chromium  # noqa: E402
from tests.ui_server import UiServer, ui_server  # noqa: E402

DEMO = ROOT / "demo" / "city_180p.mp4"
PAIR_SECONDS = 1.5


def paint(server: UiServer, rounds: int) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        times, bytes_ = [], 0
        for _ in range(rounds + 1):
            page = browser.new_context().new_page()
            page.goto(server.url)
            page.locator(".files li").first.wait_for()
            entry = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
            times.append(page.evaluate(entry))
            bytes_ = sum(page.evaluate(SIZES))
            page.context.close()
        browser.close()
    # The first starts the browser's processes.
    first, *later = (round(one) for one in times)
    print(f"first paint: median {statistics.median(later):.0f} ms of {later}, first {first}")
    print(f"first page: {bytes_ / 1000:.0f} kB with everything that it asks for")


def run(folder: Path, watched: bool) -> tuple[float, float]:
    """(processor seconds, seconds) of a run."""
    pair = folder / "pair"
    shutil.rmtree(pair, ignore_errors=True)
    pair.mkdir()
    ended = threading.Event()

    def watch() -> None:
        while watched and not ended.is_set():
            (pair / "watched").touch()
            for name in ("before.jpg", "after.jpg"):
                if (pair / name).exists():
                    (pair / name).read_bytes()
            ended.wait(PAIR_SECONDS)

    watcher = threading.Thread(target=watch)
    words = [sys.executable, "-m", "streamvsr", "-y", "--quiet", "--no-resume", "--live-pair", str(pair)]
    words += ["--model", "rt", str(DEMO), "-preset", "veryfast", str(folder / "o.mp4")]
    begin = time.monotonic()
    process = subprocess.Popen(words)
    watcher.start()
    _, status, usage = os.wait4(process.pid, 0)
    took = time.monotonic() - begin
    ended.set()
    watcher.join()
    assert status == 0
    assert (pair / "after.jpg").exists() == watched
    return usage.ru_utime + usage.ru_stime, took


def live_pair(folder: Path, rounds: int) -> None:
    run(folder, False)
    found: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(rounds):
        for watched in (False, True):
            found[watched].append(run(folder, watched)[0])
    plain, seen = (statistics.median(found[watched]) for watched in (False, True))
    print(f"live pair: {plain:.2f} s of the processors without, {seen:.2f} with: {100 * (seen / plain - 1):+.1f} %")
    print(f"  {[round(x, 2) for x in found[False]]} {[round(x, 2) for x in found[True]]}")


def memory(server: UiServer) -> float:
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1000


def fifty(server: UiServer) -> None:
    spec: dict[str, Any] = {"model": {"--model": "bicubic"}, "output": {"-s": "1280x720", "-preset": "slow"}}
    jobs = [server.submit(server.folder / "city.mp4", options=spec) for _ in range(3)]
    server.wait(jobs[0], "running")
    while not (server.state / "jobs" / jobs[0]["id"] / "pid.json").exists():
        time.sleep(0.05)
    server.ask("POST", f"/jobs/{jobs[0]['id']}/pause", {})
    alone = memory(server)
    clients = []
    for _ in range(50):
        client = http.client.HTTPConnection("127.0.0.1", server.port)
        client.request("GET", "/api/v1/events", headers={"Authorization": f"Bearer {server.token}"})
        clients.append((client, client.getresponse()))
    after = []
    for count in (100, 400):
        for _ in range(count):
            server.ask("POST", f"/jobs/{jobs[2]['id']}/move", {"before": jobs[1]["id"]})
        after.append(memory(server))
    print(f"fifty clients: {alone:.1f} MB alone, {after[0]:.1f} after 100 changes, {after[1]:.1f} after 500")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "videos"
        folder.mkdir()
        shutil.copy(DEMO, folder / "city.mp4")
        with ui_server(folder, Path(name) / "state") as server:
            paint(server, rounds)
            fifty(server)
        live_pair(Path(name), rounds)


if __name__ == "__main__":
    main()
