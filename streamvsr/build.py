"""From a configuration to a pipeline that is ready to start: the one module that knows every registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import pairwise

from streamvsr.config import Config, OutputOptions
from streamvsr.errors import UsageError
from streamvsr.fidelity import losses, stages_of
from streamvsr.filters.chain import Chain, segments
from streamvsr.filters.compose import (
    UNWRITTEN,
    Step,
    compose,
    configure,
    cut_place,
    has_field_filter,
    has_vsr,
    is_timeless,
    keeps_count,
    size_column,
)
from streamvsr.filters.cut import Cut
from streamvsr.filters.language import Link, parse
from streamvsr.filters.registry import VSR
from streamvsr.frames import MediaInfo, StreamInfo
from streamvsr.jobs.job import LONG_SECONDS, Job, Part, PartJob, cannot_resume
from streamvsr.jobs.part_source import PartSource
from streamvsr.jobs.segment_sink import SegmentSink
from streamvsr.jobs.sink import JobSink
from streamvsr.media.demux import Source, TrimmedSource, check_begin, open_source, output_range, trimmed_input
from streamvsr.media.demux.clip import ClipSource
from streamvsr.media.mux import (
    Sink,
    described,
    encoder_memory,
    holds_rotation,
    open_sink,
    same_file,
    wanted_format,
    with_usable_encoder,
    written_paths,
)
from streamvsr.memory_need import MemoryNeed
from streamvsr.networks import FINE_SCALING, Models, NetworkMaker, look_once
from streamvsr.pipeline.frame_sink import FrameSink
from streamvsr.pipeline.runner import Run
from streamvsr.pipeline.stages import FilterStage, SinkLike, SinkStage, SourceStage
from streamvsr.rings import decoded_ring, finished_ring, most_bytes
from streamvsr.system_memory import use_large_pages
from streamvsr.threads import wait_asleep

LIVE_LATENCY_SECONDS = 2.0
"""``--max-latency`` where the user does not say."""


@dataclass(slots=True)
class _Opened:
    """Everything of a run but its rings, stages and threads."""

    source: Source
    chains: list[Chain]
    sink: SinkLike
    job: Job | PartJob | None
    maker: NetworkMaker
    media: MediaInfo
    """The input with the video that reaches the sink."""
    output: OutputOptions
    notes: list[str]
    latency: float
    cut: Cut | None
    """The place in the chain where the output's -ss and -t cut, where that is not the source's business."""
    parted: TrimmedSource | None
    bounded: TrimmedSource | None
    """By -frames:v."""


@dataclass(frozen=True, slots=True)
class OpenedJob:
    """A job that is planned and checked, whose segments others compute."""

    config: Config
    """With everything decided that depends on the input or on this machine: the network, its strength, the encoder."""
    job: Job
    sink: JobSink
    """Takes no frame: ``finish`` joins the segments of the job's store."""
    media: MediaInfo
    notes: tuple[str, ...]
    frames_total: int | None
    writes: str
    """The output, in words."""
    open_input: Callable[[], Source]
    """Opens the input once more, as it is cut by the options."""


def build(
    config: Config, *, warn: Callable[[str], None], source: Source | None = None, frame_sink: FrameSink | None = None,
    part: Part | None = None, models: Models | None = None, announce: Callable[[str], None] | None = None,
) -> Run:  # fmt: skip
    """Open everything that ``config`` names and wire it; nothing flows before ``Run.start``.

    ``warn`` gets one line for each thing that goes differently from what was asked, ``announce`` one before something
    slow (without: ``Run.notes``). ``source`` is read instead of opening ``config.input``; ``frame_sink`` takes the
    frames instead of opening ``config.output``. ``part``: compute this segment of a job alone. ``models``: networks
    that are loaded already. Raises ``StreamvsrError``; what was opened by then is closed again, ``source`` included.
    """
    with ExitStack() as undo:
        opened = _open(config, warn, undo, source, frame_sink, part, models, announce=announce)
        run = _wired(config, opened, warn)
        undo.pop_all()
        return run


def open_job(
    config: Config, *, warn: Callable[[str], None], announce: Callable[[str], None] | None = None
) -> OpenedJob:
    """Open and check everything, and plan the job of ``config``, whose segments others compute.

    ``warn``, ``announce``: see ``build``. Raises ``StreamvsrError``, ``UsageError`` where the run cannot be cut.
    """
    config = replace(config, run=replace(config.run, resume=True))
    refusals: list[str] = []
    with ExitStack() as undo:
        opened = _open(config, warn, undo, refuse=refusals.append, announce=announce)
        if not isinstance(opened.job, Job) or not isinstance(opened.sink, JobSink):
            raise UsageError(f"{refusals[0]}: its segments cannot be computed by several workers")
        undo.pop_all()
    for chain in opened.chains:
        chain.close()
    opened.source.close()
    frames = _expected_frames(config.output, opened.media.video, 0)
    model = opened.maker.resolved(config.model)
    fixed = replace(config, model=model, output=opened.output)
    notes = tuple(dict.fromkeys(opened.notes))
    writes = described(opened.output, opened.media.video)
    open_input = partial(_input, config, _steps(config)[0], upright=False)
    return OpenedJob(fixed, opened.job, opened.sink, opened.media, notes, frames, writes, open_input)


def _open(
    config: Config, warn: Callable[[str], None], undo: ExitStack, source: Source | None = None,
    frame_sink: FrameSink | None = None, part: Part | None = None, models: Models | None = None,
    refuse: Callable[[str], None] | None = None, announce: Callable[[str], None] | None = None,
) -> _Opened:  # fmt: skip
    """What ``build`` opens; ``undo`` closes it. ``refuse`` gets why the run cannot be cut, instead of ``warn``."""
    wait_asleep()
    use_large_pages()
    given = source is not None
    if source is not None:
        undo.callback(source.close)
    # Before anything is opened: a wrong chain shall say so at once.
    steps, notes = _steps(config)
    for path in written_paths(config.output) if frame_sink is None else ():
        if same_file(config.input.path, path):
            raise UsageError(f"the output '{path}' is the input itself: name another one")
    if source is None:
        reading = _source_options(config.output, steps, upright=frame_sink is not None)
        if part is not None and part.clip is not None:
            source = trimmed_input(ClipSource(part.clip, config.input, reading), config.input)
        else:
            source = open_source(config.input, reading, config.live)
        undo.callback(source.close)
    for line in source.warnings:
        warn(line)
    source.on_warning = warn
    checked = not given and part is None
    if checked and source.info.duration == 0:
        check_begin(config.input, lambda late: open_source(late, reading, config.live))
    cut = next((step.ready for step in steps if isinstance(step.ready, Cut)), None)
    parted: TrimmedSource | None = None
    if (written := output_range(config.output)) != (None, None):
        source = parted = TrimmedSource(source, *written, packets_only=cut is not None)
        if checked and cut is None and written[0] and source.info.duration == 0:
            check_begin(config.input, lambda late: open_source(late, reading, config.live), written[0])
    info = source.info.video
    live, latency = info.live, config.live.max_latency or LIVE_LATENCY_SECONDS
    networks = sum(step.entry is not None and step.entry.name == VSR for step in steps)
    share = latency / max(1, networks) if live else None
    output = with_usable_encoder(config.output, warn) if frame_sink is None else config.output
    wanted = wanted_format(output, info) if frame_sink is None else frame_sink.wanted_format(info)
    look = look_once(config, given=given, live=live)
    reached: list[StreamInfo] = []
    job: Job | PartJob | None = None
    if part is not None:
        job = PartJob(part)
    elif not given and frame_sink is None:
        job = _job(config, source, steps, networks, warn, refuse)
    if job is not None:
        undo.callback(job.store.close)
    maker = NetworkMaker(
        config, info, wanted, share, look, notes, warn, segmented=job is not None, models=models,
        precision=None if job is None else job.begun_in,
    )  # fmt: skip
    filters, info = configure(steps, info, maker, reached)
    chains = [Chain(segment) for segment in segments(filters)]
    for chain in chains:
        undo.callback(chain.close)
    bounded: TrimmedSource | None = None
    if config.output.frames is not None:
        # Where the chain keeps the count, networks need not look at frames behind the last.
        source = bounded = TrimmedSource(source, frames=config.output.frames if keeps_count(steps) else None)
    media = source.info.with_video(info)
    sink: SinkLike
    if frame_sink is not None:
        frame_sink.open(media, source.streams)
        sink = frame_sink
    else:
        try:
            if job is not None:
                sink = segment_sink = job.open_sink(
                    output, media, source.streams, partial(_tracks_alone, config, steps), warn
                )
            else:
                names = getattr(source, "names", None)
                sink = open_sink(output, media, source.streams, names=names, on_warning=warn)
        except UsageError as exc:
            column = size_column(steps, reached, info)
            if column == UNWRITTEN or f"{info.width}x{info.height}" not in str(exc):
                raise
            raise UsageError(f"{exc}; -vf makes this size at column {column}") from exc
    undo.callback(sink.abort)
    if frame_sink is None and part is None:
        for line in losses(source.info, stages_of(steps, reached, info, config.model), output):
            warn(line)
    if job is not None:
        open_input = partial(_input, config, steps, upright=False)
        say = announce or notes.append
        source = _part_of(job, source, open_input, maker, segment_sink, say, first_in_chain=has_vsr(steps[:1]))
        notes += [job.note] * bool(job.note)
    return _Opened(source, chains, sink, job, maker, media, output, notes, latency, cut, parted, bounded)


def _wired(config: Config, opened: _Opened, warn: Callable[[str], None]) -> Run:
    source, chains, sink, media, cut = opened.source, opened.chains, opened.sink, opened.media, opened.cut
    info, live, latency = media.video, media.video.live, opened.latency
    idle = latency / 2 if live else None
    rings = [decoded_ring(latency, info)]
    stages = []
    last_network = max((n for n, chain in enumerate(chains) if chain.filters[0].own_thread), default=-1)
    for number, chain in enumerate(chains):
        name = "+".join(one.name for one in chain.filters)
        rings.append(finished_ring(name, live=live))
        discard = number <= last_network
        stages.append(FilterStage(name, chain, rings[-2], rings[-1], discard_on_stop=discard, idle_seconds=idle))
        if cut is not None and opened.parted is not None and cut in chain.filters:
            cut.on_end = partial(_enough, opened.parted.finish, tuple(stages[:-1]))
    encode = SinkStage(sink, rings[-1], max_frames=config.output.frames)
    if opened.bounded is not None:
        encode.on_enough = partial(_enough, opened.bounded.cut, stages)
    total = _expected_frames(config.output, media.video, sink.frames_before)
    encoder = encoder_memory(opened.output, info, total) if config.output.path else 0
    filters = sum(chain.memory_bytes for chain in chains)
    need = MemoryNeed(most_bytes(rings, source.info.video, info), filters, encoder)
    need.check(warn)
    return Run(
        SourceStage(source, rings[0], sink.spool, realtime=config.input.realtime or source.paced),
        stages,
        encode,
        rings,
        frames_total=total,
        seconds_total=media.duration,
        notes=list(dict.fromkeys(opened.notes)),
        writes=described(opened.output, info) if isinstance(sink, Sink) else "",
        live=live,
        memory_bytes=need.total,
    )


def check_chain(config: Config) -> None:
    """Raise ``UsageError`` for a chain that is wrong whatever the input is; nothing is opened."""
    _steps(config)


def _steps(config: Config) -> tuple[tuple[Step, ...], list[str]]:
    """What is done to the frames, and what the user should know of it.

    With ``-vf`` exactly that chain, else ``vsr`` alone; then ``-r`` and ``-s`` of the output, which act on finished
    frames as ffmpeg's own do, behind what ``-ss``, ``-t`` and ``-to`` leave.
    """
    output, model = config.output, config.model
    notes: list[str] = []
    # Alone, vsr makes the output's size itself, where its network is; as the end of a chain, FFmpeg does.
    own_size = "scale={}x{}".format(*output.size) if output.size is not None and output.filters is None else ""
    written = parse(output.filters) if output.filters is not None else (Link(VSR, own_size, UNWRITTEN),)
    after = []
    if output.rate is not None:
        after.append(Link("fps", f"{output.rate.numerator}/{output.rate.denominator}", UNWRITTEN))
    if output.size is not None and not own_size:
        after.append(Link("scale", "{}:{}:flags={}".format(*output.size, FINE_SCALING), UNWRITTEN))
    start, end = output_range(output)
    steps = compose(written)
    if (start, end) == (None, None) or not (place := cut_place(steps)):
        # Nothing is cut, or the source is, which spares the chain what is not written.
        steps = compose((*written, *after))
    else:
        cut = Step((Link("cut", "", UNWRITTEN),), ready=Cut(start, end))
        steps = (*steps[:place], cut, *steps[place:], *compose(after))
    if not has_vsr(steps):
        named = {"--model": model.model, "--checkpoint": model.checkpoint, "--config": model.config}
        for flag, value in named.items():
            if value not in (None, "auto", "identity"):
                raise UsageError(
                    f"{flag} {value}: there is no vsr in -vf that it could be for; write -vf '...,vsr,...'"
                )
        if model.model != "identity":
            notes.append("no network: there is no vsr in -vf")
    return steps, notes


def _source_options(output: OutputOptions, steps: Sequence[Step], *, upright: bool) -> OutputOptions:
    """Fields are left alone where the chain of -vf sees to them itself, or has no network that they could disturb.

    Frames are turned upright for whoever looks at width and height: filters, -s, outputs that cannot hold a rotation,
    callers in Python (``upright``).
    """
    if output.autorotate is None:
        seen = output.filters is not None or output.size is not None or upright
        output = replace(output, autorotate=seen or not holds_rotation(output))
    return replace(output, deinterlace="off") if has_field_filter(steps) or not has_vsr(steps) else output


def _job(
    config: Config, source: Source, steps: Sequence[Step], networks: int, warn: Callable[[str], None],
    refuse: Callable[[str], None] | None,
) -> Job | None:  # fmt: skip
    """The job that the run is, where it can be one and is to be."""
    if config.run.resume is False:
        return None
    media = source.info
    reason = cannot_resume(config, media, timeless=is_timeless(steps), networks=networks)
    if reason is not None:
        if refuse is not None:
            refuse(reason)
        elif config.run.resume:
            warn(f"--resume: {reason}; the run has to go through in one go")
        return None
    if config.run.resume is None and media.duration is not None and media.duration <= LONG_SECONDS:
        return None
    return Job(config, media)


def _part_of(
    job: Job | PartJob, source: Source, open_input: Callable[[], Source], maker: NetworkMaker, sink: SegmentSink,
    announce: Callable[[str], None], *, first_in_chain: bool,
) -> Source:  # fmt: skip
    """The part of ``source`` that is to be computed; everything behind it gets its borders."""
    # What frames look like to a network behind other filters is not known without running these.
    tracer = maker.tracer() if first_in_chain else None
    job.begin(maker.weights, maker.precision, maker.context, maker.scene_threshold, open_input, tracer, announce)
    assert job.plan is not None
    unit, segments = job.plan.time_base, job.plan.segments
    first, last = job.wanted
    start = None if first is None or first.start is None else first.start * unit
    end = None if last is None or last.end is None else last.end * unit
    cuts = [
        (two.start * unit, two.before, one.after, two.number, two.seen)
        for one, two in pairwise(segments) if two.start is not None
    ]  # fmt: skip
    for vsr in maker.segmented:
        vsr.cut(cuts, start=start, end=end)
    sink.begin(job.plan.starts())
    return PartSource(source, first, last, open_input)


def _input(config: Config, steps: Sequence[Step], *, upright: bool) -> Source:
    """The input, cut as the output's options say where it is not the chain's business."""
    source = open_source(config.input, _source_options(config.output, steps, upright=upright), config.live)
    if (written := output_range(config.output)) == (None, None):
        return source
    return TrimmedSource(source, *written)


def _tracks_alone(config: Config, steps: Sequence[Step]) -> Source:
    """The input once more, for its copied packets."""
    source = _input(config, steps, upright=False)
    source.skip_video()
    return source


def _enough(end_source: Callable[..., None], stages: Sequence[FilterStage], *end: Fraction) -> None:
    """The last frame that is wanted has come through these stages, and ends at ``end``."""
    end_source(*end)
    for stage in stages:
        stage.enough.set()


def _expected_frames(output: OutputOptions, info: StreamInfo, before: int) -> int | None:
    expected = None if output.rate is not None or info.frames_hint is None else max(0, info.frames_hint - before)
    if output.frames is None:
        return expected
    return output.frames if expected is None else min(expected, output.frames)
