"""Does the state of a model drift over a thousand frames? Any model of the registry, frame by frame as it is run.

    python benchmarks/bench_drift_models.py --picture photo.png --model rt
    python benchmarks/bench_drift_models.py --picture photo.png --checkpoint AnimeSR_v2.pth --frames 300

PSNR to the truth, carried and fresh (``--warm-up`` frames before); luma for models that take luma.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from bench_drift import MARKS, Scene, picture, psnr
from material import PHOTO, need
from torch import Tensor

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
    print(f"model {model.info.name}, scene {scene.kind}, noise {scene.sigma:g}/255: frame, carried, fresh", flush=True)
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
            print(f"{number:5d}  {psnr(made, wanted):6.2f}  {psnr(anew, wanted):6.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, default=PHOTO)
    parser.add_argument("--model", default=registry.AUTO)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--scenes", nargs="+", default=["still", "noise", "pan"])
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--warm-up", type=int, default=15)
    parser.add_argument("--noise", type=float, default=2.0)
    options = parser.parse_args()
    need(options.picture)
    model = registry.load_model(registry.select(options.model, options.checkpoint))
    photo = picture(options.picture, options.size)
    for kind in options.scenes:
        scene = Scene(kind, photo, options.size, 0 if kind == "still" else options.noise)
        measure(model, scene, options.frames, options.warm_up)


if __name__ == "__main__":
    main()
