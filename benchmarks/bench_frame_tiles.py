"""Networks of one frame in tiles against the whole frame: the difference anywhere, and on both sides of the seams.

    python benchmarks/bench_frame_tiles.py [--tile 64] [--networks RCAN SwinIR]

The input is a frame of a real clip, 208x144. Trained weights where they are at hand, else spandrel's own classes, small
and with random weights: those show how far a network looks, not what its pictures are like. Differences in steps of
1/255. ``seam``: the mean difference in the two output rows and columns beside each seam, over that of all pixels: 1
means that the difference, whatever its size, is not where the tiles meet. The last column: what spandrel says of tiles.
"""

from __future__ import annotations

import argparse
import importlib
from typing import Any

import torch
from material import CLIPS, WEIGHTS, need
from torch import Tensor

from streamvsr.config import ModelOptions
from streamvsr.models import spandrel
from streamvsr.models.checkpoint import read
from streamvsr.models.spandrel import SpandrelNetwork
from tests.one_way import real_pair, whole

NETWORKS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("ESRGAN", "ESRGAN", {"num_filters": 32, "num_blocks": 4}),
    ("SPAN", "SPAN", {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 24, "upscale": 2}),
    ("SwinIR", "SwinIR", {"embed_dim": 24, "depths": [4, 4], "num_heads": [2, 2], "img_size": 16, "window_size": 8}),
    ("Swin2SR", "Swin2SR", {"embed_dim": 24, "depths": [4, 4], "num_heads": [2, 2], "img_size": 16, "window_size": 8}),
    ("SAFMN", "SAFMN", {"dim": 12, "n_blocks": 4, "upscaling_factor": 2}),
    ("OmniSR", "OmniSR", {"num_feat": 16, "up_scale": 2}),
    ("RCAN", "RCAN", {"scale": 2, "n_resgroups": 2, "n_resblocks": 4, "n_feats": 16}),
    ("NAFNet", "NAFNet", {"width": 16, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]}),
    ("PLKSR", "RealPLKSR", {"dim": 16, "n_blocks": 4, "upscaling_factor": 2}),
    (
        "HAT",
        "HAT",
        {"embed_dim": 24, "depths": [2], "num_heads": [2], "window_size": 8, "squeeze_factor": 6, "upscale": 2},
    ),
    ("DAT", "DAT", {"embed_dim": 32, "depth": [2], "num_heads": [2], "img_size": 16, "upscale": 2}),
    ("SCUNet", "SCUNet", {"config": [1] * 7}),
    ("RetinexFormer", "RetinexFormer", {"n_feat": 16, "stage": 1}),
    ("MixDehazeNet", "MixDehazeNet", {}),
    ("HVICIDNet", "HVICIDNet", {"channels": [12, 12, 24, 48]}),
)
TRAINED = ("realesr-animevideov3.pth", "realesr-general-x4v3.fp16.safetensors")


def random_weights(architecture: str, network: str, arguments: dict[str, Any]) -> dict[str, Tensor]:
    torch.manual_seed(0)
    module = importlib.import_module(f"spandrel.architectures.{architecture}")
    state: dict[str, Tensor] = getattr(module, network)(**arguments).state_dict()
    return state


def compare(name: str, state: dict[str, Tensor], frame: Tensor, tile: int) -> str:
    model = spandrel.load(state, {})
    together = whole(model, frame)
    model.tune(ModelOptions(tile=str(tile)))
    apart = 255 * (whole(model, frame) - together).abs().mean((0, 1))
    scale = model.info.scale
    beside = torch.zeros_like(apart, dtype=torch.bool)
    for edge in range(tile, frame.shape[2], tile):
        beside[edge * scale - 2 : edge * scale + 2] = True
    for edge in range(tile, frame.shape[3], tile):
        beside[:, edge * scale - 2 : edge * scale + 2] = True
    mean = float(apart.mean())
    seam = f"{float(apart[beside].mean()) / mean:.1f}" if mean > 1e-3 else "-"
    contrast = 255 * float(together.std())
    said = model.network._descriptor.tiling.name.lower() if isinstance(model.network, SpandrelNetwork) else ""
    return f"{name:40}{float(apart.max()):10.3f}{mean:10.4f}{seam:>8}{contrast:10.1f}  {said}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tile", type=int, default=64)
    parser.add_argument("--networks", nargs="+", choices=[name for _, name, _ in NETWORKS], help="these alone")
    a = parser.parse_args()
    clip = CLIPS / "bbb_480p_30s.mp4"
    need(clip)
    spandrel.known_architectures()
    _, frame = real_pair(clip, 300, 1, 576, 832)
    print(f"{'network':40}{'largest':>10}{'mean':>10}{'seam':>8}{'contrast':>10}")
    for file in () if a.networks else TRAINED:
        path = WEIGHTS.parent / file
        if path.exists():
            print(compare(f"{file} (trained)", dict(read(path).state), frame, a.tile))
    for architecture, network, arguments in NETWORKS:
        if a.networks and network not in a.networks:
            continue
        print(compare(network, random_weights(architecture, network, arguments), frame, a.tile), flush=True)


if __name__ == "__main__":
    main()
