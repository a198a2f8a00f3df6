"""What the decoder knows of a picture beside its samples reaches FFmpeg's filters: field order and picture type."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from streamvsr.config import InputOptions, OutputOptions
from streamvsr.filters.compose import compose, configure
from streamvsr.filters.language import parse
from streamvsr.frames import Frame
from streamvsr.media.demux import open_source
from tests.against_ffmpeg import by_ffmpeg, by_us

pytestmark = pytest.mark.io


@pytest.fixture(scope="module", params=["tff", "bff", "prog"])
def clip(request: pytest.FixtureRequest, ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fields") / f"{request.param}.ts"
    made = "testsrc2=s=96x64:r=25:d=1"
    if request.param != "prog":
        made = f"testsrc2=s=96x64:r=50:d=1,tinterlace=interleave_{'top' if request.param == 'tff' else 'bottom'}"
    interlaced = [] if request.param == "prog" else ["-flags", "+ildct+ilme"]
    command = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", made, "-c:v", "mpeg2video", "-g", "6", "-bf", "2"]
    subprocess.run([*command, *interlaced, str(path)], check=True)
    return path


@pytest.mark.parametrize(
    "chain",
    [
        "yadif=1",
        "yadif=deint=interlaced",
        "yadif=1:deint=interlaced",
        "select='eq(pict_type,I)'",
        "select='eq(pict_type,B)+eq(interlace_type,BOTTOMFIRST)'",
        "fieldorder=tff,format=yuv422p",
    ],
)
def test_as_ffmpeg_sees_it(chain: str, clip: Path, ffmpeg: str) -> None:
    ours, theirs = by_us(clip, chain), by_ffmpeg(ffmpeg, clip, chain)
    assert (ours.head, ours.stamps) == (theirs.head, theirs.stamps)
    assert ours.pictures == theirs.pictures


@pytest.mark.parametrize("chain", ["negate", "drawbox=t=fill", "fade=in:0:100", "hue=h=90", "drawgrid"])
def test_nobody_writes_into_the_decoders_frames(chain: str, clip: Path) -> None:
    source = open_source(InputOptions(path=str(clip)), OutputOptions(path="-"))
    (link,), _ = configure(compose(parse(chain)), source.info.video, lambda *_: [])
    frames, before = [], []
    for frame in source:
        assert isinstance(frame, Frame)
        frames.append(frame)
        before.append([plane.copy() for plane in frame.planes])
        list(link.push(frame))
    list(link.flush())
    source.close()
    for frame, planes in zip(frames, before, strict=True):
        assert all((a == b).all() for a, b in zip(frame.planes, planes, strict=True))
