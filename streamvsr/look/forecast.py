"""A second of the real work, and what the whole would take: time, memory and size."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from streamvsr.build import build
from streamvsr.config import Config
from streamvsr.footage.sample import Footage

TRIAL_SECONDS = 1.0
"""Of work, counted from the first frame that is written."""
LONGEST_SECONDS = 30.0
"""A network whose first frame takes longer is given up."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Of the whole run."""

    frames_per_second: float | None
    """None: not one frame was finished in the trial."""
    seconds: float | None
    """None where the length of the input is not known."""
    memory_bytes: int | None
    """The most that this process had in use up to the trial's end; None where the system does not tell."""
    output_bytes: int | None
    trial_frames: int
    writes: str
    """What comes out: size, encoder and rate."""
    notes: tuple[str, ...]
    """On the choice of the network, and what else a run says first."""


def forecast(config: Config, footage: Footage, *, warn: Callable[[str], None]) -> Forecast:
    """Run ``config`` from the middle of its input into a temporary file. Its own output is neither opened nor made.

    Raises what the run raises.
    """
    with tempfile.TemporaryDirectory(prefix="streamvsr-look-") as folder:
        path = Path(folder) / f"trial{_suffix(config.output.path)}"
        start = (config.input.start or Fraction(0)) + Fraction(int(500 * (footage.seconds or 0)), 1000)
        trial = replace(
            config,
            input=replace(config.input, start=start if footage.seconds and footage.seconds > 2 else config.input.start),
            output=replace(config.output, path=str(path), overwrite=True, no_audio=True, no_subtitles=True),
            run=replace(config.run, resume=False),
        )
        run = build(trial, warn=warn)
        begin, first = time.perf_counter(), None
        run.start()
        try:
            while not run.wait(0.02):
                now, done = time.perf_counter(), run.progress().frames_out
                if first is None and done:
                    first = now
                if (first is not None and now - first >= TRIAL_SECONDS) or now - begin > LONGEST_SECONDS:
                    break
            now, done = time.perf_counter(), run.progress().frames_out
            # The first frame waits for the network to load; with one frame alone nothing better is known.
            rate = (done - 1) / (now - first) if first is not None and done > 1 else done / (now - begin) or None
            run.stop()
        except BaseException:
            run.abort()
            run.wait()
            raise
        run.wait()
        if done:
            run.result()
        written = run.progress().frames_out
        size = path.stat().st_size if path.is_file() else 0
    frames = footage.frame_rate * footage.seconds if footage.frame_rate and footage.seconds else None
    return Forecast(
        rate,
        frames / rate if frames and rate else None,
        _peak_memory(),
        int(size / written * frames) if written and size and frames else None,
        done,
        run.writes.removeprefix(f"{path}: "),
        tuple(run.notes),
    )


def _suffix(path: str) -> str:
    return Path(path).suffix if path else ".mp4"


def _peak_memory() -> int | None:
    """The most memory of this process so far, in bytes. Linux's ru_maxrss counts that of the process which started
    this one besides."""
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) << 10
    if os.name != "posix":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
