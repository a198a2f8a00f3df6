"""Files appear when they are whole, never in place of somebody else's, and killed runs leave nothing for ever."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamvsr import part_file
from streamvsr.config import OutputOptions
from streamvsr.errors import SinkError, UsageError
from streamvsr.frames import MediaInfo
from streamvsr.media.mux import Sink, open_sink
from tests.outputs import CFR, frames, info, numbers, sink_for, write

pytestmark = pytest.mark.io

LEFT_BY_A_KILLED_RUN = """
import os, sys
from pathlib import Path
from streamvsr.part_file import PartFile
part = PartFile(Path(sys.argv[1]), replace=False)
part.path.write_bytes(b"half")
os.kill(os.getpid(), 9)
"""


def write_all(sink: Sink) -> None:
    for frame in frames(info(), CFR):
        sink.write_frame(frame)
    sink.finish()


def kill_a_writer_of(final: Path) -> Path:
    subprocess.run([sys.executable, "-c", LEFT_BY_A_KILLED_RUN, str(final)], check=False)
    (left,) = [path for path in final.parent.iterdir() if ".part" in path.name]
    return left


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_what_appears_meanwhile_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    if not links:

        def refuse(*_args: object) -> None:
            raise OSError(errno.EPERM, "no links here")

        monkeypatch.setattr(os, "link", refuse)
    final = tmp_path / "a.mkv"
    parts = [part_file.PartFile(final, replace=False) for _ in range(3)]
    for number, part in enumerate(parts):
        part.path.write_text(str(number))
    assert [part.commit().name for part in parts] == ["a.mkv", "a.1.mkv", "a.2.mkv"]
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "a.mkv": "0",
        "a.1.mkv": "1",
        "a.2.mkv": "2",
    }


def test_replaced_where_it_may_be(tmp_path: Path) -> None:
    final = tmp_path / "a.mkv"
    part = part_file.PartFile(final, replace=True)
    part.path.write_text("new")
    final.write_text("old")
    assert part.commit() == final
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]
    assert final.read_text() == "new"


def test_a_small_file_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    part_file.write_file(path, b"1")
    with pytest.raises(FileExistsError) as caught:
        part_file.write_file(path, b"2", replace=False)
    assert caught.value.filename == str(path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert path.read_bytes() == b"1"


@pytest.mark.parametrize("name", ["x" * 240 + ".mp4", "ж" * 120 + ".mkv", "a." + "𐍈" * 60, os.fsdecode(b"caf\xe9.mp4")])
def test_names_of_every_length(tmp_path: Path, name: str) -> None:
    part = part_file.PartFile(tmp_path / name, replace=False)
    assert part_file.abandoned(tmp_path / name) == []  # it is being written
    assert part.commit().name == name


def test_the_remains_of_a_killed_writer_are_told_from_a_living_one(tmp_path: Path) -> None:
    final = tmp_path / "a.mkv"
    left = kill_a_writer_of(final)
    living = part_file.PartFile(final, replace=False)
    other = part_file.PartFile(tmp_path / "a.b.mkv", replace=False)
    assert part_file.abandoned(final) == [left]
    assert part_file.abandoned_in(tmp_path, ".mkv") == [left]
    living.discard()
    other.discard()
    assert [path.name for path in tmp_path.iterdir()] == [left.name]


def test_the_next_output_tells_of_them_and_removes_them_when_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    left = kill_a_writer_of(out)
    said: list[str] = []
    sink = open_sink(OutputOptions(path=str(out)), MediaInfo(info()), on_warning=said.append)
    assert left.name in said[0]
    sink.abort()
    assert left.exists()
    write(out, info(), CFR[:2])
    assert [path.name for path in tmp_path.iterdir()] == ["out.mkv"]


@pytest.mark.parametrize("overwrite", [None, False])
def test_a_file_that_appears_during_the_run_stays(tmp_path: Path, overwrite: bool | None) -> None:
    out = tmp_path / "out.mkv"
    sink = sink_for(out, overwrite=overwrite)
    for frame in frames(info(), CFR):
        sink.write_frame(frame)
    out.write_text("precious")
    with pytest.raises(SinkError, match=r"out\.1\.mkv"):
        sink.finish()
    assert out.read_text() == "precious"
    assert numbers(tmp_path / "out.1.mkv") == list(range(len(CFR)))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_recording_does_not_empty_a_file_that_has_appeared(tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    media = MediaInfo(info(live=True))
    sink = open_sink(OutputOptions(path=str(out)), media, on_warning=lambda _: None)
    out.write_text("precious")
    with pytest.raises(SinkError, match="-y"):
        write_all(sink)
    sink.abort()
    assert out.read_text() == "precious"


def test_segments_do_not_replace_files_that_were_there(tmp_path: Path) -> None:
    (tmp_path / "out0.ts").write_text("precious")
    output = OutputOptions(path=str(tmp_path / "out.m3u8"))
    sink = open_sink(output, MediaInfo(info()), on_warning=lambda _: None)
    with pytest.raises((SinkError, UsageError), match=r"out0\.ts"):
        write_all(sink)
    sink.abort()
    assert (tmp_path / "out0.ts").read_text() == "precious"


def test_one_name_for_many_pictures_writes_none(tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    out.write_text("precious")
    for overwrite in (True, None):
        if overwrite is None:
            out = tmp_path / "new.png"
        sink = open_sink(OutputOptions(path=str(out), overwrite=overwrite), MediaInfo(info()), on_warning=print)
        with pytest.raises(UsageError, match="%08d"):
            write_all(sink)
        sink.abort()
    assert {path.name for path in tmp_path.iterdir()} == {"out.png"}
    assert (tmp_path / "out.png").read_text() == "precious"


def test_one_name_for_one_picture(tmp_path: Path) -> None:
    sink = open_sink(OutputOptions(path=str(tmp_path / "out.png")), MediaInfo(info()), on_warning=print)
    sink.write_frame(next(iter(frames(info(), CFR))))
    sink.finish()
    assert numbers(tmp_path / "out.png") == [0]
