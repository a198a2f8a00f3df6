"""Tags in any encoding: none of them is a reason to refuse a file, and they leave as the bytes that they came as."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import streamvsr
from streamvsr.frames import MediaInfo
from streamvsr.media.open_container import open_container
from tests.outputs import CFR, info, remake, write

pytestmark = pytest.mark.io

LEGACY = "Привет, Миша".encode("cp1251")
PLACE = b"PLACEHOLDERX"
assert len(LEGACY) == len(PLACE)


def with_legacy_tag(path: Path) -> None:
    """A file whose title is in a legacy code page."""
    media = MediaInfo(info(), metadata={"title": PLACE.decode()})
    write(path, info(), CFR[:3], media=media)
    content = path.read_bytes()
    assert PLACE in content
    path.write_bytes(content.replace(PLACE, LEGACY))


@pytest.mark.parametrize("suffix", ["avi", "mkv", "mp4", "mov", "nut", "flv"])
def test_a_tag_that_is_not_utf8_comes_through_byte_for_byte(tmp_path: Path, suffix: str) -> None:
    source, out = tmp_path / f"in.{suffix}", tmp_path / "out.mkv"
    with_legacy_tag(source)
    remake(source, out)
    assert LEGACY in out.read_bytes()
    remake(out, tmp_path / f"back.{suffix}")
    assert LEGACY in (tmp_path / f"back.{suffix}").read_bytes()


def test_of_tracks_and_chapters_too(tmp_path: Path, ffmpeg: str) -> None:
    source, out = tmp_path / "in.mkv", tmp_path / "out.mkv"
    chapters = tmp_path / "chapters.txt"
    chapters.write_text(";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=100\ntitle=PLACEHOLDERX\n")
    inputs = ["-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.2", "-f", "lavfi", "-i", "sine=d=0.2", "-i", str(chapters)]
    tags = ["-map_metadata", "2", "-metadata:s:v", "title=PLACEHOLDERX", "-metadata:s:a", "title=PLACEHOLDERX"]
    subprocess.run([ffmpeg, "-v", "error", *inputs, *tags, "-c:v", "mpeg4", "-c:a", "flac", str(source)], check=True)
    content = source.read_bytes()
    assert content.count(PLACE) == 3
    source.write_bytes(content.replace(PLACE, LEGACY))
    remake(source, out)
    assert out.read_bytes().count(LEGACY) == 3


def test_a_tag_that_is_not_utf8_may_be_given(tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    write(out, info(), CFR[:2], metadata=("title=" + LEGACY.decode(errors="surrogateescape"),))
    with open_container(str(out)) as container:
        assert container.metadata["title"].encode(errors="surrogateescape") == LEGACY
    assert LEGACY in out.read_bytes()


def test_every_container_is_opened_that_way() -> None:
    package = Path(streamvsr.__file__).parent
    assert [path.name for path in package.rglob("*.py") if "av.open(" in path.read_text()] == []
