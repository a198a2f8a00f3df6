"""What gpu.py runs on the device, step by step, in a process of its own that may be killed and started anew.

    python benchmarks/gpu_steps.py --device cuda [--rehearse]

Takes lines ``{"step": NAME, "seconds": S}`` on standard input. Each is answered by lines of JSON, whose last one has
``"kind": "done"`` or ``"kind": "failed"``. ``steps()`` names them all, the most important ones first.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
SIZES = ("320x180", "640x360", "960x540")
TINY = ("64x64",)
HEAVY = ("realbasicvsr", "basicvsr")
LIGHT = ("rt", "rt-real", "rt-real-l")
SCENES = (1, 4, 16)
LEAST_RUN_FRAMES = 3
STICKY = ("cuda", "cudnn", "cublas", "accelerator")
"""Errors that say one of these may leave the device unusable to this process."""


class Step(NamedTuple):
    name: str
    seconds: float
    """That it is worth; what it does not need is left for those behind it."""


def steps(rehearse: bool) -> list[Step]:
    """Names have the form ``what:network:size:precision:way``."""
    first, *others = TINY if rehearse else SIZES
    found = [("machine", 5.0), ("ceilings", 12.0)]
    found += [(f"numbers:{name}", 8.0) for name in ("realbasicvsr", "rt", "rt-real")]
    found += [(f"network:realbasicvsr:{first}:{p}:eager", 5.0) for p in ("fp32", "fp16", "bf16")]
    found += [(f"original:{first}:fp32", 6.0)]
    found += [(f"run:realbasicvsr:{first}:{p}", 8.0) for p in ("fp32", "fp16")]
    found += [(f"steady:{name}", 8.0) for name in ("realbasicvsr", "rt")]
    found += [(f"network:{n}:{first}:{p}:eager", 2.0) for n in LIGHT for p in ("fp32", "fp16")]
    found += [(f"run:{n}:{first}:fp32", 5.0) for n in LIGHT]
    found += [("memory", 15.0), ("hardware", 12.0), ("tensors", 5.0)]
    found += [(f"network:basicvsr:{first}:{p}:eager", 5.0) for p in ("fp32", "fp16")]
    found += [(f"network:realbasicvsr:{size}:fp16:eager", 6.0) for size in others]
    found += [(f"original:{size}:fp32", 8.0) for size in others]
    found += [(f"network:realbasicvsr:{first}:fp16:benchmark", 6.0)]
    found += [(f"network:realbasicvsr:{first}:fp16:graphs", 60.0), ("fast", 30.0)]
    for size in others:
        found += [(f"run:realbasicvsr:{size}:fp16", 6.0), (f"run:rt:{size}:fp32", 5.0)]
        found += [(f"network:{n}:{size}:{p}:eager", 2.0) for n in LIGHT for p in ("fp32", "fp16")]
    found += [(f"scenes:rt:{first}:fp16", 3.0), (f"network:realbasicvsr:{first}:fp16:compile", 40.0)]
    for size in others:
        found += [(f"network:{n}:{size}:{p}:eager", 6.0) for n in HEAVY for p in ("fp32", "bf16")]
        found += [(f"run:rt-real:{size}:fp32", 5.0)]
    return [Step(*one) for one in [*found, ("tests", 60.0)]]


class Bench:
    """The device and what the steps share: ceilings, networks, clips."""

    def __init__(self, device: str, rehearse: bool, say: Callable[..., None]) -> None:
        from gpu_measure import Device

        self.device, self.rehearse, self.say = Device(device), rehearse, say
        self._folder = tempfile.TemporaryDirectory(prefix="streamvsr-gpu-")
        self.copies = cache(self._copies)
        self.peak = cache(self._peak)

    def _copies(self) -> tuple[float, float, float]:
        from gpu_measure import copy_rates

        return copy_rates(self.device, self.rehearse)

    def _peak(self, precision: str) -> tuple[float, float]:
        from gpu_measure import DTYPES, peak_flops

        return peak_flops(self.device, DTYPES[precision], self.rehearse)

    def network(self, name: str) -> Any:
        """Random weights of the published configuration, or the checkpoint that is there; None where there is none."""
        import torch

        from streamvsr.errors import StreamvsrError
        from streamvsr.models import registry
        from streamvsr.models.basicvsr.network import BasicVSRNet, RealBasicVSRNet

        if name not in HEAVY:
            try:
                return registry.load_model(registry.select(name))
            except StreamvsrError as error:
                self.say("fact", what=name, value=f"left out: {error}")
                return None
        torch.manual_seed(0)
        channels, blocks = (8, 1) if self.rehearse else (64, 20 if name == "realbasicvsr" else 30)
        net = RealBasicVSRNet(channels, blocks, blocks) if name == "realbasicvsr" else BasicVSRNet(channels, blocks)
        return registry.ENTRIES[name].load(net.state_dict(), {})

    def weights(self, name: str) -> Path:
        """The same as a file, for a whole run."""
        import torch

        path = Path(self._folder.name) / f"{name}.pth"
        if not path.exists():
            torch.save(self.network(name).network.state_dict(), path)
        return path

    def clip(self, size: str) -> Path:
        from gpu_checks import write_clip

        path = Path(self._folder.name) / f"{size}.mkv"
        width, height = map(int, size.split("x"))
        return path if path.exists() else write_clip(path, width, height, 12 if self.rehearse else 240)

    def windows(self, info: Any) -> tuple[int, int]:
        return (2, 1) if self.rehearse and info.max_seq_len > 1 else (info.max_seq_len, info.overlap)

    def speed(self, what: str, timing: Any, precision: str, cost: Any = None, said: list[str] | None = None) -> None:
        """A line of the table; the floor is that of the type of numbers, on this card."""
        from gpu_measure import Ceilings

        more: dict[str, Any] = {}
        if cost is not None:
            ceilings = Ceilings(max(self.peak(precision)), self.copies()[0])
            floor = ceilings.floor_ms(cost)
            more = {"gflop": cost.flops / 1e9, "mb": cost.bytes / 1e6, "floor_ms": floor, "share": floor / timing.ms}
        self.say("speed", what=what, fps=1000 / timing.ms, ms=timing.ms, queued_ms=timing.queued_ms,
                 windows=timing.windows, gpu_mib=self.device.peak_mib(), said=said or [], **more)  # fmt: skip


def machine(bench: Bench, seconds: float) -> None:
    import importlib.metadata as metadata

    import torch

    def version(package: str) -> str:
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(package)
        return "missing"

    packages = ("torch", "triton", "av", "numpy", "opencv-python-headless", "mmedit")
    bench.say("fact", what="versions", value=", ".join(f"{p} {version(p)}" for p in packages))
    bench.say("fact", what="cores", value=str(os.cpu_count()))
    if bench.device.cuda:
        card = torch.cuda.get_device_properties(bench.device.torch)
        parts = (card.name, f"{card.total_memory >> 20} MiB", f"{card.multi_processor_count} multiprocessors")
        parts += (f"CUDA {torch.version.cuda}", f"cuDNN {torch.backends.cudnn.version()}")
        bench.say("fact", what="card", value=", ".join(parts))
        query = ["nvidia-smi", "--query-gpu=driver_version,clocks.sm,clocks.mem,power.draw", "--format=csv,noheader"]
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            seen = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
            bench.say("fact", what="driver, clocks, power", value=seen.strip())


def ceilings(bench: Bench, seconds: float) -> None:
    on_device, up, down = (rate / 1e9 for rate in bench.copies())
    bench.say("fact", what="GB/s", value=f"{on_device:.0f} in a copy, {up:.1f} up and {down:.1f} down, pinned")
    for precision in ("fp32", "fp16", "bf16"):
        product, convolution = (rate / 1e12 for rate in bench.peak(precision))
        value = f"{product:.3g} in a matrix product, {convolution:.3g} in a convolution"
        bench.say("fact", what=f"TFLOP/s, {precision}", value=value)


def network(bench: Bench, seconds: float, name: str, size: str, precision: str, way: str) -> None:
    """A session's steady windows."""
    import torch
    from gpu_measure import DTYPES, Steady, cost_of, timed

    from streamvsr.config import ModelOptions

    if (model := bench.network(name)) is None:
        return
    width, height = map(int, size.split("x"))
    dtype, windows, said = DTYPES[precision], bench.windows(model.info), list[str]()
    cost = cost_of(model, dtype, (width, height), windows)
    options = ModelOptions(compile=way == "compile", cuda_graphs=way == "graphs")
    kept, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, way == "benchmark"
    bench.device.forget_peak()
    try:
        with torch.inference_mode():
            steady = Steady(model, bench.device.torch, dtype, (width, height), options, windows, said.append)
            timing = timed(steady.window, bench.device, seconds, 1 if way == "eager" else 2)
    finally:
        torch.backends.cudnn.benchmark = kept
    shown = {"eager": "", "benchmark": ", cudnn.benchmark", "graphs": ", CUDA graphs", "compile": ", compiled"}[way]
    bench.speed(f"{name} {size} {precision}{shown}", timing, precision, cost, said)


def original(bench: Bench, seconds: float, size: str, precision: str) -> None:
    """mmedit's loop over 15 frames at once, the network's own sequence length in training, and half of ours."""
    import torch
    from bench_original import CONFIG, restated, theirs
    from gpu_measure import DTYPES, drifting, timed

    width, height = map(int, size.split("x"))
    dtype, frames = DTYPES[precision], 4 if bench.rehearse else 15
    if bench.rehearse:
        whose, module = "restated", restated(8, 1, 1)
    else:
        try:
            whose, module = "mmedit's own", theirs()
        except Exception as error:  # not installed, or not importable beside this torch
            whose, module = f"restated ({type(error).__name__})", restated(*CONFIG.values())
    module = module.to(bench.device.torch, dtype)
    clip = drifting(3, width, height, bench.device.torch)[:frames][None].to(dtype)
    bench.device.forget_peak()
    with torch.no_grad():
        timing = timed(lambda: int(module(clip).shape[1]), bench.device, seconds)
    bench.speed(f"original loop {size} {precision}, {whose}, {frames} frames", timing, precision)


def run(bench: Bench, seconds: float, name: str, size: str, precision: str) -> None:
    """A whole run, from a file into a file; the pace of its second half."""
    from gpu_measure import Timing

    from streamvsr.build import build
    from streamvsr.config import Config, InputOptions, ModelOptions, OutputOptions
    from streamvsr.look.forecast import settled_rate

    if name not in HEAVY and bench.network(name) is None:
        return
    which = {"checkpoint": str(bench.weights(name))} if name in HEAVY else {"model": name}
    if bench.rehearse:
        which |= {"max_seq_len": 4, "overlap": 1, "threads": 1}
        precision = "fp32" if precision == "fp16" else precision  # which CPUs are refused
    where = "cuda" if bench.device.cuda else "cpu"
    model = ModelOptions(precision=precision, device=where, **which)  # type: ignore[arg-type]
    target = Path(bench.clip(size)).with_name("out.mkv")
    output = OutputOptions(path=str(target), overwrite=True, preset="ultrafast", crf=18, no_audio=True)
    said = list[str]()
    bench.device.forget_peak()
    job = build(Config(InputOptions(path=str(bench.clip(size))), output, model), warn=said.append)
    moments: list[float] = []
    job.tap(lambda _frame: moments.append(time.perf_counter()))
    begin = time.perf_counter()
    job.start()
    while not job.wait(0.05) and time.perf_counter() < begin + seconds:
        pass
    job.stop()
    job.wait()
    job.result()
    rate = settled_rate(moments, begin, owed=0.0)
    if rate is None or len(moments) < LEAST_RUN_FRAMES:
        raise RuntimeError(f"{len(moments)} frames in {seconds:.0f} s are too few to tell")
    stages = ", ".join(f"{s.name} {1000 * s.busy_seconds / s.frames:.1f}" for s in job.stats() if s.frames)
    title = f"whole run, {name} {size} {precision}, x264 ultrafast"
    bench.speed(title, Timing(1000 / rate, 1000 / rate, len(moments)), precision, said=[*said, f"busy ms: {stages}"])


def scenes(bench: Bench, seconds: float, name: str, size: str, precision: str) -> None:
    """Several scenes at once through the network alone; sessions take one each so far."""
    import torch
    from gpu_measure import DTYPES, timed

    model = bench.network(name).to(bench.device.torch, DTYPES[precision])
    width, height = map(int, size.split("x"))
    steps = 1 if bench.rehearse else 8
    for count in SCENES[: 2 if bench.rehearse else None]:
        frames = torch.rand(count, 3 * model.info.channels, height, width, device=bench.device.torch)
        frames = frames.contiguous(memory_format=torch.channels_last)
        state = model.net.initial_state(count, height, width)

        def window(frames: torch.Tensor = frames, state: torch.Tensor = state, count: int = count) -> int:
            for _ in range(steps):
                _, state = model.net(frames, state)
            return steps * count

        with torch.inference_mode():
            timing = timed(window, bench.device, seconds / len(SCENES))
        bench.speed(f"{name} {size} {precision}, {count} scenes at once, without conversion", timing, precision)


def tests(bench: Bench, seconds: float) -> None:
    """The tests that need a CUDA device, where pytest is there; in the rehearsal they are collected only."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "cuda", "tests/test_device.py"]
    command += ["--collect-only"] * bench.rehearse
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=max(20.0, seconds))
    lines = done.stdout.strip().splitlines() or done.stderr.strip().splitlines() or [""]
    if "No module named" in done.stderr:
        bench.say("fact", what="tests", value=f"left out: {lines[-1]}")
        return
    bench.say("check", what="tests/test_device.py -k cuda", ok=done.returncode == 0, value=lines[-1], wanted="passed")


def _check(name: str) -> Callable[..., None]:
    def step(bench: Bench, seconds: float, *rest: str) -> None:
        import gpu_checks

        getattr(gpu_checks, name)(bench.device, *rest, bench.say)

    return step


FUNCTIONS: Mapping[str, Callable[..., None]] = {
    "machine": machine, "ceilings": ceilings, "network": network, "original": original, "run": run, "scenes": scenes,
    "tests": tests, "numbers": _check("numbers"), "steady": _check("steady_state"), "memory": _check("memory_ladder"),
    "hardware": _check("hardware"), "tensors": _check("tensors_stay"), "fast": _check("fast_ways"),
}  # fmt: skip


def _one_line(error: BaseException) -> str:
    text = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {text}"[:300]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rehearse", action="store_true")
    a = parser.parse_args()
    # Answers go out where standard output was; whatever else prints goes to the errors.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def say(kind: str, **fields: Any) -> None:
        answers.write(json.dumps({"kind": kind, **fields}) + "\n")

    # As build() does, but before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    bench: Bench | None = None
    for line in sys.stdin:
        wanted = json.loads(line)
        try:
            if bench is None:
                if a.rehearse:
                    _rehearse()
                bench = Bench(a.device, a.rehearse, say)
            what, *rest = wanted["step"].split(":")
            FUNCTIONS[what](bench, wanted["seconds"], *rest)
            say("done", step=wanted["step"])
        except Exception as error:
            say("failed", step=wanted["step"], reason=_one_line(error))
            if any(word in f"{type(error).__name__} {error}".lower() for word in STICKY):
                break  # a new process has a new context


def _rehearse() -> None:
    """On a CPU: two threads leave nothing to others, and a compiler takes minutes."""
    import torch

    torch.set_num_threads(1)
    plain = torch.compile
    torch.compile = lambda network, *, mode=None, **how: plain(network, backend="eager", **how)  # type: ignore[assignment]


if __name__ == "__main__":
    main()
