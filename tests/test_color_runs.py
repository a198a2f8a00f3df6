"""Bars of known colours through whole runs, for every matrix, range and depth: from file to file, judged as codes."""

from __future__ import annotations

import itertools
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamvsr.cli import main
from streamvsr.frames import PIXEL_FORMATS, Color, Frame
from streamvsr.media.av_frames import from_av, to_av
from tests.test_color import BARS, reference_codes

WIDTH, HEIGHT, WIDE = 256, 48, 32
"""Eight bars of 32 pixels: their middles are out of reach of what networks make of the edges."""

NAMES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc"}
"""Matrices as ffprobe names them."""

CASES = [
    (*model, *case)
    for model in (("identity", 1), ("bicubic", 4), ("rt", 4))
    for case in itertools.product(NAMES, [False, True], ["yuv420p", "yuv422p", "yuv444p"], ["", "10le"])
    if model[1] == 1 or case[2] == "yuv420p"
]


def bars(path: Path, matrix: int, full: bool, name: str) -> None:
    layout, color = PIXEL_FORMATS[name], Color(matrix, 1, 1, full)
    codes = np.rint(reference_codes(BARS, layout, color))
    planes = []
    for index, (rows, columns) in enumerate(layout.plane_shapes(WIDTH, HEIGHT)):
        line = np.repeat(codes[:, index], columns // 8).clip(0, layout.peak)
        planes.append(np.ascontiguousarray(np.broadcast_to(line, (rows, columns)).astype(layout.dtype)))
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, name
        context = stream.codec_context
        context.colorspace, context.color_range = matrix, 2 if full else 1
        context.color_primaries = context.color_trc = 1
        for number in range(3):
            picture = to_av(Frame(tuple(planes), layout, number, Fraction(1, 25), color=color))
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))


def read(path: Path) -> Frame:
    with av.open(str(path)) as container:
        *_, last = container.decode(video=0)
        return from_av(last, pts=0, time_base=Fraction(1))


@pytest.mark.parametrize(("model", "scale", "matrix", "full", "layout", "depth"), CASES)
def test_bars_come_back(
    model: str, scale: int, matrix: int, full: bool, layout: str, depth: str, ffprobe: str, tmp_path: Path
) -> None:
    source, target, name = tmp_path / "in.mkv", tmp_path / "out.mkv", layout + depth
    bars(source, matrix, full, name)
    assert main([str(source), "-c:v", "ffv1", "--model", model, "--quiet", str(target)]) == 0
    entries = "stream=width,pix_fmt,color_range,color_space,color_primaries,color_transfer"
    asked = [ffprobe, "-v", "error", "-show_entries", entries, "-of", "csv=p=0", str(target)]
    tags = subprocess.run(asked, capture_output=True, check=True, text=True).stdout.strip()
    assert tags == f"{scale * WIDTH},{name},{'pc' if full else 'tv'},{NAMES[matrix]},bt709,bt709"
    expected = reference_codes(BARS, PIXEL_FORMATS[name], Color(matrix, 1, 1, full))
    for before, after, codes in zip(read(source).planes, read(target).planes, expected.T, strict=True):
        if scale == 1:
            assert np.array_equal(before, after)
        wide = after.shape[1] // 8
        for bar, code in enumerate(codes):
            middle = after[:, bar * wide + wide // 4 : (bar + 1) * wide - wide // 4].astype(float)
            assert abs(middle.mean() - np.rint(code)) <= 1
