"""The last look at a packet's time stamps before it is muxed."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av

from streamvsr.media.encode.options import MOV_FAMILY
from streamvsr.media.mux.pauses import longest_gap

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
        self._container = stream.container.format.name
        self._longest_gap = longest_gap(self._container, self._time_base)
        self._latest: int | None = None
        """The greatest pts so far, as it came."""
        self._gaps: list[tuple[int, int]] = []
        """(from which stamp on, how many ticks are left out)"""
        self._is_video, self._name = stream.type == "video", f"{stream.type} track"
        self._on_warning = on_warning
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
        if self._longest_gap is not None and (shown := pts if pts is not None else dts) is not None:
            if self._latest is not None and shown - self._latest > self._longest_gap:
                self._shorten(self._latest, shown - self._latest - self._longest_gap, self._longest_gap)
            self._latest = max(shown, self._latest if self._latest is not None else shown)
        pts, dts = self._without_gaps(pts), self._without_gaps(dts)
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

    def _without_gaps(self, stamp: int | None) -> int | None:
        return None if stamp is None else stamp - sum(ticks for begin, ticks in self._gaps if stamp >= begin)

    def _shorten(self, before: int, excess: int, left: int) -> None:
        """Leave out ``excess`` ticks of the gap behind the stamp ``before``, of which ``left`` stay."""
        # Frames of both sides are decoded in between: what lies in the first half belongs to what was before.
        self._gaps.append((before + left // 2, excess))
        gap, shortened = float((excess + left) * self._time_base), float(excess * self._time_base)
        coarser = self._is_video and self._container in MOV_FAMILY
        keeps = "; .mkv keeps it" + (", and so does -video_track_timescale 1000" if coarser else "")
        self._on_warning(
            f"{self._name}: a gap of {gap:.0f} s has more ticks of {self._time_base} s than {self._container} holds: "
            f"shortened by {shortened:.0f} s{keeps}"
        )
