"""One job at a time on this machine: whether a run can be one, where it goes on, and where it stands on the disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

from streamvsr.config import Config, OutputOptions
from streamvsr.frames import MediaInfo
from streamvsr.jobs.plan import InputIdentity, Plan, regular_cuts, stated_options, versions, weights_hash
from streamvsr.jobs.sink import JobSink
from streamvsr.jobs.store import JobStore, job_folder
from streamvsr.media.demux.base import Source
from streamvsr.media.encode.options import output_format
from streamvsr.media.mux.atomic_file import is_url, local_path
from streamvsr.media.mux.image_sequence import is_pictures
from streamvsr.media.mux.options import SEVERAL_FILES

LONG_SECONDS = 60
"""Inputs longer than this are jobs unless the user says otherwise."""


def cannot_resume(config: Config, media: MediaInfo, *, keeps_count: bool, networks: int) -> str | None:
    """Why a run cannot be cut off and gone on with; None where it can. ``media``: the input, as it is trimmed.

    ``keeps_count``: the chain gives a frame for each that it gets. ``networks``: how many ``vsr`` it has.
    """
    source, output = config.input, config.output
    if config.live.live or media.video.live or source.path == "-" or is_url(source.path):
        return "the input is a stream, which cannot be read again"
    if not os.path.isfile(local_path(source.path)):
        return "the input is not a single file"
    path = local_path(output.path)
    if is_pictures(output.path):
        return "the output is several files"
    if output.path == "-" or is_url(output.path) or (os.path.exists(path) and not os.path.isfile(path)):
        return "the output is not a file"
    if output.format in ("tee", "image2", "image2pipe") or output_format(output, stdout=False) in SEVERAL_FILES:
        return "the output is several files"
    if not keeps_count or output.rate is not None:
        return "filters that change the number of frames cannot be begun in the middle"
    if networks > 1:
        return "there is more than one network in the chain"
    if output.frames is not None:
        return "-frames:v counts from the beginning"
    if media.duration is None:
        return "the length of the input is not known"
    return None


class Job:
    """A run that keeps what it has finished beside its output."""

    def __init__(self, config: Config, media: MediaInfo) -> None:
        """Take the job's folder. Raises ``SinkError`` where it cannot be had."""
        self._config = config
        self.cuts: tuple[Fraction, ...] = regular_cuts(media.duration or Fraction(0))
        self.store = JobStore(job_folder(local_path(config.output.path)))
        if config.run.restart:
            self.store.restart()
        self.store.drop_damaged()
        done = self.store.finished if self.store.plan() is not None else 0
        self.finished = min(done, len(self.cuts) + 1)
        """Segments that an earlier run has finished."""

    @property
    def start(self) -> Fraction | None:
        """Seconds at which there is work to be done; None where that is the beginning."""
        if not self.finished:
            return None
        return self.cuts[self.finished - 1] if self.finished <= len(self.cuts) else self.cuts[-1]

    @property
    def note(self) -> str:
        """What the user should know before it begins."""
        folder = self.store.folder.name
        if self.finished:
            return f"going on after {self.finished} of {len(self.cuts) + 1} segments that are finished in {folder}"
        return f"{folder} keeps what is finished: after a cut the same command goes on (--no-resume: off)"

    def open_sink(
        self, output: OutputOptions, media: MediaInfo, weights: Sequence[tuple[str, Path | None]],
        open_tracks: Callable[[], Source], on_warning: Callable[[str], None],
    ) -> JobSink:  # fmt: skip
        """The sink of the run. ``media``: the frames that will come. ``weights``: each network's name and file.

        Raises ``UsageError`` where the folder holds another job, and what a ``Muxer`` raises.
        """
        models = tuple(f"{name} {weights_hash(path) if path else ''}".strip() for name, path in weights)
        identity = InputIdentity.of(local_path(self._config.input.path))
        self.store.begin(Plan(identity, stated_options(self._config), models, versions(), self.cuts))
        return JobSink(output, media, self.store, self.cuts, open_tracks, on_warning=on_warning)
