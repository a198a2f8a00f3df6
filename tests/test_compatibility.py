"""docs/compatibility.md says what is true: all of it is measured again."""

from __future__ import annotations

from pathlib import Path

from tests.compatibility import CONTAINERS, PAGE, clips, page, table, verdicts


def test_the_page_says_what_happens(shared_data: Path, ffprobe: str) -> None:
    assert ffprobe
    rows = table(shared_data / "clips", quick=True)
    assert len(rows) == len(CONTAINERS) * len(clips(shared_data / "clips"))
    lost = [(one.clip, one.container, name) for one in rows for name, text in one.cells.items() if "LOST" in text]
    assert not lost, f"something is lost, and no reason is known for it: {lost}"
    now, written = verdicts(page(rows)), verdicts(PAGE.read_text())
    changed = {key: (written.get(key), cells) for key, cells in now.items() if written.get(key) != cells}
    assert not changed, f"run `python -m tests.compatibility`: the page says other things: {changed}"
    assert now.keys() == written.keys()
