"""What each step of a chain gives, for the comparison with what is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamvsr.config import ModelOptions
from streamvsr.filters.compose import Step
from streamvsr.filters.libav.check import bare_name
from streamvsr.filters.registry import VSR
from streamvsr.frames import StreamInfo


@dataclass(frozen=True)
class Stage:
    """One step of a chain."""

    name: str
    """How to call it: ``the network``, or the filters as they were written."""
    info: StreamInfo
    """What comes out of it."""
    filters: tuple[str, ...] = ()
    """The names of FFmpeg's filters that the user has written; empty for ours."""
    keeps_frame_data: bool = False
    """Whether the side data of frames gets through."""


def stages_of(
    steps: Sequence[Step], reached: Sequence[StreamInfo], last: StreamInfo, model: ModelOptions
) -> list[Stage]:
    """``reached``: what comes to each step; ``last``: what comes out of the last one."""
    stages = []
    for step, after in zip(steps, [*reached[1:], last], strict=True):
        names = tuple(bare_name(link.name) for link in step.links)
        network = step.entry is not None and step.entry.name == VSR
        through = step.entry is None or (network and model.model == "identity")
        name = "the network" if network else "+".join(names)
        stages.append(Stage(name, after, names if step.entry is None else (), through))
    return stages
