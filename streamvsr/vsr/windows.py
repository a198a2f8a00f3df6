"""Which frames form a window, and which of its outputs are kept. Pure arithmetic: no tensor, no frame is touched.

Frames are numbered from the start of the stream. ``L`` is ``max_seq_len``, ``V`` is ``overlap``; ``#`` marks the
outputs that a window keeps, ``.`` those that it computes or looks at and does not keep.

``carry`` (L = 5, V = 2): the forward state goes on from window to window, so a window needs context on its right only.
It keeps the first L - V outputs, and the next window begins right after them::

    frame   0  1  2  3  4  5  6  7  8  9 10
    reset   #  #  #  .  .
                     #  #  #  .  .
                              #  #  #  .  .
                                       #  #      the scene ends: the rest, with nothing to wait for

``window``, V = 0 (L = 4): independent chunks, as the RealBasicVSR script cuts them. Every window resets::

    frame   0  1  2  3  4  5  6  7  8  9
            #  #  #  #
                        #  #  #  #
                                    #  #         the last chunk is short

``window``, V > 0 (L = 5, V = 2): a window every L - V frames; V // 2 outputs are dropped on its left and V - V // 2 on
its right, except where the scene itself begins or ends. A window runs once the frame after it has arrived, since only
then is it known not to be the last::

    frame   0  1  2  3  4  5  6  7  8
            #  #  #  #  .
                     .  #  #  #  .
                        .  .  .  #  #            the last window is moved back to its full length

What happens at the end of a scene (a cut, or the end of the stream):

=============  ==========================================  ======================================================
mode           frames left                                 the last window
=============  ==========================================  ======================================================
carry          none (V = 0 and the scene fills windows)    there is none
carry          1 to L - 1, of which V may be old           those frames, all kept; it may bring no new frame at all
window, V = 0  none                                        there is none
window, V = 0  1 to L - 1                                  those frames, all kept: shorter than L
window, V > 0  any, in a scene of at least L frames        the scene's last L frames; what is not out yet is kept
window, V > 0  any, in a shorter scene                     the whole scene, all kept
=============  ==========================================  ======================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from streamvsr.errors import UsageError

LATENCY_PARTS = 4
"""Into how many equal parts the time between a frame's arrival and its way out is divided: it may wait for its reader,
wait for the rest of its window, wait while the window before it is computed (where it is look-ahead of that one), and
be computed."""


def window_for(latency_seconds: float, frame_rate: Fraction, longest: int, overlap: int, waits: int) -> tuple[int, int]:
    """(max_seq_len, overlap) of windows that fill in their part of ``latency_seconds``.

    At most ``longest`` frames with at most ``overlap`` look-ahead; ``waits`` frames are waited for besides.
    """
    length = int(latency_seconds * frame_rate / LATENCY_PARTS) - waits
    return fitting(min(length, longest), overlap)


def fitting(length: int, overlap: int) -> tuple[int, int]:
    """A window of ``length`` frames, at least one, and as much of ``overlap`` as leaves it at least half new frames."""
    length = max(1, length)
    return length, min(overlap, length // 2)


@dataclass(frozen=True, slots=True)
class Step:
    """One window: run frames [start, stop), keep the outputs [keep_start, keep_stop)."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int
    reset: bool
    """The model forgets everything before this window."""

    @property
    def keep(self) -> range:
        """The kept outputs' positions within the window."""
        return range(self.keep_start - self.start, self.keep_stop - self.start)


class Windows:
    """Plans the windows of one stream as its frames arrive.

    ``push`` counts one more frame, ``cut`` says that the scene (or the stream) ends before the next one, ``pause``
    that the next one may be long in coming; each gives the window that has thereby become due, if any. No window
    crosses a cut, each frame is kept exactly once and in order, and frames before ``retain_from`` will never be asked
    for again: between two calls at most ``max_seq_len`` frames are retained, and one more when a window is due.

    Raises ``UsageError`` for numbers that make no windows.
    """

    def __init__(self, max_seq_len: int, overlap: int, propagation: Literal["carry", "window"] = "carry") -> None:
        if max_seq_len < 1:
            raise UsageError(f"max_seq_len is {max_seq_len}: a window needs at least one frame")
        if overlap < 0:
            raise UsageError(f"overlap is {overlap}: it counts frames, so 0 is the least")
        if overlap >= max_seq_len:
            raise UsageError(
                f"overlap ({overlap}) must be smaller than max_seq_len ({max_seq_len}), or a window would keep nothing:"
                f" raise max_seq_len to {overlap + 1} or more, or lower overlap to at most {max_seq_len - 1}"
            )
        if propagation not in ("carry", "window"):
            raise UsageError(f"propagation is {propagation!r}: choose carry or window")
        self.max_seq_len = max_seq_len
        self.overlap = overlap
        self._carry = propagation == "carry"
        self._waits_for_next = not self._carry and overlap > 0
        self._scene_start = 0
        self._count = 0
        self._start = 0  # where the next full window begins
        self._kept = 0  # everything before this frame has been kept

    @property
    def lookahead(self) -> int:
        """How many frames after a frame have to arrive, at most, before that frame's window is due."""
        return self.max_seq_len if self._waits_for_next else self.max_seq_len - 1

    @property
    def retain_from(self) -> int:
        """The oldest frame that a later step may need."""
        if self._waits_for_next:
            return max(self._scene_start, self._count - self.max_seq_len)
        return self._start

    @property
    def waiting(self) -> int:
        """How many frames have come that no window has kept yet."""
        return self._count - self._kept

    def push(self) -> Step | None:
        """One more frame has arrived: the window that is now due, or None."""
        self._count += 1
        stop = self._start + self.max_seq_len
        if self._count < stop + (1 if self._waits_for_next else 0):
            return None
        keep_stop = stop - (self.overlap - self.overlap // 2 if self._waits_for_next else self.overlap)
        step = Step(self._start, stop, self._kept, keep_stop, self._resets(self._start))
        self._start += self.max_seq_len - self.overlap
        self._kept = keep_stop
        return step

    def cut(self) -> Step | None:
        """The scene ends here: the window that keeps what is left of it, or None where nothing is."""
        step = None
        if self._kept < self._count:
            start = max(self._scene_start, self._count - self.max_seq_len) if self._waits_for_next else self._start
            step = Step(start, self._count, self._kept, self._count, self._resets(start))
        self._scene_start = self._start = self._kept = self._count
        return step

    def pause(self) -> Step | None:
        """No frame may come for long: the window that keeps what is there, or None where nothing is.

        A carried state goes on after it, so the scene does; independent windows end as at a cut.
        """
        if not self._carry:
            return self.cut()
        step = None
        if self._kept < self._count:
            step = Step(self._start, self._count, self._kept, self._count, self._resets(self._start))
        self._start = self._kept = self._count
        return step

    def resize(self, max_seq_len: int, overlap: int) -> None:
        """Other windows from here on. Only right after ``cut``, with numbers that make windows."""
        assert self._start == self._count
        self.max_seq_len, self.overlap = max_seq_len, overlap
        self._waits_for_next = not self._carry and overlap > 0

    def _resets(self, start: int) -> bool:
        return not self._carry or start == self._scene_start
