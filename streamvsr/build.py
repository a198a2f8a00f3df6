"""From a configuration to a pipeline that is ready to start: the one module that knows every registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from streamvsr.config import Config, OutputOptions
from streamvsr.filters.base import Filter
from streamvsr.filters.chain import Chain, segments
from streamvsr.frames import StreamInfo
from streamvsr.pipeline.ring import PacketSpool, Ring
from streamvsr.pipeline.runner import Run
from streamvsr.pipeline.stages import FilterStage, SinkStage, SourceStage
from streamvsr.sinks import open_sink, wanted_format
from streamvsr.sources import open_source

DECODED_FRAMES = 16
"""Frames that wait between decoder and network: enough to smooth a decoder's bursts, small beside a window."""
FINISHED_FRAMES = 8
"""Frames that wait between two later stages; they are large, and the ring's byte bound often comes first."""


def build(config: Config, *, warn: Callable[[str], None]) -> Run:
    """Open everything that ``config`` names and wire it; nothing flows before ``Run.start``.

    ``warn`` gets one line for each thing that goes differently from what was asked. Raises ``StreamvsrError``; what
    was opened by then is closed again.
    """
    with ExitStack() as undo:
        source = open_source(config.input, config.output)
        undo.callback(source.close)
        source.on_warning = warn
        filters, notes = _filters(config, source.info.video, warn)
        for one in filters:
            undo.callback(one.close)
        info, chains = source.info.video, []
        for segment in segments(filters):
            chain = Chain(segment)
            info = chain.configure(info)
            chains.append((segment, chain))
        media = source.info.with_video(info)
        sink = open_sink(config.output, media, names=getattr(source, "names", None), on_warning=warn)
        undo.callback(sink.abort)

        spool = PacketSpool()
        rings = [Ring("decoded", DECODED_FRAMES)]
        stages = []
        networks = [n for n, (segment, _) in enumerate(chains) if any(f.segment_of_its_own for f in segment)]
        for number, (segment, chain) in enumerate(chains):
            name = "+".join(one.name for one in segment)
            rings.append(Ring(name, FINISHED_FRAMES))
            lets_go = bool(networks) and number <= networks[-1]
            stages.append(FilterStage(name, chain, rings[-2], rings[-1], lets_go_on_stop=lets_go))
        run = Run(
            SourceStage(source, rings[0], spool),
            stages,
            SinkStage(sink, rings[-1], spool, max_frames=config.output.frames),
            rings,
            spool,
            frames_total=_expected_frames(config.output, media.video),
            seconds_total=media.duration,
            notes=notes,
        )
        undo.pop_all()
        return run


def _filters(config: Config, info: StreamInfo, warn: Callable[[str], None]) -> tuple[list[Filter], list[str]]:
    """The chain of this run, and what the user should know of the choice of model."""
    from streamvsr.models import registry

    filters: list[Filter] = []
    choice = registry.select(config.model)
    if choice.entry.name != "identity":
        from streamvsr.filters.vsr import VsrFilter

        model = registry.load_model(choice, config.model, warn=warn)
        filters.append(
            VsrFilter(
                model,
                max_seq_len=config.model.max_seq_len,
                overlap=config.model.overlap,
                propagation=config.model.propagation,
                output_format=wanted_format(config.output, info),
                threads=config.model.threads,
            )
        )
    filters += _afterwards(config.output)
    return filters, [choice.reason]


def _afterwards(output: OutputOptions) -> Sequence[Filter]:
    """``-r`` and ``-s`` of the output act on finished pictures, as ffmpeg's own options do."""
    from streamvsr.filters.libav import LibavFilter

    chain: list[tuple[str, str]] = []
    if output.rate is not None:
        chain.append(("fps", f"fps={output.rate.numerator}/{output.rate.denominator}"))
    if output.size is not None:
        width, height = output.size
        chain.append(("scale", f"{width}:{height}:flags=lanczos+accurate_rnd+full_chroma_int+full_chroma_inp"))
    return [LibavFilter(chain)] if chain else []


def _expected_frames(output: OutputOptions, info: StreamInfo) -> int | None:
    expected = None if output.rate is not None else info.frames_hint
    if output.frames is None:
        return expected
    return output.frames if expected is None else min(expected, output.frames)
