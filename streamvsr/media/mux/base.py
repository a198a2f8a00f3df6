"""What a sink is: the owner of one output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from fractions import Fraction

from streamvsr.frames import Frame
from streamvsr.pipeline.ring import PacketSpool


class Sink(ABC):
    """Prepared by its constructor, which raises ``SinkError`` or ``UsageError`` for anything that can be known before
    the first frame (an unwritable place, an unknown encoder, a track that the container cannot hold is a warning).

    Used by one thread. Exactly one of ``finish`` and ``abort`` is called at the end.
    """

    pixel_format: str
    """FFmpeg's name of the pixel format that the encoder will be fed; filters may aim at it."""

    spool: PacketSpool | None = None
    """Where copied packets of the input wait for the video; None where the output takes none. The thread that reads
    the input fills it, and the sink closes it."""

    frames_before: int = 0
    """Frames of the output that an earlier run has encoded already."""

    encoded_bytes: int = 0
    """Of the video's packets so far; 0 where nobody counts them."""

    @abstractmethod
    def write_frame(self, frame: Frame) -> None:
        """Encode one frame, and write what is finished by then."""

    def request_stop(self) -> None:
        """From any thread: the run is to end well but soon. Who reads the output is not waited for much longer."""

    def break_off(self) -> None:
        """Called before ``finish`` where the input has broken off: what it leaves is playable, and must not look
        complete. A single file gets ``.incomplete`` into its name; segments have no end mark; pictures stay."""

    @property
    def kept(self) -> str:
        """After both: the path of what is left, or nothing where it cannot be named (a pipe)."""
        return ""

    @abstractmethod
    def finish(self, until: Fraction | None = None) -> None:
        """Flush the encoders, write the trailer, and put the output under its final name.

        ``until``: copied packets that begin so many seconds after the start, or later, are left out; None keeps all.
        """

    @abstractmethod
    def abort(self) -> None:
        """Close and remove what was written; nothing stays under the final name. Never raises."""
