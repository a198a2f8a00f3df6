"""Which streams of an input are read."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest
from av.stream import Disposition

from streamvsr.config import OutputOptions
from streamvsr.errors import NoVideoError, UsageError
from streamvsr.media.demux.programs import programs_of
from streamvsr.media.demux.selection import select


def stream(index: int, kind: str, size: tuple[int, int] = (0, 0), flags: int = 0, **tags: str) -> Any:
    codec = SimpleNamespace(canonical_name="codec")
    context = SimpleNamespace(width=size[0], height=size[1], codec=codec)
    return SimpleNamespace(index=index, type=kind, disposition=Disposition(flags), metadata=tags, codec_context=context)


STREAMS = [
    stream(0, "video", (640, 360)),
    stream(1, "video", (320, 180), Disposition.default),
    stream(2, "video", (4000, 4000), Disposition.attached_pic),
    stream(3, "audio", language="eng"),
    stream(4, "audio", language="fre"),
    stream(5, "subtitle", language="eng"),
    stream(6, "data"),
    stream(7, "attachment"),
]


@pytest.mark.parametrize(
    ("options", "video", "tracks"),
    [
        ({}, 1, [3, 4, 5, 7]),
        ({"no_audio": True}, 1, [5, 7]),
        ({"no_subtitles": True, "no_data": True}, 1, [3, 4, 7]),
        ({"maps": ("0:v:0",)}, 0, []),
        ({"maps": ("0:0", "0:a:1", "0:a:0")}, 0, [4, 3]),
        ({"maps": ("0:v:0", "0:a", "-0:a:m:language:fre")}, 0, [3]),
        ({"maps": ("0:1", "0:m:language:eng")}, 1, [3, 5]),
        ({"maps": ("0:v:1", "0:s?", "0:9?")}, 1, [5]),
        ({"maps": ("0", "-0:0")}, 1, [3, 4, 5, 7]),
        ({"maps": ("0:2",)}, 2, []),
        ({"maps": ("0:0", "0:a:1", "0:a:1", "0:v:0")}, 0, [4, 4]),
        ({"maps": ("0:v:disp:default", "0:t")}, 1, [7]),
    ],
)
def test_stream_choice(options: dict[str, Any], video: int, tracks: list[int]) -> None:
    chosen = select(STREAMS, OutputOptions(**options), "x.mkv")
    assert (chosen.video.index, [s.index for s in chosen.tracks]) == (video, tracks)


@pytest.mark.parametrize(
    ("maps", "kind", "text"),
    [
        (("0:v",), UsageError, "-map 0:0"),
        (("0:a",), NoVideoError, "-map chooses no video"),
        (("0:a:7",), UsageError, "matches no stream"),
        (("1:v",), UsageError, "one input"),
        (("0:v:0", "0:x"), UsageError, "not understood"),
    ],
)
def test_wrong_maps(maps: tuple[str, ...], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        select(STREAMS, OutputOptions(maps=maps), "x.mkv")


def test_cover_art_is_not_a_video() -> None:
    with pytest.raises(NoVideoError, match="0:2 cover art"):
        select(STREAMS[2:4], OutputOptions(), "song.mp3")


def test_cover_art_that_is_left_out_is_told() -> None:
    assert [s.index for s in select(STREAMS, OutputOptions(), "x.mkv").left_out] == [6, 2]
    assert not select(STREAMS, OutputOptions(maps=("0:v:0",)), "x.mkv").left_out


PROGRAMS = {1: frozenset({0, 3}), 2: frozenset({1, 4}), 7: frozenset({5})}


@pytest.mark.parametrize(
    ("programs", "options", "video", "tracks", "told"),
    [
        # Programme 2 has the default video; a data stream, 6, and an attachment, 7, are in none.
        (PROGRAMS, {}, 1, [4, 7], ["programmes 1, 7 are left out"]),
        ({1: frozenset({0, 3}), 2: frozenset({1, 3, 4, 5})}, {}, 1, [3, 4, 5, 7], ["programme 1 is left out"]),
        # The video is in no programme: nothing is known of what belongs to it.
        ({1: frozenset({0, 3})}, {}, 1, [3, 4, 5, 7], ["video 0:0 video codec 640x360 is left out"]),
        ({}, {}, 1, [3, 4, 5, 7], ["video 0:0 video codec 640x360 is left out"]),
        (PROGRAMS, {"maps": ("0:p:1",)}, 0, [3], []),
        (PROGRAMS, {"maps": ("0:p:2:v", "0:p:2:a:0", "0:s")}, 1, [4, 5], []),
        (PROGRAMS, {"maps": ("0", "-0:p:1")}, 1, [4, 5, 7], []),
    ],
)
def test_programmes(
    programs: dict[int, frozenset[int]], options: dict[str, Any], video: int, tracks: list[int], told: list[str]
) -> None:
    chosen = select(STREAMS, OutputOptions(**options), "in.ts", programs)
    assert chosen.video.index == video
    assert [track.index for track in chosen.tracks] == tracks
    assert len(chosen.notes) == len(told)
    assert all(note.startswith(start) for note, start in zip(chosen.notes, told, strict=True))
    with pytest.raises(UsageError, match="matches no stream"):
        select(STREAMS, OutputOptions(maps=("0:p:3",)), "in.ts", programs)


@pytest.mark.io
def test_programmes_are_read_from_ffmpeg(ffmpeg: str, tmp_path: Path) -> None:
    made = [ffmpeg, "-v", "error"]
    for name in ("testsrc2=s=64x48:d=0.4", "testsrc2=s=32x32:d=0.4", "sine=d=0.4", "sine=d=0.4"):
        made += ["-f", "lavfi", "-i", name]
    made += [*(word for n in (0, 2, 1, 3) for word in ("-map", str(n))), "-c:a", "mp2"]
    made += ["-program", "title=Program 9:st=0:st=1", "-program", "program_num=5:title=No Program:st=2:st=3"]
    subprocess.run([*made, str(tmp_path / "two.ts")], check=True)
    with av.open(str(tmp_path / "two.ts")) as container:
        assert programs_of(container) == {1: {0, 1}, 5: {2, 3}}
    subprocess.run([*made, str(tmp_path / "two.mkv")], check=True)
    with av.open(str(tmp_path / "two.mkv")) as container:
        assert programs_of(container) == {}
