"""From a configuration to a pipeline that is ready to start: the one module that knows every registry."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from streamvsr.config import Config, ModelOptions, OutputOptions
from streamvsr.filters.base import Filter
from streamvsr.filters.chain import Chain, segments
from streamvsr.frames import StreamInfo
from streamvsr.pipeline.delivery import Delivery
from streamvsr.pipeline.ring import PacketSpool, Ring
from streamvsr.pipeline.runner import Run
from streamvsr.pipeline.stages import FilterStage, SinkLike, SinkStage, SourceStage
from streamvsr.sinks import open_sink, wanted_format
from streamvsr.sources import Source, open_source

DECODED_FRAMES = 16
"""Frames that wait between decoder and network: enough to smooth a decoder's bursts, small beside a window."""
FINISHED_FRAMES = 8
"""Frames that wait between two later stages; they are large, and the ring's byte bound often comes first."""


def build(
    config: Config, *, warn: Callable[[str], None], source: Source | None = None, delivery: Delivery | None = None
) -> Run:
    """Open everything that ``config`` names and wire it; nothing flows before ``Run.start``.

    ``warn`` gets one line for each thing that goes differently from what was asked. ``source`` is read instead of
    opening ``config.input``; ``delivery`` takes the frames instead of opening ``config.output``. Raises
    ``StreamvsrError``; what was opened by then is closed again, ``source`` included.
    """
    # torch's worker threads spin while they wait for each other. Beside a decoder and an encoder that want the same
    # cores this made frames take 18 times as long (two cores, bicubic x4). Read once, when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with ExitStack() as undo:
        source = source or open_source(config.input, config.output)
        undo.callback(source.close)
        source.on_warning = warn
        info = source.info.video
        wanted = wanted_format(config.output, info) if delivery is None else delivery.wanted_format(info)
        filters, reason = _filters(config, wanted)
        chains = [Chain(segment) for segment in segments(filters)]
        for chain in chains:
            undo.callback(chain.close)
            info = chain.configure(info)
        media = source.info.with_video(info)
        sink: SinkLike
        if delivery is not None:
            delivery.open(media)
            sink = delivery
        else:
            sink = open_sink(config.output, media, names=getattr(source, "names", None), on_warning=warn)
        undo.callback(sink.abort)

        spool = PacketSpool()
        rings = [Ring("decoded", DECODED_FRAMES)]
        stages = []
        last_network = max((n for n, chain in enumerate(chains) if chain.filters[0].segment_of_its_own), default=-1)
        for number, chain in enumerate(chains):
            name = "+".join(one.name for one in chain.filters)
            rings.append(Ring(name, FINISHED_FRAMES))
            lets_go = number <= last_network
            stages.append(FilterStage(name, chain, rings[-2], rings[-1], lets_go_on_stop=lets_go))
        run = Run(
            SourceStage(source, rings[0], spool),
            stages,
            SinkStage(sink, rings[-1], spool, max_frames=config.output.frames),
            rings,
            spool,
            frames_total=_expected_frames(config.output, media.video),
            seconds_total=media.duration,
            notes=[reason],
        )
        undo.pop_all()
        return run


def _filters(config: Config, wanted: str) -> tuple[list[Filter], str]:
    """The filters of this run, which had best end in the format ``wanted``, and a sentence on the choice of model."""
    network, reason = make_vsr(config.model, output_format=wanted)
    return [*network, *_afterwards(config.output)], reason


def make_vsr(options: ModelOptions, **overrides: Any) -> tuple[list[Filter], str]:
    """The network of ``options`` as a filter (none for ``identity``), and a sentence for the user on its choice.

    ``overrides`` are keyword arguments of ``VsrFilter`` that the options do not hold, such as ``output_format``.
    """
    from streamvsr.models import registry
    from streamvsr.models.base import Settings
    from streamvsr.models.device import choose_device, choose_dtype, has_gpu

    # Asking for a GPU costs the import of torch, which a run without a network should not pay.
    gpu = options.model == registry.AUTO and registry.find_checkpoint("realbasicvsr") is not None and has_gpu()
    choice = registry.select(options.model, options.checkpoint, options.config, gpu)
    if choice.entry.name == "identity":
        return [], choice.reason
    from streamvsr.filters.vsr import VsrFilter

    device = choose_device(options.device)
    settings: dict[str, Any] = {
        "max_seq_len": options.max_seq_len,
        "overlap": options.overlap,
        "propagation": options.propagation,
        "scene_threshold": options.scene_threshold,
        "device": device,
        "dtype": choose_dtype(options.precision, device),
        "threads": options.threads,
        "settings": Settings(
            max_history=options.max_history,
            refine_threshold=options.dynamic_refine_thres,
            refine_rule=options.refine_rule,
        ),
    }
    return [VsrFilter(registry.load_model(choice, options.config), **settings | overrides)], choice.reason


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
