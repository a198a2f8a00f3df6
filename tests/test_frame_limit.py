"""``-frames:v`` counts what is written, whatever the chain makes of the input, and the rest is not worked on."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from streamvsr.build import build
from streamvsr.config import Config, InputOptions, ModelOptions, OutputOptions
from streamvsr.pipeline.runner import Run
from tests.outputs import numbers
from tests.rtsp_server import make_clip

pytestmark = pytest.mark.io

WANTED = 10
SECONDS = 40
AHEAD = 150
"""More frames than can be on their way when the last one is written: 16 wait to be filtered and 8 to be encoded, each
of which may stand for 5 of the input here, and every stage holds one or two. The clip has 1000."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("limit") / "clip.mp4", SECONDS)


def written(clip: Path, out: Path, frames: int | None, options: dict[str, Any]) -> tuple[Run, list[Fraction]]:
    """The run, and the video's time stamps in order."""
    output = OutputOptions(path=str(out), frames=frames, preset="ultrafast", crf=1.0, **options)
    run = build(Config(InputOptions(path=str(clip)), output, ModelOptions(model="identity")), warn=print)
    run.start()
    run.wait()
    run.result()
    with av.open(str(out)) as container:
        return run, sorted(p.pts * p.time_base for p in container.demux(video=0) if p.pts is not None)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"filters": "scale=128:96"},
        {"filters": "fps=5"},
        {"rate": Fraction(5)},
        {"rate": Fraction(50)},
        {"filters": "bwdif"},
        {"filters": "loop=2:1:3"},
        {"filters": "select=gte(n\\,20)"},
        {"filters": "negate,hflip"},
    ],
    ids=str,
)
def test_the_first_frames_of_the_whole_are_written(clip: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    _, whole = written(clip, tmp_path / "whole.mkv", None, options)
    run, stamps = written(clip, tmp_path / "out.mkv", WANTED, options)
    assert stamps == whole[:WANTED]
    assert numbers(tmp_path / "out.mkv") == numbers(tmp_path / "whole.mkv")[:WANTED]
    # The sound goes to the end of the last frame, short of an AAC packet of 1024 samples at most.
    with av.open(str(tmp_path / "out.mkv")) as container:
        sound = [p.pts * p.time_base for p in container.demux(audio=0) if p.pts is not None]
    assert whole[WANTED] - Fraction(2 * 1024, 48000) < sound[-1] < whole[WANTED]
    # The rest was not worked on, nor was it read.
    *before, encode = run.stats()
    assert encode.frames == WANTED
    assert all(stage.frames < 5 * WANTED + AHEAD for stage in before)
