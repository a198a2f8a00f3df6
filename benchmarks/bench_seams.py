"""Do windows show? Distance to the whole-sequence result and to ground truth, and the jump at seams.

    python benchmarks/bench_seams.py [--frames 64] [--weights FILE] [--csv FILE]
    python benchmarks/bench_seams.py --random basicvsr_pp --frames 36 --clip "moving, as filmed"

Trained BasicVSR weights on two real clips: one from a moving camera, one from a fixed one. Once as filmed, a crop of
80x64 being the input, for which there is no ground truth; once with 320x256 as the ground truth and their bicubic
quarter as the input. PSNR over RGB, no border crop.

The clips as filmed are what a user has. On the shrunk ones the whole sequence itself is farther from the ground truth
than windows are (its states drift), so the distance to it says little there: read "to truth".

The whole-sequence result is the published network's: one state from the first frame to the last. ``carry`` bounds that
history by default (docs/engine.md says why); ``carry-all`` does not (--max-history 0).

--random: a small network of a family with random weights, for families of which no trained ones are at hand. It says
how windows act on the structure of the network (what is carried, what begins anew), nothing about real pictures.

cost: trunk passes a frame, the whole sequence being 2 (one forward, one backward); flow and upsampling are not counted,
since ``carry`` makes them once and ``window`` again for each window.
seam: how much more the picture changes from the last frame of a window to the first of the next than the whole-sequence
result does there, beside the same ratio everywhere else: 1.00 is indistinguishable.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import torch
from material import CLIPS as CLIPS_FOLDER
from material import WEIGHTS, need
from torch.nn.functional import interpolate

from streamvsr.config import ModelOptions
from streamvsr.models import registry
from streamvsr.models.base import Model
from streamvsr.models.basicvsr.network import BasicVSRNet
from streamvsr.models.basicvsr_pp.network import BasicVSRPlusPlusNet
from streamvsr.models.nanovsr.network import NanoVSRNet
from streamvsr.vsr.windows import Windows

CLIPS = {
    "moving, as filmed": ("gopro_drone_480p.mp4", 300, 200, False),
    "static, as filmed": ("intel_cars_432p.mp4", 300, 200, False),
    "moving, shrunk": ("gopro_drone_480p.mp4", 260, 160, True),
    "static, shrunk": ("intel_cars_432p.mp4", 240, 120, True),
}
RANDOM_WAYS = (
    ("carry", 12, 0),
    ("carry", 12, 2),
    ("carry", 12, 4),
    ("carry", 12, 6),
    ("window", 12, 0),
    ("window", 12, 4),
)
BRANCHES = {"basicvsr": (2, 1), "realbasicvsr": (2, 1), "nanovsr": (2, 1), "basicvsr_pp": (4, 3)}
"""Passes over the frames, and how many of them run over the frames that are looked ahead at as well."""
WAYS: Sequence[tuple[str, int, int]] = (
    ("carry", 12, 0), ("carry", 12, 2), ("carry", 12, 4), ("carry", 24, 4), ("carry", 24, 8), ("carry", 32, 16),
    ("carry-all", 12, 4), ("carry-all", 24, 8),
    ("window", 12, 0), ("window", 12, 4), ("window", 12, 6), ("window", 24, 8), ("window", 32, 16),
)  # fmt: skip


def crop(name: str, left: int, top: int, width: int, height: int, count: int) -> torch.Tensor:
    """(T, 3, height, width), R'G'B' 0..1."""
    pictures = []
    with av.open(str(CLIPS_FOLDER / name)) as container:
        for frame in container.decode(video=0):
            pictures.append(frame.to_ndarray(format="rgb24")[top : top + height, left : left + width])
            if len(pictures) == count:
                break
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


def random_model(name: str) -> Model:
    """A network of 8 channels and a block a branch; flows of a few pixels, and states that matter to each other."""
    make = {
        "basicvsr": lambda: BasicVSRNet(8, 1, 8),
        "basicvsr_pp": lambda: BasicVSRPlusPlusNet(8, 1, groups=4, high_res_channels=8),
        "nanovsr": lambda: NanoVSRNet(8, 2),
    }
    network, generator = make[name](), torch.Generator().manual_seed(0)
    for key, parameter in network.named_parameters():
        torch.nn.init.normal_(parameter, std=0.04 if "spynet" in key else 0.08, generator=generator)
    return registry.ENTRIES[name].load(network.state_dict(), {})


def run(model: Model, frames: torch.Tensor, way: str, length: int, overlap: int) -> tuple[torch.Tensor, list[int]]:
    """The pictures, and the numbers of the frames that begin a window's kept part."""
    model.tune(ModelOptions(max_history=None if way == "carry" else 0))
    windows = Windows(length, overlap, "window" if way == "window" else "carry")
    session, given, seams = model.session(), 0, []
    made: list[torch.Tensor] = []
    for number in range(len(frames) + 1):
        step = windows.push() if number < len(frames) else windows.cut()
        if step is None:
            continue
        if step.reset:
            session.reset()
            given = step.start
        made += list(session.window(frames[step.start : step.stop], step.stop - max(given, step.start), step.keep))
        given = step.stop
        seams.append(step.keep_start)
    return torch.stack(made), seams[1:]


def psnr(a: torch.Tensor, b: torch.Tensor) -> tuple[float, float]:
    """Over all frames, and of the worst frame, dB."""
    errors = (a.clamp(0, 1) - b.clamp(0, 1)).square().mean(dim=(1, 2, 3)).clamp(min=1e-12)
    return float(-10 * errors.mean().log10()), float(-10 * errors.max().log10())


def jumps(made: torch.Tensor, whole: torch.Tensor, seams: list[int]) -> tuple[float, float]:
    """Mean ratio of frame-to-frame change to that of the whole-sequence result: at seams, elsewhere."""
    change = (made[1:] - made[:-1]).abs().mean(dim=(1, 2, 3))
    natural = (whole[1:] - whole[:-1]).abs().mean(dim=(1, 2, 3))
    ratio = change / natural
    at = torch.zeros(len(ratio), dtype=torch.bool)
    at[[s - 1 for s in seams]] = True
    return float(ratio[at].mean()) if seams else 1.0, float(ratio[~at].mean())


def verdict(points: Sequence[tuple[str, float, float]]) -> str:
    """How ``carry`` does against each point of ``window``, at no more than its cost; of (way, cost, dB to whole)."""
    carried = [(cost, near) for way, cost, near in points if way == "carry"]
    margins = [max(n for c, n in carried if c <= cost) - near for way, cost, near in points if way == "window"]
    better = sum(margin > 0 for margin in margins)
    return (
        f"at equal or lower cost carry is nearer than window at {better} of {len(margins)} points,"
        f" by at least {min(margins):.2f} dB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--weights", default=str(WEIGHTS))
    parser.add_argument("--random", choices=("basicvsr", "basicvsr_pp", "nanovsr"))
    parser.add_argument("--clip", choices=tuple(CLIPS), help="this one alone")
    parser.add_argument("--csv")
    a = parser.parse_args()
    need(CLIPS_FOLDER, *([] if a.random else [Path(a.weights)]))
    model = random_model(a.random) if a.random else registry.load_model(registry.select(checkpoint=a.weights))
    branches, over_window = BRANCHES[model.info.name]
    lines = [("clip", "way", "L", "V", "cost", "dB to whole", "worst", "dB to truth", "seam", "elsewhere")]
    for clip, (name, left, top, shrunk) in CLIPS.items():
        if a.clip not in (None, clip):
            continue
        truth = None
        if shrunk:
            truth = crop(name, left, top, 320, 256, a.frames)
            frames = interpolate(truth, scale_factor=0.25, mode="bicubic", antialias=True).clamp(0, 1)
        else:
            frames = crop(name, left, top, 80, 64, a.frames)
        with torch.inference_mode():
            whole, _ = run(model, frames, "carry-all", len(frames), 0)
            known = "" if truth is None else f"; whole sequence to truth {psnr(whole, truth)[0]:.2f} dB"
            print(f"\n{clip}: {name}, {len(frames)} frames{known}")
            print(f"{'':16}{'cost':>6}{'to whole':>10}{'worst':>8}{'to truth':>10}{'seam':>7}{'else':>7}")
            points = []
            for way, length, overlap in RANDOM_WAYS if a.random else WAYS:
                made, seams = run(model, frames, way, length, overlap)
                again = length / (length - overlap)
                cost = branches * again if way == "window" else branches - over_window + over_window * again
                near, worst = psnr(made, whole)
                true = math.nan if truth is None else psnr(made, truth)[0]
                at, other = jumps(made, whole, seams)
                label = f"{way} {length}/{overlap}"
                print(f"{label:16}{cost:6.2f}{near:10.2f}{worst:8.2f}{true:10.2f}{at:7.2f}{other:7.2f}", flush=True)
                figures = (f"{x:.3f}" for x in (cost, near, worst, true, at, other))
                lines.append((clip, way, str(length), str(overlap), *figures))
                points.append((way, cost, near))
            print(verdict(points))
    if a.csv:
        with Path(a.csv).open("w", newline="") as file:
            csv.writer(file).writerows(lines)


if __name__ == "__main__":
    main()
