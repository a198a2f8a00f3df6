"""One job at a time on this machine: whether a run can be one, where it goes on, and where it stands on the disk."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamvsr.config import Config, OutputOptions
from streamvsr.errors import SinkError
from streamvsr.frames import MediaInfo
from streamvsr.jobs.plan import InputIdentity, Plan, Segment, regular_borders, stated_options, versions, weights_hash
from streamvsr.jobs.segment_sink import SegmentSink
from streamvsr.jobs.segments import plan_segments
from streamvsr.jobs.sink import JobSink
from streamvsr.jobs.store import JobStore, job_folder
from streamvsr.media.demux.base import Source
from streamvsr.media.encode.options import output_format
from streamvsr.media.mux import kind_of
from streamvsr.media.mux.atomic_file import is_url, local_path
from streamvsr.media.mux.options import SEVERAL_FILES

if TYPE_CHECKING:
    from streamvsr.vsr.trace import Tracer

LONG_SECONDS = 60
"""Inputs longer than this are jobs unless the user says otherwise."""

ANNOUNCED_CUTS = 10
"""A plan of this many cuts may take a while: it is announced. So is each for which the whole input is decoded."""

SHOWN_SECONDS = 1
"""What a plan took is worth a word from here on."""


def cannot_resume(config: Config, media: MediaInfo, *, timeless: bool, networks: int) -> str | None:
    """Why a run cannot be cut off and gone on with; None where it can. ``media``: the input, as it is trimmed.

    ``timeless``: what the filters give for a frame depends on it alone. ``networks``: how many ``vsr`` there are.
    """
    source, output = config.input, config.output
    if config.live.live or media.video.live or source.path == "-" or is_url(source.path):
        return "the input is a stream, which cannot be read again"
    if not os.path.isfile(local_path(source.path)):
        return "the input is not a single file"
    path = local_path(output.path)
    if kind_of(output) in ("pictures", "tee"):
        return "the output is several files"
    if kind_of(output) != "container":
        return "the output is not encoded"
    if output.path == "-" or is_url(output.path) or (os.path.exists(path) and not os.path.isfile(path)):
        return "the output is not a file"
    if output.format == "image2pipe" or output_format(output, stdout=False) in SEVERAL_FILES:
        return "the output is several files"
    if not timeless or output.rate is not None:
        return "filters that may change the number of frames, count them or remember them cannot be begun in the middle"
    if networks > 1:
        return "there is more than one network in the chain"
    if any(name.partition(":")[0] == "pass" for name in output.options):
        return "an encoder's pass looks at the whole video"
    if output.frames is not None:
        return "-frames:v counts from the beginning"
    if media.duration is None:
        return "the length of the input is not known"
    return None


@dataclass(frozen=True, slots=True)
class Part:
    """One segment of a plan that is to be computed for somebody else's job, into a folder of its own."""

    plan: Plan
    number: int
    folder: Path
    clip: bytes | None = None
    """The segment's compressed packets, where the input is not seen here: see ``ClipSource``."""


class Job:
    """A run that keeps what it has finished beside its output."""

    def __init__(self, config: Config, media: MediaInfo) -> None:
        """Take the job's folder. Raises ``SinkError`` where it cannot be had."""
        self._config, self._duration = config, media.duration or Fraction(0)
        self.store = JobStore(job_folder(local_path(config.output.path)))
        if config.run.restart:
            self.store.restart()
        self.store.drop_damaged()
        self.plan: Plan | None = None
        self._threads = 0
        """Of the encoder, see ``SegmentSink``."""

    @property
    def begun_in(self) -> str | None:
        """The precision by the plan in the folder, which may be another job's; None for a new job. Raises ``SinkError``
        where it is damaged."""
        plan = self.store.plan()
        return None if plan is None else plan.precision

    @property
    def wanted(self) -> tuple[Segment | None, Segment | None]:
        """The first segment that is to be computed (None: all are finished), and the last (None: up to the end)."""
        assert self.plan is not None
        first = self.store.finished
        return (self.plan.segments[first] if first < len(self.plan.segments) else None), None

    @property
    def note(self) -> str:
        """What the user should know before it begins."""
        assert self.plan is not None
        folder, segments = self.store.folder.name, self.plan.segments
        if self.store.finished:
            return f"going on after {self.store.finished} of {len(segments)} segments that are finished in {folder}"
        scenes = sum(one.scene for one in segments)
        found = f", {scenes} of them where a scene begins" if scenes else ""
        if self._config.output.bit_rate is not None and len(segments) > 1:
            found += "; -b:v holds for each by itself"
        if self.plan.seconds >= SHOWN_SECONDS:
            found += f"; planned in {self.plan.seconds:.0f} s"
        return (
            f"{folder} keeps what is finished, in {len(segments)} segments{found}: after a cut the same command goes on"
            " (--no-resume: off)"
        )

    def begin(
        self, weights: Sequence[tuple[str, Path | None]], precision: str, context: tuple[int, int],
        scene_threshold: float, open_input: Callable[[], Source], tracer: Tracer | None,
        announce: Callable[[str], None],
    ) -> None:  # fmt: skip
        """Go on by the plan in the folder, or make one. ``weights``: each network's name and file. ``precision``: what
        they are run in. ``announce`` gets a line before a plan that may take long. The rest: see ``plan_segments``.

        Raises ``UsageError`` where the folder holds another job, ``SourceError`` where the input cannot be read.
        """
        models = tuple(f"{name} {weights_hash(path) if path else ''}".strip() for name, path in weights)
        identity = InputIdentity.of(local_path(self._config.input.path))
        plan = Plan(identity, stated_options(self._config), models, versions(), Fraction(1), ())
        plan = replace(plan, precision=precision, encoder_threads=self._threads)
        known = self.store.check(plan)
        if known is None:
            with closing(open_input()) as source:
                time_base = source.info.video.time_base
            borders, begin = regular_borders(self._duration), time.monotonic()
            if tracer is not None and borders:
                announce("planning the segments: the input is decoded once, to cut where nothing changes")
            elif len(borders) >= ANNOUNCED_CUTS:
                announce(f"planning the segments: looking for scenes near {len(borders)} cuts")
            segments, why = plan_segments(open_input, borders, context, scene_threshold, tracer)
            seconds = round(time.monotonic() - begin, 3)
            known = replace(plan, time_base=time_base, segments=segments, decoded_through=why, seconds=seconds)
            self.store.begin(known)
        self.plan = known

    def open_sink(
        self, output: OutputOptions, media: MediaInfo, streams: Mapping[int, Any], open_tracks: Callable[[], Source],
        on_warning: Callable[[str], None],
    ) -> JobSink:  # fmt: skip
        """The sink of the run, before ``begin``. ``media``: the frames that will come. Raises what a ``Muxer``
        raises."""
        plan = self.store.plan()
        threads = None if plan is None else plan.encoder_threads
        sink = JobSink(output, media, streams, self.store, open_tracks, on_warning=on_warning, threads=threads)
        self._threads = sink.threads
        return sink


class PartJob:
    """One segment of a job, computed by a worker: the same pipeline, and a folder that is thrown away."""

    def __init__(self, part: Part) -> None:
        self._number, self.plan, self.note = part.number, part.plan, ""
        self.begun_in = part.plan.precision
        self.store = JobStore(part.folder)

    @property
    def wanted(self) -> tuple[Segment | None, Segment | None]:
        segment = self.plan.segments[self._number]
        return segment, segment

    def begin(self, weights: Sequence[tuple[str, Path | None]], *_: object) -> None:
        """Raises ``SinkError`` where the networks here are not those of the plan."""
        models = tuple(f"{name} {weights_hash(path) if path else ''}".strip() for name, path in weights)
        if models != self.plan.models:
            raise SinkError(f"this machine has other networks ({', '.join(models)}) than the job ({self.plan.models})")

    def open_sink(self, output: OutputOptions, media: MediaInfo, *_: object) -> SegmentSink:
        return SegmentSink(output, media, self.store, first=self._number, threads=self.plan.encoder_threads)
