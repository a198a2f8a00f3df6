"""How long the windows of a live stream may be, by how long they are seen to take."""

from __future__ import annotations

from collections.abc import Callable

from streamvsr.vsr.windows import LATENCY_PARTS

FIRST_LENGTH = 2
"""The first windows are short, so that a slow network is known before much has waited for it."""

MUCH_TOO_LONG = 1.5
"""Times its part of the latency."""


class Deadline:
    """Watches the windows of one filter and says when they should have another length.

    The first window warms the network up, the second is measured, and from then on they are as long as their part of
    the latency allows. Two in a row that take longer make them shorter, or one that takes much longer.
    """

    def __init__(self, latency_seconds: float, longest: int, warn: Callable[[str], None], *, fixed: bool) -> None:
        """``fixed``: the user has chosen the length; a line says that it is too long, no more."""
        self.length = longest if fixed else min(FIRST_LENGTH, longest)
        self._latency, self._longest, self._warn, self._fixed = latency_seconds, longest, warn, fixed
        self._windows = self._slow = 0
        self._warned = False

    def observe(self, length: int, new: int, seconds: float) -> None:
        """A window of ``length`` frames, ``new`` of them not seen before, took ``seconds``; ``length`` may change."""
        self._windows += 1
        part = self._latency / LATENCY_PARTS
        fits = max(1, min(self._longest, int(part * max(1, new) / max(seconds, 1e-6))))
        if self._windows == 2 and not self._fixed:
            self.length = fits
            if fits < self._longest:
                self._warn(
                    f"the network takes {seconds / max(1, new):.2g} s a frame: windows have {fits} frames instead of "
                    f"{self._longest}, so that --max-latency {self._latency:g} holds"
                )
        weight = 2 if seconds > MUCH_TOO_LONG * part else 1
        self._slow = self._slow + weight if self._windows > 1 and seconds > part else 0
        if self._slow < 2:
            return
        if length > 1 and not self._fixed:
            self._slow, self.length = 0, min(fits, length - 1)
        elif seconds > 2 * part and not self._warned:
            self._warned = True
            way = "a smaller --max-seq-len, " if length > 1 else ""
            self._warn(
                f"--max-latency {self._latency:g} cannot be held: {length} frames take {seconds:.2g} s; choose {way}"
                "a faster model, or smaller frames"
            )
