"""What is known about FFmpeg's filters before one is made: names, pads, options.

PyAV tells names, descriptions and flags. Options and the kinds of pads are read from the library that PyAV has loaded,
through functions and structures of FFmpeg's public interface (``AVFilter``, ``AVOption``); where the library cannot be
reached from here, they are not known, and FFmpeg alone says what it does not take.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import av.filter
import av.filter.graph

from streamvsr.media.av_errors import FOREIGN

DYNAMIC_INPUTS, DYNAMIC_OUTPUTS = 1, 2
TIMELINE = 3 << 16
"""AVFILTER_FLAG_SUPPORT_TIMELINE_GENERIC and _INTERNAL: the filter knows ``enable``."""

_KINDS = (
    "?", "flags", "int", "int", "number", "number", "text", "ratio", "binary", "pairs", "int", "const", "size",
    "pixel format", "sample format", "rate", "time", "colour", "bool", "channels", "int",
)  # fmt: skip
"""AVOptionType, by number; an array of them has a bit of its own."""
_CONST, _ARRAY = 11, 1 << 16
_BOUNDED = frozenset({"int", "number"})
_VIDEO_PARAM, _DEPRECATED = 16, 1 << 17
_VIDEO = 0


@dataclass(frozen=True, slots=True)
class LibavOption:
    name: str
    kind: str
    help: str = ""
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def wants(self) -> str:
        """What a value of it looks like, in words."""
        if self.choices and self.kind in ("int", "flags"):
            return f"one of {', '.join(self.choices)}" if self.kind == "int" else f"some of {'+'.join(self.choices)}"
        if self.kind in _BOUNDED and self.least is not None and self.most is not None:
            return f"{'a whole number' if self.kind == 'int' else 'a number'} {_range(self.least, self.most)}".strip()
        return {"bool": "0 or 1", "size": "a size such as 640x360"}.get(self.kind, f"a {self.kind}")


@dataclass(frozen=True, slots=True)
class LibavInfo:
    """One of FFmpeg's filters."""

    name: str
    description: str
    timeline: bool
    """Whether it takes ``enable``."""
    inputs: tuple[bool, ...] | None = None
    """For each pad whether it is video; None where that is not known."""
    outputs: tuple[bool, ...] | None = None
    dynamic: bool = False
    """The number of pads depends on the options."""
    options: tuple[LibavOption, ...] | None = None
    """In the order in which they are given without names; None where they are not known."""

    @property
    def in_a_chain(self) -> bool:
        """Whether it may stand in a chain of frames, as far as is known."""
        return all(pads is None or pads == (True,) or (self.dynamic and pads in ((), (True,))) for pads in self._pads)

    @property
    def _pads(self) -> tuple[tuple[bool, ...] | None, tuple[bool, ...] | None]:
        return self.inputs, self.outputs


def has(name: str) -> bool:
    return name in av.filter.filters_available


@cache
def names() -> tuple[str, ...]:
    """Every filter of this FFmpeg that may stand in a chain of frames."""
    return tuple(name for name in sorted(av.filter.filters_available) if _fits(info(name)))


def _fits(about: LibavInfo) -> bool:
    if not (about.in_a_chain and about.dynamic):
        return about.in_a_chain
    graph = av.filter.Graph()
    try:
        instance: Any = graph.add(about.name)
    except FOREIGN:
        return False  # it needs options, which decide
    return len(instance.inputs) == len(instance.outputs) == 1


@cache
def info(name: str) -> LibavInfo:
    """Raises ``ValueError`` where there is none of that name."""
    found = av.filter.Filter(name)
    dynamic = bool(found.flags & (DYNAMIC_INPUTS | DYNAMIC_OUTPUTS))
    about = LibavInfo(name, found.description or "", bool(found.flags & TIMELINE), dynamic=dynamic)
    library = _library()
    address: int | None = library.avfilter_get_by_name(name.encode()) if library else None
    if library is None or address is None:
        return about
    struct = _AVFilter.from_address(address)
    if struct.name != name.encode():
        return about
    pads = [
        tuple(
            library.avfilter_pad_get_type(pointer, n) == _VIDEO
            for n in range(library.avfilter_filter_pad_count(address, is_output))
        )
        for is_output, pointer in enumerate((struct.inputs, struct.outputs))
    ]
    options = tuple(_options(library, int(struct.priv_class))) if struct.priv_class else ()
    return LibavInfo(name, about.description, about.timeline, pads[0], pads[1], dynamic, options)


class _AVFilter(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("description", ctypes.c_char_p),
        ("inputs", ctypes.c_void_p),
        ("outputs", ctypes.c_void_p),
        ("priv_class", ctypes.c_void_p),
        ("flags", ctypes.c_int),
    )


class _AVOption(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("help", ctypes.c_char_p),
        ("offset", ctypes.c_int),
        ("type", ctypes.c_int),
        ("default", ctypes.c_int64),
        ("least", ctypes.c_double),
        ("most", ctypes.c_double),
        ("flags", ctypes.c_int),
        ("unit", ctypes.c_char_p),
    )


@cache
def _library() -> ctypes.CDLL | None:
    """The libavfilter that PyAV uses: its extension module leads to what it is linked with, wherever that lies."""
    try:
        library = ctypes.CDLL(av.filter.graph.__file__)
        pointer, number = ctypes.c_void_p, ctypes.c_int
        for name, result, arguments in (
            ("avfilter_get_by_name", pointer, [ctypes.c_char_p]),
            ("avfilter_filter_pad_count", ctypes.c_uint, [pointer, number]),
            ("avfilter_pad_get_type", number, [pointer, number]),
            ("av_opt_next", pointer, [pointer, pointer]),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError):
        return None
    return library


def _options(library: ctypes.CDLL, priv_class: int) -> Iterator[LibavOption]:
    """The options of a class: those that mean the same are one with ``aliases``, named values are ``choices``."""
    # An object is anything that begins with a pointer to its class.
    holder = ctypes.c_void_p(priv_class)
    found: list[_AVOption] = []
    at = library.av_opt_next(ctypes.byref(holder), None)
    while at:
        found.append(_AVOption.from_address(at))
        at = library.av_opt_next(ctypes.byref(holder), at)
    values: dict[bytes, list[str]] = {}
    for option in found:
        if option.type == _CONST and option.unit:
            values.setdefault(option.unit, []).append(option.name.decode())
    done: set[int] = set()
    for option in found:
        if option.type == _CONST or option.offset in done or not option.flags & _VIDEO_PARAM:
            continue
        done.add(option.offset)
        number = option.type & ~_ARRAY
        kind = _KINDS[number] if number < len(_KINDS) else "?"
        least, most = (option.least, option.most) if kind in _BOUNDED else (None, None)
        alike = tuple(o.name.decode() for o in found if o.offset == option.offset and o.type != _CONST)
        yield LibavOption(
            option.name.decode(),
            kind,
            (option.help or b"").decode(),
            least,
            most,
            tuple(dict.fromkeys(values.get(option.unit or b"", ()))),
            alike[1:],
        )


def _range(least: float, most: float) -> str:
    """A range in words; the limits of the machine's types are none."""
    low, high = abs(least) < 2e9, abs(most) < 2e9
    if low and high:
        return f"from {least:g} to {most:g}"
    return f"of at least {least:g}" if low else f"of at most {most:g}" if high else ""
