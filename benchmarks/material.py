"""Where the benchmarks find real clips, photos and trained weights: beside the repository, where they are there."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
CLIPS = DATA / "clips"
PHOTO = DATA / "gt" / "kodak" / "kodim04.png"
WEIGHTS = DATA / "weights" / "BasicVSR_REDS4.pth"


def need(*paths: Path) -> None:
    """End this benchmark, well, where its material is missing: the others shall still run."""
    absent = [str(path) for path in paths if not path.exists()]
    if absent:
        print(f"left out: no such file or folder: {', '.join(absent)}; name others on the command line")
        sys.exit(0)
