"""streamvsr from Python, in a few lines::

    import streamvsr

    for frame in streamvsr.open("in.mp4").filter("vsr"):
        print(frame.seconds, frame.numpy().shape)

The same pipeline as the command line's: threads read ahead and work while the loop's body runs, in bounded memory.
Leaving the loop early ends them. Nothing in here imports torch or av before it is needed.
"""

from __future__ import annotations

import atexit
import difflib
import logging
import os
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from streamvsr.config import Config, InputOptions, LiveOptions, ModelOptions, OutputOptions, check
from streamvsr.errors import UsageError
from streamvsr.frames import Frame, StreamInfo
from streamvsr.typed_options import ReadOptions, Time, VsrOptions, WriteOptions

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from streamvsr.media.demux.base import Source
    from streamvsr.pipeline.frame_sink import FrameReader
    from streamvsr.pipeline.runner import Run
    from streamvsr.pipeline.stats import Progress

PROGRESS_SECONDS = 0.25
"""Between two calls of ``on_progress``."""

Options = TypeVar("Options", InputOptions, OutputOptions, ModelOptions)

_log = logging.getLogger("streamvsr")


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One finished frame with its time stamp."""

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
    source: Callable[[], Source] | None = None
    """Opens the input where it is none that ``config`` can name."""

    def filter(self, chain: str = "vsr", **options: Unpack[VsrOptions]) -> Clip:
        """The clip with its frames sent through ``chain``, in the language of ``-vf``; calls add up.

        ``options`` are those of every ``vsr`` in it, as in ``ModelOptions``: ``model="rt"``, ``max_seq_len=20``,
        ``device="cuda"``... Raises ``UsageError``.
        """
        model = self.config.model if self.config.output.filters is not None else ModelOptions()
        config = _with_chain(replace(self.config, model=_with(model, options)), chain)
        check(config)
        from streamvsr.build import check_chain

        check_chain(config)
        return Clip(config, self.source)

    def __repr__(self) -> str:
        what = self.config.input.path or "frames"
        chain = self.config.output.filters
        return f"Clip({what!r}{'' if chain is None else f', {chain!r}'})"

    def __iter__(self) -> Frames:
        """Open the input and begin; raises ``StreamvsrError`` for whatever can be known before the first frame."""
        from streamvsr.build import build
        from streamvsr.pipeline.frame_sink import FrameReader, FrameSink

        # Nobody takes the sound: it is not even read.
        output = replace(self.config.output, no_audio=True, no_subtitles=True, no_data=True)
        config, frame_sink = replace(self.config, output=output), FrameSink()
        source = None if self.source is None else self.source()
        run = build(config, warn=_log.warning, frame_sink=frame_sink, source=source)
        return Frames(FrameReader(run, frame_sink))

    def write(
        self,
        path: str | os.PathLike[str],
        *,
        on_progress: Callable[[Progress], None] | None = None,
        **options: Unpack[WriteOptions],
    ) -> None:
        """Do the whole job into a file, a folder or a URL, as ``streamvsr IN OUT`` does: sound, subtitles, chapters and
        tags included. Returns when it is done.

        ``options`` are the output's, as in ``OutputOptions``: ``crf=18``, ``video_codec="libx265"``,
        ``overwrite=True``, ``options={"tune": "grain"}``... ``on_progress`` is called a few times a second. Raises
        ``StreamvsrError``; then, and after Ctrl-C, nothing is left under the output's name, except after a
        ``StreamLostError`` of a live input: what came before it is kept.
        """
        writing = self.start(path, **options)
        try:
            over = False
            while not over:
                if on_progress is not None:
                    on_progress(writing.progress)
                over = writing.wait(PROGRESS_SECONDS)
            writing.result()
        except BaseException:
            writing.cancel()
            writing.wait()
            raise
        if on_progress is not None:
            on_progress(writing.progress)

    def start(self, path: str | os.PathLike[str], **options: Unpack[WriteOptions]) -> Writing:
        """Begin what ``write`` does, and return at once; ``Writing`` watches it and ends it. Raises ``StreamvsrError``
        for what can be known before the first frame."""
        from streamvsr.build import build

        output = replace(_with(self.config.output, _exact_times(options)), path=os.fspath(path))
        config = replace(self.config, output=output)
        check(config)
        run = build(config, warn=_log.warning, source=None if self.source is None else self.source())
        return Writing(run, output.path)


_running: weakref.WeakKeyDictionary[Run, str] = weakref.WeakKeyDictionary()
"""Jobs and their outputs; their threads keep them in here."""


@atexit.register
def _cancel_all() -> None:
    """Before the interpreter freezes the threads: torch ends a process with a crash where they are at work then."""
    left = [(run, path) for run, path in _running.items() if not run.wait(0)]
    for run, path in left:
        _log.warning("the program ended before '%s' was written, of which nothing is left: wait for result()", path)
        run.abort()
    for run, _ in left:
        run.wait()


class Writing:
    """A job that writes an output in threads of its own. Every method may be called from any thread.

    ``async for progress in writing`` gives a snapshot a few times a second until the end, then raises what went wrong;
    ``await writing`` waits for the end alone. A job that is not over when the program ends is cancelled.
    """

    def __init__(self, run: Run, path: str) -> None:
        self._run, self._path = run, path
        _running[run] = path
        run.start()

    def __repr__(self) -> str:
        done = self.progress
        total = "" if done.frames_total is None else f" of {done.frames_total}"
        return f"Writing({self._path!r}, {done.frames_out}{total} frames)"

    @property
    def progress(self) -> Progress:
        """How far it is (``frames_out``, ``frames_total``, ``fps``...)."""
        return self._run.progress()

    @property
    def notes(self) -> list[str]:
        """Which network was chosen and why, and what else a run says."""
        return list(self._run.notes)

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it is over after at most ``timeout`` seconds."""
        return self._run.wait(timeout)

    def result(self) -> None:
        """Wait for the end; raises the ``StreamvsrError`` that ended it, if one did."""
        self._run.wait()
        self._run.result()

    def stop(self) -> None:
        """End soon: what is done by then becomes a playable file under the output's name."""
        self._run.stop()

    def cancel(self) -> None:
        """End at once and leave nothing under the output's name."""
        self._run.abort()

    async def __aiter__(self) -> AsyncIterator[Progress]:
        import asyncio

        while not await asyncio.to_thread(self.wait, PROGRESS_SECONDS):
            yield self.progress
        yield self.progress
        self.result()

    def __await__(self) -> Generator[Any, None, None]:
        import asyncio

        return asyncio.to_thread(self.result).__await__()


def open(
    path: str | os.PathLike[str],
    *,
    start: Time | None = None,
    duration: Time | None = None,
    end: Time | None = None,
    rate: Time | None = None,
    frames: int | None = None,
    live: LiveOptions | None = None,
    **options: Unpack[ReadOptions],
) -> Clip:
    """A file, a folder of pictures, a pattern, a URL or ``-``; nothing is opened yet.

    ``start``, ``duration`` and ``end`` are seconds of the input, ``rate`` replaces its time stamps, ``frames`` is how
    many are wanted at most; ``live`` is for cameras and streams: ``LiveOptions(max_latency=1.0, reconnect=60)``;
    ``options`` are what else ``InputOptions`` has. Raises ``UsageError``.
    """
    given = {**options, "start": start, "duration": duration, "end": end, "rate": rate}
    config = Config(
        input=_with(InputOptions(path=os.fspath(path)), _exact_times(given)),
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


def _exact_times(options: Mapping[str, object]) -> dict[str, Any]:
    """The options with their times as fractions."""
    times = {"start", "duration", "end", "rate"}
    return {name: _exact(name, value) if name in times and value is not None else value
            for name, value in options.items()}  # fmt: skip


def _exact(name: str, value: Any) -> Fraction:
    try:
        # 0.1 is a tenth, not the binary fraction next to it.
        return Fraction(str(value)) if isinstance(value, float) else Fraction(value)
    except (ValueError, TypeError, ZeroDivisionError):
        raise UsageError(f"{name}={value!r}: expected a number, such as 12.5 or Fraction(30000, 1001)") from None


def from_frames(frames: Iterable[Any], *, rate: Time) -> Clip:
    """A clip of frames of your own, at a constant ``rate`` (frames a second), without sound.

    ``frames``: numpy arrays (height, width, 3) of uint8 or uint16, or torch tensors (3, height, width), floating in
    0..1 or uint8; R'G'B', full range, all alike. They are taken as the clip goes on, by a thread of the pipeline: never
    more than some dozens ahead. A GPU's tensors stay there until ``VideoFrame.torch``, where no other filter but a
    network is between. A clip of a list can be iterated again, that of a generator once. Raises ``UsageError``; frames
    that are none of these end the iteration with a ``SourceError``.
    """
    exact = _exact("rate", rate)
    if exact <= 0:
        raise UsageError(f"rate={rate!r}: must be more than 0")

    def source() -> Source:
        from streamvsr.media.demux.memory import MemorySource

        return MemorySource(frames, exact)

    config = Config(InputOptions(), OutputOptions(), ModelOptions(model="identity"))
    return Clip(config, source)


def upscale(frames: NDArray[Any], *, rate: Time = 25, **options: Unpack[VsrOptions]) -> NDArray[Any]:
    """The frames of an array (count, height, width, 3), or the one of (height, width, 3), through a network: the same
    layout and dtype (uint8 or uint16), R'G'B', larger.

    The frames of one array are neighbours in time; for more than fits into memory there is ``from_frames``. ``options``
    are ``ModelOptions``; ``model`` is "rt-real" unless given, as arrays are not looked at. Raises ``StreamvsrError``.
    """
    import numpy as np

    frames = np.asarray(frames)
    if frames.ndim not in (3, 4):
        shape = frames.shape
        raise UsageError(f"upscale takes an array (count, height, width, 3) or (height, width, 3), not one of {shape}")
    one = frames.ndim == 3
    chosen: VsrOptions = {"model": "rt-real", **options}
    clip = from_frames(frames[None] if one else frames, rate=rate).filter("vsr", **chosen)
    made = [frame.numpy() for frame in clip]
    return made[0] if one else np.stack(made)
