"""``streamvsr look INPUT``: what it is like, which network suits it, and what that would take here."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from streamvsr.cli.console import Console, encodable
from streamvsr.cli.interrupts import Interrupts
from streamvsr.cli.metrics_command import refuse, write
from streamvsr.cli.own_options import options_help, take
from streamvsr.cli.parser import asks_for_help, parse_paths
from streamvsr.cli.progress import duration, size
from streamvsr.errors import UsageError
from streamvsr.look.options import LookOptions

if TYPE_CHECKING:
    from streamvsr.footage.choose import Choice
    from streamvsr.footage.sample import Footage
    from streamvsr.look.forecast import Forecast

USAGE = """\
usage: streamvsr look [options] INPUT [OUTPUT options]

Says what a video is like (noise, compression, blocks, fields, repeats), which
network 'auto' takes for it and why, what would be better and what that costs,
and, after a few seconds of the real work, how long the whole takes here,
with how much memory, and how large the output gets. docs/look.md explains it.
The input has to be a file or images: what can be read only once is left alone.

"""
_REST = """

All options of a run hold too: those of the input before it, those of the model
and the output anywhere behind 'look'.

examples:
  streamvsr look old.avi
  streamvsr look old.avi --sheet sheet.png
  streamvsr look old.avi --json -c:v libx265 -crf 20"""


def look_command(words: Sequence[str]) -> int:
    """Look and print; the exit code. Raises ``StreamvsrError``."""
    if not words or asks_for_help(words):
        print(USAGE + options_help(LookOptions) + _REST)
        return 0 if words else 2
    begin = time.perf_counter()
    own, rest = take(words, LookOptions)
    options = LookOptions(**own)
    config, paths = parse_paths(rest)
    if len(paths) != 1:
        raise UsageError("look takes one input: streamvsr look INPUT")
    config = replace(config, input=replace(config.input, path=paths[0]))
    refuse("--sheet", options.sheet, config.output.overwrite)
    refuse("--strip", options.strip, config.output.overwrite)
    console = Console(quiet=config.run.quiet or options.json)

    from streamvsr.footage.choose import choose, hints
    from streamvsr.footage.sample import look
    from streamvsr.models.device import is_cuda

    with Interrupts():
        footage = look(config.input)
        choice = choose(footage, config.model, gpu=is_cuda(config.model.device))
        found = None
        if not options.no_trial:
            from streamvsr.look.forecast import forecast

            found = forecast(config, footage, warn=console.warning, since=begin)
        if options.sheet is not None:
            from streamvsr.look.crops import png
            from streamvsr.look.sheet import sheet

            picture = png(sheet(config, footage, choice, warn=console.warning))
            write(options.sheet, picture, config.output.overwrite)
        if options.strip is not None:
            from streamvsr.look.crops import png
            from streamvsr.look.strip import strip

            write(options.strip, png(strip(config, footage, warn=console.warning)), config.output.overwrite)
        contents = None
        if options.json:
            from streamvsr.look.strip import contents_of

            contents = contents_of(config)
    if options.json:
        print(json.dumps({**_json(footage, choice, hints(footage), found), "contents": contents}, indent=2))
    else:
        print(encodable(_text(footage, choice, hints(footage), found), sys.stdout))
    return 0


def _json(footage: Footage, choice: Choice, hints: list[str], found: Forecast | None) -> dict[str, Any]:
    from streamvsr.networks import bounded_factor

    return {
        "footage": asdict(footage),
        "usual_factor": bounded_factor(footage.width, footage.height, 4),
        "choice": asdict(choice),
        "hints": hints,
        "forecast": None if found is None else asdict(found),
    }


def _text(footage: Footage, choice: Choice, hints: list[str], found: Forecast | None) -> str:
    fields = "interlaced" if footage.interlaced else "combed, though not tagged" if footage.combed else "progressive"
    quantiser = (
        "not reported"
        if footage.quantiser is None
        else f"{footage.quantiser:.1f} on average ({footage.codec or 'JPEG'})"
    )
    parts = [
        f"{footage.width}x{footage.height}",
        *([] if footage.frame_rate is None else [f"{footage.frame_rate:.5g} frames/s"]),
        *([] if footage.seconds is None else [duration(footage.seconds)]),
        footage.codec or "images",
    ]
    strength = f" --strength {choice.strength:g}" if choice.strength < 1 else ""
    lines = [
        ("input", ", ".join(parts)),
        ("quantiser", quantiser),
        ("blocking", f"{footage.blockiness:.2f} (8x8 block edges against the pixels between them; 1 is none)"),
        ("noise", f"{footage.noise:.1f} of 255 (standard deviation), {footage.color_noise:.1f} in the colours"),
        ("detail", f"{footage.detail:.2f} (gradient energy that a blur of one pixel removes)"),
        ("fields", fields),
        ("repeats", f"{100 * footage.repeated:.0f} % of frames repeat the one before and are not computed again"),
        ("sampled", f"{footage.frames} frames"),
        ("choice", f"--model {choice.model}{strength}: {choice.reason}"),
        *([] if choice.better is None else [("better", choice.better)]),
        *(("hint", hint) for hint in hints),
    ]
    if found is not None:
        said = (note.partition(" ") for note in found.notes)
        lines += [("precision", rest) for word, _, rest in said if word == "precision"]
        lines.append(("forecast", _forecast(found)))
    return "\n".join(f"{name:<11}{value}" for name, value in lines)


def _forecast(found: Forecast) -> str:
    if found.frames_per_second is None:
        return "no frame was finished within half a minute: choose a faster model"
    parts = [f"{found.frames_per_second:.2g} frames/s on this machine (measured over {found.trial_frames})"]
    if found.seconds is not None:
        parts.insert(0, duration(found.seconds))
    if found.memory_bytes is not None:
        parts.append(f"{found.memory_bytes / 1e9:.1f} GB of memory")
    if found.output_bytes is not None:
        parts.append(f"about {size(found.output_bytes)} written")
    return ", ".join(parts)
