"""From what is to be compared to a run that writes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import takewhile
from pathlib import PurePath

from streamvsr.build import build
from streamvsr.compare.options import CompareOptions, check
from streamvsr.compare.source import CompareSource
from streamvsr.config import Config, InputOptions, ModelOptions, OutputOptions
from streamvsr.errors import StreamvsrError, UsageError
from streamvsr.media.demux import Source
from streamvsr.media.demux.image_sequence import is_pictures
from streamvsr.media.mux.image_sequence import is_pictures as writes_pictures
from streamvsr.pipeline.frame_sink import FrameReader, FrameSink
from streamvsr.pipeline.runner import Run
from streamvsr.secrets import mask_url

UNTOUCHED = ModelOptions(model="identity")
INPUT_LABEL = "input"


def build_compare(paths: Sequence[str], options: CompareOptions, config: Config, *, warn: Callable[[str], None]) -> Run:
    """A run that writes the comparison of ``paths`` to ``config.output``.

    ``config.input`` holds for every input, ``config.model`` for every ``vsr`` of ``options.chains``. Everything is
    opened; raises ``StreamvsrError``, and what was opened by then is closed again.
    """
    configs = _inputs(paths, options, config)
    check(options, len(configs))
    mode = options.mode or ("side-by-side" if len(configs) > 2 else "wipe" if options.still is None else "split")
    pictures = [is_pictures(path) for path in paths]
    pair = options.pair or ("frames" if any(pictures) and len(paths) > 1 else "time")
    clock = pictures.index(False) if False in pictures and len(paths) > 1 else 0
    output = config.output
    with ExitStack() as undo:
        readers: list[FrameReader] = []
        for number, one in enumerate(configs):
            frame_sink = FrameSink(packets=number == 0)
            reader = FrameReader(_built(one, warn, frame_sink), frame_sink)
            undo.callback(reader.close)
            readers.append(reader)
        _warn_of_colors(readers, warn)
        has_sound = any(track.kind == "audio" for track in readers[0].media.tracks) and not output.no_audio
        sound = has_sound and options.still is None and not writes_pictures(output.path)
        if sound and options.frame_rate:
            warn("--frame-rate changes the speed: the sound is left out")
            sound = False
        source: Source = CompareSource(
            readers,
            options,
            mode=mode,
            labels=labels_of(paths, options),
            pair=pair,
            clock=clock,
            sound=sound,
            rgb=writes_pictures(output.path),
        )
        run = build(Config(InputOptions(), output, UNTOUCHED, config.run), warn=warn, source=source)
        run.notes.clear()  # on a network that there is none of
        undo.pop_all()
        return run


def _built(config: Config, warn: Callable[[str], None], frame_sink: FrameSink) -> Run:
    try:
        return build(config, warn=warn, frame_sink=frame_sink)
    except StreamvsrError as error:
        # The chain was not given as -vf, and there may be several.
        place = str(error).removeprefix("-vf, ")
        if place == str(error):
            raise
        raise type(error)(f"--with '{config.output.filters}', {place}") from error


def _inputs(paths: Sequence[str], options: CompareOptions, config: Config) -> list[Config]:
    """One configuration for each picture of the comparison."""
    plain = [
        Config(replace(config.input, path=path), OutputOptions(no_subtitles=True, no_data=True), UNTOUCHED)
        for path in paths
    ]
    if not options.chains:
        return plain
    if len(paths) != 1:
        raise UsageError(f"--with compares several chains on one input, and there are {len(paths)}")
    chained = [
        replace(plain[0], output=replace(plain[0].output, filters=chain), model=config.model)
        for chain in options.chains
    ]
    return chained if len(chained) > 1 else plain + chained


def labels_of(paths: Sequence[str], options: CompareOptions) -> list[str]:
    """The given ones, then what tells the pictures apart: names of files, or chains."""
    count = max(len(paths), len(options.chains)) + (len(options.chains) == 1)
    if options.no_labels:
        return [""] * count
    if options.chains:
        own = [INPUT_LABEL, *options.chains] if len(options.chains) == 1 else list(options.chains)
    else:
        own = _names(paths)
    return [*options.labels, *own[len(options.labels) :]]


def _names(paths: Sequence[str]) -> list[str]:
    """Names of files; where some are the same, with the folders in which they differ. Never a URL's password."""
    parts = [PurePath(mask_url(path).replace("***@", "")).parts or (path,) for path in paths]
    names = [one[-1] for one in parts]
    if len(set(names)) == len(names):
        return names
    # Never the last part: the name itself stays.
    levels = zip(*(one[:-1] for one in parts), strict=False)
    shared = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, levels))
    return ["/".join(one[shared:]) for one in parts]


def _warn_of_colors(readers: Sequence[FrameReader], warn: Callable[[str], None]) -> None:
    """Primaries and transfer are not converted: what is HDR and what is not would look wrong beside each other."""
    tags = {(r.media.video.color.primaries, r.media.video.color.transfer) for r in readers}
    stated = {tag for tag in tags if 2 not in tag}
    if len(stated) > 1:
        warn("the inputs have different colour primaries or transfer curves, which are compared as they are")
