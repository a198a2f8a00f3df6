"""The order in which copied packets stand between those of the video: by decoding time."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from fractions import Fraction

from streamvsr.frames import Packet

FAR_SECONDS = 10
"""A packet so far ahead of the video stands in a wrong place: some programs write all subtitles first."""

FAR_BYTES = 16 << 20
"""How much of such packets is put aside, so that what stands behind them comes at its time."""


class Interleaver:
    """Gives the copied packets of an input when the video has reached their time.

    Handing packets to the muxer as they come would move the waiting there, and it writes out of order after ten
    seconds of it. Holds one packet, and at most ``FAR_BYTES`` of packets that are far ahead.
    """

    def __init__(self, packets: Callable[[], Packet | None]) -> None:
        """``packets``: the next packet of the input in its own order, None where there is none at the moment."""
        self._packets = packets
        self._waiting: Packet | None = None
        self._far: list[tuple[Fraction, int, Packet]] = []
        """A heap of packets far ahead: (their time, a number that keeps the order of equal ones, the packet)."""
        self._far_bytes = self._far_count = 0

    def next(self, until: Fraction | None) -> Packet | None:
        """The next packet with a time of at most ``until`` seconds (None: whatever its time is), if there is one."""
        while True:
            if self._waiting is None:
                self._waiting = self._packets()
            head = self._waiting
            seconds = None if head is None else head.seconds
            limits = [limit for limit in (until, seconds) if limit is not None]
            if self._far and self._far[0][0] <= min(limits, default=self._far[0][0]):
                _, _, packet = heapq.heappop(self._far)
                self._far_bytes -= len(packet.data)
                return packet
            if head is not None and until is not None and seconds is not None and seconds > until:
                if seconds - until <= FAR_SECONDS or self._far_bytes + len(head.data) > FAR_BYTES:
                    return None
                heapq.heappush(self._far, (seconds, self._far_count, head))
                self._far_count += 1
                self._far_bytes += len(head.data)
                self._waiting = None
                continue
            self._waiting = None
            return head

    def rest(self, end: Fraction | None) -> Iterator[Packet]:
        """All packets that begin before ``end`` seconds (None: all), once the video is over."""
        while (packet := self.next(end)) is not None:
            if end is None or packet.seconds is None or packet.seconds < end:
                yield packet
