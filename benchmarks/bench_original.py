"""Against the original inference loop: mmedit's own RealBasicVSR network, same weights, same clip, same machine.

    python benchmarks/bench_original.py [--frames 30] [--rounds 2] [--threads 1 2] [--size 160x90]
                                        [--memory-frames 300] [--device cpu] [--precision bf16]

Random weights of the published configuration (64 channels, 20 + 20 blocks): they cost what trained ones do. Where
mmedit is missing, ``original_loop`` stands for its network. Each measurement is a process of its own, so that peak
memory is its own. ``original N`` is the published script's loop with
``--max_seq_len N``: the clip in memory as float32, the network chunk by chunk, all results kept and joined.
``symmetric 15/5`` runs mmedit's network over windows of 15 frames and keeps the middle 5, which is what a block-wise
tool does to hide its seams. ``carry L/V`` is streamvsr's session with max_seq_len L and overlap V; with ``--precision``
it computes in that, while the other two stay in float32.

The ways take turns, and of each the fastest round counts. cpu: processor time a frame, user and system, over all
threads; on a machine that others use too it wavers less than the clock. Peak memory is the process's largest resident
set, of which net is what came after the imports and the network.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from importlib.util import find_spec

import torch
from gpu_measure import DTYPES
from original_loop import OriginalLoop
from torch.nn import functional

from streamvsr.models import processor
from streamvsr.models.basicvsr import load
from streamvsr.models.basicvsr.network import RealBasicVSRNet
from streamvsr.models.mm_shim import import_mmedit
from streamvsr.vsr.windows import Windows

CONFIG = {"mid_channels": 64, "num_propagation_blocks": 20, "num_cleaning_blocks": 20}


def theirs() -> torch.nn.Module:
    import_mmedit()
    from mmedit.models.backbones.sr_backbones import real_basicvsr_net as mm

    torch.manual_seed(0)
    network: torch.nn.Module = mm.RealBasicVSRNet(
        **CONFIG, dynamic_refine_thres=255, spynet_pretrained=None, is_sequential_cleaning=False
    )
    return network.eval()


def restated(channels: int, blocks: int, cleaning_blocks: int) -> torch.nn.Module:
    """The same without mmcv and mmedit, and with other random weights."""
    torch.manual_seed(0)
    return OriginalLoop(RealBasicVSRNet(channels, blocks, cleaning_blocks)).eval()


class Clip:
    """A texture that drifts by half a pixel a frame; frames are made as they are asked for, as in decoding."""

    def __init__(self, frames: int, width: int, height: int, device: str) -> None:
        generator = torch.Generator().manual_seed(1)
        large = torch.rand(1, 3, height * 2, width * 2 + frames, generator=generator)
        self._large = functional.avg_pool2d(large, 5, 1, 2).to(device)
        self._width, self.frames = width, frames

    def __getitem__(self, number: int) -> torch.Tensor:
        """(1, 3, H, W)."""
        return functional.avg_pool2d(self._large[:, :, :, number : number + 2 * self._width], 2)

    def whole(self) -> torch.Tensor:
        """(T, 3, H, W): what the original script holds."""
        return torch.cat([self[t] for t in range(self.frames)])


def original(network: torch.nn.Module, clip: Clip, max_seq_len: int) -> int:
    frames = clip.whole()
    with torch.no_grad():
        outputs = [network(part[None]) for part in frames.split(max_seq_len)]
        return int(torch.cat(outputs, dim=1).shape[1])


def symmetric(network: torch.nn.Module, clip: Clip, length: int, side: int) -> int:
    kept, frames = 0, clip.whole()
    with torch.no_grad():
        for start in range(0, len(frames), length - 2 * side):
            part = frames[max(0, start - side) : start + length - side]
            output = network(part[None])[0]
            kept += len(output[start - max(0, start - side) :][: length - 2 * side])
    return kept


def ours() -> torch.nn.Module:
    """Of the same configuration; without importing mmedit, whose own weight in memory would be counted."""
    torch.manual_seed(0)
    return RealBasicVSRNet(64, 20, 20)


def carry(network: torch.nn.Module, clip: Clip, length: int, overlap: int, precision: str = "fp32") -> int:
    model = load(network.state_dict(), {}).to(clip[0].device, DTYPES[precision])
    session, windows, given, kept = model.session(), Windows(length, overlap), 0, 0
    held: dict[int, torch.Tensor] = {}
    with torch.inference_mode():
        for number in range(clip.frames + 1):
            if number < clip.frames:
                held[number] = clip[number]
            step = windows.push() if number < clip.frames else windows.cut()
            if step is None:
                continue
            frames = torch.cat([held[n] for n in range(step.start, step.stop)])
            for _ in session.window(frames, step.stop - given, step.keep):
                kept += 1
            given = step.stop
            for n in range(step.start, windows.retain_from):
                del held[n]
    return kept


WAYS = {
    "original": lambda n, f, a, b, _: original(n, f, a),
    "symmetric": lambda n, f, a, b, _: symmetric(n, f, a, b),
    "carry": carry,
}


def child(way: str, a: int, b: int, frames: int, size: str, device: str, precision: str) -> None:
    width, height = map(int, size.split("x"))
    network = ours() if way == "carry" else theirs() if find_spec("mmedit") else restated(*CONFIG.values())
    network = network.to(device)
    clip = Clip(frames, width, height, device)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin, busy = time.perf_counter(), time.process_time()
    count = WAYS[way](network, clip, a, b, precision)
    if device != "cpu":
        torch.cuda.synchronize()
    seconds, busy = time.perf_counter() - begin, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert count == frames, f"{way} gave {count} of {frames} frames"
    gpu = torch.cuda.max_memory_allocated() / 2**20 if device != "cpu" else 0.0
    found = {
        "seconds": seconds,
        "cpu": busy,
        "peak_mib": peak / 1024,
        "net_mib": (peak - before) / 1024,
        "gpu_mib": gpu,
    }
    print(json.dumps(found))


def measure(
    way: str, a: int, b: int, threads: int, frames: int, size: str, device: str, precision: str
) -> dict[str, float]:
    words = ["--child", way, "--numbers", str(a), str(b), "--frames", str(frames), "--size", size, "--device", device]
    words += ["--precision", precision]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, __file__, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(done.stderr)
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def table(
    title: str, rows: list[tuple[str, int, int]], rounds: int, threads: int, frames: int, size: str, device: str,
    precision: str,
) -> None:  # fmt: skip
    print(f"\n{title}: {frames} frames of {size}, {device}, carry in {precision}, threads: {threads}, rounds: {rounds}")
    if device == "cpu":
        print(f"instructions for bf16: {processor.has_bf16()}")
    print(f"{'':20}{'s/frame':>9}{'speed':>8}{'cpu':>9}{'speed':>8}{'peak MiB':>10}{'net MiB':>10}")
    found: dict[tuple[str, int, int], list[dict[str, float]]] = {row: [] for row in rows}
    for _ in range(rounds):
        for way, a, b in rows:
            found[way, a, b].append(measure(way, a, b, threads, frames, size, device, precision))
    first: dict[str, float] | None = None
    for (way, a, b), all_rounds in found.items():
        got = {name: min(one[name] for one in all_rounds) for name in all_rounds[0]}
        first = first or got
        name = f"{way} {a}" + ("" if way == "original" else f"/{b}")
        columns = "".join(f"{got[key] / frames:9.3f}{first[key] / got[key]:7.2f}x" for key in ("seconds", "cpu"))
        print(f"{name:20}{columns}{got['peak_mib']:10.0f}{got['net_mib']:10.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, nargs="+", default=(1, 2))
    parser.add_argument("--memory-frames", type=int, default=300)
    parser.add_argument("--size", default="160x90")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=DTYPES, default="fp32")
    parser.add_argument("--child", choices=WAYS)
    parser.add_argument("--numbers", type=int, nargs=2, default=(0, 0))
    a = parser.parse_args()
    if a.child:
        child(a.child, *a.numbers, a.frames, a.size, a.device, a.precision)
        return
    ways = [("original", a.frames, 0), ("original", 10, 0), ("symmetric", 15, 5)]
    ways += [("carry", a.frames, 0), ("carry", 24, 5), ("carry", 24, 8)]
    for threads in a.threads:
        table("speed", ways, a.rounds, threads, a.frames, a.size, a.device, a.precision)
    if a.memory_frames:
        ways = [("original", a.memory_frames, 0), ("carry", 24, 8)]
        table("memory", ways, 1, a.threads[-1], a.memory_frames, a.size, a.device, a.precision)


if __name__ == "__main__":
    main()
