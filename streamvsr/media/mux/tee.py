"""Several outputs of one run, encoded once, in the words of ffmpeg's tee muxer::

    -f tee "film.mkv|[f=segment:segment_time=60]part_%03d.mkv|[f=rtsp:onfail=ignore]rtsp://host/live"

Files and pipes hold the run as a single output would, and lose nothing. A network output holds nobody: what it does not
take in time is left out for it, up to the next key frame, and counted. An output that fails is closed, and the others
go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from streamvsr.config import OutputOptions
from streamvsr.errors import UsageError
from streamvsr.frames import MediaInfo, StreamInfo
from streamvsr.media.encode.open_encoder import CARRIER
from streamvsr.media.encode.options import encoder_name
from streamvsr.media.encode.pixel_formats import choose_format, planar_twin
from streamvsr.media.mux import container
from streamvsr.media.mux.atomic_file import is_url
from streamvsr.media.mux.encoded import EncodedSink, OnFail
from streamvsr.media.mux.image_sequence import is_pictures
from streamvsr.quoting import UnclosedQuoteError, token
from streamvsr.secrets import mask_url

_PASSED_OVER = frozenset({"use_fifo", "fifo_options"})
"""What keeps a slow output from holding the others in ffmpeg happens here anyway."""


@dataclass(frozen=True, slots=True)
class Branch:
    """One output of several, as it was written."""

    path: str
    options: dict[str, str] = field(default_factory=dict)
    format: str | None = None
    on_fail: OnFail = "go on"
    select: frozenset[str] = frozenset("vas")
    """The kinds of streams that it gets."""

    def output(self, whole: OutputOptions) -> OutputOptions:
        """The options of this output alone."""
        return replace(
            whole,
            path=self.path,
            format=self.format,
            options={**whole.options, **self.options},
            no_audio=whole.no_audio or "a" not in self.select,
            no_subtitles=whole.no_subtitles or "s" not in self.select,
        )


def parse(text: str) -> list[Branch]:
    """The outputs of a tee. A backslash or single quotes keep ``|``, ``:``, ``]`` and spaces from being special."""
    branches, rest = [], text
    while rest:
        one, rest = _token(rest, "|")
        rest = rest[1:]
        if one:
            branches.append(_branch(one))
    if not branches:
        raise UsageError('-f tee wants outputs with | between them, as "a.mkv|[f=rtsp]rtsp://host/live"')
    return branches


def _token(text: str, ends: str) -> tuple[str, str]:
    """(the text up to one of ``ends``, unescaped; what follows)"""
    try:
        found = token(text, 0, ends)
    except UnclosedQuoteError as error:
        raise UsageError(f"-f tee: '{mask_url(text)}': {error}") from error
    return found.value, text[found.end :]


def _branch(text: str) -> Branch:
    if not text.startswith("["):
        return Branch(text)
    given: dict[str, str] = {}
    rest = text[1:]
    while True:
        key, rest = _token(rest, "=:]")
        if not rest.startswith("="):
            raise UsageError(f"-f tee: '{mask_url(text)}': between [ and ] stand key=value pairs with : between them")
        given[key], rest = _token(rest[1:], ":]")
        if not rest:
            raise UsageError(f"-f tee: '{mask_url(text)}': the ] is missing")
        ended, rest = rest[0] == "]", rest[1:]
        if ended:
            break
    if not rest:
        raise UsageError(f"-f tee: '{mask_url(text)}' names no output after its options")
    on_fail = given.pop("onfail", "go on")
    if on_fail not in ("go on", "ignore", "abort"):
        raise UsageError(f"-f tee: onfail={on_fail}: say abort or ignore; without it the other outputs go on")
    for key in given:
        if key.partition("/")[0] == "bsfs":
            raise UsageError(f"-f tee: {key} is not known here; pipe that output through ffmpeg -c copy -bsf")
    select = frozenset(spec.strip() for spec in given.pop("select", "v,a,s").split(","))
    if not {"v"} <= select <= {"v", "a", "s"}:
        raise UsageError(f"-f tee: select={','.join(sorted(select))}: v, v,a or v,a,s; each output has the video")
    format = given.pop("f", None)
    options = {key: value for key, value in given.items() if key not in _PASSED_OVER}
    return Branch(rest, options, format, on_fail, select)  # type: ignore[arg-type]


def holds_rotation(output: OutputOptions) -> bool:
    """Whether all of them do."""
    return all(container.holds_rotation(branch.output(output)) for branch in parse(output.path))


def wanted_format(output: OutputOptions, info: StreamInfo) -> str:
    """The planar format nearest to what the encoder will be fed with."""
    codec = encoder_name(output.video_codec, CARRIER)
    return planar_twin(choose_format(codec, CARRIER, info.format, 0, 0, output.pixel_format), alpha=info.format.alpha)


class TeeSink(EncodedSink):
    """One encoder, and a muxer for each output."""

    def __init__(
        self, output: OutputOptions, media: MediaInfo, streams: Mapping[int, Any] | None = None, *,
        on_warning: Callable[[str], None],
    ) -> None:  # fmt: skip
        branches = parse(output.path)
        outputs = [(branch.output(output), branch.on_fail) for branch in branches]
        for one, _ in outputs:
            if one.format in (None, "image2") and not is_url(one.path) and is_pictures(one.path):
                raise UsageError(f"-f tee: '{one.path}': pictures cannot be one of several outputs")
        codec = encoder_name(output.video_codec, CARRIER)
        super().__init__(output, outputs, media, streams or {}, codec, CARRIER, on_warning=on_warning)
