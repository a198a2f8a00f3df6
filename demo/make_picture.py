"""Makes docs/before_after.png: a crop of the demo clip, enlarged by bicubic interpolation and by the model that ships.

python demo/make_picture.py
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np

import streamvsr

ROOT = Path(__file__).resolve().parent.parent
CLIP = ROOT / "demo" / "city_180p.mp4"
NUMBER = 50
TOP, LEFT, SIZE = 120, 400, 480


def picture(model: str) -> np.ndarray:
    """Frame ``NUMBER`` through ``model``: the crop, (SIZE, SIZE, 3) uint8 RGB."""
    frames = streamvsr.open(CLIP).filter(f"vsr=model={model}")
    frame = next(islice(frames, NUMBER, None))
    return frame.numpy()[TOP : TOP + SIZE, LEFT : LEFT + SIZE]


def main() -> None:
    both = np.hstack([picture("bicubic"), picture("rt")])
    cv2.imwrite(str(ROOT / "docs" / "before_after.png"), both[..., ::-1])


if __name__ == "__main__":
    main()
