"""The same input with tiles against without: the difference, the time, the peak memory.

    python benchmarks/bench_tiles.py [--size 320x180] [--frames 4] [--tile 96]

RealBasicVSR's configuration with random weights, one window, each run a process of its own; differences in steps of
1/255. The flow is that of whole pictures in both.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from streamvsr.config import ModelOptions
from streamvsr.models import registry
from streamvsr.models.basicvsr.network import RealBasicVSRNet


def child(size: str, frames: int, tile: int, target: Path) -> None:
    width, height = map(int, size.split("x"))
    torch.manual_seed(0)
    model = registry.ENTRIES["realbasicvsr"].load(RealBasicVSRNet(64, 20, 20).state_dict(), {})
    model.tune(ModelOptions(tile=str(tile) if tile else "off"))
    clip = torch.rand(frames, 3, height, width)
    begin = time.perf_counter()
    with torch.inference_mode():
        made = torch.stack(list(model.session().window(clip, frames, range(frames))))
    seconds = (time.perf_counter() - begin) / frames
    torch.save(made, target)
    print(f"{seconds} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="320x180")
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--tile", type=int, default=96)
    parser.add_argument("--child", type=Path)
    a = parser.parse_args()
    if a.child:
        child(a.size, a.frames, a.tile, a.child)
        return
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for tile in (0, a.tile):
            target = Path(folder) / f"{tile}.pt"
            words = ["--child", str(target), "--tile", str(tile), "--size", a.size, "--frames", str(a.frames)]
            done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            seconds, peak = map(float, done.stdout.split())
            results.append(torch.load(target, weights_only=True))
            print(f"{f'tiles of {tile}' if tile else 'whole':14}{seconds:8.2f} s/frame{peak:8.0f} MiB peak")
    difference = (results[0] - results[1]).abs()
    error = difference.square().mean().clamp(min=1e-16)
    print(f"largest difference {255 * float(difference.max()):.5f}, PSNR {float(-10 * error.log10()):.1f} dB")


if __name__ == "__main__":
    main()
