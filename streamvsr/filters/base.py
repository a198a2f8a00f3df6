"""What a filter is: frames in, frames out, one at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from streamvsr.frames import Frame, StreamInfo


class Filter(ABC):
    """One link of the chain. Used by one thread; ``configure`` is called once, before the first frame.

    Both ``push`` and ``flush`` are lazy: a frame is made when the caller asks for it, so that a window which gives
    many large frames at once never holds them all. The caller exhausts each iterator before the next call, or closes
    it and the filter for good.
    """

    name: str
    lookahead: int = 0
    """How many frames after a frame have to arrive before that frame can leave."""
    own_thread: bool = False
    """True where the work is worth a thread of its own (a network); ``chain.segments`` cuts the chain there."""

    @abstractmethod
    def configure(self, info: StreamInfo) -> StreamInfo:
        """Settle geometry, rate and format; raise ``FilterError`` where they cannot be had."""

    @abstractmethod
    def push(self, frame: Frame) -> Iterator[Frame]:
        """Take one frame; yield what is ready."""

    def flush(self) -> Iterator[Frame]:
        """The stream has ended: yield what is left."""
        return iter(())

    def idle(self) -> Iterator[Frame]:
        """A live input has fallen silent: yield what would wait for more. The stream may go on afterwards."""
        return iter(())

    @property
    def memory_bytes(self) -> int:
        """Main memory that it will take for its frames and its work, as far as that grows with the frame; known once it
        is configured."""
        return 0

    def close(self) -> None:
        """Let go of resources; called once, also after an error."""
