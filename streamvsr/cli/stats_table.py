"""The table of ``--stats``: where each stage spent its time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamvsr.pipeline.stats import StageStats

_HEAD = ("stage", "frames", "ms/frame", "wait in", "wait out", "busy", "")


def stats_table(stages: Sequence[StageStats]) -> str:
    """One row a stage: milliseconds of work per frame, seconds of waiting for the stages before and behind, and the
    share of its life in which it worked. The one that worked longest is what the whole run waited for. Below a stage of
    several filters stand these, with milliseconds per frame that each took in."""
    slowest = max(stages, key=lambda s: s.busy_seconds, default=None)
    rows: list[tuple[str, ...]] = [_HEAD]
    for stage in stages:
        rows.append(_row(stage, stage is slowest and stage.busy_seconds > 0))
        if len(stage.parts) > 1:
            rows += [
                (f"  {name}", str(frames), _ms(seconds, frames), "", "", "", "")
                for name, frames, seconds in stage.parts
            ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = []
    for row in rows:
        name, *numbers, mark = row
        cells = [name.ljust(widths[0]), *(n.rjust(w) for n, w in zip(numbers, widths[1:-1], strict=True)), mark]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _row(stage: StageStats, slowest: bool) -> tuple[str, ...]:
    life = stage.busy_seconds + stage.wait_in_seconds + stage.wait_out_seconds
    return (
        stage.name,
        str(stage.frames),
        _ms(stage.busy_seconds, stage.frames),
        f"{stage.wait_in_seconds:.1f} s",
        f"{stage.wait_out_seconds:.1f} s",
        f"{stage.busy_seconds / life:.0%}" if life else "-",
        "<- slowest" if slowest else "",
    )


def _ms(seconds: float, frames: int) -> str:
    return f"{seconds * 1000 / frames:.1f}" if frames else "-"
