"""The network as a filter: single frames in, single frames out, windows inside.

Every frame comes out exactly once, in order, with its own time stamp. A frame with ``discontinuity`` set begins a new
scene: what came before it is finished first, and nothing of it reaches the network again (see ``windows``).

Held at a time: at most ``max_seq_len + 1`` input frames, each as planes and as the network's input, whatever the
session keeps, and one output frame (two on a GPU); one frame more where scenes are detected. There are no threads in
here; a generator may be closed after any frame.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from streamvsr import system_memory
from streamvsr.config import ModelOptions
from streamvsr.errors import FilterError, ModelError, UsageError
from streamvsr.frames import PIXEL_FORMATS, Frame, Plane, StreamInfo
from streamvsr.media.color.transfer import Fence, codes_of, deferred
from streamvsr.media.color.yuv import forward_matrix
from streamvsr.models.base import Model, Session, silent
from streamvsr.models.device import DTYPES, Precision
from streamvsr.models.memory import is_out_of_memory
from streamvsr.models.precision import Flag
from streamvsr.threads import network_threads, processors
from streamvsr.vsr.deadline import Deadline
from streamvsr.vsr.domains import Domain, color_read, color_written, domain_for
from streamvsr.vsr.steady import Steady
from streamvsr.vsr.trace import Tracer
from streamvsr.vsr.windowed import WindowedFilter
from streamvsr.vsr.windows import Step, Windows, fitting, window_for

CPU = torch.device("cpu")
DEFAULT_RATE = Fraction(25)
"""Frames a second that a live stream is taken to have where it does not say."""
RESULT_BYTES, CHANNEL_BYTES = 34, 16
"""For a pixel of the output, and for each of the network's channels besides: results and what their conversion takes in
main memory (benchmarks/bench_large.py)."""
MOST_SIDE_PX = 32768
"""Of a resized frame: far more than any format or display has."""


@dataclass(frozen=True, slots=True)
class _PendingFrame:
    """An output frame that may still be in transfer from the device."""

    frame: Frame
    number: int
    broken: Flag
    fence: Fence


class VsrFilter(WindowedFilter):
    """Runs a model over windows of frames.

    ``options``: how the network is run; the filter's own share is

    - ``max_seq_len`` and ``overlap``: the model's own where None (the overlap at most ``max_seq_len - 1``);
    - ``scene_threshold``: scenes are found by ``SceneDetector`` and begin as at a discontinuity; 0 looks for none. It
      costs one frame more of look-ahead, and the frame that begins a scene leaves with ``discontinuity`` set;
    - ``strength``: 0..1, how much of the network's result the frames have; the rest is bicubic enlargement;
    - ``steady``: whether the result is held still where the input stands still (see ``steady``);
    - ``threads``: CPU threads of the network, set at the first frame, as torch counts them per calling thread;

    the rest goes to ``Model.tune``. What was chosen from them is given beside them: ``device`` and ``dtype``,
    ``size``, the (width, height) of the frames to give (what the network makes where None; the frame keeps its shape on
    the screen: the sample aspect ratio changes with it, as FFmpeg's ``scale`` has it), and ``output_format``, a name of
    ``frames.PIXEL_FORMATS`` (the input's own format where None).
    ``latency_seconds``: of a live stream. Windows then are as short as it asks for; a ``max_seq_len`` that is given
    stays, and is refused where its frames alone take longer to come. ``warn`` gets a line on what becomes of it.
    Raises ``UsageError`` for window sizes that cannot be, ``FilterError`` for an unknown ``output_format``.
    """

    name = "vsr"
    own_thread = True

    def __init__(
        self,
        model: Model,
        options: ModelOptions | None = None,
        *,
        output_format: str | None = None,
        size: tuple[int, int] | None = None,
        device: torch.device = CPU,
        dtype: torch.dtype = torch.float32,
        latency_seconds: float | None = None,
        warn: Callable[[str], None] = silent,
    ) -> None:
        options = options or ModelOptions()
        max_seq_len, overlap, propagation = options.max_seq_len, options.overlap, options.propagation
        length = model.info.max_seq_len if max_seq_len is None else max_seq_len
        shared = max(0, min(model.info.overlap, length - 1)) if overlap is None else overlap
        super().__init__(Windows(length, shared, propagation), options.scene_threshold if model.info.temporal else 0.0)
        self._given_length, self._given_overlap = max_seq_len, overlap
        self._latency_seconds, self._warn = latency_seconds, warn
        self._deadline: Deadline | None = None
        if size is not None and not 1 <= min(size) <= max(size) <= MOST_SIDE_PX:
            raise FilterError(f"vsr cannot make frames of {size[0]}x{size[1]}: a side has 1 to {MOST_SIDE_PX} pixels")
        if output_format is not None and output_format not in PIXEL_FORMATS:
            raise FilterError(
                f"vsr cannot make pixel format {output_format!r}; choose one of {', '.join(PIXEL_FORMATS)}"
            )
        self._model = model
        self._output_format = output_format
        self._size = size
        self._strength = 1.0 if options.strength is None else options.strength
        steady = model.info.steady if options.steady == "auto" else options.steady == "on"
        self._steady = Steady() if steady else None
        self._device = device
        self._dtype = dtype
        self._threads = options.threads
        self._threads_before: int | None = None
        """torch's number, which is the whole process's: given back at the end, for whoever computes next."""
        self._options = options
        if options.max_history is None:
            # A scene that fits into one window has to give the whole-sequence result, so a bound lies a fifth beyond
            # the window: there the first state is still alone. Independent windows need none.
            own = model.info.max_history if propagation == "carry" else 0
            self._options = replace(options, max_history=own and max(own, -(-6 * length // 5)))
        self._info: StreamInfo | None = None
        self._domain: Domain | None = None
        self._session: Session | None = None
        self._held: list[tuple[Frame, Tensor]] = []
        self._behind = 1 if device.type == "cuda" else 0
        """Frames in transfer from the device while the next one is computed."""
        self._submitted = 0  # frames before this number have been given to the session

    def configure(self, info: StreamInfo) -> StreamInfo:
        """The size grows by the model's scale, or to ``size``; rate and time base stay."""
        target = PIXEL_FORMATS[self._output_format] if self._output_format else info.format
        if info.width < 1 or info.height < 1:
            raise FilterError(f"vsr cannot work on frames of {info.width}x{info.height}")
        rgb_domain = self._model.info.domain != "luma"
        if {info.format.family, target.family, "rgb" if rgb_domain else "yuv"} >= {"yuv", "rgb"}:
            forward_matrix(color_read(info.color, info.format, info.width, info.height).matrix)
        if self._latency_seconds is not None:
            self._bound(self._latency_seconds, info.frame_rate or DEFAULT_RATE)
        self._model = self._model.to(self._device, self._dtype)
        self._model.tune(self._options, self._warn)
        self._session = self._model.session()
        self._info = info
        scale = self._model.info.scale
        width, height = self._size or (info.width * scale, info.height * scale)
        self._domain = domain_for(self._model.info, target, self._device, (height, width), self._strength)
        ratio = info.sample_aspect_ratio * Fraction(info.width * height, info.height * width)
        if self._latency_seconds is not None:
            self._warm_up(self._session, self._domain, info)
        color = color_written(info.color, info.format, target, info.width, info.height)
        return replace(info, width=width, height=height, format=target, sample_aspect_ratio=ratio, color=color)

    def _warm_up(self, session: Session, domain: Domain, info: StreamInfo) -> None:
        """Run black frames: the first window of a network may take many times as long as the next."""
        shapes = info.format.plane_shapes(info.width, info.height)
        deep = info.format.bits > 8
        planes: tuple[Plane, ...] = tuple(np.zeros(s, np.uint16) if deep else np.zeros(s, np.uint8) for s in shapes)
        count = self._windows.max_seq_len
        session.reset()
        with torch.inference_mode():
            source = domain.to_tensor(Frame(planes, info.format, 0, info.time_base, color=info.color))
            for _ in session.window(self._stacked([source] * count), count, range(count)):
                pass
        session.reset()

    def _bound(self, seconds: float, rate: Fraction) -> None:
        """Choose windows for a latency. Raises ``UsageError`` where the ones that were asked for wait too long."""
        waits = self.lookahead - self._windows.lookahead
        length, overlap = self._windows.max_seq_len, self._windows.overlap
        if self._given_length is None:
            length, shared = window_for(seconds, rate, length, overlap, waits)
            overlap = shared if self._given_overlap is None else overlap
        elif (length - 1 + waits) / rate > seconds:
            raise UsageError(
                f"--max-seq-len {length} waits {float((length - 1 + waits) / rate):.2g} s for its frames at"
                f" {float(rate):g} a second, longer than --max-latency {seconds:g}: leave it out, or say at most"
                f" {max(1, int(seconds * rate) + 1 - waits)}"
            )
        if self._given_overlap is not None and self._given_overlap >= length:
            raise UsageError(
                f"--overlap {self._given_overlap} does not fit into the {length} frames of a window that --max-latency"
                f" {seconds:g} allows at {float(rate):g} frames a second"
            )
        self._overlap = overlap
        self._deadline = Deadline(seconds, length, self._warn, fixed=self._given_length is not None)
        self._resize(self._deadline.length)

    def _resize(self, length: int) -> None:
        if self._given_length is not None or self._given_overlap is not None:
            self._windows.resize(length, min(self._overlap, length - 1))
        else:
            self._windows.resize(*fitting(length, self._overlap))

    def push(self, frame: Frame) -> Iterator[Frame]:
        self._check(frame)
        if self._threads_before is None:
            self._threads_before = torch.get_num_threads()
            torch.set_num_threads(self._threads or network_threads(self._threads_before, processors()))
        return super().push(frame)

    def restart(self, number: int = 0, seen: Iterable[Frame] = (), *, inside_scene: bool = False) -> None:
        super().restart(number, seen)
        if self._steady is not None:
            self._steady.restart(inside_scene=inside_scene)

    def tracer(self) -> Tracer | None:
        """What finds where this filter may be begun for the same results; None where there is no such place."""
        independent = self._options.propagation == "window"
        info = self._model.info
        bounded = independent or self._model.exact_from(1) is not None
        if not info.temporal or not bounded or self._steady is not None or self._deadline is not None:
            return None
        length, overlap = self._windows.max_seq_len, self._windows.overlap
        exact_from = None if independent else self._model.exact_from
        return Tracer(Windows(length, overlap, self._options.propagation), self.scene_threshold, exact_from)

    @property
    def model(self) -> Model:
        return self._model

    @property
    def strength(self) -> float:
        return self._strength

    @property
    def memory_bytes(self) -> int:
        """See ``Filter``. Of a network on another device only the planes of its frames are in main memory."""
        info = self._info
        if info is None or self._domain is None:
            return 0
        pixels, channels = info.width * info.height, self._model.info.channels
        width, height = self._size or (info.width * self._model.info.scale, info.height * self._model.info.scale)
        window = (self._windows.max_seq_len + 1) * info.format.frame_bytes(info.width, info.height)
        if self._device.type != "cpu":
            return window
        work = pixels * self._model.pixel_bytes
        if self._model.info.tunable and (free := system_memory.free_bytes()) is not None:
            work = min(work, free // 2)  # then it works in tiles
        window += (self._windows.max_seq_len + 1) * pixels * channels * 4
        return window + work + width * height * (RESULT_BYTES + channels * CHANNEL_BYTES)

    @property
    def precision(self) -> Precision:
        """What the network computes with, as ``--precision`` has it."""
        return next(name for name, dtype in DTYPES.items() if str(self._dtype) == f"torch.{dtype}")

    @property
    def context(self) -> tuple[int, int]:
        """Frames of context before and after a frame, from which on more of them hardly change its result."""
        info = self._model.info
        if not info.temporal:
            return 0, 0
        return info.context, self._windows.overlap + (1 if self._scenes else 0)

    def close(self) -> None:
        self._held.clear()
        self._undecided = None
        self._session = self._domain = None
        if self._threads_before is not None:
            torch.set_num_threads(self._threads_before)
            self._threads_before = None

    def _accept(self, frame: Frame) -> Iterator[Frame]:
        yield from super()._accept(frame)
        if self._deadline is not None and self._deadline.length != self._windows.max_seq_len:
            yield from self._run(self._windows.cut())
            self._resize(self._deadline.length)

    def _take(self, frame: Frame) -> None:
        assert self._domain is not None
        with torch.inference_mode():
            self._held.append((frame, self._domain.to_tensor(frame)))

    def _drop(self, count: int) -> None:
        del self._held[:count]

    def _check(self, frame: Frame) -> None:
        info = self._info
        if info is None or self._domain is None:
            raise RuntimeError("VsrFilter.configure has to be called before the first frame")
        if (frame.width, frame.height, frame.format) != (info.width, info.height, info.format):
            raise FilterError(
                f"vsr was set up for {info.width}x{info.height} {info.format.name}, but the frame at"
                f" {float(frame.seconds):.3f} s is {frame.width}x{frame.height} {frame.format.name}"
            )

    def _window(self, step: Step) -> Iterator[Frame]:
        session, domain = self._session, self._domain
        assert session is not None
        assert domain is not None
        held = self._held[step.start - self._first_held : step.stop - self._first_held]
        if step.reset:
            session.reset(self._number_at_reset())
            self._submitted = step.start
        new = step.stop - max(self._submitted, step.start)
        begin = time.perf_counter()
        self._submitted = step.stop
        results: Iterator[Tensor] | None = None
        pending: deque[_PendingFrame] = deque()
        try:
            # Inference mode belongs to the thread: it must not stay on while the caller holds a yielded frame.
            with torch.inference_mode():
                results = session.window(self._stacked([tensor for _, tensor in held]), new, step.keep)
            for position in step.keep:
                frame, source = held[position]
                with torch.inference_mode(), deferred(keep=codes_of(frame.planes[0]) is not None):
                    result = self._checked(next(results, None), frame, step.start + position)
                    broken = Flag(~torch.isfinite(result.sum(dtype=torch.float32)))
                    if self._steady is not None:
                        if frame.discontinuity:
                            self._steady.restart()
                        # Of Y'CbCr luma alone says what moves: beside grey chroma its changes would count a third.
                        seen = source[:1] if self._model.info.domain == "ycbcr" else source
                        result = self._steady(result, seen)
                    given = domain.to_frame(result, frame, source)
                    pending.append(_PendingFrame(given, step.start + position, broken, Fence(self._device)))
                    del result, given
                if len(pending) > self._behind:
                    yield self._finished(pending.popleft())
            while pending:
                yield self._finished(pending.popleft())
            with torch.inference_mode():
                if next(results, None) is not None:
                    raise ModelError(f"model {self._model.info.name} gave more frames than its window was to keep")
            if self._deadline is not None:
                # With the time that the next stage took: where that is slow, frames wait just as long.
                self._deadline.observe(len(held), new, time.perf_counter() - begin)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            size = f"{held[0][0].width}x{held[0][0].height}"
            way = "a smaller --max-seq-len" if len(held) > 1 else "a smaller frame"
            other = "--tile 128" if self._model.info.tunable else "another --device"
            raise ModelError(
                f"out of memory in model {self._model.info.name} at {size}: try {way}, or {other}"
            ) from error
        finally:
            close = getattr(results, "close", None)
            if close is not None:
                close()

    def _finished(self, pending: _PendingFrame) -> Frame:
        """The frame, once it has come from the device."""
        # First, as it sleeps; behind it the flag, which was queued before, need not be waited for.
        pending.fence.wait()
        # One sum shows every NaN and infinity, and costs a thirtieth of a millisecond a megapixel.
        if pending.broken.read():
            raise ModelError(
                f"model {self._model.info.name} gave a broken frame (not a number) for frame {pending.number} at"
                f" {float(pending.frame.seconds):.3f} s in {str(self._dtype).removeprefix('torch.')}; "
                "try --precision fp32"
            )
        return pending.frame

    def _stacked(self, tensors: list[Tensor]) -> Tensor:
        """(T, C, H, W), grown to the network's least size by repeating the right and bottom edges."""
        window = torch.stack(tensors)
        least = self._model.info.min_size_px
        down, right = max(0, least - window.shape[2]), max(0, least - window.shape[3])
        return functional.pad(window, (0, right, 0, down), mode="replicate") if down or right else window

    def _checked(self, result: Tensor | None, frame: Frame, number: int) -> Tensor:
        """The result without its padding; ``ModelError`` where it is none."""
        model = self._model.info
        if result is None:
            raise ModelError(f"model {model.name} gave fewer frames than its window was to keep (frame {number})")
        least, scale = model.min_size_px, model.scale
        shape = (model.channels, max(least, frame.height) * scale, max(least, frame.width) * scale)
        if tuple(result.shape) != shape:
            raise ModelError(f"model {model.name} gave a frame of another shape: {tuple(result.shape) = }, {shape = }")
        return result[:, : frame.height * scale, : frame.width * scale]
