"""Which networks run faster channels last, on this processor: time in torch's default order over time channels last.

    OMP_NUM_THREADS=1 python benchmarks/bench_layout.py [--rounds 5]

Processor time of the network alone, both orders in turns, the fastest of the rounds; input 128x72. Weights are random
(they do not change the time), sizes those that are published, ESRGAN with 2 of its 23 blocks.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from streamvsr.models import spandrel
from streamvsr.models.animesr.network import AnimeSRNet, Shape
from streamvsr.models.rt.network import RTNet
from streamvsr.models.srvgg import SRVGGNet

HEIGHT, WIDTH = 72, 128


class Step(nn.Module):
    """One step of a recurrent network from its initial state."""

    def __init__(self, network: nn.Module, planes: int, start: Callable[[Tensor], tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.network, self.planes, self._start = network, planes, start

    def forward(self, seen: Tensor) -> Tensor:
        last = seen.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last else torch.contiguous_format
        state = [value.contiguous(memory_format=layout) for value in self._start(seen)]
        picture: Tensor = self.network(seen, *state)[0]
        return picture


def rt() -> nn.Module:
    network = RTNet()
    return Step(network, 3, lambda x: (network.initial_state(1, *x.shape[2:]),))


def animesr() -> nn.Module:
    network = AnimeSRNet(Shape(64, (5, 3, 2), 4))
    return Step(network, 9, network.initial_state)


def by_spandrel(architecture: str, network: str, **arguments: object) -> nn.Module:
    module: nn.Module = getattr(importlib.import_module(f"spandrel.architectures.{architecture}"), network)(**arguments)
    return module


NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    "rt": rt,
    "animesr": animesr,
    "srvgg": SRVGGNet,
    "ESRGAN": lambda: by_spandrel("ESRGAN", "ESRGAN", num_blocks=2),
    "SPAN": lambda: by_spandrel("SPAN", "SPAN", num_in_ch=3, num_out_ch=3, upscale=4),
    "PLKSR": lambda: by_spandrel("PLKSR", "RealPLKSR", dim=64, n_blocks=4, upscaling_factor=4),
    "RealCUGAN": lambda: by_spandrel("RealCUGAN", "UpCunet2x"),
    "MoSR": lambda: by_spandrel("MoSR", "MoSR", upscale=4, n_block=4),
    "NAFNet": lambda: by_spandrel("NAFNet", "NAFNet", width=32, enc_blk_nums=[1, 1], dec_blk_nums=[1, 1]),
    "SwinIR": lambda: by_spandrel("SwinIR", "SwinIR", embed_dim=60, depths=[2], num_heads=[6], window_size=8),
}


def seconds(network: nn.Module, x: Tensor) -> float:
    start = time.process_time()
    network(x)
    return time.process_time() - start


@torch.inference_mode()
def compare(make: Callable[[], nn.Module], rounds: int) -> tuple[float, float]:
    """Seconds in the default order, and channels last."""
    best = {torch.contiguous_format: float("inf"), torch.channels_last: float("inf")}
    network = make().eval()
    x = torch.rand(1, getattr(network, "planes", 3), HEIGHT, WIDTH)
    for number in range(rounds + 1):
        for layout in best:
            network.to(memory_format=layout)  # type: ignore[call-overload]
            took = seconds(network, x.contiguous(memory_format=layout))
            # The first run of a shape also chooses how to compute it.
            best[layout] = min(best[layout], took) if number else best[layout]
    return best[torch.contiguous_format], best[torch.channels_last]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    a = parser.parse_args()
    spandrel.known_architectures()
    print(f"{'network':12}{'default, ms':>13}{'last, ms':>10}{'ratio':>8}")
    for name, make in NETWORKS.items():
        default, last = compare(make, a.rounds)
        print(f"{name:12}{1000 * default:13.1f}{1000 * last:10.1f}{default / last:8.2f}", flush=True)


if __name__ == "__main__":
    main()
