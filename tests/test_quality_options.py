"""-crf and -q:v: what an encoder takes is known before the run, and reaches it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamvsr.config import OutputOptions
from streamvsr.errors import UsageError
from streamvsr.frames import MediaInfo
from streamvsr.media.encode.options import value_range, with_quality
from streamvsr.media.mux import open_sink
from tests.outputs import CFR, frames, info

pytestmark = pytest.mark.io


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx", "libvpx-vp9", "libsvtav1"])
def test_a_crf_out_of_range_is_one_error(codec: str) -> None:
    least, most = value_range(codec, "crf")
    assert (least, most) in ((0, 51), (0, 63), (0, 70))
    with_quality(OutputOptions(crf=most), codec, {})
    for wrong in (most + 1, 99.0, -5.0):
        with pytest.raises(UsageError, match=rf"-crf {wrong:g}: {codec} takes 0 to {most:g}"):
            with_quality(OutputOptions(crf=wrong), codec, {})
    with pytest.raises(UsageError, match="has no -q:v; use -crf"):
        with_quality(OutputOptions(), codec, {"q": "3"})


@pytest.mark.parametrize("codec", ["mpeg4", "mjpeg", "wmv2"])
def test_a_quantiser_reaches_the_encoder(codec: str, tmp_path: Path) -> None:
    sizes = []
    for quantiser in ("2", "8", "31"):
        out = tmp_path / f"{quantiser}.avi"
        output = OutputOptions(path=str(out), video_codec=codec, options={"q:v": quantiser})
        sink = open_sink(output, MediaInfo(info()), on_warning=lambda _: None)
        noise = np.random.default_rng(1)
        for frame in frames(info(), CFR[:6]):
            planes = tuple(noise.integers(0, 256, plane.shape, np.uint8) for plane in frame.planes)
            sink.write_frame(replace(frame, planes=planes))
        sink.finish()
        sizes.append(out.stat().st_size)
    assert sizes[0] > sizes[1] > sizes[2]
