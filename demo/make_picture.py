"""Makes the pictures of the README: ``python demo/make_picture.py [WATER.mp4]``.

docs/before_after.webp: a crop of the demo clip, enlarged by bicubic interpolation and by the model that ships.
docs/wipe.webp: the same clip, compressed once more as the web does it, with a line that slides over both.
docs/real.jpg, where the clip is given: ordinary compressed footage, ``stream-of-water.mp4`` of MDN's examples (CC0).
"""

from __future__ import annotations

import sys
import tempfile
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

import streamvsr
from streamvsr.cli import main as program

ROOT = Path(__file__).resolve().parent.parent
CLIP = ROOT / "demo" / "city_180p.mp4"
NUMBER = 50
TOP, LEFT, SIZE = 120, 400, 480
WIPE = "crop=640:360:200:160"


def picture(model: str) -> np.ndarray:
    """Frame ``NUMBER`` through ``model``: the crop, (SIZE, SIZE, 3) uint8 RGB."""
    frames = streamvsr.open(CLIP).filter(f"vsr=model={model}")
    frame = next(islice(frames, NUMBER, None))
    return frame.numpy()[TOP : TOP + SIZE, LEFT : LEFT + SIZE]


def wipe(target: Path) -> None:
    chains = ["--with", f"bicubic=4,{WIPE}", "--with", f"vsr=model=rt-real,{WIPE}"]
    look = ["--label", "bicubic", "--label", "streamvsr", "--frame-rate", "10", "--start-frame", "4"]
    look += ["--pause-frame", "16", "--repeat-when-pause", "6", "--slide-step", "22"]
    output = ["-quality", "40", "-loop", "0", "-f", "webp", "-y", "--quiet", str(target)]
    with tempfile.TemporaryDirectory() as folder:
        web = str(Path(folder) / "web.mp4")
        assert program([str(CLIP), "-vf", "null", "-crf", "31", "-preset", "medium", "-an", "--quiet", web]) == 0
        assert program(["compare", "-t", "1.5", web, *chains, *look, *output]) == 0


def real(clip: str, target: Path) -> None:
    """The moment and the part that ``streamvsr preview`` chooses, half as large."""
    with tempfile.TemporaryDirectory() as folder:
        made = str(Path(folder) / "made.png")
        assert program(["preview", clip, made, "--quiet"]) == 0
        half = cv2.resize(cv2.imread(made), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(target), half, [cv2.IMWRITE_JPEG_QUALITY, 88])


def main() -> None:
    both = np.hstack([picture("bicubic"), picture("rt")])[..., ::-1]
    cv2.imwrite(str(ROOT / "docs" / "before_after.webp"), both, [cv2.IMWRITE_WEBP_QUALITY, 92])
    wipe(ROOT / "docs" / "wipe.webp")
    for clip in sys.argv[1:2]:
        real(clip, ROOT / "docs" / "real.jpg")


if __name__ == "__main__":
    main()
