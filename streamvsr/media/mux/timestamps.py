"""The last look at a packet's time stamps before it is muxed."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av

NONSTRICT = 0x20000
"""FFmpeg's AVFMT_TS_NONSTRICT: the container takes two packets with one decoding time."""


class Timestamps:
    """Brings the packets of one output stream into its time base, complete and in increasing decoding order.

    Muxers refuse the whole file for one packet out of order, where players would not have noticed.
    """

    def __init__(self, stream: Any, container_flags: int, on_warning: Callable[[str], None]) -> None:
        ticks = stream.time_base
        self._time_base = Fraction(ticks.numerator, ticks.denominator)
        self._least_step = 0 if container_flags & NONSTRICT else 1
        self._name = f"{stream.type} track"
        self._warn: Callable[[str], None] | None = on_warning
        self._source: Any = None
        self._factor = Fraction(1)
        """From the time base of the packets, which hardly ever changes, to that of the stream."""
        self._last: int | None = None
        self._next = 0
        """Where the next packet is expected, for those that say nothing (raw streams, the first of an RTSP stream)."""

    def apply(self, packet: av.Packet[Any]) -> av.Packet[Any]:
        source = packet.time_base
        if source != self._source:
            self._source = source
            self._factor = Fraction(source.numerator, source.denominator) / self._time_base if source else Fraction(1)
        factor = self._factor
        pts = None if packet.pts is None else round(packet.pts * factor)
        dts = None if packet.dts is None else round(packet.dts * factor)
        duration = round((packet.duration or 0) * factor)
        if dts is None:
            # Matroska gives none for the first packets of reordered video; a packet with data is never dropped.
            dts = pts if pts is not None else self._next
        if self._last is not None and dts < self._last + self._least_step:
            moved = self._last + self._least_step - dts
            dts += moved
            # One tick is the rounding of a coarser container; more than that was wrong in the input.
            if moved > 1 and self._warn is not None:
                self._warn(f"{self._name}: time stamps go back by {float(moved * self._time_base):.3f} s; corrected")
                self._warn = None
        packet.pts, packet.dts, packet.duration = max(dts, pts) if pts is not None else dts, dts, duration
        packet.time_base = self._time_base
        self._last, self._next = dts, dts + max(duration, 1)
        return packet
