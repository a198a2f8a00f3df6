"""``frames.Packet`` and PyAV's packets, in both directions."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, TypeAlias

import av
from av.packet import PacketSideData, packet_sidedata_type_from_literal

from streamvsr.frames import Packet

AvPacket: TypeAlias = "av.Packet[Any]"


def av_packet(packet: Packet) -> AvPacket:
    result: AvPacket = av.Packet(packet.data)
    result.time_base = packet.time_base
    result.pts, result.dts, result.duration = packet.pts, packet.dts, packet.duration
    result.is_keyframe = packet.keyframe
    for name, data in packet.side_data:
        try:
            side: Any = PacketSideData(packet_sidedata_type_from_literal(name), len(data))  # type: ignore[arg-type,call-arg]
        except ValueError:
            continue
        side.update(data)
        result.set_sidedata(side, move=True)
    return result


def plain_packet(packet: AvPacket) -> Packet:
    """The way back: ``track`` is the index of the packet's stream."""
    ticks = packet.time_base
    return Packet(
        track=packet.stream_index,
        data=bytes(packet),
        pts=packet.pts,
        dts=packet.dts,
        duration=packet.duration or 0,
        time_base=Fraction(ticks.numerator, ticks.denominator),
        keyframe=packet.is_keyframe,
        side_data=tuple((side.data_type, bytes(side)) for side in packet.iter_sidedata()),
    )
