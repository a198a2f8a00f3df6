"""The blind page: both results of each moment, no name to be seen, nothing from outside."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from streamvsr.cli.app import main
from tests.test_look import moving, write


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.chdir(tmp_path)
    small = [np.ascontiguousarray(frame[::2, ::2]) for frame in moving(25)]
    return [write(tmp_path / "a.mkv", moving(25), "ffv1"), write(tmp_path / "b.mkv", small, "ffv1")]


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    loaded: dict[str, Any] = json.loads(found[1])
    return loaded


def image(text: str) -> Any:
    return cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR)


def test_pairs_are_of_one_moment_and_one_size(clips: list[Path]) -> None:
    assert main(["ab", "a.mkv", "b.mkv", "page.html", "--pairs", "3"]) == 0
    data = data_of(Path("page.html").read_text())
    assert data["names"] == ["a.mkv", "b.mkv"]
    assert [pair["seconds"] for pair in data["pairs"]] == pytest.approx([0.166, 0.5, 0.833], abs=0.002)
    for pair in data["pairs"]:
        one, two = (image(text).astype(int) for text in pair["images"])
        assert one.shape == two.shape == (192, 320, 3)
        # The same moment: the small one is the large one with less detail.
        assert np.abs(one - two).mean() < 8
    first, last = (image(data["pairs"][n]["images"][0]).astype(int) for n in (0, 2))
    assert np.abs(first - last).mean() > 8


def test_nothing_comes_from_outside_and_no_name_is_shown(clips: list[Path]) -> None:
    assert main(["ab", "a.mkv", "b.mkv", "page.html", "--pairs", "1", "--title", "A < B & <i>"]) == 0
    page = Path("page.html").read_text()
    assert not re.search(r"(?:src|href)\s*=\s*[\"'](?!data:)", page)
    assert "http://" not in page.replace("http-equiv", "")
    assert "https://" not in page
    assert "<title>A &lt; B &amp; &lt;i&gt;</title>" in page
    visible = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "a.mkv" not in visible
    assert "default-src 'none'" in page


def test_the_page_does_not_say_where_the_files_lie(clips: list[Path]) -> None:
    assert main(["ab", *(str(clip.resolve()) for clip in clips[:2]), "page.html", "--pairs", "1"]) == 0
    page = Path("page.html").read_text()
    assert data_of(page)["names"] == ["a.mkv", "b.mkv"]
    assert str(Path.cwd()) not in page


def test_no_file_name_can_end_the_script(clips: list[Path]) -> None:
    name = "<script>alert(1)&\"'.mkv"
    shutil.copy("a.mkv", name)
    assert main(["ab", name, "b.mkv", "page.html", "--pairs", "1"]) == 0
    page = Path("page.html").read_text()
    assert data_of(page)["names"][0] == name
    assert page.count("<script") == 2


def test_a_page_is_not_overwritten_unasked(clips: list[Path]) -> None:
    Path("page.html").write_text("mine")
    assert main(["ab", "a.mkv", "b.mkv", "page.html"]) == 2
    assert Path("page.html").read_text() == "mine"
    assert main(["ab", "a.mkv", "b.mkv"]) == 2
    assert main(["ab", "a.mkv", "missing.mkv", "other.html"]) == 1
    assert not Path("other.html").exists()


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node, to run the page's script")
def test_votes_become_csv(clips: list[Path]) -> None:
    shutil.copy("a.mkv", 'say "a".mkv')
    assert main(["ab", 'say "a".mkv', "b.mkv", "page.html", "--pairs", "2"]) == 0
    page = Path("page.html").read_text()
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)[0]
    payload = json.dumps(data_of(page))
    stand_in = """
    const made = {};
    const make = () => ({style: {}, dataset: {}, addEventListener() {}, click() {}});
    globalThis.document = {getElementById: (id) => made[id] ??= make(), querySelectorAll: () => [],
      addEventListener() {}, createElement: make};
    made.data = {textContent: JSON.stringify(%s)};
    """
    run = f"{stand_in % payload}\n{script}\nvote('left'); vote('right'); vote('left'); console.log(csv());"
    Path("run.js").write_text(run)
    done = subprocess.run(["node", "run.js"], capture_output=True, text=True, check=True)
    lines = done.stdout.strip().splitlines()
    assert lines[0] == '"seconds","left","right","chosen","milliseconds"'
    assert len(lines) == 3
    for line, side in zip(lines[1:], (1, 2), strict=True):
        cells = re.findall(r'"((?:[^"]|"")*)"', line)
        assert cells[3] == cells[side]
        assert {cells[1], cells[2]} == {'say ""a"".mkv', "b.mkv"}
