"""Pictures to a video, with everything else of the video that they came from."""

from __future__ import annotations

from collections.abc import Callable

from streamvsr.build import build
from streamvsr.config import Config, InputOptions, OutputOptions
from streamvsr.pipeline.runner import Run
from streamvsr.sources import open_source
from streamvsr.sources.with_tracks import WithTracks


def build_merge(config: Config, audio_from: str, *, warn: Callable[[str], None]) -> Run:
    """A run that writes the pictures of ``config.input`` with the tracks and tags of ``audio_from``, and with its time
    stamps unless ``config.input.rate`` is given. Raises ``StreamvsrError``."""
    pictures = open_source(config.input, config.output)
    try:
        video = open_source(InputOptions(path=audio_from), OutputOptions(maps=config.output.maps))
    except BaseException:
        pictures.close()
        raise
    return build(config, warn=warn, source=WithTracks(pictures, video, times=config.input.rate is None))
