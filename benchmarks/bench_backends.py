"""Would another runtime run `rt` faster on a CPU than torch does? fp32, bf16 and int8, and what they cost in quality.

    pip install onnx onnxscript onnxruntime openvino
    python benchmarks/bench_backends.py [--checkpoint FILE] [--threads 1 2] [--rounds 40] [--frames 24]

The network is exported once. All runtimes then work in turns in one process with the same number of threads, on frames
of 320x180; the median of a frame's time is printed, network alone. int8: ONNX Runtime's static quantisation, a scale
for each output channel, ranges from the first half of the clip; quality is measured on the second half, state carried.
"""

from __future__ import annotations

import argparse
import copy
import logging
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from material import DATA, ROOT, need
from safetensors.torch import load_file

import streamvsr
from streamvsr.media.color.yuv import luma_values
from streamvsr.models.rt import RTModel
from streamvsr.models.rt.network import RTNet

SIZE = (180, 320)
Array = Any
Step = Callable[[Array, Array], tuple[Array, Array]]
"""(1, 3, H, W) neighbours and the hidden state to the enlarged luma and the next state; numpy, or the runtime's own."""


def export(net: RTNet, height: int, width: int, path: Path) -> None:
    inputs = (torch.rand(1, 3, height, width), net.initial_state(1, height, width).contiguous())
    names = {"input_names": ["neighbours", "hidden"], "output_names": ["picture", "next"]}
    torch.onnx.export(net, inputs, path, dynamo=True, verbose=False, **names)


def torch_step(net: RTNet, dtype: torch.dtype = torch.float32) -> Step:
    net = RTModel(copy.deepcopy(net)).to(torch.device("cpu"), dtype).net

    def step(neighbours: Array, hidden: Array) -> tuple[Array, Array]:
        with torch.no_grad():
            given, state = (
                torch.as_tensor(x).contiguous(memory_format=torch.channels_last) for x in (neighbours, hidden)
            )
            enlarged, after = net(given, state.to(dtype))
        return enlarged.numpy(), after

    return step


def ort_step(path: Path, threads: int) -> Step:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda neighbours, hidden: tuple(session.run(None, {"neighbours": neighbours, "hidden": hidden}))


def openvino_step(path: Path, threads: int, precision: str) -> Step:
    import openvino

    wanted = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
    request = openvino.Core().compile_model(path, "CPU", wanted).create_infer_request()

    def step(neighbours: Array, hidden: Array) -> tuple[Array, Array]:
        found = request.infer([neighbours, hidden])
        return found[0], found[1]

    return step


def quantise(path: Path, target: Path, frames: Array, step: Step, state: Array) -> None:
    """int8 weights and activations; the calibration states are those that the float network reaches."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.t, self.hidden = 0, state

        def get_next(self) -> dict[str, Array] | None:
            if self.t >= len(frames):
                return None
            given = {"neighbours": triple(frames, self.t), "hidden": np.asarray(self.hidden)}
            self.hidden, self.t = step(*given.values())[1], self.t + 1
            return given

    ready = path.with_name("ready.onnx")
    quant_pre_process(path, ready)
    kinds = {"weight_type": QuantType.QInt8, "activation_type": QuantType.QUInt8}
    quantize_static(ready, target, Reader(), QuantFormat.QDQ, per_channel=True, **kinds)


def triple(frames: Array, t: int) -> Array:
    """(1, 3, H, W): a frame between its neighbours."""
    return frames[[max(t - 1, 0), t, min(t + 1, len(frames) - 1)]][None]


def psnr(a: Array, b: Array) -> float:
    """dB, for luma 0..1, of which 1 is 219 steps."""
    return float(10 * np.log10(255**2 / np.mean(np.square((np.clip(a, 0, 1) - np.clip(b, 0, 1)) * 219.0))))


def quality(step: Step, frames: Array, truth: Array, state: Array) -> float:
    found = []
    for t in range(len(frames)):
        picture, state = step(triple(frames, t), state)
        found.append(psnr(picture[0, 0], truth[t]))
    return statistics.mean(found)


def lumas(path: Path, frames: int) -> Array:
    pictures = [frame.raw for frame in streamvsr.open(path, frames=frames)]
    if pictures[0].color.matrix == 0:
        from dataclasses import replace

        pictures = [replace(p, color=replace(p.color, matrix=6)) for p in pictures]
    return np.stack([luma_values(picture).numpy() for picture in pictures])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "checkpoints" / "rt.safetensors")
    parser.add_argument("--clip", type=Path, default=DATA / "gt" / "roof_540p", help="with gt and lr_x4 in it")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--frames", type=int, default=24)
    a = parser.parse_args()
    need(a.clip, a.checkpoint)
    try:
        import onnxruntime
        import openvino
    except ImportError as error:
        print(f"left out: {error}; pip install onnx onnxscript onnxruntime openvino")
        sys.exit(0)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    print(f"torch {torch.__version__}, ONNX Runtime {onnxruntime.__version__}, OpenVINO {openvino.__version__}")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {a.checkpoint.name}")

    frames, truth = lumas(a.clip / "lr_x4", a.frames), lumas(a.clip / "gt", a.frames)
    half = len(frames) // 2
    net = RTNet.from_state_dict(load_file(a.checkpoint)).eval().requires_grad_(False)
    with tempfile.TemporaryDirectory() as folder:
        small, small8, large, large8 = (Path(folder) / name for name in ("s.onnx", "s8.onnx", "l.onnx", "l8.onnx"))
        export(net, *frames.shape[1:], small)
        export(net, *SIZE, large)
        state = net.initial_state(1, *frames.shape[1:]).contiguous().numpy()
        quantise(small, small8, frames[:half], torch_step(net), state)
        zoom = np.stack([f[np.ix_(*(np.arange(n) * f.shape[i] // n for i, n in enumerate(SIZE)))] for f in frames])
        quantise(large, large8, zoom[:half], torch_step(net), net.initial_state(1, *SIZE).contiguous().numpy())

        def steps(fp32: Path, int8: Path, threads: int) -> dict[str, Step]:
            torch.set_num_threads(threads)
            makers: dict[str, Callable[[], Step]] = {
                "torch fp32": lambda: torch_step(net),
                "torch bf16": lambda: torch_step(net, torch.bfloat16),
                "ONNX Runtime fp32": lambda: ort_step(fp32, threads),
                "OpenVINO fp32": lambda: openvino_step(fp32, threads, "f32"),
                "OpenVINO bf16": lambda: openvino_step(fp32, threads, "bf16"),
                "ONNX Runtime int8": lambda: ort_step(int8, threads),
                "OpenVINO int8": lambda: openvino_step(int8, threads, "f32"),
            }
            made = {}
            for name, make in makers.items():
                try:
                    made[name] = make()
                except RuntimeError as error:  # a precision that this processor lacks
                    print(f"left out: {name}: {str(error).splitlines()[-1] or error}")
            return made

        later = frames[half:], truth[half:], state
        found = {name: quality(step, *later) for name, step in steps(small, small8, 1).items()}
        rows = {name: [f"{db:.2f}", f"{db - found['torch fp32']:+.2f}"] for name, db in found.items()}
        for threads in a.threads:
            running = steps(large, large8, threads)
            times: dict[str, list[float]] = {name: [] for name in running}
            hidden: dict[str, Array] = dict.fromkeys(running, net.initial_state(1, *SIZE).contiguous().numpy())
            for n in range(a.rounds + 3):
                for name, step in running.items():
                    begin = time.perf_counter()
                    _, hidden[name] = step(triple(zoom, n % len(zoom)), hidden[name])
                    times[name].append(1000 * (time.perf_counter() - begin))
            base = statistics.median(times["torch fp32"][3:])
            for name, taken in times.items():
                middle = statistics.median(taken[3:])
                rows[name] += [f"{middle:.1f}", f"{base / middle:.2f}x"]
    heads = ["PSNR-Y", "change"] + [h for t in a.threads for h in (f"ms, {t} thread{'s' * (t > 1)}", "to torch")]
    print("| | " + " | ".join(heads) + " |\n" + "|---" * (len(heads) + 1) + "|")
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
