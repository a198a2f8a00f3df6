"""Frames to windows: when a scene begins and when a window is due, whatever is done with it.

``VsrFilter`` runs the network over the windows; ``trace`` only notes which they are.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import replace

from streamvsr.filters.base import Filter
from streamvsr.frames import Frame
from streamvsr.vsr.scenes import SceneDetector
from streamvsr.vsr.windows import Step, Windows


class WindowedFilter(Filter):
    """A filter that works on windows of frames. Holds the last frame until the next one shows whether a scene begins
    with it, and whatever ``_take`` keeps."""

    def __init__(self, windows: Windows, scene_threshold: float) -> None:
        """``scene_threshold``: see ``SceneDetector``; 0 looks for no scenes."""
        self._windows = windows
        self._scenes = SceneDetector(scene_threshold) if scene_threshold > 0 else None
        self._undecided: Frame | None = None
        """The last frame, as long as it is not known whether a scene begins with it."""
        self._first_number = 0
        self._first_held = 0  # the number of the oldest frame that is kept
        self.lookahead = windows.lookahead + (1 if self._scenes else 0)

    @abstractmethod
    def _take(self, frame: Frame) -> None:
        """Keep a frame for its windows."""

    @abstractmethod
    def _drop(self, count: int) -> None:
        """No window needs the ``count`` oldest frames any more."""

    @abstractmethod
    def _window(self, step: Step) -> Iterator[Frame]:
        """Run a window; give the frames to keep."""

    @property
    def scene_threshold(self) -> float:
        """By which scenes are found; 0: none are looked for."""
        return self._scenes.threshold if self._scenes is not None else 0.0

    @property
    def waiting(self) -> int:
        """Frames that have come and not left."""
        return self._windows.waiting + (self._undecided is not None)

    @property
    def max_seq_len(self) -> int:
        """Frames in a window; of a live stream it may change."""
        return self._windows.max_seq_len

    def push(self, frame: Frame) -> Iterator[Frame]:
        if self._scenes is None:
            yield from self._accept(frame)
            return
        before, self._undecided = self._undecided, frame
        begins = self._detected(frame)
        if before is not None:
            yield from self._accept(replace(before, discontinuity=True) if begins else before)

    def flush(self) -> Iterator[Frame]:
        yield from self.idle()
        yield from self._run(self._windows.cut())

    def idle(self) -> Iterator[Frame]:
        """The window that is being filled is run as it is; the scene ends there."""
        yield from self._decided()
        if self._windows.waiting:
            yield from self._run(self._windows.cut())

    def settle(self) -> Iterator[Frame]:
        """The window that is being filled is run as it is; the scene goes on."""
        yield from self._decided()
        yield from self._run(self._windows.pause())

    def restart(self, number: int = 0, seen: Iterable[Frame] = (), *, inside_scene: bool = False) -> None:  # noqa: ARG002
        """Forget every frame, also those that have not come out: the next one is frame ``number`` of its scene, and
        begins a window. ``seen``: the frames right before it, which scenes are found by. ``inside_scene``: it belongs
        to the context of a segment, and frames of its scene were before it."""
        self._undecided = None
        self._windows.cut()
        self._forget()
        self._first_number = number
        if self._scenes is not None:
            self._scenes.restart()
            for frame in seen:
                self._detected(frame)

    def _detected(self, frame: Frame) -> bool:
        """Whether a scene begins with the frame before this one."""
        assert self._scenes is not None
        if not frame.discontinuity:
            return self._scenes.push(frame)
        begins = self._scenes.last()
        self._scenes.restart()
        self._scenes.push(frame)
        return begins

    def _decided(self) -> Iterator[Frame]:
        """The last frame, if it waits for the next one to show whether a scene begins with it."""
        frame, self._undecided = self._undecided, None
        if frame is not None and self._scenes is not None:
            yield from self._accept(replace(frame, discontinuity=True) if self._scenes.last() else frame)

    def _accept(self, frame: Frame) -> Iterator[Frame]:
        if frame.discontinuity:
            yield from self._run(self._windows.cut())
        self._take(frame)
        yield from self._run(self._windows.push())

    def _run(self, step: Step | None) -> Iterator[Frame]:
        if step is not None:
            yield from self._window(step)
        self._forget()

    def _forget(self) -> None:
        count = self._windows.retain_from - self._first_held
        self._first_held += count
        self._drop(count)

    def _number_at_reset(self) -> int:
        """The number within its scene of the frame that a window begins with which resets."""
        number, self._first_number = self._first_number, 0
        return number
