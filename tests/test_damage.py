"""Whatever is damaged, with however many threads: no fewer frames than ffmpeg decodes, and a line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamvsr.config import InputOptions, OutputOptions
from streamvsr.frames import Frame
from streamvsr.media.demux.container import ContainerSource
from tests.damage import CODECS, KINDS, Damage, damage, decoded_by_ffmpeg, make

pytestmark = pytest.mark.io

STRICTER = ("vp9", "av1")
"""Of these the decoders in PyAV's FFmpeg (dav1d 1.5, native VP9 of 8.1) refuse damaged packets that those of Debian's
ffmpeg 5.1 (dav1d 1.0) show: what is missing has to be told."""

THREADS = (1, 2, 3, 8, 16)

LATE = {("mpeg2", "drop"): 1}
"""By how many frames a time may differ: where a reference is lost the decoder shows two frames in the other order,
which ffmpeg numbers anew and we show a tick apart."""

CORPUS = Path(__file__).parent / "corpus"
"""Small inputs that lost frames once: two of their last packets are damaged, and 16 threads took more with them."""


@pytest.fixture(scope="module")
def originals(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("originals")
    return {codec: make(ffmpeg, folder, codec) for codec in CODECS}


def read(path: Path, threads: int) -> tuple[list[Frame], list[str]]:
    source = ContainerSource(InputOptions(path=str(path), options={"threads": str(threads)}), OutputOptions())
    try:
        return [item for item in source if isinstance(item, Frame)], source.warnings
    finally:
        source.close()


def told_missing(lines: list[str]) -> int:
    return sum(int(found[1]) for line in lines if (found := re.search(r"(\d+) of \d+ packets of video gave", line)))


def times(frames: list[Frame]) -> set[int]:
    """In frames of the 25 a second that the clips have, from the first one."""
    return {round((frame.seconds - frames[0].seconds) * 25) for frame in frames}


@pytest.mark.parametrize("codec", CODECS)
def test_nothing_is_told_of_whole_clips(originals: dict[str, Path], ffmpeg: str, codec: str) -> None:
    frames, lines = read(originals[codec], 16)
    assert len(frames) == len(decoded_by_ffmpeg(ffmpeg, originals[codec]))
    assert times(frames) == set(range(len(frames)))
    assert not lines


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("codec", CODECS)
def test_no_fewer_frames_than_ffmpeg(
    originals: dict[str, Path], tmp_path: Path, ffmpeg: str, codec: str, kind: Damage
) -> None:
    for seed in range(2):
        path = tmp_path / f"{seed}{originals[codec].suffix}"
        damage(originals[codec], path, kind, seed)
        stamps_wanted = decoded_by_ffmpeg(ffmpeg, path)
        wanted = len(stamps_wanted)
        for threads in THREADS:
            frames, lines = read(path, threads)
            stamps = [frame.pts for frame in frames]
            assert stamps == sorted(set(stamps))
            if codec not in STRICTER and stamps_wanted == sorted(set(stamps_wanted)):
                # ffmpeg lets stamps go back where a packet is doubled; ours grow, by a tick then.
                here = times(frames)
                for stamp in (one - stamps_wanted[0] for one in stamps_wanted):
                    near = range(stamp - LATE.get((codec, kind), 0), stamp + LATE.get((codec, kind), 0) + 1)
                    assert here.intersection(near), f"{seed=} {threads=}: no frame at {stamp}"
            missing = told_missing(lines) if codec in STRICTER else 0
            assert len(frames) + missing >= wanted, f"{seed=} {threads=}: {len(frames)} frames, ffmpeg {wanted}"


PASSED_OVER = "cluster_passed_over.webm"
"""FFmpeg 8 goes on at the next cluster, where FFmpeg 5 found the next packet."""


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_what_failed_once(path: Path, ffmpeg: str) -> None:
    wanted = len(decoded_by_ffmpeg(ffmpeg, path))
    for threads in THREADS:
        frames, lines = read(path, threads)
        if path.name == PASSED_OVER:
            assert any("part of the file is damaged" in line and "7 frames are missing" in line for line in lines), (
                lines
            )
        else:
            assert len(frames) >= wanted
