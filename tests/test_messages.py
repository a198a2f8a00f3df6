"""docs/messages.md has what the source raises, and raised messages are found in it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from streamvsr.cli import main

pytestmark = pytest.mark.io
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_messages", ROOT / "docs" / "make_messages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_that_of_the_source(generator: ModuleType) -> None:
    assert (ROOT / "docs" / "messages.md").read_text(encoding="utf-8") == generator.page(), (
        "run: python docs/make_messages.py"
    )


def test_every_kind_of_error_is_explained(generator: ModuleType) -> None:
    told = {kind for texts in generator.messages().values() for kind in texts.values()}
    assert told <= set(generator.KINDS) | {"ReaderLeftError", "StreamvsrError"}


def test_advice_belongs_to_messages_that_there_are(generator: ModuleType) -> None:
    texts = [text for texts in generator.messages().values() for text in texts]
    for start in generator.ADVICE:
        assert any(text.startswith(start) for text in texts), start


@pytest.mark.parametrize(
    "words",
    [
        ["in.mp4"],
        ["missing.mp4", "out.mp4"],
        ["a.mp4", "b.mp4", "c.mp4"],
        ["comapre", "a.mp4", "b.mp4"],
        ["a.mp4", "b.mp4", "--crf", "3"],
        ["--preset", "archiv", "a.mp4", "b.mp4"],
        ["a.mp4", "b.mp4", "--tile", "3"],
        ["a.mp4", "-c:v", "copy", "b.mp4"],
        ["compare", "a.mp4"],
        ["completion", "tcsh"],
        ["a.mp4", "-filter_complex", "x", "b.mp4"],
    ],
)
def test_what_people_see_is_found(
    words: list[str], generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(words) in (1, 2)
    line = capsys.readouterr().err.strip().splitlines()[-1].removeprefix("error: ")
    patterns = [
        ".*".join(map(re.escape, text.split("…"))) for texts in generator.messages().values() for text in texts
        if len(re.sub("[^a-z]", "", text)) >= 9
    ]  # fmt: skip
    assert any(re.fullmatch(pattern, line) for pattern in patterns), line
