"""The same chain through ffmpeg and through streamvsr: frames, time stamps, what is stated about the stream."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streamvsr.config import InputOptions, OutputOptions
from streamvsr.filters.chain import Chain
from streamvsr.filters.compose import compose, configure
from streamvsr.filters.language import parse
from streamvsr.filters.libav import wiring
from streamvsr.frames import Frame
from streamvsr.media.demux import open_source
from streamvsr.media.filter_graph import FilterGraph

_CONFIG = re.compile(r"config in time_base: (\d+)/(\d+), frame_rate: (\d+)/(\d+)")
_FRAME = re.compile(r" n: *\d+ pts: *(-?\d+) .*? fmt:(\S+) .*?sar:(\d+)/(\d+) s:(\d+)x(\d+) ")


THREADS = 2
"""On both sides: gblur and scale give other codes where each thread has but a row or two of a small picture."""


@dataclass
class Result:
    """What a chain made of a clip."""

    time_base: Fraction
    rate: Fraction | None
    ratio: Fraction
    size: tuple[int, int]
    format: str
    stamps: list[int]
    pictures: list[bytes]

    @property
    def head(self) -> tuple[object, ...]:
        return self.time_base, self.rate, self.ratio, self.size, self.format


def by_ffmpeg(ffmpeg: str, clip: Path, chain: str, options: Sequence[str] = ()) -> Result:
    """``ffmpeg -vf CHAIN``, time stamps as the chain gives them."""
    command = [ffmpeg, "-nostdin", "-hide_banner", *options, "-i", str(clip), "-an", "-vf", f"{chain},showinfo"]
    command += ["-filter_threads", str(THREADS)]
    done = subprocess.run([*command, "-fps_mode", "passthrough", "-f", "rawvideo", "-"], capture_output=True)
    said = done.stderr.decode()
    assert done.returncode == 0, said
    config, frames = _CONFIG.search(said), _FRAME.findall(said)
    assert config is not None
    assert frames, said
    base, rate = Fraction(int(config[1]), int(config[2])), (int(config[3]), int(config[4]))
    _, name, a, b, width, height = frames[0]
    size = len(done.stdout) // len(frames)
    pictures = [done.stdout[n * size : (n + 1) * size] for n in range(len(frames))]
    return Result(
        base,
        Fraction(*rate) if all(rate) else None,
        Fraction(int(a), int(b)) if int(a) and int(b) else Fraction(1),
        (int(width), int(height)),
        name,
        [int(f[0]) for f in frames],
        pictures,
    )


def by_us(clip: Path, chain: str) -> Result:
    """The same chain through our source and filters."""
    source = open_source(InputOptions(path=str(clip)), OutputOptions(path="-", deinterlace="off"))
    patch = pytest.MonkeyPatch()
    patch.setattr(
        wiring, "FilterGraph", lambda *given, threads, **more: FilterGraph(*given, threads=threads or THREADS, **more)
    )
    try:
        filters, info = configure(compose(parse(chain)), source.info.video, lambda *_: [])
        whole = Chain(filters)
        frames = [out for item in source if isinstance(item, Frame) for out in whole.push(item)] + list(whole.flush())
        whole.close()
    finally:
        source.close()
        patch.undo()
    for frame in frames:
        assert (frame.width, frame.height, frame.format) == (info.width, info.height, info.format)
        assert frame.time_base == info.time_base
    return Result(
        info.time_base,
        info.frame_rate,
        info.sample_aspect_ratio,
        (info.width, info.height),
        info.format.name,
        [frame.pts for frame in frames],
        [packed(frame) for frame in frames],
    )


def packed(frame: Frame) -> bytes:
    """The samples in FFmpeg's order of planes."""
    order = [1, 2, 0, 3] if frame.format.family == "rgb" else [0, 1, 2, 3]
    return b"".join(np.ascontiguousarray(frame.planes[n]).tobytes() for n in order if n < len(frame.planes))


def psnr(one: bytes, other: bytes, bits: int) -> float:
    """Of two pictures' samples, in dB; infinite where they are the same."""
    kind = np.uint8 if bits <= 8 else np.uint16
    difference = np.frombuffer(one, kind).astype(np.float64) - np.frombuffer(other, kind)
    error = float(np.mean(difference * difference))
    return float("inf") if error == 0 else 10 * np.log10(((1 << bits) - 1) ** 2 / error)
