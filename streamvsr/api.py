"""streamvsr from Python, in a few lines::

    import streamvsr

    for frame in streamvsr.open("in.mp4").filter("vsr"):
        print(frame.seconds, frame.numpy().shape)

The same pipeline as the command line's: threads read ahead and work while the loop's body runs, in bounded memory.
Leaving the loop early ends them. Nothing in here imports torch or av before it is needed.
"""

from __future__ import annotations

import difflib
import logging
import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

from streamvsr.config import Config, InputOptions, LiveOptions, ModelOptions, OutputOptions, check
from streamvsr.errors import UsageError
from streamvsr.frames import Frame, StreamInfo

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from streamvsr.pipeline.frame_sink import FrameReader
    from streamvsr.pipeline.stats import Progress

Time: TypeAlias = Fraction | float | str
"""Seconds: ``1.5``, ``Fraction(3, 2)``, ``"1.5"`` or ``"3/2"``; exact, a float counts as the decimal it prints as."""

PROGRESS_SECONDS = 0.25
"""Between two calls of ``on_progress``."""

Options = TypeVar("Options", InputOptions, OutputOptions, ModelOptions)

_log = logging.getLogger("streamvsr")


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One finished picture with its time stamp."""

    raw: Frame
    """The planes as the pipeline has them, with their pixel format and colour."""

    @property
    def pts(self) -> int:
        """Presentation time in ``time_base`` ticks."""
        return self.raw.pts

    @property
    def time_base(self) -> Fraction:
        """Seconds in a tick."""
        return self.raw.time_base

    @property
    def seconds(self) -> Fraction:
        """Presentation time, exact; ``float(frame.seconds)`` where that does not matter."""
        return self.raw.seconds

    @property
    def width(self) -> int:
        return self.raw.width

    @property
    def height(self) -> int:
        return self.raw.height

    def numpy(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """A new (height, width, 3) array of R'G'B', full range: uint8, or uint16 up to 65535 for deeper video."""
        from streamvsr.media.color.arrays import rgb_array

        return rgb_array(self.raw)

    def torch(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> torch.Tensor:
        """A new (3, height, width) tensor of R'G'B' in 0..1, float32 unless ``dtype`` says otherwise."""
        import torch

        from streamvsr.media.color.yuv import to_rgb

        return to_rgb(self.raw, torch.device(device or "cpu"), dtype or torch.float32)[0]

    def __repr__(self) -> str:
        return f"VideoFrame({self.width}x{self.height} pts={self.pts} time_base={self.time_base})"


class Frames(Iterator[VideoFrame]):
    """One pass over a clip. It is over with the last frame, an error, ``close``, ``with``, or when it is dropped."""

    def __init__(self, reader: FrameReader) -> None:
        self._reader = reader
        # The loop was left by `break`: its iterator goes, and the work with it. At the program's end that has to come
        # before the interpreter freezes the threads that it waits for.
        weakref.finalize(self, reader.close)

    @property
    def info(self) -> StreamInfo:
        """Size, format, rate and time base of the frames that will come, known before the first one."""
        return self._reader.media.video

    def __next__(self) -> VideoFrame:
        return VideoFrame(next(self._reader))

    def close(self) -> None:
        """End the work and join its threads; the input is closed afterwards. Also twice."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class Clip:
    """An input and what is to be done with it.

    It never changes: ``filter`` gives a new one. Iterate it as often as needed; each time the input is opened anew.
    """

    config: Config
    """What the command line's options would have made."""

    def filter(self, chain: str = "vsr", **options: Any) -> Clip:
        """The clip with its frames sent through ``chain``, in the language of ``-vf``; calls add up.

        ``options`` are those of every ``vsr`` in it, as in ``ModelOptions``: ``model="rt"``, ``max_seq_len=20``,
        ``device="cuda"``... Raises ``UsageError``.
        """
        model = self.config.model if self.config.output.filters is not None else ModelOptions()
        config = _with_chain(replace(self.config, model=_with(model, options)), chain)
        check(config)
        from streamvsr.build import check_chain

        check_chain(config)
        return Clip(config)

    def __iter__(self) -> Frames:
        """Open the input and begin; raises ``StreamvsrError`` for whatever can be known before the first frame."""
        from streamvsr.build import build
        from streamvsr.pipeline.frame_sink import FrameReader, FrameSink

        # Nobody takes the sound: it is not even read.
        output = replace(self.config.output, no_audio=True, no_subtitles=True, no_data=True)
        config, frame_sink = replace(self.config, output=output), FrameSink()
        return Frames(FrameReader(build(config, warn=_log.warning, frame_sink=frame_sink), frame_sink))

    def write(
        self, path: str | os.PathLike[str], *, on_progress: Callable[[Progress], None] | None = None, **options: Any
    ) -> None:
        """Do the whole job into a file, a folder or a URL, as ``streamvsr IN OUT`` does: sound, subtitles, chapters and
        tags included. Returns when it is done.

        ``options`` are the output's, as in ``OutputOptions``: ``crf=18``, ``video_codec="libx265"``,
        ``overwrite=True``, ``options={"tune": "grain"}``... ``on_progress`` is called a few times a second. Raises
        ``StreamvsrError``; then, and after Ctrl-C, nothing is left under the output's name, except after a
        ``StreamLostError`` of a live input: what came before it is kept.
        """
        from streamvsr.build import build

        output = replace(_with(self.config.output, options), path=os.fspath(path))
        config = replace(self.config, output=output)
        check(config)
        run = build(config, warn=_log.warning)
        run.start()
        try:
            over = False
            while not over:
                if on_progress is not None:
                    on_progress(run.progress())
                over = run.wait(PROGRESS_SECONDS)
            run.result()
        except BaseException:
            run.abort()
            run.wait()
            raise
        if on_progress is not None:
            on_progress(run.progress())


def open(
    path: str | os.PathLike[str],
    *,
    start: Time | None = None,
    duration: Time | None = None,
    end: Time | None = None,
    rate: Time | None = None,
    frames: int | None = None,
    live: LiveOptions | None = None,
    **options: Any,
) -> Clip:
    """A file, a folder of pictures, a pattern, a URL or ``-``; nothing is opened yet.

    ``start``, ``duration`` and ``end`` are seconds of the input, ``rate`` replaces its time stamps, ``frames`` is how
    many are wanted at most; ``live`` is for cameras and streams: ``LiveOptions(max_latency=1.0, reconnect=60)``;
    ``options`` are what else ``InputOptions`` has. Raises ``UsageError``.
    """
    given = {"start": start, "duration": duration, "end": end, "rate": rate}
    times = {name: _exact(name, value) for name, value in given.items() if value is not None}
    config = Config(
        input=_with(InputOptions(path=os.fspath(path)), {**options, **times}),
        output=OutputOptions(frames=frames),
        model=ModelOptions(model="identity"),
        live=live or LiveOptions(),
    )
    check(config)
    return Clip(config)


def _with(group: Options, options: Mapping[str, Any]) -> Options:
    """``group`` with these fields set; ``UsageError`` for names that it does not have."""
    names = [f.name for f in fields(group) if f.name != "path"]
    for name in options:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=3)
            advice = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(names)}"
            raise UsageError(f"{type(group).__name__} has no {name!r}: {advice}")
    return replace(group, **options)


def _with_chain(config: Config, chain: str) -> Config:
    before = config.output.filters
    return replace(config, output=replace(config.output, filters=chain if before is None else f"{before},{chain}"))


def _exact(name: str, value: Time) -> Fraction:
    try:
        # 0.1 is a tenth, not the binary fraction next to it.
        return Fraction(str(value)) if isinstance(value, float) else Fraction(value)
    except (ValueError, TypeError, ZeroDivisionError):
        raise UsageError(f"{name}={value!r}: expected a number, such as 12.5 or Fraction(30000, 1001)") from None
