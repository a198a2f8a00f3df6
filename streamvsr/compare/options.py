"""The options of a comparison. The names of the sliding line's options are those of the original script."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from streamvsr.errors import UsageError
from streamvsr.options import check_options, option

MODES = ("wipe", "side-by-side", "stacked", "split")
SCALE_FILTERS = ("nearest", "bilinear", "bicubic", "lanczos", "area")


@dataclass(frozen=True, slots=True)
class CompareOptions:
    mode: str | None = option(
        None, "--mode", help="wipe, side-by-side, stacked or split", metavar="MODE", choices=MODES
    )
    """None: wipe for two inputs, split for a still of two, side-by-side for more."""
    chains: tuple[str, ...] = option(
        (), "--with", help="compare one input's results of several chains", kind="list", metavar="CHAIN"
    )
    labels: tuple[str, ...] = option((), "--label", help="text on a picture, in order", kind="list", metavar="TEXT")
    no_labels: bool = option(False, "--no-labels", help="no text on the pictures", kind="flag")
    zoom: str | None = option(None, "--zoom", help="a region, enlarged", metavar="x:y:w:h")
    """In pixels of the largest input."""
    scale_filter: str = option(
        "bicubic", "--scale-filter", help="how smaller inputs are scaled up", metavar="NAME", choices=SCALE_FILTERS
    )
    pair: str | None = option(
        None, "--pair", help="time or frames: what belongs together", metavar="HOW", choices=("time", "frames")
    )
    """None: frames where an input is pictures, which have no time of their own; else time."""
    still: int | None = option(
        None, "--still", help="this frame as one picture, from 0", kind="integer", metavar="N", least=0
    )
    start_frame: int | None = option(
        None, "--start-frame", help="the line starts here; left alone before", kind="integer", metavar="N", least=0
    )
    pause_frame: int | None = option(
        None, "--pause-frame", help="stand still at this frame", kind="integer", metavar="N", least=0
    )
    repeat_when_pause: int | None = option(
        None, "--repeat-when-pause", help="for so many frames, and at the end", kind="integer", metavar="N", least=0
    )
    slide_step: int | None = option(
        None, "--slide-step", help="the line moves so many pixels a frame", kind="integer", metavar="PX", least=1
    )
    line_width: int | None = option(None, "--line-width", help="pixels", kind="integer", metavar="PX", least=0)
    frame_rate: Fraction | None = option(  # noqa: RUF009 - describes a field
        None, "--frame-rate", help="play at this rate, without sound", kind="rate", metavar="FPS"
    )


@dataclass(frozen=True, slots=True)
class AbOptions:
    pairs: int = option(
        12, "--pairs", help="moments, evenly over the shorter one", kind="integer", metavar="N", least=1
    )
    zoom: str | None = option(None, "--zoom", help="a region, enlarged", metavar="x:y:w:h")
    """In pixels of the larger input."""
    title: str = option("Which one is better?", "--title", help="heading of the page", metavar="TEXT")


def check(options: CompareOptions, inputs: int) -> None:
    """Raise ``UsageError`` for what cannot be had with so many inputs."""
    check_options(options)
    if inputs < 2:
        raise UsageError("a comparison needs two inputs, or one and --with CHAIN")
    if options.mode in ("wipe", "split") and inputs != 2:
        raise UsageError(f"--mode {options.mode} takes two inputs, not {inputs}: --mode side-by-side takes any number")
    if len(options.labels) > inputs:
        raise UsageError(f"{len(options.labels)} labels for {inputs} pictures")
    parse_zoom(options.zoom)


def parse_zoom(text: str | None) -> tuple[int, int, int, int] | None:
    """(x, y, width, height), or None."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+):(\d+):(\d+):(\d+)", text)
    if not found or not int(found[3]) or not int(found[4]):
        raise UsageError(
            f"--zoom {text}: expected x:y:width:height in pixels of the largest input, such as 200:80:64:48"
        )
    return int(found[1]), int(found[2]), int(found[3]), int(found[4])
