"""Scores as a picture; needs matplotlib."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from streamvsr.errors import MissingExtraError
from streamvsr.metrics.measure import Scores
from streamvsr.metrics.table import METRICS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 8.0, 1.7
"""Inches of one diagram."""


def over_time(lines: Mapping[str, Scores], names: Sequence[str]) -> bytes:
    """PNG: a diagram a metric, a line for each of ``lines`` over its frames."""
    figure = _figure(_WIDTH, _HEIGHT * len(names) + 0.6)
    axes = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for axis, name in zip(axes, names, strict=True):
        for label, scores in lines.items():
            values = scores.columns[name]
            few = sum(value == value for value in values) < 4
            axis.plot(range(len(values)), values, label=label, linewidth=1, marker="o" if few else "")
        _name(axis, name)
    axes[-1].set_xlabel("frame")
    if len(lines) > 1:
        axes[0].legend(fontsize=7, ncols=min(4, len(lines)))
    return _png(figure)


def bars(means: Mapping[str, Mapping[str, float | None]], names: Sequence[str]) -> bytes:
    """PNG: a diagram a metric, a bar for each of ``means`` (label -> metric -> mean over all clips)."""
    figure = _figure(_WIDTH, (0.25 * len(means) + 0.7) * len(names))
    axes = figure.subplots(len(names), 1, squeeze=False)[:, 0]
    for axis, name in zip(axes, names, strict=True):
        values = [one.get(name) for one in means.values()]
        places = range(len(values))
        axis.barh(places, [0.0 if value is None else value for value in values], height=0.7)
        axis.set_yticks(places, list(means), fontsize=7)
        axis.invert_yaxis()
        for place, value in zip(places, values, strict=True):
            axis.text(
                value or 0,
                place,
                "-" if value is None else f" {value:.{METRICS[name].digits}f}",
                fontsize=7,
                va="center",
            )
        axis.set_title(f"{name} ({METRICS[name].better} is better)", fontsize=8, loc="left")
        axis.margins(x=0.12)
        axis.tick_params(axis="x", labelsize=7)
    return _png(figure)


def check() -> None:
    """Raise ``MissingExtraError`` where nothing can be plotted."""
    if find_spec("matplotlib") is None:
        raise MissingExtraError("a plot needs matplotlib; pip install 'streamvsr[metrics]'")


def _figure(width: float, height: float) -> Figure:
    check()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _name(axis: object, name: str) -> None:
    axis.set_ylabel(f"{name}\n({METRICS[name].better} is better)", fontsize=7)  # type: ignore[attr-defined]
    axis.tick_params(labelsize=7)  # type: ignore[attr-defined]
    axis.grid(alpha=0.3)  # type: ignore[attr-defined]


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return file.getvalue()
