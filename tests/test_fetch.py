"""Downloads against servers on this machine that behave, cut the line, lie, or are not there."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from streamvsr.cli import main
from streamvsr.errors import CheckpointError
from streamvsr.models import registry
from streamvsr.models.fetch import fetch
from streamvsr.models.manifest import Known, Place

pytestmark = pytest.mark.io

CONTENT = bytes(i * i % 251 for i in range(700_001))
DIGEST = hashlib.sha256(CONTENT).hexdigest()
QUICK = (0.0, 0.0)


@dataclass
class Site:
    """What the server does, and what it was asked."""

    address: str = ""
    content: bytes = CONTENT
    ranges: bool = True
    lengths: bool = True
    cut_after: list[int] = field(default_factory=list)
    """For each answer to come, the bytes after which its connection is cut."""
    codes: list[int] = field(default_factory=list)
    """For each answer to come, an error instead; 0: none."""
    redirect: str = ""
    hang: bool = False
    asked: list[str | None] = field(default_factory=list)
    """The Range of each request."""
    over: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    # A proxy of the surroundings must not be asked for this machine.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            site.asked.append(wanted)
            if site.redirect and self.path != "/moved.pth":
                self.send_response(302)
                self.send_header("Location", site.redirect)
                self.end_headers()
                return
            if site.codes and (code := site.codes.pop(0)):
                self.send_error(code)
                return
            body, first = site.content, 0
            if wanted and site.ranges:
                first = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if first >= len(body):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(body)}")
                    self.end_headers()
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            if site.lengths:
                self.send_header("Content-Length", str(len(body) - first))
            self.end_headers()
            if site.hang:
                site.over.wait(20)
                return
            body = body[first:]
            self.wfile.write(body[: site.cut_after.pop(0)] if site.cut_after else body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    site.address = f"http://127.0.0.1:{server.server_port}"
    yield site
    site.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


def known(site: Site, **changes: object) -> Known:
    place = Place(f"{site.address}/dir/small-1.pth", sha256=DIGEST)
    return Known("small", "basicvsr", ("small*.pth",), "CC0-1.0", 4, "", 100, (replace(place, **changes),))  # type: ignore[arg-type]


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_download_that_goes_well(site: Site, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    folder = tmp_path / "new" / "cache"
    path = fetch(known(site), folder, on_progress=lambda done, total: told.append((done, total)))
    assert path == folder / "small-1.pth"
    assert path.read_bytes() == CONTENT
    assert left(folder) == ["small-1.pth"]
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert fetch(known(site), folder) == path
    assert site.asked == [None], "what is there and right is not fetched again"


def test_only_the_beginning_of_the_hash_is_known(site: Site, tmp_path: Path) -> None:
    assert fetch(known(site, sha256=None, sha256_prefix=DIGEST[:8]), tmp_path).is_file()
    with pytest.raises(CheckpointError, match=r"expected 0123abcd\.\.\."):
        fetch(known(site, sha256=None, sha256_prefix="0123abcd"), tmp_path / "other")
    assert left(tmp_path / "other") == []


def test_a_wrong_hash_is_deleted(site: Site, tmp_path: Path) -> None:
    site.content = CONTENT[:-1] + b"!"
    with pytest.raises(CheckpointError, match=r"not the file that was published .* it was deleted") as caught:
        fetch(known(site), tmp_path)
    assert "\n" not in str(caught.value)
    assert site.address in str(caught.value)
    assert left(tmp_path) == []


def test_a_wrong_file_of_that_name_is_replaced_only_by_the_right_one(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "small-1.pth"
    target.write_bytes(b"mine")
    site.codes = [404]
    with pytest.raises(CheckpointError, match="404"):
        fetch(known(site), tmp_path)
    assert target.read_bytes() == b"mine"
    assert fetch(known(site), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
def test_cut_connections(site: Site, tmp_path: Path, ranges: bool) -> None:
    """Where the server can, only what is missing is sent; else all of it again, and it is the same file."""
    site.ranges, site.cut_after = ranges, [300_000, 200_000]
    assert fetch(known(site), tmp_path, waits_seconds=QUICK).read_bytes() == CONTENT
    assert site.asked == [None, "bytes=300000-", "bytes=500000-" if ranges else "bytes=200000-"]
    assert left(tmp_path) == ["small-1.pth"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_later_run_goes_on(site: Site, tmp_path: Path, ranges: bool) -> None:
    site.ranges, site.cut_after = ranges, [400_000, 0, 0]
    with pytest.raises(CheckpointError, match=r"cut at 0\.4 of 0\.7 MB; 0\.4 MB are here, the same command goes on"):
        fetch(known(site), tmp_path, waits_seconds=QUICK[:1] if ranges else ())
    assert left(tmp_path) == ["small-1.pth.part"]
    site.cut_after, site.asked = [], []
    assert fetch(known(site), tmp_path).read_bytes() == CONTENT
    assert site.asked == ["bytes=400000-"]


def test_what_lay_there_was_of_another_version(site: Site, tmp_path: Path) -> None:
    (tmp_path / "small-1.pth.part").write_bytes(b"old" * 1000)
    assert fetch(known(site), tmp_path).read_bytes() == CONTENT
    assert site.asked == ["bytes=3000-", None]


@pytest.mark.parametrize("extra", [b"", b"more than there is"])
def test_what_lay_there_was_whole_or_too_long(site: Site, tmp_path: Path, extra: bytes) -> None:
    (tmp_path / "small-1.pth.part").write_bytes(CONTENT + extra)
    assert fetch(known(site), tmp_path).read_bytes() == CONTENT
    assert left(tmp_path) == ["small-1.pth"]


def test_a_server_that_does_not_say_how_much(site: Site, tmp_path: Path) -> None:
    """Then a cut looks like the end; the hash tells."""
    site.lengths = False
    assert fetch(known(site), tmp_path).read_bytes() == CONTENT
    site.cut_after = [1000]
    with pytest.raises(CheckpointError, match="not the file that was published"):
        fetch(known(site), tmp_path / "other")


def test_a_server_that_is_busy_in_the_middle(site: Site, tmp_path: Path) -> None:
    site.cut_after, site.codes = [1000], [0, 503]
    assert fetch(known(site), tmp_path, waits_seconds=QUICK).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("code", "words"), [(404, "404 Not Found; the file may have moved"), (403, "403"), (500, "500 .* try again later")]
)
def test_answers_that_are_errors(site: Site, tmp_path: Path, code: int, words: str) -> None:
    site.codes = [code] * 9
    with pytest.raises(CheckpointError, match=words):
        fetch(known(site), tmp_path)
    assert len(site.asked) == 1, "nothing had come: no reason to insist"


def test_a_server_that_stops_answering(site: Site, tmp_path: Path) -> None:
    site.hang = True
    with pytest.raises(CheckpointError, match="no answer in time"):
        fetch(known(site), tmp_path, timeout_seconds=0.2)


def test_no_network(tmp_path: Path, site: Site) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(CheckpointError, match="cannot be fetched: no connection") as caught:
        fetch(known(site, url=f"http://127.0.0.1:{port}/small-1.pth"), tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match="no connection"):
        fetch(known(site, url="https://nowhere.invalid/small-1.pth"), tmp_path)


def test_redirects(site: Site, tmp_path: Path) -> None:
    site.redirect = f"{site.address}/moved.pth"
    assert fetch(known(site), tmp_path).name == "small-1.pth"
    for elsewhere in ("http://example.com/x.pth", "ftp://127.0.0.1/x.pth"):
        site.redirect = elsewhere
        with pytest.raises(CheckpointError, match=f"{elsewhere}: is no https address"):
            fetch(known(site), tmp_path / "other")


@pytest.mark.parametrize("url", ["http://example.com/a.pth", "file:///etc/passwd", "ftp://localhost/a.pth"])
def test_addresses_that_are_refused(site: Site, tmp_path: Path, url: str) -> None:
    with pytest.raises(CheckpointError, match="is no https address"):
        fetch(known(site, url=url), tmp_path)


def test_what_cannot_be_fetched(site: Site, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="comes with streamvsr"):
        fetch(replace(known(site), places=()), tmp_path)
    with pytest.raises(CheckpointError, match="no hash is known"):
        fetch(known(site, sha256=None), tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CheckpointError, match="file: cannot be written"):
        fetch(known(site), tmp_path / "file")


class TestMirrors:
    """Several places for one file, tried in order."""

    def two(self, site: Site, first: Place) -> Known:
        there = known(site)
        return replace(there, places=(first, *there.places))

    @pytest.mark.parametrize(
        ("first", "words"),
        [
            ("/gone/small-0.pth", "404"),
            ("https://nowhere.invalid/small-0.pth", "no connection"),
        ],
    )
    def test_the_next_one_is_tried(self, site: Site, tmp_path: Path, first: str, words: str) -> None:
        site.codes = [404] if first.startswith("/") else []
        url = site.address + first if first.startswith("/") else first
        notes: list[str] = []
        path = fetch(self.two(site, Place(url, sha256=DIGEST)), tmp_path, note=notes.append)
        assert (path.name, path.read_bytes()) == ("small-1.pth", CONTENT)
        assert len(notes) == 1
        assert words in notes[0]
        assert f"trying {site.address}/dir/small-1.pth" in notes[0]

    def test_a_wrong_file_at_the_first(self, site: Site, tmp_path: Path) -> None:
        both = self.two(site, Place(f"{site.address}/dir/small-0.pth", sha256="0" * 64))
        assert fetch(both, tmp_path).name == "small-1.pth"
        assert left(tmp_path) == ["small-1.pth"]

    def test_a_mirror_goes_on_from_where_the_other_was_cut(self, site: Site, tmp_path: Path) -> None:
        site.cut_after = [300_000]
        both = self.two(site, Place(f"{site.address}/mirror/small-1.pth", sha256=DIGEST))
        assert fetch(both, tmp_path, waits_seconds=()).read_bytes() == CONTENT
        assert site.asked == [None, "bytes=300000-"]

    def test_what_lies_there_from_any_place_is_enough(self, site: Site, tmp_path: Path) -> None:
        (tmp_path / "small-1.pth").write_bytes(CONTENT)
        assert fetch(self.two(site, Place("https://nowhere.invalid/x.pth", sha256="1" * 64)), tmp_path).is_file()
        assert site.asked == []

    def test_all_of_them_fail(self, site: Site, tmp_path: Path) -> None:
        site.codes = [404, 500]
        with pytest.raises(CheckpointError, match=r"small: all 2 places failed: .*404.*; .*500") as caught:
            fetch(self.two(site, Place(f"{site.address}/small-0.pth", sha256=DIGEST)), tmp_path)
        assert "\n" not in str(caught.value)


class TestCommand:
    @pytest.fixture(autouse=True)
    def manifest(self, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(registry, "known_checkpoints", lambda: (known(site),))
        monkeypatch.setenv("STREAMVSR_CACHE", str(tmp_path / "cache"))
        monkeypatch.chdir(tmp_path)

    def test_fetch(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["models", "fetch", "small"]) == 0
        out, err = capsys.readouterr()
        assert (out, err.splitlines()[-1]) == ("", f"small: {tmp_path / 'cache' / 'small-1.pth'}")
        assert main(["models", "fetch", "--quiet", "basicvsr"]) == 0
        assert capsys.readouterr().err == ""
        assert main(["models"]) == 0
        assert "small (CC0-1.0): here" in capsys.readouterr().out

    def test_errors_are_one_line(self, site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        site.content = b"something else"
        assert main(["models", "fetch", "--quiet", "small"]) == 1
        err = capsys.readouterr().err
        assert err.startswith("error: http://127.0.0.1")
        assert err.count("\n") == 1
        assert left(tmp_path / "cache") == []
        assert main(["models", "fetch", "small", "smal"]) == 2
        assert "did you mean small?" in capsys.readouterr().err
        assert len(site.asked) == 1

    def test_sources(self, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["models", "fetch", "--list"]) == 0
        assert f"{site.address}/dir/small-1.pth\n    sha256 {DIGEST}" in capsys.readouterr().out


@pytest.mark.parametrize("terminal", [True, False])
def test_the_display(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from streamvsr.cli import download
    from streamvsr.cli.console import Console

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(download, "LINE_INTERVAL_SECONDS", 0.0)
    screen = Screen()
    with download.Download("small", Console(stream=screen)) as shown:
        shown.update(1_000_000, None)
        shown.update(2_000_000, 4_000_000)
        shown.update(4_000_000, 4_000_000)
    text = screen.getvalue()
    assert "small" in text
    assert ("4.0/4.0 MB" in text) if terminal else ("small: 2.0 of 4.0 MB" in text)
    with download.Download("small", Console(stream=screen, quiet=True)) as shown:
        shown.update(1, 1)
    assert screen.getvalue() == text
