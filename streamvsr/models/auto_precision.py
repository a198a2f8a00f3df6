"""``--precision auto``: in which numbers a network computes where the user does not say.

bfloat16 or float32, and bfloat16 for those networks alone whose results are known to stay within 50 dB of float32's
(``Model.bf16_module``). On a CPU it has to be clearly faster, which is measured: the network's own most expensive kinds
of convolutions, in both numbers in turns, for about 20 ms, once for each processor, torch, number of threads and
network. A processor without instructions for bfloat16 is not asked: it would emulate them, at a ninth of the speed.

On NVIDIA's GPUs it is bfloat16 from compute capability 8.0 on, whose tensor cores multiply it twice as fast as TF32.
float16 is as fast and finer, and is not chosen: it ends at 65504, which a network may exceed, and where it goes on in
float32 then depends on the frames before, so that a job that was cut off would not give the same bits. So older GPUs,
fast in float16 alone, compute in float32 unless asked otherwise.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from streamvsr.models import processor, resources
from streamvsr.models.base import Model
from streamvsr.models.device import Precision
from streamvsr.part_file import write_file
from streamvsr.threads import network_threads, processors

MARGIN = 1.2
"""How many times as fast bf16 has to be."""
PROBE_SECONDS = 0.02
LEAST_ROUNDS = 5
HOPELESS = 3.0
"""After the first round: bf16 that takes so many times as long is not measured further."""
MOST_KINDS = 3
MOST_ROWS, COLUMNS = 90, 160
"""The map of a convolution: a quarter of 320x180, or fewer rows."""
MACS = 75_000_000
"""Multiply-accumulate operations of one convolution of the probe, at most: 1 to 2 ms of one core."""
CACHE_FILE = "precision.json"
MOST_KEPT = 200
BF16_CAPABILITY = (8, 0)

CLOCK = time.perf_counter if sys.platform == "win32" else time.process_time
"""Processor time, which other programs take nothing from: by the clock on the wall float32 was up to four times as fast
as itself on a busy machine. Windows counts it in steps of 16 ms."""

Work = Callable[[], object]
Clock = Callable[[], float]


class Choice(NamedTuple):
    precision: Precision
    note: str
    """For the user; empty for fp32, of which there is nothing to tell."""


FP32 = Choice("fp32", "")


class Piece(NamedTuple):
    """One kind of convolution of a network."""

    number: int
    """How many of it the network has."""
    full: Work
    """One of them in float32."""
    half: Work
    """The same in bfloat16."""


def choose(model: Model, device: torch.device, threads: int | None, clock: Clock = CLOCK) -> Choice:
    """``threads``: of the network, torch's own number where None. Never raises for what is kept, or cannot be."""
    module = model.bf16_module()
    if module is None:
        return FP32
    if device.type == "cuda":
        return _on_cuda(device)
    if device.type != "cpu" or not processor.has_bf16():
        return FP32
    threads = threads or network_threads(torch.get_num_threads(), processors())
    key = _key(model.info.name, module, threads)
    gain = _kept().get(key)
    if gain is None:
        with _threads(threads), torch.inference_mode():
            gain = gain_of(pieces_of(module), clock)
        _keep(key, gain)
    if gain < MARGIN:
        return FP32
    return Choice("bf16", f"precision bf16: {gain:.1f} times as fast here (measured); --precision fp32 is exact")


def _on_cuda(device: torch.device) -> Choice:
    # AMD's GPUs are "cuda" to torch too, and number their capabilities in another way.
    if torch.version.cuda is None or torch.cuda.get_device_capability(device) < BF16_CAPABILITY:
        return FP32
    name = torch.cuda.get_device_name(device)
    return Choice("bf16", f"precision bf16: {name} has tensor cores for it; --precision fp32 is exact")


def gain_of(pieces: Sequence[Piece], clock: Clock) -> float:
    """How many times as fast the halves are: medians of rounds in which each is run once; 0 where that was hopeless, or
    there is nothing to run."""
    if not pieces:
        return 0.0
    for piece in pieces:
        piece.full()  # prepares its kernel
        piece.half()
    rounds: list[tuple[float, float]] = []
    begin = clock()
    while len(rounds) < LEAST_ROUNDS or clock() - begin < PROBE_SECONDS:
        times = [(p.number * _seconds(p.full, clock), p.number * _seconds(p.half, clock)) for p in pieces]
        full, half = (sum(each) for each in zip(*times, strict=True))
        if not rounds and half > HOPELESS * full:
            return 0.0
        rounds.append((full, half))
    slow, fast = (sorted(each)[len(rounds) // 2] for each in zip(*rounds, strict=True))
    return slow / fast if fast > 0 else 0.0


def _seconds(work: Work, clock: Clock) -> float:
    begin = clock()
    work()
    return clock() - begin


def pieces_of(module: nn.Module) -> list[Piece]:
    """The kinds of convolutions with the most operations, each with an activation behind it; none: no convolutions."""
    kinds: Counter[tuple[object, ...]] = Counter()
    first: dict[tuple[object, ...], nn.Conv2d] = {}
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            kind = (tuple(layer.weight.shape), layer.stride, layer.dilation, layer.groups)
            kinds[kind] += 1
            first.setdefault(kind, layer)
    dear = sorted(kinds, key=lambda kind: kinds[kind] * first[kind].weight.numel(), reverse=True)[:MOST_KINDS]
    return [Piece(kinds[k], _work(first[k], torch.float32), _work(first[k], torch.bfloat16)) for k in dear]


def _work(layer: nn.Conv2d, dtype: torch.dtype) -> Work:
    rows = max(1, min(MOST_ROWS, MACS // (layer.weight.numel() * COLUMNS)))
    rows = max(rows, *layer.kernel_size)
    own = copy.deepcopy(layer).to(device="cpu", dtype=dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.rand(1, layer.in_channels, rows, COLUMNS).to(dtype).contiguous(memory_format=torch.channels_last)
    return lambda: own(x).relu_()


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _key(name: str, module: nn.Module, threads: int) -> str:
    """What the speed depends on; the weights' values it does not."""
    shapes = [(name, tuple(value.shape)) for name, value in module.state_dict().items()]
    isa = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
    parts = (processor.description(), isa, torch.__version__, str(threads), name, repr(shapes))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _cache() -> Path:
    return resources.cache_folder() / CACHE_FILE


def _kept() -> dict[str, float]:
    """Key -> gain; nothing where the file is missing, damaged or not ours."""
    with suppress(OSError, ValueError, RecursionError):
        found = json.loads(_cache().read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return {k: float(v) for k, v in found.items() if isinstance(v, int | float) and 0 <= v < 1e3}
    return {}


def _keep(key: str, gain: float) -> None:
    kept = dict(list(_kept().items())[-MOST_KEPT:]) | {key: round(gain, 3)}
    # A folder that cannot be written: measured again next time.
    with suppress(OSError):
        path = _cache()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, json.dumps(kept, indent=1).encode())
