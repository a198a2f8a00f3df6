"""Proves and measures streamvsr on one NVIDIA GPU, in one short run without a network.

    python benchmarks/gpu.py [--budget 360] [--out gpu.jsonl] [--wheels DIR] [--only WORD ...] [--device cuda]
    python benchmarks/gpu.py --fetch DIR [--python 3.12] [--packages av msgspec ...]
    python benchmarks/gpu.py --rehearse

Checks come first: float32 against the CPU, fp16 and bf16, tiles, compiled code, a whole filter that must not wait for
the device, too little memory, NVDEC and NVENC. Then RealBasicVSR's configuration with random weights (64 channels,
20 + 20 blocks), BasicVSR (30 blocks), ``rt`` and ``rt-real``: the network alone and whole runs, beside the floor that
this card's own peaks set (measured first) and beside the loop of mmedit's RealBasicVSR.

Each step gets the time that it is worth while there is some, the most important ones first. A line is printed and
written to ``--out`` as soon as it is known, so a run that is cut off keeps what it had. All steps run in a process of
their own: what raises costs a line, what hangs or crashes costs a new process. It needs the torch that is there (2.6 or
newer). What else is missing is installed from ``--wheels`` into a temporary folder; ``--fetch`` downloads these wheels
for the other machine's Python beforehand. ``--rehearse`` does everything on the CPU, with tiny networks and frames.

The exit code is 1 where a check or a step failed.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
HERE = Path(__file__).resolve().parent
MODULES = {"opencv-python-headless": "cv2"}
"""Packages whose module has another name."""
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
START_SECONDS = 60.0
"""For the import of torch and the first context; counted into the budget, not into a step."""
GRACE_SECONDS = 20.0
"""A step may take so much longer than it was given, for warming up and loading, before its process is ended."""
REHEARSAL_SECONDS = 200.0
"""The same where a CPU, which others may use too, stands for a card."""
RESERVE_SECONDS = 4.0
"""Of the budget, for ending well."""

Line = dict[str, Any]


def requirements() -> dict[str, str]:
    """What streamvsr needs at run time but torch: package to requirement."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {text.split(">")[0].split("=")[0].split("<")[0].strip(): text for text in wanted}
    return {name: text for name, text in names.items() if name != "torch"}


def fetch(folder: str, python: str, packages: Sequence[str]) -> None:
    """Download the wheels that a Linux machine with that Python needs."""
    wanted = requirements()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "-d", folder]
    command += ["--python-version", python, "--implementation", "cp"]
    for platform in PLATFORMS:
        command += ["--platform", platform]
    # The newest that streamvsr takes: constraints.txt is for this machine's Python.
    environment = {key: value for key, value in os.environ.items() if key != "PIP_CONSTRAINT"}
    subprocess.run([*command, *(wanted[name] for name in packages or wanted)], check=True, env=environment)


def install(folder: str, target: str) -> None:
    """Put what cannot be imported here into ``target``, from the wheels in ``folder``."""
    missing = [name for name in requirements() if find_spec(MODULES.get(name, name)) is None]
    if not missing:
        return
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-cache-dir"]
    environment = {key: value for key, value in os.environ.items() if key != "PIP_CONSTRAINT"}
    for name in missing:
        done = subprocess.run(
            [*command, "--find-links", folder, "--target", target, name],
            capture_output=True, text=True, check=False, env=environment,
        )  # fmt: skip
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
            print(f"{name} is missing and cannot be installed from {folder}: {reason}", flush=True)


class Worker:
    """The process that runs steps; started anew when it has ended."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], errors: Any) -> None:
        self._command, self._environment, self._errors = command, environment, errors
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.starts = 0

    def _start(self) -> subprocess.Popen[str]:
        lines: queue.Queue[str | None] = queue.Queue()
        process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            env=self._environment, start_new_session=True,
        )  # fmt: skip

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                lines.put(line)
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        self._process, self._lines = process, lines
        self.starts += 1
        return process

    def run(self, step: str, seconds: float, until: float) -> Iterator[Line]:
        """The lines of a step as they come; the last is ``done`` or ``failed``. ``until``: the end, monotonic."""
        process = self._process
        if process is None or process.poll() is not None:
            process = self._start()
        assert process.stdin is not None
        reason = ""
        try:
            process.stdin.write(json.dumps({"step": step, "seconds": seconds}) + "\n")
            process.stdin.flush()
            while (text := self._lines.get(timeout=max(0.0, until - time.monotonic()))) is not None:
                line = json.loads(text)
                yield line
                if line["kind"] in ("done", "failed"):
                    return
            reason = f"its process ended with {process.wait()}"
        except queue.Empty:
            reason = "took too long; its process was ended"
        except (OSError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
        self.close()
        yield {"kind": "failed", "step": step, "reason": reason}

    def close(self) -> None:
        if self._process is not None:
            # With what it has started: compilers, tests. It leads a session of its own.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, 9)
            self._process.wait()
            self._process = None


def shown(line: Line) -> str:
    """A line of the worker's as a person reads it."""
    said = "".join(f"\n{'':8}{text}" for text in line.get("said", ()))
    if line["kind"] == "fact":
        return f"{'':8}{line['what']}: {line['value']}"
    if line["kind"] == "check":
        mark = "ok" if line["ok"] else "WRONG"
        return f"{mark:8}{line['what']}: {line['value']} (wanted: {line['wanted']}){said}"
    if line["kind"] == "speed":
        text = f"{line['fps']:8.1f} frames/s  {line['ms']:8.2f} ms  queued {line['queued_ms']:7.2f}"
        if "floor_ms" in line:
            text += f"  floor {line['floor_ms']:7.2f} ({line['share']:4.0%})"
        memory = line["gpu_mib"]
        text += "" if memory is None else f"  {memory:7.0f} MiB"
        return f"{text}  {line['what']}{said}"
    return f"FAILED  {line['step']}: {line['reason']}"


def table(lines: Sequence[Line]) -> str:
    """Everything that was measured, as Markdown."""
    rows = [
        "| what | frames/s | ms | queued, ms | floor, ms | of the floor | GPU, MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        if line["kind"] == "speed":
            floor, share = line.get("floor_ms"), line.get("share")
            cells = [line["what"], f"{line['fps']:.1f}", f"{line['ms']:.2f}", f"{line['queued_ms']:.2f}"]
            cells += ["" if floor is None else f"{floor:.2f}", "" if share is None else f"{share:.0%}"]
            rows.append("| " + " | ".join([*cells, "" if line["gpu_mib"] is None else f"{line['gpu_mib']:.0f}"]) + " |")
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, default=360.0, help="seconds for everything")
    parser.add_argument("--out", default="gpu.jsonl")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="steps with one of these in their names")
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, with tiny sizes")
    parser.add_argument("--wheels", metavar="DIR", help="install what is missing from here")
    parser.add_argument("--fetch", metavar="DIR", help="download wheels into here, and end")
    parser.add_argument("--python", default="3.12", help="the Python that --fetch is for")
    parser.add_argument("--packages", nargs="+", default=[], metavar="NAME", help="those that --fetch gets; else all")
    parser.add_argument("--worker", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.fetch:
        fetch(a.fetch, a.python, a.packages)
        return 0
    from gpu_steps import steps

    begin = time.monotonic()
    device = "cpu" if a.rehearse else a.device
    command = a.worker or [
        sys.executable, str(HERE / "gpu_steps.py"), "--device", device, *["--rehearse"] * a.rehearse
    ]  # fmt: skip
    chosen = [step for step in steps(a.rehearse) if not a.only or any(word in step.name for word in a.only)]
    lines: list[Line] = []
    with ExitStack() as undo:
        site = undo.enter_context(tempfile.TemporaryDirectory(prefix="streamvsr-wheels-"))
        out = undo.enter_context(open(a.out, "w", buffering=1))
        errors = undo.enter_context(open(f"{a.out}.log", "w"))
        if a.wheels:
            install(a.wheels, site)
        path = os.pathsep.join(filter(None, (str(ROOT), site, os.environ.get("PYTHONPATH"))))
        # Whoever is killed leaves nothing behind.
        scratch = undo.enter_context(tempfile.TemporaryDirectory(prefix="streamvsr-gpu-"))
        worker = Worker(command, os.environ | {"PYTHONPATH": path, "TMPDIR": scratch}, errors)
        undo.callback(worker.close)
        for number, step in enumerate(chosen):
            left = begin + a.budget - RESERVE_SECONDS - time.monotonic()
            if left <= 1:
                rest = ", ".join(one.name for one in chosen[number:])
                print(f"not reached within {a.budget:.0f} s: {rest}", flush=True)
                out.write(json.dumps({"kind": "unreached", "steps": [one.name for one in chosen[number:]]}) + "\n")
                break
            seconds = min(step.seconds, left)
            grace = GRACE_SECONDS + START_SECONDS * (worker.starts == 0) + REHEARSAL_SECONDS * a.rehearse
            until = time.monotonic() + min(seconds + grace, left)
            started = time.monotonic()
            for line in worker.run(step.name, seconds, until):
                if line["kind"] == "done":
                    line["seconds"] = round(time.monotonic() - started, 2)
                else:
                    print(shown(line), flush=True)
                out.write(json.dumps(line) + "\n")
                lines.append(line)
            if step.name == "machine" and lines[-1]["kind"] == "failed":
                print("without the device there is nothing to do", flush=True)
                break
    failed = [line for line in lines if line["kind"] == "failed" or (line["kind"] == "check" and not line["ok"])]
    print(f"\n{table(lines)}\n")
    checks = sum(line["kind"] == "check" for line in lines)
    print(f"{checks} checks, {len(failed)} failures, {time.monotonic() - begin:.0f} s; {a.out}, errors in {a.out}.log")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
