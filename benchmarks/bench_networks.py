"""What a frame costs each network beside ``rt``, as the program runs it: in its own windows, with its own look-ahead.

    OMP_NUM_THREADS=1 python benchmarks/bench_networks.py [--rounds 2] [--size 320x180] [--models nanovsr srvgg]

Processor time of the network alone for a frame, in a window after the first (states are there), ``rt`` and the others
in turns, the fastest of the rounds. Weights are random, of the published sizes: they do not change the time. ``kMAC``:
thousands of multiply-accumulate operations for each input pixel, without the look-ahead (checkpoints/manifest.toml).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping

import torch

from streamvsr.models import registry
from streamvsr.models.animesr.network import AnimeSRNet, Shape
from streamvsr.models.base import Model
from streamvsr.models.basicvsr.network import BasicVSRNet
from streamvsr.models.nanovsr.network import NanoVSRNet
from streamvsr.models.rt.network import RTNet
from streamvsr.models.srvgg import SRVGGNet

NETWORKS: Mapping[str, tuple[str, Callable[[], torch.nn.Module]]] = {
    "rt": ("rt", RTNet),
    "nanovsr": ("nanovsr_644k", NanoVSRNet),
    "srvgg": ("realesr-animevideov3", SRVGGNet),
    "animesr": ("animesr_v2", lambda: AnimeSRNet(Shape())),
    "basicvsr": ("basicvsr_reds4", lambda: BasicVSRNet(64, 30)),
}
"""The checkpoint of that size, for its line in the manifest."""


def loaded(name: str) -> Model:
    network, generator = NETWORKS[name][1](), torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.02, generator=generator)
    return registry.ENTRIES[name].load(network.state_dict(), {})


@torch.inference_mode()
def seconds(model: Model, height: int, width: int) -> float:
    """For a frame of the second window."""
    length, overlap = model.info.max_seq_len, model.info.overlap
    keep = length - overlap
    frames = torch.rand(length + keep, model.info.channels, height, width)
    session = model.session()
    for _ in session.window(frames[:length], length, range(keep)):
        pass
    start = time.process_time()
    for _ in session.window(frames[keep:], keep, range(keep)):
        pass
    return (time.process_time() - start) / keep


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--size", default="320x180")
    parser.add_argument("--models", nargs="+", choices=tuple(NETWORKS), default=["nanovsr", "srvgg", "animesr"])
    a = parser.parse_args()
    width, height = map(int, a.size.split("x"))
    names = list(dict.fromkeys(("rt", *a.models)))
    models = {name: loaded(name) for name in names}
    best = dict.fromkeys(names, float("inf"))
    for _ in range(a.rounds):
        for name, model in models.items():
            best[name] = min(best[name], seconds(model, height, width))
    print(f"{'network':12}{'kMAC':>7}{'ms a frame':>12}{'of rt':>8}")
    for name, took in best.items():
        kmacs = registry.known_checkpoint(NETWORKS[name][0]).kmacs
        print(f"{name:12}{kmacs:7}{1000 * took:12.1f}{took / best['rt']:8.1f}")


if __name__ == "__main__":
    main()
