"""Inputs: one file per kind, one line in the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from streamvsr.config import InputOptions, LiveOptions, OutputOptions
from streamvsr.errors import UsageError
from streamvsr.media.demux.base import Source
from streamvsr.media.demux.trimmed import TrimmedSource, check_begin

__all__ = ["Source", "TrimmedSource", "check_begin", "open_source", "output_range", "trimmed_input"]


def _is_animated_png(input: InputOptions) -> bool:
    from streamvsr.media.demux.animation import kind_of_animation

    return input.format is None and kind_of_animation(input.path) == "apng"


def _open_animated_png(input: InputOptions, output: OutputOptions) -> Source:
    # FFmpeg takes what is called .png for a single picture.
    return _open_container(replace(input, format="apng"), output)


def _is_animated_webp(input: InputOptions) -> bool:
    from streamvsr.media.demux.animation import kind_of_animation

    return input.format in (None, "webp", "webp_anim") and kind_of_animation(input.path) == "webp"


def _open_animated_webp(input: InputOptions, output: OutputOptions) -> Source:
    from streamvsr.media.demux.animation import WebPSource

    return WebPSource(input, output)


def _is_pictures(input: InputOptions) -> bool:
    from streamvsr.media.demux.image_sequence import is_pictures

    return input.format in (None, "image2") and is_pictures(input.path)


def _open_pictures(input: InputOptions, output: OutputOptions) -> Source:
    from streamvsr.media.demux.image_sequence import ImageSequenceSource

    return ImageSequenceSource(input, output)


def _is_anything(_: InputOptions) -> bool:
    return True


def _open_container(input: InputOptions, output: OutputOptions) -> Source:
    from streamvsr.media.demux.connection import open_patiently
    from streamvsr.media.demux.container import ContainerSource
    from streamvsr.media.demux.demuxer import STDIN_NAMES

    if input.path in STDIN_NAMES:
        # Opened such that Ctrl-C ends the wait for the first bytes.
        return open_patiently(lambda: ContainerSource(input, output))
    return ContainerSource(input, output)


SOURCES: tuple[tuple[Callable[[InputOptions], bool], Callable[[InputOptions, OutputOptions], Source]], ...] = (
    (_is_animated_png, _open_animated_png),
    (_is_animated_webp, _open_animated_webp),
    (_is_pictures, _open_pictures),
    (_is_anything, _open_container),
)
"""For what is not live. The first whose predicate is true opens the input. An opener honours ``input.start`` by making
its time begin there: what it still gives from before (after a seek to a key frame) has negative stamps."""


def _open(input: InputOptions, output: OutputOptions, live: LiveOptions) -> Source:
    opener = next(opener for fits, opener in SOURCES if fits(input))
    if live.live or "://" in input.path:
        from streamvsr.media.demux.live import LiveSource, is_stream, refuse_srt

        refuse_srt(input.path)
        if is_stream(input.path, live):
            return LiveSource(input, output, live)
    for flag, value in (("--max-latency", live.max_latency), ("--duration", live.duration)):
        if value is not None:
            raise UsageError(f"{flag} is for a live input; add --live if this is one")
    return opener(input, output)


def open_source(input: InputOptions, output: OutputOptions, live: LiveOptions | None = None) -> Source:
    """Open an input and cut it as its ``-ss``, ``-t`` and ``-to`` say: ``-to`` is a position in the input, ``-t`` is a
    length and wins over it. The output's cut what is written, which is not the source's business.
    """
    return trimmed_input(_open(input, output, live or LiveOptions()), input)


def trimmed_input(source: Source, input: InputOptions) -> Source:
    """``source``, whose time begins at ``input.start``, cut as the options say."""
    input_end = _end(input, "the input's")
    if input.start is None and input_end is None:
        return source
    begin = None if input.start is None else Fraction(0)
    return TrimmedSource(source, begin, None if input_end is None else input_end - (input.start or 0))


def output_range(output: OutputOptions) -> tuple[Fraction | None, Fraction | None]:
    """(start, end) of what is written, in seconds of what would be written without them: the output's ``-to`` is a
    position there, ``-t`` a length that wins over it. Raises ``UsageError``."""
    return output.start, _end(output, "the output's")


def _end(options: InputOptions | OutputOptions, whose: str) -> Fraction | None:
    """Where the run ends, in the time that ``-ss`` counts in."""
    start = options.start or Fraction(0)
    if options.duration is not None:
        return start + options.duration
    if options.end is not None and options.end <= start:
        raise UsageError(f"{whose} -to ({float(options.end):g} s) is not after its -ss ({float(start):g} s)")
    return options.end
