"""Does the state of a model drift over a thousand frames? Any model of the registry, frame by frame as it is run.

    python benchmarks/bench_drift_models.py --picture photo.png --model rt
    python benchmarks/bench_drift_models.py --picture photo.png --checkpoint AnimeSR_v2.pth --frames 300
    python benchmarks/bench_drift_models.py --random nanovsr --frames 300 --scenes still pan

PSNR to the truth, carried and fresh (``--warm-up`` frames before), and of the carried frame to the fresh one; luma for
models that take luma. ``--max-history N`` bounds a carried state, 0 lets it grow old; without, as the model does.
``--random``: the small random network of bench_seams.py, of which the last column alone says something.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from bench_drift import MARKS, Scene, picture, psnr
from bench_seams import random_model
from material import PHOTO, need
from torch import Tensor

from streamvsr.config import ModelOptions
from streamvsr.models import registry
from streamvsr.models.base import Model, Session

LUMA = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)


def taken(model: Model, rgb: Tensor) -> Tensor:
    return (rgb * LUMA).sum(1, keepdim=True) if model.info.domain == "luma" else rgb


def push(session: Session, frame: Tensor) -> Tensor:
    (made,) = session.window(frame, 1, range(1))
    return made[None].clone()


@torch.inference_mode()
def measure(model: Model, scene: Scene, frames: int, warm_up: int) -> None:
    print(
        f"model {model.info.name}, scene {scene.kind}, noise {scene.sigma:g}/255: frame, carried, fresh, between them",
        flush=True,
    )
    carried = model.session()
    carried.reset()
    for number in range(frames + 1):
        low, truth = scene(number)
        made = push(carried, taken(model, low))
        if number in MARKS:
            fresh = model.session()
            fresh.reset()
            for earlier in range(max(0, number - warm_up + 1), number + 1):
                anew = push(fresh, taken(model, scene(earlier)[0]))
            wanted = taken(model, truth)
            print(
                f"{number:5d}  {psnr(made, wanted):6.2f}  {psnr(anew, wanted):6.2f}  {psnr(made, anew):6.2f}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, default=PHOTO)
    parser.add_argument("--model", default=registry.AUTO)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--random", choices=("basicvsr", "basicvsr_pp", "nanovsr"))
    parser.add_argument("--max-history", type=int)
    parser.add_argument("--scenes", nargs="+", default=["still", "noise", "pan"])
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--warm-up", type=int, default=15)
    parser.add_argument("--noise", type=float, default=2.0)
    options = parser.parse_args()
    need(options.picture)
    if options.random:
        model = random_model(options.random)
    else:
        model = registry.load_model(registry.select(options.model, options.checkpoint))
    model.tune(ModelOptions(max_history=options.max_history))
    photo = picture(options.picture, options.size)
    for kind in options.scenes:
        scene = Scene(kind, photo, options.size, 0 if kind == "still" else options.noise)
        measure(model, scene, options.frames, options.warm_up)


if __name__ == "__main__":
    main()
