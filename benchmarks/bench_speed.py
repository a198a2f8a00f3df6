"""How fast is the whole job? decode, network, x264 and muxing, beside ffmpeg scaling the same file in the same run.

    python benchmarks/bench_speed.py [INPUT] [--frames 120] [--preset veryfast] [--models rt rt:bf16 bicubic]

ffmpeg (the one on the PATH) enlarges by four with Lanczos and encodes with the same preset and crf. Printed are frames
per second of the whole job without the start of the process, and the ratio to ffmpeg's. A model is a name or a
checkpoint, with :bf16 in that precision. realesr-animevideov3 runs through the same pipeline, on a tenth of the frames.
All take turns, round after round; the fastest of each counts.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from material import DATA, ROOT

from streamvsr.build import build
from streamvsr.config import Config, InputOptions, ModelOptions, OutputOptions

DEMO = ROOT / "demo" / "city_180p.mp4"
PEER = DATA / "weights" / "realesr-animevideov3.pth"
CRF = 18


def ours(source: Path, target: Path, model: str, preset: str, frames: int) -> tuple[float, str]:
    output = OutputOptions(path=str(target), overwrite=True, preset=preset, crf=CRF, frames=frames, no_audio=True)
    name, _, precision = model.partition(":")
    chosen = ModelOptions(checkpoint=name) if Path(name).is_file() else ModelOptions(model=name)
    chosen = replace(chosen, precision=precision or "fp32")  # type: ignore[arg-type]
    run = build(Config(InputOptions(path=str(source)), output, chosen), warn=print)
    begin = time.perf_counter()
    run.start()
    run.wait()
    run.result()
    seconds = time.perf_counter() - begin
    stages = ", ".join(f"{s.name} {1000 * s.busy_seconds / s.frames:.1f}" for s in run.stats())
    return run.progress().frames_out / seconds, stages


def ffmpegs(source: Path, target: Path, preset: str, frames: int) -> float:
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(source), "-frames:v", str(frames), "-an"]
    command += ["-vf", "scale=4*iw:4*ih:flags=lanczos", "-c:v", "libx264", "-preset", preset, "-crf", str(CRF)]
    begin = time.perf_counter()
    subprocess.run([*command, str(target)], check=True)
    seconds = time.perf_counter() - begin
    probe = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "stream=nb_frames", "-of", "csv=p=0"]
    return int(subprocess.run([*probe, str(target)], check=True, capture_output=True, text=True).stdout) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", nargs="?", type=Path, default=DEMO)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--preset", default="veryfast")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--models", nargs="+", default=["rt", "rt:bf16", "bicubic"])
    a = parser.parse_args()
    if shutil.which("ffmpeg") is None:
        sys.exit("needs ffmpeg on the PATH to compare with")
    models = dict.fromkeys(a.models, a.frames)
    if PEER.exists():
        models[str(PEER)] = max(6, a.frames // 10)
    else:
        print(f"left out: realesr-animevideov3: no such file: {PEER}")
    print(f"{a.input.name}, x264 {a.preset} crf {CRF}, no audio; load average {os.getloadavg()[0]:.1f} before")
    peer, best = 0.0, dict.fromkeys(models, (0.0, ""))
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out.mp4"
        for model in models:
            ours(a.input, target, model, a.preset, 3)  # the first run pays for imports and warm-up
        for _ in range(a.rounds):
            peer = max(peer, ffmpegs(a.input, target, a.preset, a.frames))
            for model, frames in models.items():
                best[model] = max(best[model], ours(a.input, target, model, a.preset, frames))
    print(f"{'ffmpeg lanczos x4':32}{peer:8.1f} frames/s")
    for model, (speed, stages) in best.items():
        name = f"streamvsr {Path(model).stem}"
        print(f"{name:32}{speed:8.1f} frames/s {speed / peer:6.2f} of ffmpeg; busy ms a frame: {stages}")


if __name__ == "__main__":
    main()
