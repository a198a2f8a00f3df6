"""What a source is: the owner of one input."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from streamvsr.frames import Frame, MediaInfo, Packet
from streamvsr.media.demux.frame_index import CannotSeekError, FrameIndex


class Source(ABC):
    """Opened by its constructor, which raises ``SourceError``; read by one thread; stopped from any thread."""

    info: MediaInfo
    """``info.video.color`` and the frames' have a stated matrix and range: untagged video is resolved as players read
    it, by the size of the input, which nobody downstream knows any more."""

    streams: Mapping[int, Any] = MappingProxyType({})
    """PyAV's own streams of ``info.tracks``, by ``Track.index``: what a muxer copies codec parameters from, because
    PyAV makes a stream for packets that it did not encode from another stream only. Open until ``close``."""

    paced: bool = False
    """Whether frames are to be held back until their time has come, because the input gives them in bursts."""

    warnings: list[str]
    """One line for everything that was wrong and could be passed over, as far as ``on_warning`` was not replaced."""

    on_warning: Callable[[str], None]
    """Takes each warning; collects in ``warnings`` until the owner sets another function after opening. Called by the
    reading thread."""

    def __init__(self) -> None:
        self.warnings = []
        self.on_warning = self.warnings.append

    @abstractmethod
    def __iter__(self) -> Iterator[Frame | Packet]:
        """Frames and copied packets in the order in which the input gives them.

        Frames have strictly increasing pts; the decoder is drained before the iteration ends. All time stamps are
        shifted by one offset, so that the run begins near 0. Damaged packets are counted, told through
        ``on_warning``, and passed over; an input that cannot be read on raises ``SourceError``. Iterated once.
        """

    def skip_video(self) -> None:
        """Before the iteration: give copied packets alone, as far as the kind of source can; frames may still come."""

    def skim(self) -> None:
        """Before the iteration: of the frames before ``-ss``, which are not given, decode only what others refer to, as
        far as the kind of source can. For a quick look: in a stream with temporal layers, or a damaged one, the first
        frames may show what they lack."""

    def frame_index(self) -> FrameIndex:
        """A pass over the input, without decoding. Raises ``CannotSeekError`` where the source cannot begin anywhere
        but at its beginning, ``SourceError`` where it cannot be read."""
        raise CannotSeekError("only files with time stamps can be begun in the middle")

    def begin_at(self, key: int) -> None:  # noqa: ARG002
        """Iterate from a key frame of ``frame_index`` on (its pts): the very frames, with the very stamps, that an
        iteration from the beginning gives from there on, and no copied packets. May be called again, to go ahead."""
        raise CannotSeekError

    def clip(self, first: int | None, last: int | None) -> bytes:  # noqa: ARG002
        """The compressed packets from key frame ``first`` (None: the beginning) up to frame ``last`` (None: the end),
        for a ``ClipSource``. Instead of an iteration."""
        raise CannotSeekError

    def stop(self) -> None:
        """Ask the iteration to end soon, without an error; safe from any thread, also twice, also after ``close``.

        The frames so far are an unbroken beginning of the input; what the decoder still holds is dropped.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the input. Called by the reading thread after the iteration, also after an error; also twice."""
