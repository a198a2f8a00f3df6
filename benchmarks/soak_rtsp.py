"""A minute from a real RTSP server: killed twice, over TCP and UDP; a network that is too slow; the end by SIGTERM.

    python benchmarks/soak_rtsp.py [--seconds 60] [--only outages slow stop]

Needs GStreamer's RTSP server (docs/live.md) and ffprobe. Exits with 1 where a line says NO. The same in short is
tests/test_live.py.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.live_run import QUICK, Recording, Streamvsr, recording  # noqa: E402
from tests.rtsp_server import RtspServer, make_clip  # noqa: E402

OUTAGE_SECONDS = 5.0
failed = False


def judge(what: str, good: bool) -> None:
    global failed
    failed |= not good
    print(f"    {'yes' if good else 'NO '}  {what}")


class Memory:
    """The resident memory of a process, every half second."""

    def __init__(self, pid: int) -> None:
        self.mebibytes: list[float] = []
        self._pid, self._over = pid, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            try:
                text = Path(f"/proc/{self._pid}/status").read_text()
            except OSError:
                return
            if found := re.search(r"VmRSS:\s+(\d+)", text):
                self.mebibytes.append(int(found[1]) / 1024)

    def thirds(self) -> tuple[float, float]:
        """The most in the second and in the last third."""
        self._over.set()
        self._thread.join()
        third = len(self.mebibytes) // 3
        return max(self.mebibytes[third : 2 * third]), max(self.mebibytes[2 * third :])


def describe(shown: Recording, run: Streamvsr) -> None:
    latency = re.findall(r"latency<=([\d.]+)s", run.text)
    print(
        f"    {len(shown.times)} frames, {shown.times[0]:.2f} to {shown.times[-1]:.2f} s, {len(shown.sound)} of sound, "
        f"dropped={run.dropped}, missing={shown.missing()}, latency <= {latency[-1] if latency else '?'} s"
    )


def outages(folder: Path, clip: Path, transport: str, seconds: int) -> None:
    print(f"{transport}: {seconds} s, the server killed for {OUTAGE_SECONDS:g} s, twice")
    out = folder / f"{transport}.mp4"
    with (
        RtspServer(clip) as server,
        Streamvsr(
            "-rtsp_transport", transport, server.url("/camera"), *QUICK, "--duration", str(seconds), str(out)
        ) as run,
    ):
        run.wait_for("model identity")
        memory = Memory(run.process.pid)
        for number in (1, 2):
            time.sleep(seconds / 5)
            server.kill()
            time.sleep(OUTAGE_SECONDS)
            server.start()
            run.wait_for("it is back after", count=number)
        code = run.end(2 * seconds)
        before, after = memory.thirds()
    shown = recording("ffprobe", out, clip)
    describe(shown, run)
    away = [float(value) for value in re.findall(r"it is back after ([\d.]+) s", run.text)]
    print(f"    gaps of {', '.join(f'{gap:.2f}' for gap in shown.gaps())} s; told as {away} s, opening included")
    print(f"    sound against picture in each part: {', '.join(f'{moved * 1000:+.0f}' for moved in shown.sync())} ms")
    print(f"    memory: {before:.0f} MiB at most in the second third, {after:.0f} in the last")
    judge("exit code 0, one file of which every frame decodes, with time stamps that increase", code == 0)
    gaps = shown.gaps()
    judge(
        "two gaps, each as long as the server was away",
        len(gaps) == 2 and all(OUTAGE_SECONDS - 0.3 <= g <= told + 0.3 for g, told in zip(gaps, away, strict=True)),
    )
    if transport == "tcp":
        judge("what is missing is what was counted", shown.missing() == run.dropped)
    judge("sound and picture together within 50 ms", all(abs(moved) < 0.05 for moved in shown.sync()))


def slow(folder: Path, clip: Path, seconds: int, latency: float) -> None:
    print(f"tcp: {seconds} s, a network that is too slow for the stream (rt, one thread), --max-latency {latency:g}")
    out = folder / "slow.mkv"
    words = [
        "--model",
        "rt",
        "--threads",
        "1",
        "-preset",
        "ultrafast",
        "-y",
        "--max-latency",
        f"{latency:g}",
        "--stats",
    ]
    with (
        RtspServer(clip) as server,
        Streamvsr(server.url("/camera"), *words, "--duration", str(seconds), str(out)) as run,
    ):
        run.wait_for("model rt")
        memory = Memory(run.process.pid)
        code = run.end(3 * seconds)
        before, after = memory.thirds()
    shown = recording("ffprobe", out, clip)
    describe(shown, run)
    print(f"    memory: {before:.0f} MiB at most in the second third, {after:.0f} in the last")
    print("    " + "\n    ".join(line for _, line in run.lines if "warning" in line))
    most = float(re.findall(r"latency<=([\d.]+)s", run.text)[-1])
    judge("exit code 0, playable, time stamps increase", code == 0)
    judge("frames were dropped", run.dropped > 0)
    decoded = int(re.findall(r"^decode +(\d+)", run.text, re.MULTILINE)[-1])
    print(f"    {decoded} decoded")
    judge("what was decoded was written or counted as dropped", decoded == len(shown.times) + run.dropped)
    # Frames that are dropped before the first and behind the last that was written show nowhere.
    judge("what is missing between them is not more than that", 0 < shown.missing() <= run.dropped)
    judge(f"no frame took longer than {latency:g} s", most < latency)
    judge("memory flat", after < before * 1.05)


def stop(folder: Path, clip: Path, model: str) -> None:
    print(f"SIGTERM in the middle, {model}")
    out = folder / f"stop-{model}.mp4"
    words = ["--model", model, "-preset", "ultrafast", "-y", str(out)]
    with RtspServer(clip) as server, Streamvsr(server.url("/camera"), *words) as run:
        run.wait_for(f"model {model}")
        time.sleep(5)
        begin = time.monotonic()
        run.signal(signal.SIGTERM)
        code = run.end()
        took = time.monotonic() - begin
        told = next(at for at, line in run.lines if line.startswith("interrupted")) - begin
    describe(recording("ffprobe", out, clip), run)
    print(f"    the file was whole after {told:.2f} s, the process gone after {took:.2f} s")
    judge("exit code 130 and a playable file within 2 s", code == 130 and told < 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--only", nargs="+", choices=["outages", "slow", "stop"], default=["outages", "slow", "stop"])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = make_clip(folder / "clip.mp4", given.seconds + 20, width=320, height=240)
        if "outages" in given.only:
            for transport in ("tcp", "udp"):
                outages(folder, clip, transport, given.seconds)
        if "slow" in given.only:
            slow(folder, clip, given.seconds, 2.0)
        if "stop" in given.only:
            for model in ("identity", "rt"):
                stop(folder, clip, model)
    sys.exit(failed)


if __name__ == "__main__":
    main()
