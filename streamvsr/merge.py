"""Pictures to a video, with everything else of the video that they came from."""

from __future__ import annotations

from collections.abc import Callable

from streamvsr.build import build
from streamvsr.config import Config, InputOptions, OutputOptions
from streamvsr.errors import UsageError
from streamvsr.media.demux import open_source
from streamvsr.media.demux.with_tracks import SourceWithTracks
from streamvsr.pipeline.runner import Run


def build_merge(config: Config, audio_from: str, *, warn: Callable[[str], None]) -> Run:
    """A run that writes the pictures of ``config.input`` with the tracks and tags of ``audio_from``, and with its time
    stamps unless ``config.input.rate`` is given. Raises ``StreamvsrError``."""
    given, output = config.input, config.output
    if (given.start, given.duration, given.end) != (None, None, None):
        raise UsageError("merge --audio-from: -ss, -t and -to stand behind the pictures, where they cut the sound too")
    pictures = open_source(given, OutputOptions())
    try:
        # Its pictures are dropped: only their time stamps count.
        video = open_source(InputOptions(path=audio_from), OutputOptions(maps=output.maps, deinterlace="off"))
    except BaseException:
        pictures.close()
        raise
    source = SourceWithTracks(pictures, video, times=given.rate is None)
    return build(config, warn=warn, source=source)
