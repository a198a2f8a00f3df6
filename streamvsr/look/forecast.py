"""A few seconds of the real work, and what the whole would take: time, memory and size.

::

    since          first frame            SETTLED_FRAMES later        stop        over
      |-- loading ------|-- the encoder fills ----|-- frames a second ---|-- flush --|

Until an encoder has filled its look-ahead it takes frames and does next to nothing for them, while the network has the
processor to itself; it makes up for that in the flush. So the whole takes loading + its frames at the settled rate, and
where the trial ends before that is reached, its frames at the rate of the beginning and their share of the flush.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from streamvsr.build import build
from streamvsr.config import Config, OutputOptions
from streamvsr.footage.sample import Footage
from streamvsr.media.demux import output_range
from streamvsr.threads import processors

TRIAL_SECONDS = 2.0
"""Of work, counted from the first frame that is written."""
SETTLED_FRAMES = 48
"""x264's look-ahead of 40 frames and the rings before it are full by then."""
MOST_SECONDS = 5.0
"""After the first frame the trial goes on for this long, where twice as many frames take longer."""
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
    """The most that this process had in use up to the trial's end, or more where a run is expected to take more (an
    encoder that a trial does not fill); None where the system does not tell."""
    output_bytes: int | None
    frames: int | None
    """That come out; None where the length of the input is not known."""
    trial_frames: int
    writes: str
    """What comes out: size, encoder and rate."""
    notes: tuple[str, ...]
    """On the choice of the network, and what else a run says first."""


def forecast(config: Config, footage: Footage, *, warn: Callable[[str], None], since: float | None = None) -> Forecast:
    """Run ``config`` from the middle of its input into a temporary file. Its own output is neither opened nor made.

    ``since``: ``time.perf_counter()`` when the command began, whose loading the run has to do as well; now unless
    given. Raises what the run raises.
    """
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="streamvsr-look-") as folder:
        path = Path(folder) / f"trial{_suffix(config.output.path)}"
        first, seconds, frames = written_part(config.output, footage)
        start = (config.input.start or Fraction(0)) + first
        if seconds is not None and seconds > 2:
            start += Fraction(int(500 * seconds), 1000)
        trial = replace(
            config,
            input=replace(config.input, start=start or config.input.start),
            # The whole of what the output's options cut is as good a place, and need not be decoded up to there.
            output=replace(
                config.output, path=str(path), overwrite=True, no_audio=True, no_subtitles=True,
                start=None, duration=None, end=None, frames=None,
            ),
            run=replace(config.run, resume=False),
        )  # fmt: skip
        run = build(trial, warn=warn)
        moments: list[tuple[float, float]] = []
        """Of each frame that is written: the time, and the processor time of this process by then."""
        # Appending is atomic: no lock between the writing thread and this one.
        run.tap(lambda _frame: moments.append((time.perf_counter(), time.process_time())))
        run.start()
        try:
            while not run.wait(0.02) and not _enough(moments, begin):
                pass
            stopped, done = time.perf_counter(), len(moments)
            worked = time.process_time() - moments[0][1] if done else 0.0
            run.stop()
        except BaseException:
            run.abort()
            run.wait()
            raise
        run.wait()
        over = time.perf_counter()
        if done:
            run.result()
        written = run.progress().frames_out
        size = path.stat().st_size if path.is_file() else 0
    owed = 0.0
    if done:
        # The encoder takes first what the network leaves of the processors.
        left = processors() * (stopped - moments[0][0]) - worked
        flush = time.process_time() - moments[0][1] - worked
        owed = max(0.0, flush / min(written, SETTLED_FRAMES) - left / done) / processors()
    rate = settled_rate([moment for moment, _ in moments[:done]], begin, owed)
    loading = (moments[0][0] if moments else over) - (begin if since is None else since)
    return Forecast(
        rate,
        loading + frames / rate if frames and rate else None,
        None if (peak := _peak_memory()) is None else max(peak, run.memory_bytes),
        int(size / written * frames) if written and size and frames else None,
        None if frames is None else round(frames),
        done,
        run.writes.removeprefix(f"{path}: "),
        tuple(run.notes),
    )


def written_part(output: OutputOptions, footage: Footage) -> tuple[Fraction, float | None, float | None]:
    """(where in the input that is read the output begins, seconds and frames of it), as its -ss, -t, -to, -frames:v and
    -r say; None for what the length of the input would have to tell."""
    start, end = output_range(output)
    first = start or Fraction(0)
    lengths = [] if footage.seconds is None else [footage.seconds]
    lengths += [] if end is None else [float(end)]
    seconds = max(0.0, min(lengths) - float(first)) if lengths else None
    rate = output.rate or footage.frame_rate
    frames = float(rate) * seconds if rate and seconds is not None else None
    if output.frames is not None:
        frames = output.frames if frames is None else min(frames, output.frames)
        if rate and seconds is not None:
            seconds = min(seconds, frames / float(rate))
    return first, seconds, frames


def _enough(moments: Sequence[tuple[float, float]], begin: float) -> bool:
    now = time.perf_counter()
    if not moments:
        return now - begin > LONGEST_SECONDS
    past = now - moments[0][0]
    return past >= MOST_SECONDS or (past >= TRIAL_SECONDS and len(moments) >= 2 * SETTLED_FRAMES)


def settled_rate(moments: Sequence[float], begin: float, owed: float) -> float | None:
    """Frames a second of frames that were written at ``moments`` of a trial that began at ``begin``; None for none.

    ``owed``: seconds that the encoder still needs for each frame that came before its look-ahead was full.
    """
    if not moments:
        return None
    last = len(moments) - 1
    if not last:
        # The first frame waits for the network to load; nothing better is known.
        return 1 / (moments[0] - begin + owed)
    first = min(SETTLED_FRAMES, last // 2)
    early = max(0, min(last, SETTLED_FRAMES) - first)
    return (last - first) / (moments[last] - moments[first] + early * owed)


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
