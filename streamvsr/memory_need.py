"""What a run will take of main memory, said before it starts, and a line where this machine has not that much free.

An estimate of the parts that grow with the frames: rings, the network's windows and working memory, the encoder. It is
good to a third (``benchmarks/bench_large.py``), and thresholds allow for more: a run is refused where the
machine, swap included, has less than half of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streamvsr import system_memory
from streamvsr.errors import UsageError

REFUSED = 2.0
"""How many times what is free, and the free swap, a run that is not begun would take."""
OTHERS_BYTES = 64 << 20
"""Of packets, decoders and muxers."""


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Bytes that a run will take besides what the process has already."""

    rings: int
    filters: int
    """The networks' windows, states and working memory, where that is main memory."""
    encoder: int

    @property
    def more(self) -> int:
        return self.rings + self.filters + self.encoder + OTHERS_BYTES

    @property
    def total(self) -> int:
        """With what the process has: the interpreter, libraries, loaded networks."""
        return self.more + (system_memory.resident_bytes() or 0)

    def check(self, warn: Callable[[str], None]) -> None:
        """A line for ``warn`` where the run needs more than is free; ``UsageError`` where it needs far more."""
        free = system_memory.free_bytes()
        if free is None or self.more <= free:
            return
        line = f"this run needs about {_gb(self.more)} more memory, and {_gb(free)} are free: {self._way_out()}"
        if self.more > REFUSED * (free + system_memory.swap_bytes()):
            raise UsageError(line)
        warn(f"{line}; it may be ended by the system")

    def _way_out(self) -> str:
        if self.encoder >= self.filters:
            return "a smaller --scale, or an encoder that holds fewer frames: -preset veryfast, -threads 1"
        return "a smaller --scale, --tile 128, or a smaller --max-seq-len"


def _gb(count: int) -> str:
    return f"{count / 1e9:.2g} GB" if count < 1e11 else f"{count / 1e9:.0f} GB"
