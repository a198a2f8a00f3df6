"""One clip's frames in, its scores out. Two frames are held, and a number a frame and metric."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from streamvsr.errors import StreamvsrError
from streamvsr.frames import Frame
from streamvsr.media.color.samples import Values, chroma, cropped, luma, resized, rgb
from streamvsr.metrics.fidelity import mse, psnr, ssim
from streamvsr.metrics.motion import find_motion, flicker, warping_error
from streamvsr.metrics.table import METRICS
from streamvsr.metrics.tools import Tools


@dataclass(slots=True)
class Scores:
    """What was measured of one clip. A value that does not exist (NaN) counts in no mean."""

    columns: dict[str, array[float]]
    """Metric -> a value a frame."""
    seconds: array[float] = field(default_factory=lambda: array("d"))
    """When each frame is shown."""
    size: tuple[int, int] = (0, 0)
    """Width and height of what was measured."""

    def __len__(self) -> int:
        return len(self.seconds)

    def add(self, seconds: float, values: Mapping[str, float]) -> None:
        self.seconds.append(seconds)
        for name, column in self.columns.items():
            column.append(values.get(name, math.nan))

    def mean(self, name: str) -> float | None:
        """Over the frames that have a value; None where there is none."""
        values = [value for value in self.columns[name] if not math.isnan(value)]
        return math.fsum(values) / len(values) if values else None

    def worst(self, name: str) -> tuple[int, float] | None:
        """(frame, value)."""
        values = [(n, value) for n, value in enumerate(self.columns[name]) if not math.isnan(value)]
        pick: Callable[..., tuple[int, float]] = min if METRICS[name].better == "higher" else max
        return pick(values, key=lambda pair: pair[1]) if values else None


class Measure:
    """Takes the frames of one clip in order."""

    def __init__(self, tools: Tools, matrix: int, crop_border: int = 0, at: frozenset[int] | None = None) -> None:
        """``matrix``: see ``samples.matrix_of``. ``at``: the frames for what the tools measure; None: all."""
        self.scores = Scores({name: array("d") for name in tools.wanted})
        self._tools, self._matrix, self._border, self._at = tools, matrix, crop_border, at
        self._motion = any(METRICS[name].needs_motion for name in tools.wanted)
        self._chroma = bool({"psnr_cb", "psnr_cr"} & set(tools.wanted))
        self._rgb = bool(tools.with_reference) or self._chroma or {"mse_rgb", "psnr_rgb"} & set(tools.wanted)
        self._before: tuple[Values, Values, Values | None] | None = None

    def add(self, result: Frame, reference: Frame | None, guide: Frame | None = None) -> None:
        """``guide``: what motion is found in, of any size; the reference, or else the result, unless given."""
        values: dict[str, float] = {}
        costly = self._at is None or len(self.scores) in self._at
        now = cropped(luma(result, self._matrix), self._border)
        error = None
        truth = None
        if reference is not None:
            truth = cropped(luma(_fitted(reference, result), self._matrix), self._border)
            error = now - truth
            values["mse_y"] = mse(now, truth)
            values["psnr_y"] = psnr(values["mse_y"])
            if "ssim_y" in self._tools.wanted:
                values["ssim_y"] = ssim(now, truth)
            if self._rgb:
                pair = cropped(rgb(result), self._border), cropped(rgb(_fitted(reference, result)), self._border)
                values["mse_rgb"] = mse(*pair)
                values["psnr_rgb"] = psnr(values["mse_rgb"])
                if self._chroma:
                    of_result, of_reference = (chroma(one, self._matrix) for one in pair)
                    for plane, name in enumerate(("psnr_cb", "psnr_cr")):
                        values[name] = psnr(mse(of_result[..., plane], of_reference[..., plane]))
                if costly:
                    values |= {name: tool(*pair) for name, tool in self._tools.with_reference.items()}
        if costly:
            values |= {name: tool(now) for name, tool in self._tools.no_reference.items()}
        if self._motion:
            followed = truth if truth is not None else now
            if guide is not None:
                followed = cropped(resized(luma(guide, self._matrix), result.height, result.width), self._border)
            if self._before is not None:
                values |= self._changes(now, error, followed, *self._before)
            self._before = now, followed, error
        self.scores.size = now.shape[1], now.shape[0]
        self.scores.add(float(result.seconds), values)

    def _changes(
        self, now: Values, error: Values | None, followed: Values, before: Values, followed_before: Values,
        error_before: Values | None,
    ) -> dict[str, float]:  # fmt: skip
        motion = find_motion(followed, followed_before)
        found = {"warping_error": warping_error(now, before, motion)}
        if error is not None and error_before is not None:
            found["flicker"] = flicker(error, error_before, motion)
        return found


def _fitted(reference: Frame, result: Frame) -> Frame:
    """``reference``, which has to have the size of ``result``."""
    if (reference.width, reference.height) == (result.width, result.height):
        return reference
    raise StreamvsrError(
        f"the result is {result.width}x{result.height}, the reference {reference.width}x{reference.height}: "
        "only frames of one size can be compared; -s WxH makes results of another size"
    )


def pairs(
    results: Iterator[Frame], references: Iterator[Frame], names: tuple[str, str], *, shortest: bool
) -> Iterator[tuple[Frame, Frame]]:
    """The n-th with the n-th. Raises ``StreamvsrError`` where one ends before the other, unless ``shortest``."""
    count = 0
    for result in results:
        reference = next(references, None)
        if reference is None:
            break
        count += 1
        yield result, reference
    else:
        if shortest or next(references, None) is None:
            return
        raise StreamvsrError(lengths_differ(names[0], count, names[1]))
    if not shortest:
        raise StreamvsrError(lengths_differ(names[1], count, names[0]))


def lengths_differ(short: str, count: int, long: str) -> str:
    """The error's text: ``short`` has only ``count`` frames."""
    return f"'{short}' has {count} frames, '{long}' has more: they are no pair; --shortest measures what both have"
