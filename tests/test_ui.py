"""The page's server over HTTP: the way of a video through it, what survives, and what is refused."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

pytest.importorskip("starlette", reason="the extra ui is not installed")

from streamvsr.ui.hub import Hub
from streamvsr.ui.jobs import Job, Queue, State
from streamvsr.ui.scheduler import Scheduler
from streamvsr.ui.supervise import held, lock
from streamvsr.ui.web import ENDPOINTS
from tests.conftest import ROOT
from tests.outputs import info, write
from tests.ui_server import UiServer, ui_server

DEMO = ROOT / "demo" / "city_180p.mp4"
BICUBIC = {"model": {"--model": "bicubic"}}
SLOW = {"model": {"--model": "bicubic"}, "output": {"-s": "1280x720", "-preset": "slow"}}
"""Some ten seconds of work."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UiServer]:
    folder = tmp_path_factory.mktemp("videos")
    shutil.copy(DEMO, folder / "city.mp4")
    write(folder / "short.mkv", info(), [n * 3003 for n in range(3)])
    with ui_server(folder, tmp_path_factory.mktemp("state")) as running:
        yield running


def test_the_way_of_a_video(server: UiServer) -> None:
    listed = server.ask("GET", f"/files?path={server.folder}")
    assert [entry["name"] for entry in listed["entries"]][:2] == ["city.mp4", "short.mkv"]
    source = server.folder / "city.mp4"
    found = server.ask("GET", f"/look?path={source}")
    assert (found["footage"]["width"], found["contents"]["tracks"][0]["codec"]) == (320, "aac")
    code, headers, strip = server.raw("GET", f"/api/v1/made/{found['strip']}")
    assert (code, headers["content-type"], strip[:4]) == (200, "image/png", b"\x89PNG")
    spec = {"input": str(source), "options": {**BICUBIC, "output": {"-crf": "30", "-t": "1"}}}
    told = server.ask("POST", "/command", spec)
    assert told["command"] == f"streamvsr -i {source} --model=bicubic -crf 30 -t 1 {server.folder}/city_x4.mp4"
    preview = server.ask("POST", "/preview", {**spec, "at": 1, "whole": True})
    for side in ("before", "after"):
        assert server.raw("GET", f"/api/v1/made/{preview[side]}")[2][:4] == b"\x89PNG"
    clip = server.ask("POST", "/preview", {**spec, "at": 1, "seconds": 0.4})
    assert b"ftyp" in server.raw("GET", f"/api/v1/made/{clip['after']}")[2][:16]
    forecast = server.ask("POST", "/forecast", spec)
    assert forecast["seconds"] > 0
    assert forecast["free"] > 0
    assert sorted(path.name for path in server.folder.iterdir()) == ["city.mp4", "short.mkv"], "nothing is begun"
    job = server.wait(server.submit(source, options=spec["options"]))
    assert (job["state"], job["progress"]["frames"]) == ("done", 25), job
    code, headers, data = server.raw("GET", f"/api/v1/jobs/{job['id']}/result")
    assert data == (server.folder / "city_x4.mp4").read_bytes()
    assert "attachment" in headers["content-disposition"]
    code, _, part = server.raw("GET", f"/api/v1/jobs/{job['id']}/video/before", headers={"Range": "bytes=0-99"})
    assert (code, len(part)) == (206, 100), "browsers seek"
    compared = server.ask("POST", f"/jobs/{job['id']}/compare", {}, 201)
    assert server.wait(compared)["state"] == "done", server.wait(compared)
    assert server.raw("GET", f"/api/v1/jobs/{job['id']}/log")[2].count(b'"type": "progress"') >= 1


def test_both_ways(server: UiServer) -> None:
    answer = server.ask("POST", "/jobs", {"input": str(server.folder / "short.mkv"), "method": "both",
                                          "options": BICUBIC}, 201)  # fmt: skip
    network, traditional = answer["jobs"]
    assert network["group"] == traditional["group"] != ""
    assert [server.wait(job)["state"] for job in (network, traditional)] == ["done", "done"]
    assert "traditional" in traditional["output_name"]


@pytest.mark.parametrize("options", [{"model": {"--model": "bicubic", "--scale": "1.5"}}, BICUBIC], ids=["scale", "4K"])
def test_both_results_have_one_size(server: UiServer, options: dict[str, dict[str, str]]) -> None:
    source = server.folder / "large.mkv"
    write(source, info(width=1200, height=16), [0])
    answer = server.ask("POST", "/jobs", {"input": str(source), "method": "both", "options": options}, 201)
    done = [server.wait(job) for job in answer["jobs"]]
    assert [job["state"] for job in done] == ["done", "done"]
    sizes = []
    for job in done:
        with av.open(job["output"]) as container:
            sizes.append((container.streams.video[0].width, container.streams.video[0].height))
        os.unlink(job["output"])
    assert sizes == [(1800, 24) if "--scale" in options["model"] else (3840, 52)] * 2
    source.unlink()


def submit(server: UiServer, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streamvsr", "submit", "--state", str(server.state), *words]
    return subprocess.run(command, cwd=server.folder, capture_output=True, text=True)


def test_a_program_submits(server: UiServer, tmp_path: Path) -> None:
    done = submit(server, "--wait", "short.mkv", "--model", "bicubic", "mine.mkv")
    assert done.returncode == 0, done.stderr
    assert (server.folder / "mine.mkv").stat().st_size > 0
    done = submit(server, "short.mkv", str(tmp_path / "mine.mkv"))
    assert done.returncode == 2
    assert "outside of the folders" in done.stderr


def test_a_failing_job_tells_its_error_and_is_tried_again(server: UiServer) -> None:
    bad = server.folder / "bad.mp4"
    bad.write_bytes(b"no video" * 100)
    job = server.wait(server.submit(bad, options=BICUBIC))
    assert job["state"] == "failed"
    assert "FFmpeg cannot make sense of it" in job["error"]
    shutil.copy(server.folder / "short.mkv", bad)
    server.ask("POST", f"/jobs/{job['id']}/retry", {})
    assert server.wait(job)["state"] == "done"
    server.ask("DELETE", f"/jobs/{job['id']}")
    server.ask("GET", f"/jobs/{job['id']}", status=404)


def test_pause_order_and_cancel(server: UiServer) -> None:
    source = server.folder / "city.mp4"
    first, second, third = (server.submit(source, options=SLOW) for _ in range(3))
    assert len({job["output"] for job in (first, second, third)}) == 3
    server.wait(first, "running")
    server.ask("POST", f"/jobs/{third['id']}/move", {"before": second["id"]})
    order = [job["id"] for job in server.ask("GET", "/jobs")["jobs"]]
    assert order.index(third["id"]) < order.index(second["id"])
    while not (server.state / "jobs" / first["id"] / "pid.json").exists():
        time.sleep(0.02)
    assert server.ask("POST", f"/jobs/{first['id']}/pause", {})["state"] == "paused"
    time.sleep(0.5)
    frames = (server.ask("GET", f"/jobs/{first['id']}")["progress"] or {}).get("frames", 0)
    time.sleep(0.7)
    assert (server.ask("GET", f"/jobs/{first['id']}")["progress"] or {}).get("frames", 0) == frames
    server.ask("POST", f"/jobs/{first['id']}/resume", {})
    for job in (second, third):
        assert server.ask("POST", f"/jobs/{job['id']}/cancel", {})["state"] == "cancelled"
    server.ask("POST", f"/jobs/{first['id']}/cancel", {})
    assert server.wait(first)["state"] == "cancelled"
    assert not os.path.exists(first["output"]), "nothing is left under the output's name"
    server.ask("POST", f"/jobs/{first['id']}/pause", {}, 409)


def test_a_killed_server_loses_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    shutil.copy(DEMO, folder / "city.mp4")
    with ui_server(folder, tmp_path / "state") as server:
        job, after = (server.submit(folder / "city.mp4", options=SLOW) for _ in range(2))
        server.wait(job, "running")
        while not (server.state / "jobs" / job["id"] / "pid.json").exists():
            time.sleep(0.02)
        process = json.loads((server.state / "jobs" / job["id"] / "pid.json").read_text())["pid"]
        url = server.url
        server.kill()
        os.kill(process, 0)
        server.start()
        assert server.url == url, "pages that are open find it again"
        again = server.ask("GET", "/jobs")["jobs"]
        assert [(one["id"], one["state"]) for one in again] == [(job["id"], "running"), (after["id"], "queued")]
        assert json.loads((server.state / "jobs" / job["id"] / "pid.json").read_text())["pid"] == process, "the same"
        server.ask("POST", f"/jobs/{after['id']}/cancel", {})
        # Server and job are killed together, as by a power cut: it goes on through its store.
        server.kill()
        record = json.loads((server.state / "jobs" / job["id"] / "pid.json").read_text())
        for who in ("supervisor", "pid"):
            os.kill(record[who], 9)
        server.start()
        done = server.wait(job)
        assert (done["state"], done["progress"]["frames"]) == ("done", 120), done


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_job_has_one_supervisor_however_early_the_server_is_killed(state: State, tmp_path: Path) -> None:
    """It is alive from its first moment on, long before it has named the job's process."""
    queue = Queue(tmp_path)
    job = queue.add(Job("", "run", ["in.mp4", "out.mp4"], "in.mp4", "out.mp4", state=state))
    folder = queue.folder(job)
    assert not held(folder)
    with lock(folder) as inherited:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=inherited)
    assert held(folder), "the child has the lock, and this process let go of it"
    scheduler = Scheduler(queue, lambda _: None, lambda _: None)
    scheduler.look()
    scheduler.look()
    assert job.state == "running"
    assert not (folder / "command.json").exists(), "no other was begun"
    child.communicate(b"\n")
    scheduler.look()
    assert job.state == "failed", "it has ended, and left no word"


def test_events(server: UiServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", "/api/v1/events", headers={"Authorization": f"Bearer {server.token}"})
    stream = connection.getresponse()
    assert stream.readline() == b"event: jobs\n"
    assert json.loads(stream.readline().removeprefix(b"data: "))["type"] == "jobs"
    job = server.submit(server.folder / "short.mkv", options=BICUBIC)
    states = []
    while "done" not in states:
        line = stream.readline()
        if line.startswith(b"data: "):
            event = json.loads(line.removeprefix(b"data: "))
            if event.get("job", {}).get("id") == job["id"]:
                states.append(event["job"]["state"])
    assert states[-1] == "done"
    connection.close()


def test_slow_clients_cost_nothing() -> None:
    """Fifty that never read, and thousands of events: each has room for one state a job."""
    hub = Hub()

    async def many() -> int:
        streams = [hub.events({"type": "jobs", "jobs": []}) for _ in range(50)]
        for stream in streams:
            await anext(stream)
        for number in range(1000):
            for job in ("a", "b"):
                hub.tell(job, {"type": "job", "job": {"id": job, "number": number}})
        held = sum(len(client.waiting) for client in hub._clients)
        assert '"number": 999' in await anext(streams[0])
        for stream in streams:
            await stream.aclose()
        return held

    assert asyncio.run(many()) == 100
    assert hub.clients == 0


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="memory is read from /proc")
def test_fifty_pages_at_once(server: UiServer) -> None:
    slow, first, last = (server.submit(server.folder / "city.mp4", options=SLOW) for _ in range(3))
    server.wait(slow, "running")
    while not (server.state / "jobs" / slow["id"] / "pid.json").exists():
        time.sleep(0.02)
    server.ask("POST", f"/jobs/{slow['id']}/pause", {})
    clients = []
    for _ in range(50):
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        client.request("GET", "/api/v1/events", headers={"Authorization": f"Bearer {server.token}"})
        clients.append((client, client.getresponse()))
    assert [answer.status for _, answer in clients] == [200] * 50
    used = []
    for count in (100, 300):
        for _ in range(count):
            server.ask("POST", f"/jobs/{last['id']}/move", {"before": first["id"]})
        status = Path(f"/proc/{server.process.pid}/status").read_text() if server.process else ""
        used.append(int(status.partition("VmRSS:")[2].split()[0]))
    # Kept, 300 snapshots for each of 50 clients would be more than 30 MB.
    assert used[1] - used[0] < 8_000, used
    for client, answer in clients:
        answer.close()
        client.close()
    for job in (first, last, slow):
        server.ask("POST", f"/jobs/{job['id']}/cancel", {})
    assert server.wait(slow)["state"] == "cancelled"


def test_the_live_pair_is_there_for_who_watches(server: UiServer) -> None:
    job = server.submit(server.folder / "city.mp4", options=SLOW)
    pair = server.state / "jobs" / job["id"] / "pair"
    while ((server.ask("GET", f"/jobs/{job['id']}")["progress"] or {}).get("frames") or 0) < 5:
        time.sleep(0.05)
    assert list(pair.iterdir()) == [], "no page is open"
    while server.ask("GET", f"/jobs/{job['id']}/pair")["number"] is None:
        assert server.ask("GET", f"/jobs/{job['id']}")["state"] == "running"
        time.sleep(0.1)
    for side in ("before", "after"):
        assert server.raw("GET", f"/api/v1/jobs/{job['id']}/pair/{side}")[2][:2] == b"\xff\xd8"
    server.ask("POST", f"/jobs/{job['id']}/stop", {})
    done = server.wait(job)
    assert done["state"] == "done"
    with av.open(done["output"]) as container:
        assert 0 < sum(1 for _ in container.decode(video=0)) < 120, "it ends where it was stopped"


def test_the_document(server: UiServer) -> None:
    found = server.ask("GET", "/openapi.json")
    assert found["openapi"].startswith("3.1")
    for path in ("/jobs", "/jobs/{id}", "/events", "/jobs/{id}/result"):
        assert f"/api/v1{path}" in found["paths"]
    for path, methods in found["paths"].items():
        for method, about in methods.items():
            named = {one["name"] for one in about.get("parameters", []) if one["in"] == "path"}
            assert named == set(re.findall("{(.*?)}", path)), (method, path)
            assert {"summary", "operationId", "responses"} <= set(about)
    names = [about["operationId"] for methods in found["paths"].values() for about in methods.values()]
    assert len(names) == len(set(names))
    assert {"POST", "GET", "DELETE"} == {one.method for one in ENDPOINTS}


def test_every_language_of_the_form(server: UiServer) -> None:
    english, chinese = (server.ask("GET", f"/form?lang={language}") for language in ("en", "zh"))
    flags = [face["flag"] for face in english["groups"]["output"]]
    assert "-crf" in flags
    assert flags == [face["flag"] for face in chinese["groups"]["output"]]
    assert english["groups"]["output"] != chinese["groups"]["output"]
    assert "rt" in [model["name"] for model in english["models"]]
    assert "--config" not in [face["flag"] for face in english["groups"]["model"]]
