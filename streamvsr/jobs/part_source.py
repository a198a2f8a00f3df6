"""The part of a job's input that is to be computed: from the context of its first segment on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress

from streamvsr.frames import Frame, Packet
from streamvsr.jobs.plan import Segment
from streamvsr.media.demux.base import Source
from streamvsr.media.demux.frame_index import CannotSeekError


class PartSource(Source):
    """Frames of ``source`` from those before ``first`` on; decoding begins at its key frame.

    Where that does not give what a run from the beginning gives (frames are missing there, or the input cannot be
    sought in after all), the input is opened again and decoded from its beginning.
    """

    def __init__(
        self, source: Source, first: Segment | None, last: Segment | None, open_input: Callable[[], Source]
    ) -> None:
        """``first``: None where nothing is left to be computed. ``last``: the frames behind those that it needs are not
        given; None where all that follow are wanted."""
        super().__init__()
        self._source, self._first, self._last, self._open = source, first, last, open_input
        self._stopped = False
        self.info, self.streams, self.paced, self.warnings = source.info, source.streams, source.paced, source.warnings
        self.on_warning = source.on_warning

    def __iter__(self) -> Iterator[Frame | Packet]:
        first = self._first
        if first is None:
            return
        self._source.on_warning = self.on_warning
        if first.entry is not None:
            with suppress(CannotSeekError):
                self._source.begin_at(first.entry)
                yield from self._ended(self._with_context(self._source, first))
                return
            self._source.close()
            self._source = self._open()
            if self._stopped:
                return
        yield from self._ended(item for item in self._source if isinstance(item, Frame))

    def _with_context(self, source: Source, first: Segment) -> Iterator[Frame]:
        """Raises ``CannotSeekError``, before the first frame, where there are not all frames of context."""
        held: deque[Frame] = deque(maxlen=first.before)
        frames = (item for item in source if isinstance(item, Frame))
        for frame in frames:
            if first.start is None or frame.pts >= first.start:
                if len(held) < first.before:
                    raise CannotSeekError("frames are missing")
                yield from held
                held.clear()
                yield frame
                break
            held.append(frame)
        else:
            if not self._stopped:
                raise CannotSeekError("frames are missing")
        yield from frames

    def _ended(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        last = self._last
        if last is None or last.end is None:
            yield from frames
            return
        behind = 0
        for frame in frames:
            if frame.pts >= last.end:
                behind += 1
                if behind > last.after:
                    return
            yield frame

    def skip_video(self) -> None:
        self._source.skip_video()

    def stop(self) -> None:
        self._stopped = True
        self._source.stop()

    def close(self) -> None:
        self._source.close()
