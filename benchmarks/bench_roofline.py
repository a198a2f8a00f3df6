"""What a frame costs, the floor that sets, and the share of it that is reached.

    python benchmarks/bench_roofline.py [--device cpu] [--dtype fp32]

Operations are counted by torch's FlopCounterMode while a session runs one window (a multiply-accumulate is two), bytes
are the least that must move: the weights and each convolution's input and output once. The machine's own ceilings are
measured in the same process: a large matrix product, and a copy. floor = max(operations / peak, bytes / bandwidth).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from streamvsr.models import registry
from streamvsr.models.base import Model, Settings
from streamvsr.models.basicvsr.network import RealBasicVSRNet

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def timed(work: Callable[[], object], device: torch.device, times: int) -> float:
    """The best of ``times``, seconds."""
    best = float("inf")
    for _ in range(times):
        begin = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begin)
    return best


def ceilings(device: torch.device, dtype: torch.dtype) -> tuple[float, float]:
    """(operations a second, bytes a second) that this machine reaches on its best case."""
    size = 2048 if device.type == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    operations = 2 * size**3 / timed(lambda: a @ b, device, 30)
    block = torch.empty(1 << (28 if device.type == "cpu" else 31), dtype=torch.uint8, device=device)
    other = torch.empty_like(block)
    return operations, 2 * block.numel() / timed(lambda: other.copy_(block), device, 10)


def conv_bytes(model: nn.Module, run: Callable[[], object]) -> int:
    """Input, output and weights of every convolution that ``run`` makes, in bytes."""
    total = 0

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        parts = [*inputs, output, *module.parameters()]
        total += sum(t.numel() * t.element_size() for t in parts)

    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, nn.Conv2d)]
    run()
    for hook in hooks:
        hook.remove()
    return total


def network_of(model: Model) -> nn.Module:
    return next(v for v in vars(model).values() if isinstance(v, nn.Module))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32")
    a = parser.parse_args()
    device, dtype = torch.device(a.device), DTYPES[a.dtype]
    operations, bandwidth = ceilings(device, dtype)
    print(
        f"{device}, {a.dtype}, {torch.get_num_threads()} threads: {operations / 1e9:.0f} GFLOP/s in a matrix product,"
    )
    print(f"{bandwidth / 1e9:.1f} GB/s in a copy\n")
    print(f"{'model, input':30}{'GFLOP':>8}{'MB':>8}{'floor ms':>10}{'measured':>10}{'share':>8}")
    torch.manual_seed(0)
    heavy = registry.ENTRIES["realbasicvsr"].load(RealBasicVSRNet(64, 20, 20).state_dict(), {})
    for model, width, height in ((registry.load_model(registry.select("rt")), 320, 180), (heavy, 160, 90)):
        model = model.to(device, dtype)
        model.tune(Settings(max_history=0))
        count = model.info.max_seq_len
        channels = 1 if model.info.domain == "luma" else 3
        frames = torch.rand(count, channels, height, width, device=device, dtype=dtype)

        def window(model: Model = model, frames: torch.Tensor = frames, count: int = count) -> None:
            for _ in model.session().window(frames, count, range(count)):
                pass

        with torch.inference_mode():
            window()
            with FlopCounterMode(display=False) as counter:
                window()
            flops = counter.get_total_flops() / count
            moved = conv_bytes(network_of(model), window) / count
            seconds = timed(window, device, 3) / count
        floor = max(flops / operations, moved / bandwidth)
        label = f"{model.info.name}, {width}x{height}"
        share = floor / seconds
        print(f"{label:30}{flops / 1e9:8.1f}{moved / 1e6:8.0f}{1000 * floor:10.1f}{1000 * seconds:10.1f}{share:8.0%}")


if __name__ == "__main__":
    main()
