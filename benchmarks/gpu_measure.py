"""How gpu.py measures: a model's steady windows, what they cost, and what the device does at best."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from streamvsr.config import ModelOptions
from streamvsr.models.base import Model
from streamvsr.vsr.windows import Windows

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
POOL_FRAMES = 32
"""Frames of a clip that begins again and again."""
MEBI = 1 << 20


class Device:
    """The card, or the CPU in its place (``--rehearse``), with what a measurement asks of it."""

    def __init__(self, name: str) -> None:
        self.torch = torch.device(name)
        self.cuda = self.torch.type == "cuda"

    def wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize(self.torch)

    def forget_peak(self) -> None:
        if self.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.torch)

    def peak_mib(self) -> float | None:
        return torch.cuda.max_memory_allocated(self.torch) / MEBI if self.cuda else None

    def free_mib(self) -> float | None:
        return torch.cuda.mem_get_info(self.torch)[0] / MEBI if self.cuda else None


class Timing(NamedTuple):
    ms: float
    """A frame, on the clock: the median of all windows."""
    queued_ms: float
    """Of these, until Python had queued the frame's work; near ``ms``, it is Python that sets the pace."""
    windows: int


class Cost(NamedTuple):
    """Of a frame: operations of convolutions and matrix products, and bytes of their inputs, outputs and weights."""

    flops: float
    bytes: float


class Ceilings(NamedTuple):
    """What the device was seen to do."""

    flops: float
    bandwidth: float

    def floor_ms(self, cost: Cost) -> float:
        return 1000 * max(cost.flops / self.flops, cost.bytes / self.bandwidth)


def drifting(channels: int, width: int, height: int, device: torch.device) -> Tensor:
    """(POOL_FRAMES, C, H, W), float32: a texture that moves by a pixel a frame."""
    generator = torch.Generator().manual_seed(1)
    large = torch.rand(1, channels, height, width + POOL_FRAMES, generator=generator)
    large = functional.avg_pool2d(large, 5, 1, 2)[0]
    return torch.stack([large[..., n : n + width] for n in range(POOL_FRAMES)]).to(device)


class Steady:
    """A session over an endless clip. Frames that are looked ahead at come again in the next window, as in a run."""

    def __init__(
        self, model: Model, device: torch.device, dtype: torch.dtype, size: tuple[int, int],
        options: ModelOptions, windows: tuple[int, int], warn: Callable[[str], None],
    ) -> None:  # fmt: skip
        """``size``: (width, height). ``windows``: (frames, look-ahead)."""
        model = model.to(device, dtype)
        model.tune(options, warn)
        self._session, self._windows, self._given = model.session(), Windows(*windows), 0
        self._pool = drifting(model.info.channels, *size, device)

    def window(self) -> int:
        """Run the next window; the frames that it keeps."""
        step = None
        while step is None:
            step = self._windows.push()
        frames = torch.stack([self._pool[n % POOL_FRAMES] for n in range(step.start, step.stop)])
        new = step.stop - max(self._given, step.start)
        self._given = step.stop
        return sum(1 for _ in self._session.window(frames, new, step.keep))


def timed(window: Callable[[], int], device: Device, seconds: float, warm_ups: int = 1) -> Timing:
    """``window`` does some work and says of how many frames; it runs twice at least, besides ``warm_ups``."""
    for _ in range(warm_ups):
        window()
    device.wait()
    clock, queued = list[float](), list[float]()
    end = time.perf_counter() + seconds
    while len(clock) < 2 or time.perf_counter() < end:
        begin = time.perf_counter()
        frames = window()
        queued.append(1000 * (time.perf_counter() - begin) / frames)
        device.wait()
        clock.append(1000 * (time.perf_counter() - begin) / frames)
    return Timing(statistics.median(clock), statistics.median(queued), len(clock))


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.flops = self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        name = func._schema.name
        if name in ("aten::conv2d", "aten::convolution", "aten::_convolution"):
            weight = args[1]
            self.flops += 2 * made.numel() * weight[0].numel()
        elif name in ("aten::mm", "aten::addmm"):
            self.flops += 2 * made.numel() * args[-2].shape[-1]
        else:
            return made
        self.bytes += sum(t.numel() * t.element_size() for t in (*args, made) if isinstance(t, Tensor))
        return made


def cost_of(model: Model, dtype: torch.dtype, size: tuple[int, int], windows: tuple[int, int]) -> Cost:
    """Counted on tensors without numbers, which takes a second and no device. ``model`` stays as it is."""
    # In float32: in half precision a session asks whether frames are broken, and these hold no numbers.
    where, options = torch.device("meta"), ModelOptions(tile="off")
    steady = Steady(copy.deepcopy(model), where, torch.float32, size, options, windows, lambda _: None)
    with torch.inference_mode():
        steady.window()
        with _Counter() as counter:
            frames = steady.window()
    return Cost(counter.flops / frames, counter.bytes / frames * dtype.itemsize / torch.float32.itemsize)


def _best(work: Callable[[], object], device: Device, times: int) -> float:
    """Seconds, the best of ``times`` after two to warm up."""
    best = float("inf")
    for n in range(times + 2):
        device.wait()
        begin = time.perf_counter()
        work()
        device.wait()
        if n > 1:
            best = min(best, time.perf_counter() - begin)
    return best


def peak_flops(device: Device, dtype: torch.dtype, small: bool) -> tuple[float, float]:
    """Operations a second in a large matrix product and in a 3x3 convolution of 64 channels."""
    side, maps, times = (256, 64, 3) if small else (8192, 1024, 10)
    a, b = (torch.randn(side, side, device=device.torch, dtype=dtype) for _ in range(2))
    product = 2 * side**3 / _best(lambda: a @ b, device, times)
    x = torch.randn(4, 64, maps, maps, device=device.torch, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(64, 64, 3, 3, device=device.torch, dtype=dtype).contiguous(memory_format=torch.channels_last)
    work = 2 * 9 * 64 * x.numel()
    return product, work / _best(lambda: functional.conv2d(x, weight, padding=1), device, times)


def copy_rates(device: Device, small: bool) -> tuple[float, float, float]:
    """Bytes a second: read and written in a copy on the device, up from pinned memory, and down to it."""
    count = MEBI if small else 2048 * MEBI
    block = torch.empty(count, dtype=torch.uint8, device=device.torch)
    other = torch.empty_like(block)
    on_device = 2 * count / _best(lambda: other.copy_(block), device, 5)
    part = block[: count // 8]
    there = torch.empty(len(part), dtype=torch.uint8, pin_memory=device.cuda)
    up = len(part) / _best(lambda: part.copy_(there, non_blocking=True), device, 5)
    down = len(part) / _best(lambda: there.copy_(part, non_blocking=True), device, 5)
    return on_device, up, down


def decibels(found: Tensor, wanted: Tensor) -> float:
    """PSNR with a peak of 1, of float64 on the CPU; 999 for the same numbers, 0 for what is not finite."""
    error = (found.double().cpu() - wanted.double().cpu()).square().mean()
    if not bool(torch.isfinite(error)):
        return 0.0
    return 999.0 if float(error) == 0 else float(-10 * error.log10())
