"""What a source is: the owner of one input."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from streamvsr.frames import Frame, MediaInfo, Packet


class Source(ABC):
    """Opened by its constructor, which raises ``SourceError``; read by one thread; stopped from any thread."""

    info: MediaInfo

    @abstractmethod
    def __iter__(self) -> Iterator[Frame | Packet]:
        """Frames and copied packets in the order in which the input gives them.

        Frames have strictly increasing pts; the decoder is drained before the iteration ends. All time stamps are
        shifted by one offset, so that the run begins near 0. Damaged packets are counted in ``warnings`` and passed
        over; an input that cannot be read on raises ``SourceError``.
        """

    def stop(self) -> None:
        """Ask the iteration to end soon, as if the input ended here; safe from any thread, also twice."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the input. Called by the reading thread after the iteration, also after an error."""
