"""``--dry-run``: what a run would write and what it would take here, after a few seconds of it."""

from __future__ import annotations

import time

from streamvsr.cli.console import Console
from streamvsr.cli.interrupts import Interrupts
from streamvsr.cli.progress import counted, duration, size
from streamvsr.config import Config


def dry_run(config: Config, console: Console) -> int:
    """Tell, and write nothing; the exit code. Raises ``StreamvsrError``, also where the input can be read only once."""
    begin = time.perf_counter()
    with Interrupts():
        from streamvsr.footage.sample import look
        from streamvsr.look.forecast import forecast

        found = forecast(config, look(config.input), warn=console.warning, since=begin)
    frames = "" if found.frames is None else f", {counted(found.frames)}"
    console.block(f"{config.output.path}: {found.writes}{frames}")
    for note in found.notes:
        console.block(note)
    if found.frames_per_second is None:
        console.block("no frame was finished within half a minute: choose a faster model")
        return 0
    parts = [] if found.seconds is None else [f"about {duration(found.seconds)}"]
    parts.append(f"{found.frames_per_second:.2g} frames a second")
    if found.memory_bytes is not None:
        parts.append(f"{size(found.memory_bytes)} of memory")
    if found.output_bytes is not None:
        parts.append(f"{size(found.output_bytes)} of video")
    console.block(", ".join(parts))
    return 0
