"""Sound that stands minutes before or behind its video in the input: the memory stays bounded, nothing is lost."""

from __future__ import annotations

import gc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamvsr.build import build
from streamvsr.config import Config, InputOptions, OutputOptions, RunOptions
from streamvsr.frames import Packet
from streamvsr.media.mux.muxer import Muxer
from streamvsr.pipeline import interleave, ring

from .outputs import Shown

pytestmark = pytest.mark.io

SECONDS, RATE, SAMPLES = 300, 8000, 800
BOUND = 64 << 10
"""What the spool and the interleaver may each keep in memory here; the sound has 75 times as much."""


@pytest.fixture(scope="module", params=["sound first", "sound last", "sound two minutes late"])
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apart")
    with av.open(str(folder / "video.mkv"), "w") as container:
        stream = container.add_stream("mpeg4", rate=1)
        stream.width, stream.height = 64, 48
        for n in range(SECONDS):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64), n % 200 + 20, np.uint8), format="gray")
            picture.pts, picture.time_base = n, Fraction(1)
            container.mux(stream.encode(picture.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    with av.open(str(folder / "sound.mkv"), "w") as container:
        sound = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for n in range(SECONDS * RATE // SAMPLES):
            samples = av.AudioFrame.from_ndarray(np.full((1, SAMPLES), n % 30000, np.int16), "s16", "mono")
            samples.sample_rate, samples.pts, samples.time_base = RATE, n * SAMPLES, Fraction(1, RATE)
            container.mux(sound.encode(samples))
        container.mux(sound.encode(None))
    behind = {"sound first": -10_000, "sound last": 10_000, "sound two minutes late": 120}[request.param]
    path = folder / "apart.mkv"
    # An interleaving of a microsecond: packets stand in the file in the order in which they are muxed.
    with (
        av.open(str(folder / "video.mkv")) as one,
        av.open(str(folder / "sound.mkv")) as other,
        av.open(str(path), "w", container_options={"max_interleave_delta": "1"}) as out,
    ):
        streams = {
            "video": out.add_stream_from_template(one.streams.video[0], opaque=True),
            "audio": out.add_stream_from_template(other.streams.audio[0]),
        }
        # (when it stands there, video first, packet)
        placed = [(float(p.dts * p.time_base), 0, p) for p in one.demux() if p.size]
        placed += [(float(p.dts * p.time_base) + behind, 1, p) for p in other.demux() if p.size]
        for _, _, packet in sorted(placed, key=lambda entry: entry[:2]):
            packet.stream = streams[packet.stream.type]
            out.mux(packet)
    return path


def through(source: Path, target: Path, *, resume: bool | None = False, frames: int | None = None) -> None:
    output = OutputOptions(path=str(target), filters="hflip", preset="ultrafast", frames=frames)
    run = build(Config(InputOptions(path=str(source)), output, run=RunOptions(resume=resume)), warn=lambda _: None)
    run.start()
    assert run.wait(120)
    run.result()


@pytest.mark.parametrize("resume", [False, True], ids=["in one go", "as a job"])
def test_the_memory_is_bounded_and_nothing_is_lost(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ffprobe: str, *, resume: bool
) -> None:
    monkeypatch.setattr(ring, "MEMORY_BYTES", BOUND)
    monkeypatch.setattr(interleave, "FAR_BYTES", BOUND)
    counted: list[int] = []
    written = 0
    write_video = Muxer.write_video

    def weigh(muxer: Muxer, packet: Packet) -> None:
        nonlocal written
        write_video(muxer, packet)
        written += 1
        if written % 30 == 0:
            counted.append(sum(len(one.data) for one in gc.get_objects() if isinstance(one, Packet)))

    monkeypatch.setattr(Muxer, "write_video", weigh)
    out = tmp_path / "out.mkv"
    through(clip, out, resume=resume)
    before, after = Shown(ffprobe, clip), Shown(ffprobe, out)
    assert len(after.times(after.of("video")[0])) == SECONDS
    assert after.hashes(after.of("audio")[0]) == before.hashes(before.of("audio")[0])
    assert after.times(after.of("audio")[0]) == before.times(before.of("audio")[0])
    assert len(counted) == SECONDS // 30
    assert max(counted) < 2 * BOUND + (64 << 10), "and what one frame's packets weigh"


def test_of_the_first_frames_only_their_sound_is_kept(clip: Path, tmp_path: Path, ffprobe: str) -> None:
    out = tmp_path / "out.mkv"
    through(clip, out, frames=20)
    after = Shown(ffprobe, out)
    assert len(after.times(after.of("video")[0])) == 20
    times = after.times(after.of("audio")[0])
    assert max(times, default=Fraction(0)) < 20
    assert "late" in clip.parent.name or len(times) in (0, 200)
