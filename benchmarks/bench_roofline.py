"""What a frame costs, the floor that sets, and the share of it that is reached.

    python benchmarks/bench_roofline.py [--device cpu] [--dtype fp32] [--rounds 3]

Operations are those of the network's convolutions, counted while a session runs one window (a multiply-accumulate is
two); bytes are the least that must move: the weights and each convolution's input and output once. The machine's own
ceilings are measured in the same process: the faster of a large matrix product and a 3x3 convolution whose maps fit
into the cache, and a copy. floor = max(operations / peak, bytes / bandwidth).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import conv2d
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from streamvsr.config import ModelOptions
from streamvsr.models import fused, registry
from streamvsr.models.base import Model
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


def ceilings(device: torch.device, dtype: torch.dtype) -> tuple[float, float, float]:
    """Operations a second in a matrix product and in a convolution, bytes a second: the best of this machine."""
    size, side = (2048, 64) if device.type == "cpu" else (8192, 1024)
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    product = 2 * size**3 / timed(lambda: a @ b, device, 30)
    x, weight = (torch.randn(n, 64, *s, device=device, dtype=dtype) for n, s in ((1, (side, side)), (64, (3, 3))))
    x, weight = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))
    convolution = 2 * 9 * 64 * 64 * side**2 / timed(lambda: conv2d(x, weight, padding=1), device, 100)
    block = torch.empty(1 << (28 if device.type == "cpu" else 31), dtype=torch.uint8, device=device)
    other = torch.empty_like(block)
    return product, convolution, 2 * block.numel() / timed(lambda: other.copy_(block), device, 10)


class Moved(TorchDispatchMode):
    """Bytes of the inputs, outputs and weights of every convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if func in (torch.ops.aten.conv2d.default, torch.ops.aten.convolution.default):
            self.bytes += sum(t.numel() * t.element_size() for t in (*args, made) if isinstance(t, torch.Tensor))
        return made


def counted(window: Callable[[], None]) -> tuple[int, int]:
    """(operations, bytes) of the convolutions of a window."""
    # The fused operators are unknown to the counter, and one of them computes more than the network asks for.
    kept, fused._available = fused._available, lambda _: False  # type: ignore[assignment]
    try:
        with FlopCounterMode(display=False) as counter, Moved() as moved:
            window()
    finally:
        fused._available = kept
    return int(counter.get_total_flops()), moved.bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32")
    parser.add_argument("--rounds", type=int, default=3)
    a = parser.parse_args()
    device, dtype = torch.device(a.device), DTYPES[a.dtype]
    with torch.inference_mode():
        product, convolution, bandwidth = ceilings(device, dtype)
    operations = max(product, convolution)
    print(f"{device}, {a.dtype}, threads: {torch.get_num_threads()}; GFLOP/s: {product / 1e9:.0f} in a matrix product,")
    print(f"{convolution / 1e9:.0f} in a convolution; GB/s in a copy: {bandwidth / 1e9:.1f}\n")
    print(f"{'model, input':30}{'GFLOP':>8}{'MB':>8}{'floor ms':>10}{'measured':>10}{'share':>8}")
    torch.manual_seed(0)
    heavy = registry.ENTRIES["realbasicvsr"].load(RealBasicVSRNet(64, 20, 20).state_dict(), {})
    for model, width, height in ((registry.load_model(registry.select("rt")), 320, 180), (heavy, 160, 90)):
        model = model.to(device, dtype)
        model.tune(ModelOptions(max_history=0))
        count = model.info.max_seq_len
        channels = 1 if model.info.domain == "luma" else 3
        frames = torch.rand(count, channels, height, width, device=device)

        def window(model: Model = model, frames: torch.Tensor = frames, count: int = count) -> None:
            for _ in model.session().window(frames, count, range(count)):
                pass

        with torch.inference_mode():
            flops, moved = (total / count for total in counted(window))
            seconds = timed(window, device, a.rounds) / count
        floor = max(flops / operations, moved / bandwidth)
        label = f"{model.info.name}, {width}x{height}"
        share = floor / seconds
        print(f"{label:30}{flops / 1e9:8.1f}{moved / 1e6:8.0f}{1000 * floor:10.1f}{1000 * seconds:10.1f}{share:8.0%}")


if __name__ == "__main__":
    main()
