"""Does a forward state that is carried for very long drift? Trained weights, one small picture, many frames.

At the marked frames the carried state is compared with a fresh one that was started ``--warm-up`` frames before. Both
are fused with the same backward state, so that only the history differs.

    python benchmarks/bench_drift.py [--weights BasicVSR_REDS4.pth] [--picture photo.png] [--frames 1000]

Scenes: ``noise`` (a still picture, new noise on every frame), ``still`` (the very same frame again and again), ``pan``
(the picture moves by a fraction of a pixel each frame, to and fro).
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import av
import numpy as np
import torch
from material import PHOTO, WEIGHTS, need
from torch import Tensor
from torch.nn import functional

from streamvsr.models.basicvsr import load
from streamvsr.models.basicvsr.history import ForwardBranch
from streamvsr.models.basicvsr.network import BasicVSRNet
from streamvsr.models.checkpoint import read

MARKS = (5, 10, 15, 20, 30, 45, 60, 80, 100, 150, 200, 300, 400, 500, 700, 1000, 1500, 2000, 3000)


def picture(path: Path, size: int) -> Tensor:
    """The middle of a photo, (1, 3, 4 * size + margin, ...), R'G'B', 0..1."""
    with av.open(str(path)) as file:
        whole = next(file.decode(video=0)).to_ndarray(format="rgb24")
    edge = 4 * size + 64
    top, left = (whole.shape[0] - edge) // 2, (whole.shape[1] - edge) // 2
    crop = np.ascontiguousarray(whole[top : top + edge, left : left + edge])
    return torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255


class Scene:
    """Frame number -> (low resolution, ground truth), both (1, 3, H, W)."""

    def __init__(self, kind: str, photo: Tensor, size: int, sigma: float) -> None:
        self.kind, self.photo, self.size, self.sigma = kind, photo, size, sigma

    def __call__(self, number: int) -> tuple[Tensor, Tensor]:
        edge = 4 * self.size
        shift = round(28 * math.sin(number / 40)) if self.kind == "pan" else 0
        truth = self.photo[..., 32 + shift : 32 + shift + edge, 32 - shift : 32 - shift + edge]
        low = functional.interpolate(truth, size=(self.size, self.size), mode="bicubic", antialias=True)
        if self.kind != "still":
            low = low + torch.randn(low.shape, generator=torch.Generator().manual_seed(number)) * self.sigma / 255
        return (low.clamp(0, 1) * 255).round() / 255, truth


def psnr(a: Tensor, b: Tensor) -> float:
    error = (a.clamp(0, 1) - b.clamp(0, 1)).square().mean().item()
    return 99.0 if error < 1e-10 else -10 * math.log10(error)


class Forward:
    """The forward branch alone, frame by frame."""

    def __init__(self, network: BasicVSRNet) -> None:
        self.network, self.state, self.last = network, None, None
        self.state: Tensor | None
        self.last: Tensor | None

    def push(self, low: Tensor) -> None:
        flow = None if self.last is None else self.network.spynet(low, self.last)
        self.state = self.network.propagate(self.network.forward_resblocks, low, self.state, flow)
        self.last = low


def backward(network: BasicVSRNet, lows: list[Tensor]) -> Tensor:
    state, later = None, None
    for low in reversed(lows):
        flow = None if later is None else network.spynet(low, later)
        state = network.propagate(network.backward_resblocks, low, state, flow)
        later = low
    assert state is not None
    return state


@torch.inference_mode()
def measure(network: BasicVSRNet, scene: Scene, frames: int, warm_up: int, ahead: int) -> None:
    print(f"scene {scene.kind}: carried against a fresh start {warm_up} frames before", flush=True)
    print(
        "frame  |state|  PSNR to the truth: carried  fresh   carried to fresh   mean level carried  fresh", flush=True
    )
    carried = Forward(network)
    for number in range(frames + 1):
        low, truth = scene(number)
        carried.push(low)
        if number not in MARKS:
            continue
        fresh = Forward(network)
        for earlier in range(max(0, number - warm_up + 1), number + 1):
            fresh.push(scene(earlier)[0])
        behind = backward(network, [scene(number + n)[0] for n in range(ahead + 1)])
        pictures = [network.reconstruct(low, behind, f.state) for f in (carried, fresh) if f.state is not None]
        size = float(carried.state.square().mean().sqrt()) if carried.state is not None else 0.0
        quality = [psnr(p, truth) for p in pictures]
        levels = [255 * float(p.clamp(0, 1).mean()) for p in pictures]
        apart = psnr(*pictures)
        print(
            f"{number:5d}  {size:7.4f}  {quality[0]:26.2f}  {quality[1]:5.2f}  {apart:17.2f}"
            f"  {levels[0]:19.2f}  {levels[1]:5.2f}",
            flush=True,
        )


@torch.inference_mode()
def jumps(network: BasicVSRNet, scene: Scene, frames: int, ahead: int, bound: int) -> None:
    """The bounded history over a still picture, where any jump at a change of states would be seen."""
    trunk = network.forward_resblocks
    branch = ForwardBranch(
        lambda x, states, flow: network.propagate(trunk, x, states[0] if states else None, flow), bound
    )
    low, truth = scene(0)
    flow = network.spynet(low, low)
    behind = backward(network, [low] * (ahead + 1))
    before: Tensor | None = None
    print(f"scene {scene.kind}, history of {bound} frames at most: PSNR to the truth, and to the picture before")
    for number in range(frames):
        state = branch.step(low, flow if number else None)
        made = network.reconstruct(low, behind, state)
        change = "" if before is None else f"{psnr(made, before):6.2f}  {255 * float((made - before).abs().max()):6.2f}"
        print(f"{number:5d}  {psnr(made, truth):6.2f}  {change}", flush=True)
        before = made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="a BasicVSR checkpoint")
    parser.add_argument("--picture", type=Path, default=PHOTO)
    parser.add_argument("--scenes", nargs="+", default=["noise", "still", "pan"])
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--size", type=int, default=64, help="height and width of the input")
    parser.add_argument("--warm-up", type=int, default=30)
    parser.add_argument("--ahead", type=int, default=8)
    parser.add_argument("--noise", type=float, default=2.0, help="standard deviation in steps of 1/255")
    parser.add_argument("--bound", type=int, help="show each frame of a still picture with a bounded history instead")
    options = parser.parse_args()
    need(options.weights, options.picture)
    network = load(read(options.weights).state, {}).network
    assert isinstance(network, BasicVSRNet)
    photo = picture(options.picture, options.size)
    for kind in options.scenes:
        scene = Scene(kind, photo, options.size, options.noise)
        if options.bound is None:
            measure(network, scene, options.frames, options.warm_up, options.ahead)
        else:
            jumps(network, Scene("still", photo, options.size, 0), options.frames, options.ahead, options.bound)


if __name__ == "__main__":
    main()
