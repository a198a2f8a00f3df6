"""From a chain's text to filters that are set up.

Two steps. ``compose`` finds whatever is wrong with the text itself, before anything is opened: syntax, names, options,
filters with two inputs. ``configure`` goes along the chain with what is known of the stream, makes each filter for the
frames that reach it, and finds what these frames do not allow. Neighbouring filters of FFmpeg's become one graph.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamvsr.errors import FilterError, StreamvsrError
from streamvsr.filters.base import Filter
from streamvsr.filters.language import Link
from streamvsr.filters.libav.check import bare_name, check_link
from streamvsr.filters.libav.graph import LibavFilter
from streamvsr.filters.params import bind
from streamvsr.filters.registry import VSR, FilterEntry, find_entry
from streamvsr.frames import StreamInfo

Vsr = Callable[[Mapping[str, Any], StreamInfo, bool], Sequence[Filter]]
"""Makes the filters of a ``vsr`` link from its options, the stream that reaches it, and whether it is the last link."""

UNWRITTEN = 0
"""The column of links that stand in no chain: they come from options of the output."""

MOST_BYTES = 2**31 - 1
"""The largest image of FFmpeg's (``av_image_check_size``): 8 bytes a pixel and a margin of 128 to the right and below
stay under it, whatever the format is. Nothing larger can be filtered, encoded or written."""

ONE_FOR_ONE = frozenset(
    [
        *("scale", "crop", "pad", "format", "setsar", "setdar", "setparams"),
        *("hflip", "vflip", "transpose", "unsharp", "null"),
    ]
)
"""Filters of FFmpeg's that are known to give a frame for each that they get; there are more."""

_CLOCK = re.compile(r"\b(n|t|pos|pts)\b")
"""Expressions that count frames or seconds (crop, pad, scale); the name of an option like that does no harm."""

FIELD_FILTERS = frozenset(
    [
        *("bwdif", "yadif", "w3fdif", "estdif", "kerndeint", "nnedi", "mcdeint", "deinterlace_vaapi", "yadif_cuda"),
        *("bwdif_cuda", "fieldmatch", "pullup", "detelecine", "telecine", "repeatfields", "separatefields", "field"),
        *("weave", "doubleweave", "tinterlace", "interlace", "il", "fieldorder", "fieldhint", "setfield", "phase"),
    ]
)
"""Filters of FFmpeg's that want to see the fields: who names one has decided what becomes of them."""


@dataclass(frozen=True, slots=True)
class Step:
    """One filter to be: a link of ours, or neighbouring links of FFmpeg's."""

    links: tuple[Link, ...]
    entry: FilterEntry | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    ready: Filter | None = None
    """A filter that stands in no chain's text."""

    def make(self, info: StreamInfo, vsr: Vsr, last: bool) -> Sequence[Filter]:
        if self.ready is not None:
            return [self.ready]
        if self.entry is None:
            return [LibavFilter(self._spec())]
        return vsr(self.options, info, last) if self.entry.name == VSR else [self.entry.make(self.options)]

    def column(self, info: StreamInfo, size: tuple[int, int] | None = None) -> int:
        """Where the link stands that cannot work on these frames, or the first that gives them ``size``."""
        for count, link in enumerate(self.links[:-1], start=1):
            try:
                made = LibavFilter(self._spec()[:count]).configure(info)
            except FilterError:
                return link.column
            if (made.width, made.height) == size:
                return link.column
        return self.links[-1].column

    def _spec(self) -> list[tuple[str, str]]:
        return [(bare_name(link.name), link.arguments) for link in self.links]


def compose(links: Iterable[Link]) -> tuple[Step, ...]:
    """The steps of a chain. Raises ``UsageError``, pointing at the place, for what can be known to be wrong."""
    steps: list[Step] = []
    for link in links:
        entry = find_entry(link.name)
        if entry is not None:
            steps.append(Step((link,), entry, bind(entry.params, link)))
            continue
        check_link(link)
        if steps and steps[-1].entry is None:
            steps[-1] = Step((*steps[-1].links, link))
        else:
            steps.append(Step((link,)))
    return tuple(steps)


def has_vsr(steps: Iterable[Step]) -> bool:
    return any(step.entry is not None and step.entry.name == VSR for step in steps)


def has_field_filter(steps: Iterable[Step]) -> bool:
    """Whether the chain sees to interlaced frames itself."""
    return any(bare_name(link.name) in FIELD_FILTERS for step in steps if step.entry is None for link in step.links)


def configure(
    steps: Sequence[Step], info: StreamInfo, vsr: Vsr, reached: list[StreamInfo] | None = None
) -> tuple[list[Filter], StreamInfo]:
    """Make the filters of a chain and set them up for ``info``; what comes out of the last.

    ``reached`` is filled with what reaches each step. Raises what the filters raise, and ``FilterError`` for frames
    too large for FFmpeg, pointing at the place in the chain; the filters made by then are closed.
    """
    filters: list[Filter] = []
    try:
        for number, step in enumerate(steps, start=1):
            reaches = info
            if reached is not None:
                reached.append(reaches)
            try:
                last = all(link.column == UNWRITTEN for later in steps[number:] for link in later.links)
                for one in step.make(reaches, vsr, last):
                    filters.append(one)
                    info = one.configure(info)
                    _check_size(one, info)
            except StreamvsrError as exc:
                column = step.column(reaches)
                if column == UNWRITTEN:
                    raise
                raise type(exc)(f"-vf, at column {column}: {exc}") from exc
    except BaseException:
        for one in filters:
            one.close()
        raise
    return filters, info


def keeps_count(steps: Sequence[Step]) -> bool:
    """Whether it is known that as many frames come out as go in."""
    return all(step.entry is not None or all(link.name in ONE_FOR_ONE for link in step.links) for step in steps)


def is_timeless(steps: Sequence[Step]) -> bool:
    """Whether it is known that what comes of a frame depends on that frame alone, ``vsr`` left aside."""
    return not cut_place(steps)


def cut_place(steps: Sequence[Step]) -> int:
    """Where the output may be cut as early as its very end: so many steps stand before the cut.

    Every step behind it gives a frame for each, at the same time, and does not look at the clock.
    """
    place = len(steps)
    while place and (steps[place - 1].entry is not None or all(map(_is_timeless, steps[place - 1].links))):
        place -= 1
    return place


def _is_timeless(link: Link) -> bool:
    return link.name in ONE_FOR_ONE and not _CLOCK.search(link.arguments)


def size_column(steps: Sequence[Step], reached: Sequence[StreamInfo], info: StreamInfo) -> int:
    """Where the link stands that made the size of ``info``, which the last one gives; ``UNWRITTEN`` where none did."""
    size = (info.width, info.height)
    for step, reaches in zip(reversed(steps), reversed(reached), strict=True):
        if (reaches.width, reaches.height) != size:
            return step.column(reaches, size)
    return UNWRITTEN


def _check_size(made_by: Filter, info: StreamInfo) -> None:
    if (info.width + 128) * 8 * (info.height + 128) >= MOST_BYTES:
        raise FilterError(
            f"{made_by.name} makes frames of {info.width}x{info.height}, and FFmpeg takes none much larger than"
            " 16000x16000: choose a smaller size"
        )
