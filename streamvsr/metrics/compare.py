"""``streamvsr metrics``: two inputs, or one, read by the pipeline and measured."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace

from streamvsr.config import Config, InputOptions, OutputOptions
from streamvsr.errors import StreamvsrError
from streamvsr.frames import StreamInfo
from streamvsr.media.color.samples import matrix_of
from streamvsr.media.demux import open_source
from streamvsr.media.demux.frame_index import CannotSeekError
from streamvsr.media.demux.image_sequence import is_pictures
from streamvsr.metrics.measure import Measure, Scores, lengths_differ, pairs
from streamvsr.metrics.options import MeasureOptions, frames_at
from streamvsr.metrics.tools import load
from streamvsr.reading import UNTOUCHED, open_reader

OnProgress = Callable[[int, int | None], None]
"""Gets the number of frames measured and the number expected."""


def compare(
    result: str, reference: str | None, config: Config, options: MeasureOptions, *, shortest: bool = False,
    warn: Callable[[str], None], note: Callable[[str], None], on_progress: OnProgress,
) -> Scores:  # fmt: skip
    """Measure ``result``, beside ``reference`` where there is one. ``config`` says how both are read.

    Raises ``StreamvsrError``: what cannot be read, pictures of two sizes, clips of two lengths.
    """
    with ExitStack() as undo:
        readers = []
        for path in (result, reference):
            if path is not None:
                one = Config(replace(config.input, path=path), OutputOptions(frames=config.output.frames), UNTOUCHED)
                readers.append(open_reader(one, warn))
                undo.callback(readers[-1].close)
        infos = [reader.media.video for reader in readers]
        if reference is not None and not shortest and infos[0].frames_hint != infos[1].frames_hint:
            _check_lengths(result, reference, config)
        if reference is not None and not (is_pictures(result) or is_pictures(reference)):
            _warn_of_rates(infos[0], infos[1], warn)
        single = all(info.frames_hint == 1 for info in infos)
        tools = load(options, reference=reference is not None, video=not single)
        for line in tools.notes:
            note(line)
        measure = Measure(tools, matrix_of(infos[-1], infos[0]), options.crop_border, frames_at(options.at))
        expected = infos[0].frames_hint
        if reference is None:
            for frame in readers[0]:
                measure.add(frame, None)
                on_progress(len(measure.scores), expected)
        else:
            for frame, truth in pairs(readers[0], readers[1], (result, reference), shortest=shortest):
                measure.add(frame, truth)
                on_progress(len(measure.scores), expected)
        return measure.scores


def _check_lengths(result: str, reference: str, config: Config) -> None:
    """Raise ``StreamvsrError`` where the containers' packets say that one has more frames, before any is measured. What
    they do not say is seen at the end."""
    if config.output.frames is not None or config.input != replace(InputOptions(), path=config.input.path):
        return
    counts = []
    for path in (result, reference):
        with closing(open_source(InputOptions(path), OutputOptions(), config.live)) as source:
            try:
                counts.append(len(source.frame_index().pts))
            except CannotSeekError:
                return
    if counts[0] != counts[1]:
        (count, short), (_, long) = sorted(zip(counts, (result, reference), strict=True))
        raise StreamvsrError(lengths_differ(short, count, long))


def _warn_of_rates(result: StreamInfo, reference: StreamInfo, warn: Callable[[str], None]) -> None:
    rates = result.frame_rate, reference.frame_rate
    if rates[0] and rates[1] and abs(rates[0] / rates[1] - 1) > 0.01:
        warn(
            f"the result has {float(rates[0]):g} frames a second, the reference {float(rates[1]):g}; "
            "frames are paired by their order"
        )
