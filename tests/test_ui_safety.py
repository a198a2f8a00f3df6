"""Who may ask the page's server, for which files, and with which options."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the extra ui is not installed")

from streamvsr.cli.ui_command import services
from streamvsr.errors import StreamvsrError
from streamvsr.ui.commands import order, words_of
from streamvsr.ui.folders import Folders, RefusedError
from streamvsr.ui.uploads import UploadError, plain_name, tidy
from tests.hostile_names import HOSTILE_NAMES
from tests.outputs import info, write
from tests.ui_server import UiServer, ui_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UiServer]:
    folder = tmp_path_factory.mktemp("videos")
    write(folder / "in.mkv", info(), [n * 3003 for n in range(3)])
    outside = tmp_path_factory.mktemp("outside")
    shutil.copy(folder / "in.mkv", outside / "secret.mkv")
    (folder / "link.mkv").symlink_to(outside / "secret.mkv")
    (folder / "linked").symlink_to(outside)
    with ui_server(folder, tmp_path_factory.mktemp("state"), "--max-upload", "0.001") as running:
        yield running


def test_the_token_is_needed(server: UiServer) -> None:
    for path in ("/", "/page/app.js", "/api/v1/jobs", "/api/v1/openapi.json", "/api/v1/events"):
        for token in ("-", "wrong", server.token[:-1]):
            assert server.raw("GET", path, token=token)[0] == 403
    assert server.raw("GET", "/api/v1/jobs?token=" + server.token, token="-")[0] == 403, "an address for the page alone"
    code, headers, _ = server.raw("GET", f"/?token={server.token}", token="-")
    assert code == 200
    assert "HttpOnly; SameSite=Strict" in headers["set-cookie"]
    cookie = headers["set-cookie"].partition(";")[0]
    assert server.raw("GET", "/api/v1/jobs", headers={"Cookie": cookie}, token="-")[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1.evil.example:{port}"},
        {"Host": "192.168.1.5:{port}"},
        {"Host": ""},
        {"Host": "["},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_other_sites_and_names_get_nothing(server: UiServer, headers: dict[str, str]) -> None:
    headers = {name: value.format(port=server.port) for name, value in headers.items()}
    assert server.raw("GET", "/api/v1/jobs", headers=headers)[0] in (400, 403)


def test_no_inline_script_and_nothing_from_elsewhere(server: UiServer) -> None:
    code, headers, page = server.raw("GET", "/")
    assert code == 200
    policy = headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert b"<script>" not in page
    assert b"http" not in page.replace(b"http-equiv", b"")
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("way", ["../outside0/secret.mkv", "link.mkv", "linked/secret.mkv", "linked", "/etc/passwd"])
def test_files_elsewhere_are_not_read(server: UiServer, way: str) -> None:
    path = way if way.startswith("/") else f"{server.folder}/{way}"
    assert server.raw("GET", f"/api/v1/files?path={path}")[0] == 403
    assert server.raw("GET", f"/api/v1/look?path={path}")[0] == 403
    server.submit(Path(path), status=403)


def test_links_that_lead_out_are_not_listed(server: UiServer) -> None:
    assert [one["name"] for one in server.ask("GET", f"/files?path={server.folder}")["entries"]] == ["in.mkv"]


@pytest.mark.parametrize("path", ["/page/../../../../etc/passwd", "/page/%2e%2e/web.py", "/page//etc/passwd",
                                  "/api/v1/made/../x", "/api/v1/made/abc/..%2f..%2fqueue.json"])  # fmt: skip
def test_no_file_of_the_server_is_served(server: UiServer, path: str) -> None:
    assert server.raw("GET", path)[0] in (404, 405)


def upload(server: UiServer, name: str, data: bytes, **headers: str) -> int:
    return server.raw("POST", f"/api/v1/uploads?name={name}", data, headers)[0]


def test_uploads(server: UiServer) -> None:
    data = (server.folder / "in.mkv").read_bytes()
    assert upload(server, "a.mkv", data) == 200
    assert upload(server, "a.mkv", data) == 200, "under another name"
    assert sorted(path.name for path in (server.state / "uploads").iterdir()) == ["a.mkv", "a_2.mkv"]
    assert upload(server, "../../b.mkv", data) == 200
    assert (server.state / "uploads" / "b.mkv").read_bytes() == data
    assert upload(server, "a.py", data) == 415
    assert upload(server, "a.mkv", bytes(1_000_001)) == 413
    assert server.raw("POST", "/api/v1/uploads?name=c.mkv", None, {"Transfer-Encoding": "chunked"})[0] in (400, 411)
    assert [path for path in (server.state / "uploads").iterdir() if path.name.startswith(".")] == []
    assert server.raw("GET", "/api/v1/uploads?name=a.mkv&size=1000000")[0] == 200
    assert server.raw("GET", "/api/v1/uploads?name=a.mkv&size=1000001")[0] == 413
    assert server.raw("GET", "/api/v1/uploads?name=a.txt&size=1")[0] == 415


def test_old_uploads_are_removed(tmp_path: Path) -> None:
    for name in ("new.mkv", "old.mkv", "used.mkv", ".half.mkv.upload"):
        (tmp_path / name).write_bytes(b"")
    for name in ("old.mkv", "used.mkv"):
        os.utime(tmp_path / name, (0, 0))
    tidy(tmp_path, {str(tmp_path / "used.mkv")})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.mkv", "used.mkv"]


def test_a_full_disk_is_told_before_the_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from streamvsr.ui import uploads

    monkeypatch.setattr(uploads.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 10**6))
    with pytest.raises(UploadError, match="not enough space") as caught:
        uploads.check_size("2000000", tmp_path, 1e9)
    assert caught.value.status == 507


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_names_of_uploads(name: str) -> None:
    try:
        plain = plain_name(name + ".mkv")
    except UploadError:
        return
    assert "/" not in plain
    assert not plain.startswith((".", "-"))
    assert plain.isprintable()
    assert len(plain.encode()) < 255


@pytest.mark.parametrize(
    "options",
    [
        {"model": {"--config": "x.py"}},
        {"model": {"--checkpoint": "/etc/passwd"}},
        {"model": {"--backend": "mmedit"}},
        {"output": {"-vf": "movie=/etc/passwd"}},
        {"output": {"-vf": "vsr,lut3d=file=x"}},
        {"output": {"-vf": "vsr=checkpoint=x"}},
        {"output": {"-vf": "subtitles=x"}},
        {"output": {"-vf": "drawtext=textfile=x"}},
        {"output": {"-f": "tee"}},
        {"input": {"-f": "concat"}},
        {"run": {"--live-pair": "/tmp"}},
        {"run": {"--ray": "auto"}},
        {"call": {"-o": "/tmp"}},
        {"nothing": {}},
        {"output": {"-metadata": "--strip=/tmp/x.png"}},
        {"output": {"-metadata": ["a=b", "--sheet=/tmp/x.png"]}},
        {"output": {"-crf": "-y"}},
        {"output": {"-crf": {}}},
        {"output": None},
        [1],
        {"output": {"-c:v": "libx264 -x"}, "model": []},
        {"output": {"-metadata": ["a=b", "--config=x.py"]}, "model": {"--config": "y"}},
    ],
    ids=str,
)
def test_options_that_reach_beyond_are_refused(server: UiServer, options: Any) -> None:
    code, _, _ = server.raw(
        "POST", "/api/v1/jobs",
        json.dumps({"input": f"{server.folder}/in.mkv", "options": options}).encode(),
        {"Content-Type": "application/json"},
    )  # fmt: skip
    assert code in (403, 422)


@pytest.mark.parametrize(
    "words",
    [
        "IN OUT/../../x.mkv", "IN /tmp/x.mkv", "IN -", "- OUT/x.mkv", "IN OUT/x.sh", "IN -f tee OUT/x.mkv",
        "-f concat IN OUT/x.mkv", "IN -x264-params stats=/tmp/x OUT/x.mkv", "IN -passlogfile /tmp/x OUT/x.mkv",
        "IN --preset /etc/passwd OUT/x.mkv", "IN --preset=a/b.toml OUT/x.mkv", "IN -o OUT", "--print-config IN",
        "IN OUT/x.mkv --config c.py --checkpoint c.pth", "IN OUT/x.mkv --ray auto", "IN rtmp://host/x",
        "http://host/x.mp4 OUT/x.mkv", "concat:IN OUT/x.mkv", "OUT/%d.png OUT/x.mkv", "--help", "",
        "-i IN -vf [in]movie=x[out] OUT/x.mkv",
    ],
)  # fmt: skip
def test_command_lines_that_reach_beyond_are_refused(tmp_path: Path, words: str) -> None:
    (tmp_path / "in.mkv").write_bytes(b"")
    given = words.replace("IN", str(tmp_path / "in.mkv")).replace("OUT", str(tmp_path))
    with pytest.raises(StreamvsrError):
        order(given.split(), services(), Folders([tmp_path], tmp_path / "own"))


def test_a_picture_that_is_a_link_leads_out(tmp_path: Path) -> None:
    pictures = tmp_path / "videos" / "pictures"
    pictures.mkdir(parents=True)
    (pictures / "1.png").write_bytes(b"")
    (tmp_path / "secret.png").write_bytes(b"")
    folders = Folders([tmp_path / "videos"], tmp_path / "own")
    words = [str(pictures), f"{tmp_path}/videos/x.mkv"]
    assert order(words, services(), folders).input == str(pictures)
    (pictures / "2.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(RefusedError):
        order(words, services(), folders)


@pytest.mark.parametrize("what", ["input", "output", "folders"])
def test_a_job_is_checked_again_when_it_begins(tmp_path: Path, what: str) -> None:
    videos, outside = tmp_path / "videos", tmp_path / "outside"
    for folder in (videos, outside):
        folder.mkdir()
    write(videos / "in.mkv", info(), [0])
    shutil.copy(videos / "in.mkv", outside / "secret.mkv")
    with ui_server(videos, tmp_path / "state") as server:
        # Bytes that are no video: the first job stands at the head of the queue until it has failed.
        first = server.submit(videos / "in.mkv", options={"model": {"--model": "bicubic"}})
        job = server.submit(videos / "in.mkv", options={"model": {"--model": "bicubic"}})
        if what == "input":
            (videos / "in.mkv").unlink()
            (videos / "in.mkv").symlink_to(outside / "secret.mkv")
        elif what == "output":
            Path(job["output"]).symlink_to(outside / "written.mkv")
        else:
            server.kill()
            server.folder = outside
            server.start()
        server.wait(first)
        found = server.wait(job)
    assert (found["state"], found["progress"]) == ("failed", None)
    assert "outside of the folders" in found["error"]
    assert not (outside / "written.mkv").exists()


def test_lists_that_lead_elsewhere_are_no_videos(server: UiServer) -> None:
    secret = server.folder.parent / "outside0" / "secret.mkv"
    lists = {
        "list.mp4": f"ffconcat version 1.0\nfile '{secret}'\n",
        "up.mp4": "ffconcat version 1.0\nfile '../../../outside0/secret.mkv'\n",
        "hls.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:{secret}\n#EXT-X-ENDLIST\n",
        "sdp.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    }
    for name, text in lists.items():
        assert upload(server, name, text.encode()) == 200
        path = f"{server.state}/uploads/{name}"
        assert server.raw("GET", f"/api/v1/look?path={path}")[0] == 422
        job = server.wait(server.submit(Path(path), options={"model": {"--model": "bicubic"}}))
        assert job["state"] == "failed"
        server.ask("DELETE", f"/jobs/{job['id']}")
        assert not Path(path).exists(), "an upload goes with its last job"


def test_an_input_is_served_as_a_video_or_as_bytes(server: UiServer) -> None:
    (server.folder / "page.html").write_text("<script>alert(1)</script>")
    job = server.wait(server.submit(server.folder / "page.html"))
    _, headers, _ = server.raw("GET", f"/api/v1/jobs/{job['id']}/video/before")
    assert headers["content-type"] == "application/octet-stream"
    assert headers["x-content-type-options"] == "nosniff"
    (server.folder / "page.html").unlink()


def test_names_that_are_no_text_are_left_out(server: UiServer) -> None:
    path = os.fsencode(server.folder) + b"/\xff\xfe.mkv"
    with open(path, "wb"):
        pass
    assert "in.mkv" in [one["name"] for one in server.ask("GET", f"/files?path={server.folder}")["entries"]]
    os.unlink(path)
    server.ask("POST", "/jobs", {"input": "/\udc80.mkv"}, 403)


def test_what_is_taken(tmp_path: Path) -> None:
    (tmp_path / "in.mkv").write_bytes(b"")
    folders = Folders([tmp_path], tmp_path / "own")
    spec = {"input": f"{tmp_path}/in.mkv", "preset": "archive", "suffix": ".mkv",
            "options": {"input": {"-ss": "1"}, "output": {"-vf": "bwdif,vsr,unsharp_mask=amount=0.5", "-an": True},
                        "run": {"--resume": "no"}}}  # fmt: skip
    found = order(words_of(spec, folders), services(), folders)
    assert found.output == f"{tmp_path}/in_x4.mkv"
    assert (found.config.output.video_codec, found.config.run.resume) == ("libx265", False)
    live = order(["rtsp://user:secret@cam/1", f"{tmp_path}/cam.mkv"], services(), folders)
    assert live.live


def test_nothing_is_readable_by_a_form_of_another_site(server: UiServer) -> None:
    assert server.raw("POST", "/api/v1/jobs", b"{}", {"Content-Type": "text/plain"})[0] == 422
    assert server.raw("POST", "/api/v1/jobs", b"[]", {"Content-Type": "application/json"})[0] == 422
    assert server.raw("POST", "/api/v1/jobs", b"{" * 5000, {"Content-Type": "application/json"})[0] == 422
    assert server.raw("POST", "/api/v1/jobs", bytes(2 << 20), {"Content-Type": "application/json"})[0] == 413
