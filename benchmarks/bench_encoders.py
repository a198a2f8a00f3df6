"""How good, and how large, is what each encoder writes by default? Against x264's crf, which is the anchor.

    python benchmarks/bench_encoders.py [CLIP ...] [--frames 12] [--only libx264 mpeg4 ...] [--options "-q:v 3"]

Each clip is enlarged four times by the default network once, without loss. Every encoder then gets those very frames
through the command line with nothing but ``-c:v``, and its file is decoded. PSNR is that of R'G'B' in 8 bits, over all
frames, to the enlarged frames as they are shown; the size is that of the file, as a ratio to x264's. "lossless" says
that no sample of these differs. With ``--options`` the encoders of ``--only`` are tried with these, not their defaults.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.material import CLIPS, need
from streamvsr.cli import main as streamvsr
from streamvsr.config import InputOptions, OutputOptions
from streamvsr.frames import Frame
from streamvsr.media.av_frames import from_av, to_av
from streamvsr.media.demux import open_source

DEFAULT_CLIPS = (Path(__file__).resolve().parents[1] / "demo" / "city_180p.mp4", CLIPS / "phone_station_240p60.mp4")

ENCODERS = {
    "libx264": "mp4", "libx265": "mp4", "libsvtav1": "mp4", "libvpx-vp9": "webm", "libvpx": "webm",
    "mpeg4": "mp4", "mpeg2video": "mpg", "mpeg1video": "mpg", "mjpeg": "avi", "prores_ks": "mov", "dnxhd": "mov",
    "wmv1": "asf", "wmv2": "asf", "msmpeg4": "avi", "msmpeg4v2": "avi", "h263p": "avi", "flv": "flv",
    "jpeg2000": "mov", "cfhd": "mov", "speedhq": "nut",
    "asv2": "avi", "libwebp_anim": "webp", "gif": "gif",
    "ffv1": "mkv", "utvideo": "avi", "huffyuv": "avi", "ffvhuff": "avi", "png": "mov", "apng": "apng",
    "qtrle": "mov", "magicyuv": "avi",
}  # fmt: skip
"""Every encoder that enlarged frames are likely to be written with, and a container for it. Left out: those of one
size (h261, h263, dvvideo), of few colours (msrle, smc, cinepak), of still pictures, and hardware."""


def run(*words: str | Path) -> None:
    if streamvsr([str(word) for word in words]):
        raise RuntimeError("streamvsr failed")


def shown(path: Path) -> list[np.ndarray]:
    """Every frame as it is shown: (3, rows, columns), R'G'B' in 8 bits."""
    source = open_source(InputOptions(path=str(path)), OutputOptions(autorotate=False))
    try:
        return [rgb(frame) for frame in source if isinstance(frame, Frame)]
    finally:
        source.close()


def rgb(frame: Frame) -> np.ndarray:
    name = "gbrap" if frame.format.alpha else "gbrp"
    made = from_av(to_av(frame, av_format=name), pts=0, time_base=Fraction(1))
    return np.stack(made.planes[:3])


def psnr(before: list[np.ndarray], after: list[np.ndarray]) -> float:
    if len(before) != len(after):
        raise RuntimeError(f"{len(before)} frames became {len(after)}")
    error = np.mean([np.mean((a.astype(float) - b) ** 2) for a, b in zip(before, after, strict=True)])
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path, default=DEFAULT_CLIPS)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--only", nargs="+", default=list(ENCODERS))
    parser.add_argument("--options", default="")
    parser.add_argument("--keep", type=Path, help="a folder for the enlarged clips, which are made once")
    a = parser.parse_args()
    need(*a.clips)
    av.logging.set_level(av.logging.ERROR)
    with tempfile.TemporaryDirectory() as temporary:
        folder, kept = Path(temporary), a.keep or Path(temporary)
        enlarged, frames = [], []
        for clip in a.clips:
            large = kept / f"{clip.stem}.mkv"
            if not large.exists():
                run(clip, "-frames:v", str(a.frames), "-an", "-c:v", "ffv1", "-y", "--quiet", large)
            enlarged.append(large)
            frames.append(shown(large))
            print(f"{clip.name}: {len(frames[-1])} frames of {frames[-1][0].shape[2]}x{frames[-1][0].shape[1]}")
        anchor = ["libx264"] if "libx264" not in a.only else []
        sizes: dict[str, list[int]] = {}
        print("| encoder | in | pixel format | PSNR dB | size, x264 = 1 |", "| --- | --- | --- | --- | --- |", sep="\n")
        for codec in [*anchor, *a.only]:
            row, formats = [], ""
            for n, large in enumerate(enlarged):
                out = folder / f"out.{ENCODERS[codec]}"
                options = shlex.split(a.options) if codec in a.only else []
                try:
                    format = ["-f", "webp"] if codec == "libwebp_anim" else []
                    run(large, "--model", "identity", "-c:v", codec, *options, *format, "-y", "--quiet", out)
                    row.append(psnr(frames[n], shown(out)))
                except Exception as error:
                    print(f"{codec}: {error}", file=sys.stderr)
                    break
                sizes.setdefault(codec, []).append(out.stat().st_size)
                with av.open(str(out)) as container:
                    formats = str(container.streams.video[0].codec_context.pix_fmt)
            else:
                decibels = ", ".join("lossless" if x == float("inf") else f"{x:.1f}" for x in row)
                ratio = ", ".join(f"{x / y:.2f}" for x, y in zip(sizes[codec], sizes["libx264"], strict=True))
                print(f"| {codec} | {ENCODERS[codec]} | {formats} | {decibels} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
