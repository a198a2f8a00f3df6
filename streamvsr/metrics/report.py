"""Scores as a table, CSV and JSON. Values that do not exist are empty in CSV and null in JSON; none is infinite."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import streamvsr
from streamvsr.metrics.measure import Scores
from streamvsr.metrics.table import METRICS

DIGITS = 6
"""Significant ones in files."""


def rows(scores: Scores) -> list[tuple[str, str, str, str]]:
    """(metric, mean, worst frame, what it is) of one clip."""
    found = []
    for name in scores.columns:
        metric, worst = METRICS[name], scores.worst(name)
        value = "-" if worst is None else f"{worst[1]:.{metric.digits}f} (frame {worst[0]})"
        found.append((name, shown(name, scores.mean(name)), value, f"{metric.about}; {metric.better} is better"))
    return found


def shown(name: str, value: float | None) -> str:
    """A value of a metric as it is printed."""
    return "-" if value is None else f"{value:.{METRICS[name].digits}f}"


def exact(value: float | None) -> float | None:
    """As it goes into files."""
    return None if value is None or math.isnan(value) else float(f"{value:.{DIGITS}g}")


def frame_lines(scores: Scores) -> list[list[Any]]:
    """[frame, seconds, value...] a frame."""
    columns = scores.columns.values()
    return [
        [n, round(seconds, 6), *("" if (v := exact(column[n])) is None else v for column in columns)]
        for n, seconds in enumerate(scores.seconds)
    ]


def csv_text(scores: Scores) -> str:
    return table_text(["frame", "seconds", *scores.columns], frame_lines(scores))


def table_text(head: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    """CSV as RFC 4180 has it, but for line ends."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(lines)
    return file.getvalue()


def scores_json(scores: Scores) -> dict[str, Any]:
    """One clip: its size, number of frames, means, and each frame's values."""
    return {
        "size": list(scores.size),
        "frames": len(scores),
        "mean": {name: exact(scores.mean(name)) for name in scores.columns},
        "per_frame": {
            "seconds": [round(s, 6) for s in scores.seconds],
            **{name: [exact(value) for value in column] for name, column in scores.columns.items()},
        },
    }


def json_text(content: Mapping[str, Any], names: Sequence[str]) -> str:
    """A whole document, with what wrote it and what the names mean."""
    head = {
        "streamvsr": streamvsr.__version__,
        "metrics": {name: {"better": METRICS[name].better, "about": METRICS[name].about} for name in names},
    }
    return json.dumps({**head, **content}, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
