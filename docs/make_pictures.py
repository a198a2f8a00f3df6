"""Makes the pictures of docs/recipes.md and of the README's choice of a model, in docs/pictures.

    python docs/make_pictures.py [NAME ...]

Each shows what one has, enlarged by bicubic interpolation, beside what the recipe makes of it: the same frame, the same
part. They show the usual case, not the best.

All come from CC0 clips and a drawing: demo/city_180p.mp4 of this repository, ``stream-of-water.mp4`` and ``flower.mp4``
of MDN's examples, looked for in ``--clips`` (water_cc0_360p.mp4, flower_cc0_540p.mp4), and AnimeSR's checkpoint in
``--weights`` where it has not been fetched. A picture whose clip is not there is left as it is.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

import streamvsr

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "pictures"
SHARED = ROOT.parent / "shared" / "data"
MOST_BYTES = 150_000
WIDTH, HEIGHT = 400, 300
"""Of each half, in pixels of the result."""
NUMBER = 30
"""The frame that is shown: networks that carry a state have settled."""
X264 = ["-c:v", "libx264", "-preset", "medium"]


@dataclass(frozen=True)
class Picture:
    """One before and after."""

    source: str
    make: list[str]
    """What FFmpeg makes of the source, to be what one has; [] for the source itself."""
    suffix: str
    chain: str
    """The recipe's."""
    size: int
    """How many times larger the result is than the input."""
    corner: tuple[float, float]
    """Left upper corner of the part, in parts of the frame."""
    shown: str | None = None
    """FFmpeg's filters that bring both sides to a page, where they are no ordinary video."""


TAPE = (
    "scale=720:576,gblur=sigma=1.2:sigmaV=0.1:planes=1,gblur=sigma=5:sigmaV=1:planes=6,noise=c0s=14:c0f=t:c1s=10:c1f=t:c2s=10:c2f=t,"
    "fps=50,interlace"
)
"""What a tape leaves: half of the lines at a time, blurred across, colours more so, noise."""
TO_PQ = (
    "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt2020:t=smpte2084:m=bt2020nc:r=tv,"
    "format=yuv420p10le,scale=480:-2"
)
TO_SDR = (
    "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,tonemap=clip,zscale=t=bt709:m=bt709:r=tv,format=yuv420p"
)

PICTURES = {
    "vhs.webp": Picture(
        "flower", ["-vf", TAPE, "-c:v", "dvvideo", "-pix_fmt", "yuv420p", "-r", "25"], ".avi",
        "atadenoise,vsr=model=rt-real:strength=0.7:scale=2", 2, (0.4, 0.3),
    ),
    "hdr.webp": Picture(
        "flower", ["-vf", TO_PQ, "-c:v", "libx265", "-crf", "24", "-x265-params", "log-level=error"], ".mkv",
        "vsr=model=rt-real", 4, (0.42, 0.35), TO_SDR,
    ),
    "dvd.webp": Picture(
        "flower", ["-vf", "scale=720:576", "-c:v", "mpeg2video", "-b:v", "2500k"], ".mpg",
        "vsr=model=rt-real:scale=2", 2, (0.4, 0.3),
    ),
    "phone.webp": Picture(
        "flower", ["-vf", "scale=480:-2", *X264, "-crf", "25"], ".mp4", "vsr=model=rt-real", 4, (0.42, 0.35),
    ),
    "download.webp": Picture("water", [], ".mp4", "vsr=model=rt-real", 4, (0.3, 0.55)),
    "camera.webp": Picture("city", [*X264, "-crf", "34"], ".mp4", "vsr=model=rt", 4, (0.55, 0.3)),
    "anime.webp": Picture("drawn", [*X264, "-crf", "30"], ".mp4", "vsr=model=animesr", 4, (0.3, 0.25)),
    "photo.webp": Picture("flower", ["-vf", "scale=400:-2", "-q:v", "6"], "%d.jpg", "vsr=model=rt-real", 4, (0.4, 0.3)),
}  # fmt: skip


def draw(path: Path) -> None:
    """A drawn scene of our own, moving slowly: outlines, flat colours, shades."""
    frames = path.parent / "drawn"
    frames.mkdir()
    for number in range(NUMBER + 10):
        wide = np.full((4 * 240, 4 * 320, 3), (235, 206, 150), np.uint8)
        cv2.rectangle(wide, (0, 700), (1280, 960), (90, 170, 110), -1)
        for n in range(9):
            x = 150 * n - 3 * number
            cv2.ellipse(
                wide, (x + 60, 700), (90, 160 + 20 * (n % 3)), 0, 180, 360, (70, 130 + 12 * n, 60), -1, cv2.LINE_AA
            )
            cv2.ellipse(wide, (x + 60, 700), (90, 160 + 20 * (n % 3)), 0, 180, 360, (20, 30, 20), 5, cv2.LINE_AA)
        x = 520 + 4 * number
        cv2.circle(wide, (x, 420), 170, (190, 215, 250), -1, cv2.LINE_AA)
        cv2.circle(wide, (x, 420), 170, (30, 25, 30), 7, cv2.LINE_AA)
        hair = np.array([[x - 175, 420], [x - 150, 230], [x, 200], [x + 150, 230], [x + 175, 420], [x + 90, 330],
                         [x + 40, 380], [x - 20, 310], [x - 80, 380]], np.int32)  # fmt: skip
        cv2.fillPoly(wide, [hair], (60, 60, 150), cv2.LINE_AA)
        cv2.polylines(wide, [hair], True, (20, 20, 40), 6, cv2.LINE_AA)
        for side in (-70, 70):
            cv2.ellipse(wide, (x + side, 440), (32, 46), 0, 0, 360, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.ellipse(wide, (x + side, 440), (32, 46), 0, 0, 360, (30, 25, 30), 5, cv2.LINE_AA)
            cv2.circle(wide, (x + side, 448), 22, (150, 90, 40), -1, cv2.LINE_AA)
            cv2.circle(wide, (x + side - 8, 438), 8, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.ellipse(wide, (x, 520), (44, 20), 0, 0, 180, (40, 30, 90), 5, cv2.LINE_AA)
        small = cv2.resize(wide, (320, 240), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(frames / f"{number:04}.png"), small)
    ffmpeg("-framerate", "24", "-i", str(frames / "%04d.png"), "-c:v", "ffv1", str(path))


def ffmpeg(*words: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *words], check=True)


def frame_of(clip: Path, chain: str | None, shown: str | None = None) -> np.ndarray:
    """Frame ``NUMBER`` (the last one of shorter clips) after ``chain``: (rows, columns, 3) uint8 BGR."""
    opened = streamvsr.open(clip) if chain is None else streamvsr.open(clip).filter(chain)
    if shown is not None:
        whole, image = clip.with_suffix(".whole.mkv"), clip.with_suffix(".png")
        opened.write(whole, video_codec="ffv1", frames=NUMBER + 1, overwrite=True)
        chain = f"select=eq(n\\,{NUMBER}),{shown}"
        ffmpeg("-i", str(whole), "-vf", chain, "-frames:v", "1", "-update", "1", str(image))
        return cv2.imread(str(image))
    *_, frame = islice(iter(opened), NUMBER + 1)
    return np.ascontiguousarray(frame.numpy()[..., ::-1])


def before_after(one: Picture, clip: Path) -> np.ndarray:
    """Both halves, named."""
    after = frame_of(clip, one.chain, one.shown)
    before = cv2.resize(frame_of(clip, None, one.shown), after.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    x, y = round(one.corner[0] * after.shape[1]), round(one.corner[1] * after.shape[0])
    x, y = min(x, after.shape[1] - WIDTH), min(y, after.shape[0] - HEIGHT)
    halves = [side[y : y + HEIGHT, x : x + WIDTH] for side in (before, after)]
    return named(np.hstack(halves), ["bicubic", "streamvsr"])


def named(pixels: np.ndarray, names: list[str]) -> np.ndarray:
    pixels = np.ascontiguousarray(pixels)
    for number, name in enumerate(names):
        x = number * pixels.shape[1] // len(names)
        (wide, _), _ = cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
        cv2.rectangle(pixels, (x, 0), (x + wide + 12, 22), (30, 30, 30), -1)
        cv2.putText(pixels, name, (x + 6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (240, 240, 240), 1, cv2.LINE_AA)
    return pixels


def save(name: str, pixels: np.ndarray) -> None:
    """As WebP, as good as ``MOST_BYTES`` allow."""
    for quality in (88, 80, 70, 60, 50):
        done, data = cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, quality])
        if done and len(data) < MOST_BYTES:
            break
    (TARGET / name).write_bytes(bytes(data))
    print(f"{name}: {len(data)} bytes")


def models(clips: dict[str, Path], folder: Path) -> None:
    """Which model when: a clean clip above, a compressed one below; bicubic, rt, rt-real."""
    clean = folder / "clean.mp4"
    ffmpeg("-i", str(clips["flower"]), "-vf", "scale=480:-2", *X264, "-crf", "12", "-an", str(clean))
    rows = []
    for clip, corner in ((clean, (0.42, 0.35)), (clips["water"], (0.3, 0.55))):
        sides = [frame_of(clip, f"vsr=model={model}") for model in ("bicubic", "rt", "rt-real")]
        x, y = (round(part * side) for part, side in zip(corner, sides[0].shape[1::-1], strict=True))
        rows.append(np.hstack([side[y : y + 240, x : x + 300] for side in sides]))
    save("models.webp", named(np.vstack(rows), ["bicubic", "rt", "rt-real"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, default=SHARED / "clips")
    parser.add_argument("--weights", type=Path, default=SHARED / "weights")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    TARGET.mkdir(exist_ok=True)
    if arguments.weights.is_dir():
        os.environ.setdefault("STREAMVSR_CACHE", str(arguments.weights))
    more: dict[str, Callable[[dict[str, Path], Path], None]] = {"models.webp": models}
    wanted = arguments.names or [*PICTURES, *more]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = {
            "city": ROOT / "demo" / "city_180p.mp4",
            "water": arguments.clips / "water_cc0_360p.mp4",
            "flower": arguments.clips / "flower_cc0_540p.mp4",
            "drawn": folder / "drawn.mkv",
        }
        draw(clips["drawn"])
        for picture in wanted:
            needs = {"water", "flower"} if picture in more else {PICTURES[picture].source}
            if not all(clips[clip].is_file() for clip in needs):
                print(f"{picture}: {', '.join(sorted(needs))} not there, left as it is")
                continue
            if picture in more:
                more[picture](clips, folder)
                continue
            one = PICTURES[picture]
            clip = clips[one.source]
            if one.make:
                clip = folder / f"{Path(picture).stem}{one.suffix}"
                ffmpeg("-i", str(clips[one.source]), *one.make, "-an", "-t", "2", str(clip))
            save(picture, before_after(one, clip))
    return 0


if __name__ == "__main__":
    sys.exit(main())
