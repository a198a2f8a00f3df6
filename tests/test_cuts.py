"""``-ss``, ``-t``, ``-to`` and ``-r`` with chains that do all sorts of things to frames and their times.

The same frames at the same times as ffmpeg writes, and the same stretch of sound. Times are counted from the first
frame, because ffmpeg moves everything until no stamp of any track is negative. It encodes in the input's ticks here
(``-enc_time_base -1``); in its own default, a tick a frame, it would round to whole frames what a cut between two
frames moves, where streamvsr keeps the distance to the sound.
"""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import pytest

from streamvsr.build import build
from streamvsr.config import Config, InputOptions, ModelOptions, OutputOptions
from streamvsr.errors import NoVideoError
from streamvsr.filters.compose import compose, cut_place
from streamvsr.filters.language import parse
from tests.outputs import numbers

pytestmark = pytest.mark.io

RATE, SECONDS = 25, 3
SOUND_PACKET = 1024 / 48000 + 0.001

CUTS: dict[str, dict[str, Fraction]] = {
    "-ss 0.53": {"start": Fraction(53, 100)},
    "-t 1": {"duration": Fraction(1)},
    "-to 1.01": {"end": Fraction(101, 100)},
    "-ss 0.5 -to 1.3": {"start": Fraction(1, 2), "end": Fraction(13, 10)},
}

CHAINS = (
    *(
        "null",
        "crop=32:24",
        "crop=32:24:n:0",
        "setpts=2*PTS",
        "setpts=0.5*PTS",
        "setpts=PTS+0.3/TB",
        "fps=10",
        "fps=50",
    ),
    *(
        "select=not(mod(n\\,3))",
        "trim=1:2,setpts=PTS-STARTPTS",
        "yadif",
        "yadif=1",
        "reverse",
        "tpad=start=5",
    ),
    *("setpts=2*PTS,crop=32:24", "framestep=4", "tmix=3"),
)


class Written(NamedTuple):
    frames: list[int]
    """The numbers painted into them."""
    seconds: list[float]
    """Their times, from the first one's on."""
    sound: tuple[float, float]
    """Where the sound begins and ends, from the first frame's time on."""


@pytest.fixture(scope="module")
def clip(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.outputs import info, write

    folder = tmp_path_factory.mktemp("cuts")
    stream = info(rate=Fraction(RATE), time_base=Fraction(1, RATE))
    write(folder / "v.mkv", stream, list(range(RATE * SECONDS)), video_codec="ffv1")
    command = [ffmpeg, "-v", "error", "-i", folder / "v.mkv", "-f", "lavfi", "-i", f"sine=r=48000:d={SECONDS}"]
    subprocess.run(
        [*command, "-c:v", "libx264", "-qp", "0", "-g", "12", "-c:a", "pcm_s16le", folder / "in.mkv"], check=True
    )
    return folder / "in.mkv"


def read(path: Path) -> Written:
    with av.open(str(path)) as container:
        video = sorted(float(p.pts * p.time_base) for p in container.demux(video=0) if p.pts is not None)
    with av.open(str(path)) as container:
        sound = [(float(f.pts * f.time_base), f.samples / f.sample_rate) for f in container.decode(audio=0)]
    return Written(numbers(path), [t - video[0] for t in video], (sound[0][0] - video[0], sum(sound[-1]) - video[0]))


def by_ffmpeg(ffmpeg: str, clip: Path, out: Path, before: list[str], chain: str, after: list[str]) -> Written | None:
    # In the input's ticks ffmpeg does not keep to -r.
    mode = ["-fps_mode", "cfr"] if "-r" in after else ["-fps_mode", "passthrough", "-enc_time_base", "-1"]
    command = [ffmpeg, "-v", "error", "-y", *before, "-i", str(clip), "-vf", chain, *after, *mode]
    subprocess.run([*command, "-c:v", "ffv1", "-c:a", "copy", str(out)], check=True, capture_output=True)
    with av.open(str(out)) as container:
        if not any(True for _ in container.decode(video=0)):
            return None
    return read(out)


def by_us(clip: Path, out: Path, given: InputOptions, output: OutputOptions) -> Written | None:
    run = build(Config(given, output, ModelOptions(model="identity")), warn=print)
    run.start()
    run.wait()
    try:
        run.result()
    except NoVideoError:
        return None
    return read(out)


CASES = [(cut, "output", chain, None) for cut in CUTS for chain in CHAINS]
CASES += [(cut, "input", chain, None) for cut in CUTS for chain in ("null", "setpts=2*PTS", "yadif=1")]
CASES += [(cut, "output", chain, rate) for cut in CUTS for chain in ("null", "setpts=2*PTS") for rate in (10, 50)]


@pytest.mark.parametrize(("cut", "side", "chain", "rate"), CASES)
def test_what_is_written_is_what_ffmpeg_writes(
    cut: str, side: str, chain: str, rate: int | None, clip: Path, ffmpeg: str, tmp_path: Path
) -> None:
    options = cut.split()
    before, after = (options, []) if side == "input" else ([], options)
    theirs = by_ffmpeg(
        ffmpeg, clip, tmp_path / "theirs.mkv", before, chain, [*after, *(["-r", str(rate)] if rate else [])]
    )
    # ffmpeg rounds a cut to the ticks that the chain gives, which behind fps are whole frames; ours are exact.
    tick = Fraction(1, int(chain.removeprefix("fps="))) if chain.startswith("fps=") else Fraction(1, 1000)
    values = {name: (value / tick + Fraction(1, 2)) // 1 * tick for name, value in CUTS[cut].items()}
    given = InputOptions(path=str(clip), **(values if side == "input" else {}))  # type: ignore[arg-type]
    output = OutputOptions(
        path=str(tmp_path / "ours.mkv"), filters=chain, video_codec="ffv1", rate=Fraction(rate) if rate else None,
        **(values if side == "output" else {}),  # type: ignore[arg-type]
    )  # fmt: skip
    ours = by_us(clip, tmp_path / "ours.mkv", given, output)
    assert (ours is None) == (theirs is None)
    if ours is None or theirs is None:
        return
    if rate:
        # -r is the fps filter here, which begins with the first frame and rounds the end to its ticks; ffmpeg also
        # fills the time from the cut to the first frame, which is up to a frame of the chain.
        frame = Fraction(2 if "setpts" in chain else 1, RATE)
        assert -1 <= len(theirs.frames) - len(ours.frames) <= 1 - (-frame * rate // 1)
        return
    assert ours.frames == theirs.frames
    # Matroska's stamps are whole milliseconds.
    assert ours.seconds == pytest.approx(theirs.seconds, abs=0.0011)
    # Sound is cut between packets; in front of a seek ffmpeg keeps two more.
    assert ours.sound[0] == pytest.approx(theirs.sound[0], abs=SOUND_PACKET * (3 if side == "input" else 1))
    assert ours.sound[1] == pytest.approx(theirs.sound[1], abs=SOUND_PACKET)


@pytest.mark.parametrize(
    ("chain", "place"),
    [
        ("null", 0),
        ("vsr,unsharp,crop=32:24", 0),
        ("crop=32:24:n:0", 1),
        ("setpts=2*PTS,vsr", 1),
        ("vsr,setpts=2*PTS,laplacian,hflip", 2),
        ("vsr,fps=10", 2),
    ],
)
def test_the_cut_stands_as_early_as_it_may(chain: str, place: int) -> None:
    assert cut_place(compose(parse(chain))) == place


def test_a_cut_behind_the_chain_ends_the_reading(clip: Path, tmp_path: Path) -> None:
    output = OutputOptions(path=str(tmp_path / "o.mkv"), filters="setpts=2*PTS", duration=Fraction(1, 5), no_audio=True)
    run = build(Config(InputOptions(path=str(clip)), output, ModelOptions(model="identity")), warn=print)
    run.start()
    run.wait()
    run.result()
    decode, *_, encode = run.stats()
    assert encode.frames == 3
    # 16 frames wait behind the decoder, 8 behind the chain.
    assert decode.frames < 35
