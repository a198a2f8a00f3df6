"""Where the time of a step of ``rt`` goes, by kind of operation, beside the floor.

    OMP_NUM_THREADS=1 taskset -c 1 python benchmarks/bench_profile.py [--plain] [--models rt] [--size 320x180]

Shares are of the time that torch.profiler finds in each kind of operation itself; the step's time is processor time
without the profiler, the median of ``--rounds`` windows. The floor is that of ``bench_roofline.py``, measured in the
same process. ``--plain``: torch's own operators, one after the other; the results are the same bits.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from statistics import median

import torch
from bench_roofline import DTYPES, ceilings, counted
from torch.profiler import ProfilerActivity, profile

from streamvsr.models import fused, processor, registry

KINDS = {
    "convolutions, with what they are joined with": ("convolution", "mkldnn"),
    "sums": ("add",),
    "activations and clamps": ("clamp", "relu", "hardtanh"),
    "shuffling of pixels, enlarging": ("pixel_shuffle", "upsample"),
    "copies, padding": ("copy_", "cat", "pad", "clone", "contiguous"),
}
"""Kind -> parts of the names of torch's operators."""


def kind_of(operator: str) -> str:
    return next((kind for kind, parts in KINDS.items() if any(part in operator for part in parts)), "all else")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["rt", "rt-real"])
    parser.add_argument("--size", default="320x180")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--plain", action="store_true")
    a = parser.parse_args()
    if a.plain:
        fused.is_free = lambda _: False
    width, height = map(int, a.size.split("x"))
    device, dtype = torch.device("cpu"), DTYPES[a.dtype]
    print(f"{processor.description()}\n{a.dtype}, threads: {torch.get_num_threads()}, bf16: {processor.has_bf16()}")
    with torch.inference_mode():
        product, convolution, bandwidth = ceilings(device, dtype)
        for name in a.models:
            model = registry.load_model(registry.select(name)).to(device, dtype)
            count = model.info.max_seq_len
            frames = torch.rand(count, 1 if model.info.domain == "luma" else 3, height, width)

            def window(model: object = model, frames: torch.Tensor = frames, count: int = count) -> None:
                for _ in model.session().window(frames, count, range(count)):  # type: ignore[attr-defined]
                    pass

            flops, moved = (total / count for total in counted(window))
            times = []
            for _ in range(a.rounds):
                begin = time.process_time()
                window()
                times.append((time.process_time() - begin) / count)
            with profile(activities=[ProfilerActivity.CPU]) as profiler:
                window()
            spent: Counter[str] = Counter()
            for event in profiler.key_averages():
                spent[kind_of(event.key)] += event.self_cpu_time_total
            floor, took = max(flops / max(product, convolution), moved / bandwidth), median(times)
            print(f"\n{name}, {a.size}: {1000 * took:.1f} ms a frame, floor {1000 * floor:.1f} ms ({floor / took:.0%})")
            for kind, microseconds in spent.most_common():
                print(f"  {kind:46}{microseconds / spent.total():6.1%}")


if __name__ == "__main__":
    main()
