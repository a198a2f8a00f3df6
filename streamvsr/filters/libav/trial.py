"""What a chain of FFmpeg's filters makes of a stream, learnt before the first frame.

PyAV says nothing of what lies between two filters, so it is learnt from scratch graphs that are fed blank frames:
the size, the format and the time base from what comes out, the frame rate and the sample aspect ratio from expressions
that can see them (``setpts=FR`` and ``scale=w=f(sar)``), as the output's time stamp and size. Filters that choose among
frames let all of them pass there: what they wait for may never come in blank ones.

A few filters crash in such a graph, or fill the memory (one that fills gaps before one that collects frames). So all
but the well-known are tried in a process of their own, with bounds on its memory and time.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

import av

from streamvsr.errors import FilterError
from streamvsr.filters.libav.wiring import Graph, blank_frame, color_out, written
from streamvsr.frames import Color, Frame, StreamInfo
from streamvsr.media.av_frames import from_av, to_av
from streamvsr.media.filter_graph import Spec

SCRATCH_FRAMES = 16
"""So many blank frames, a frame apart, are tried, and then the end of the stream."""
FEW_FRAMES = 3
"""As many do where it does not matter how many the chain takes."""
SCRATCH_SECONDS = (100, 1000, 10_000)
"""Where these give nothing, one more at this time (``fps=1/60`` waits for a minute), before a chain is taken to give
none."""

TRIAL_BYTES = 2 << 30
"""What a trial in a process of its own may take beyond what that process has to begin with."""
TRIAL_CPU_SECONDS = 60
TRIAL_SECONDS = 300
"""By the clock, on a machine that is busy with other things."""

_WELL_KNOWN = """
atadenoise boxblur bwdif colorbalance colorchannelmixer colorspace copy crop curves deband deblock drawbox eq fade
fieldorder format fps gblur gradfun hflip histeq hqdn3d hue lut lutrgb lutyuv negate nlmeans noise null pad rotate scale
select setdar setfield setparams setpts setrange setsar settb smartblur transpose trim unsharp vflip vibrance yadif
zscale
"""
WELL_KNOWN = frozenset(_WELL_KNOWN.split())
"""Filters that are tried where we are: they neither crash there nor hold more than a few frames."""

CHOOSING = {"select": "1", "trim": None}
"""Filters that drop frames and change nothing else, with the arguments that let all pass (None: left out)."""

_RATE_UNIT = 10**9
_RATE_MAX_DENOMINATOR = 2002
_SAR_STEPS, _SAR_FINE_STEPS = 64, 1023
_PROBE = (
    ("setpts", f"FR*{_RATE_UNIT}"),
    ("scale", f"w=1+floor(min(sar\\,60)*{_SAR_STEPS}):h=1+floor(mod(sar*{_SAR_STEPS}\\,1)*{_SAR_FINE_STEPS})"),
)


def learn(spec: Spec, info: StreamInfo) -> tuple[StreamInfo, int]:
    """The stream behind the filters (but for ``frames_hint``), and how many frames after the first they take before
    they give one. Raises ``FilterError``."""
    if all(name in WELL_KNOWN for name, _ in spec):
        return learn_here(spec, info)
    return _learn_apart(tuple(spec), info)


def learn_here(spec: Spec, info: StreamInfo) -> tuple[StreamInfo, int]:
    """``learn`` in this process, whatever the filters do to it."""
    blank = blank_frame(info)
    filtered, lookahead = _first(spec, info, blank, ())
    rate, ratio = _rate_and_aspect(spec, info, blank, filtered)
    first = frame_of(filtered, 0, info.color, info)
    after = replace(
        info,
        width=filtered.width,
        height=filtered.height,
        format=first.format,
        time_base=first.time_base,
        frame_rate=rate,
        sample_aspect_ratio=ratio,
        color=first.color,
    )
    return after, lookahead


@lru_cache(maxsize=64)
def _learn_apart(spec: tuple[tuple[str, str], ...], info: StreamInfo) -> tuple[StreamInfo, int]:
    code = "from streamvsr.filters.libav.trial import child; child()"
    try:
        done = subprocess.run(  # noqa: S603 - our own code, in our own interpreter
            # -P: a file called av.py in the folder where somebody works is not to be run.
            [sys.executable, "-P", "-c", code],
            input=pickle.dumps((spec, info)),
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=TRIAL_SECONDS, check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)},
        )  # fmt: skip
    except subprocess.TimeoutExpired as exc:
        raise FilterError(f"filter {written(spec)}: its trial takes longer than {TRIAL_SECONDS} s") from exc
    if not done.stdout:
        what = "it ends the process" if done.returncode < 0 else f"its trial ended with exit code {done.returncode}"
        raise FilterError(f"filter {written(spec)} cannot be used: {what} (a fault of FFmpeg's, or out of bounds)")
    answer = pickle.loads(done.stdout)  # noqa: S301 - our own process
    if isinstance(answer, str):
        raise FilterError(answer)
    after, lookahead = answer
    return after, lookahead


def child() -> None:
    """The process of ``_learn_apart``: (spec, info) on standard input, what was learnt, or the error, on the output."""
    spec, info = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own process
    _bound()
    answer: object
    try:
        answer = learn_here(spec, info)
    except FilterError as error:
        answer = str(error)
    except MemoryError:
        answer = f"filter {written(spec)}: its trial takes more than {TRIAL_BYTES >> 30} GiB"
    sys.stdout.buffer.write(pickle.dumps(answer))
    sys.stdout.buffer.flush()
    # Some filters crash when they are taken down.
    os._exit(0)


def _bound() -> None:
    if sys.platform == "win32":
        return
    import resource

    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (TRIAL_CPU_SECONDS, TRIAL_CPU_SECONDS))
    with suppress(OSError, ValueError):
        with open("/proc/self/statm") as file:
            most = int(file.read().split()[0]) * resource.getpagesize() + TRIAL_BYTES
        before = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (most if before < 0 else min(most, before), before))


def _first(
    spec: Spec, info: StreamInfo, blank: Frame, probe: Spec, counts: Sequence[int] = (SCRATCH_FRAMES,)
) -> tuple[av.VideoFrame, int]:
    """The first frame that the chain gives, and how many frames after the first it took."""
    chosen = [(name, CHOOSING.get(name, given)) for name, given in spec]
    passing = [(name, given) for name, given in chosen if given is not None]
    step = 1 / (info.frame_rate or Fraction(25)) / info.time_base
    tries = [[fed * step for fed in range(count)] for count in counts]
    tries += [[*tries[-1], late / info.time_base] for late in SCRATCH_SECONDS]
    fed = 0
    # Each time anew, up to the end of the stream: a filter that collects frames is not to wait for the farthest, with
    # all that others fill the gap with.
    for moments in tries:
        graph = Graph([*passing, *probe], info, to_av(blank), named=spec, threads=1)
        for fed, moment in enumerate(moments):
            sample = to_av(replace(blank, pts=round(moment)))
            sample.duration = max(1, round(step))
            for out in graph.run(sample):
                return out, fed
        for out in graph.run(None):
            return out, fed
    raise FilterError(f"filter {written(spec)} gives no frame after {fed} of them")


def _rate_and_aspect(
    spec: Spec, info: StreamInfo, blank: Frame, filtered: av.VideoFrame
) -> tuple[Fraction | None, Fraction]:
    probe, _ = _first(spec, info, blank, _PROBE, (FEW_FRAMES, SCRATCH_FRAMES))
    rate = None
    if probe.pts is not None and probe.pts > 0:
        rate = Fraction(probe.pts, _RATE_UNIT).limit_denominator(_RATE_MAX_DENOMINATOR)
    ratio = (Fraction(probe.width - 1) + Fraction(probe.height - 1, _SAR_FINE_STEPS)) / _SAR_STEPS
    # A filter leaves it alone, keeps the frame's shape (scale), or states a simple one (setsar).
    same = info.sample_aspect_ratio
    shape = same * Fraction(filtered.height * info.width, filtered.width * info.height)
    for likely in (same, shape):
        if abs(likely - ratio) < Fraction(2, _SAR_STEPS * _SAR_FINE_STEPS):
            return rate, likely
    return rate, ratio.limit_denominator(100) or Fraction(1)


def frame_of(filtered: av.VideoFrame, pts: int, before: Color, info: StreamInfo) -> Frame:
    """A filter's output as a ``Frame``. ``before``: the colour of what went in, ``info``: the stream that went in."""
    assert filtered.time_base is not None
    color = color_out(filtered, before, info)
    return from_av(filtered, pts=pts, time_base=filtered.time_base, duration=int(filtered.duration or 0), color=color)
