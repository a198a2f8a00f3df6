"""Descriptions as JSON and back, equal: tracks, streams, plans, segments, records. Nothing in them is executed."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def to_json(value: object, *, indent: bool = False) -> bytes:
    """Any dataclass of plain values: numbers, text, bytes (as base64), fractions (as ``"1001/30000"``), tuples,
    mappings and other such dataclasses. Keys are sorted, so that equal values give equal bytes.

    ``indent``: for people to read.
    """
    data = msgspec.json.encode(value, enc_hook=_encoded, order="sorted")
    return msgspec.json.format(data) if indent else data


def from_json(data: bytes, type: type[T]) -> T:
    """The value again. Raises ``ValueError`` where ``data`` is no such thing."""
    try:
        return msgspec.json.decode(data, type=type, dec_hook=_decoded)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error


def plain(value: object) -> Any:
    """The value as JSON has it: of dictionaries, lists, text, numbers, true, false and null."""
    return msgspec.json.decode(msgspec.json.encode(value, enc_hook=_encoded))


def _encoded(value: Any) -> Any:
    if isinstance(value, Fraction):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} is no plain value")


def _decoded(wanted: type, value: Any) -> Any:
    if wanted is Fraction:
        try:
            return Fraction(value)
        except ZeroDivisionError as error:
            raise ValueError(f"{value} is no number") from error
    raise NotImplementedError(f"{wanted.__name__} is no plain value")
