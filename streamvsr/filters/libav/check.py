"""What can be said against a link of FFmpeg's before there is a frame, pointing at the place in the chain."""

from __future__ import annotations

from typing import Any

import av.filter

from streamvsr.errors import FilterError
from streamvsr.filters.language import Link, settings, write_settings, wrong
from streamvsr.filters.libav import info as libav_info
from streamvsr.filters.libav.info import LibavInfo
from streamvsr.filters.libav.wiring import check_options
from streamvsr.filters.params import near, unknown_option
from streamvsr.filters.registry import FFMPEGS, OURS, STAND_INS, entry_names

COMMON = ("enable", "threads", "thread_type", "extra_hw_frames")
"""Options that libavfilter gives to every filter."""


def bare_name(name: str) -> str:
    """FFmpeg's name of a filter in a chain."""
    return name.removeprefix(FFMPEGS)


def check_link(link: Link) -> None:
    """Raise ``UsageError`` for unknown names and options, wrong values, and filters that are no link of a chain."""
    name = bare_name(link.name)
    if not libav_info.has(name):
        raise wrong(link.column, unknown_filter(link.name))
    about = libav_info.info(name)
    _check_pads(link, about)
    for setting in settings(link):
        if setting.key == "enable" and not about.timeline:
            raise wrong(setting.column, f"{name} takes no 'enable': it cannot be switched on and off in time")
        if setting.key is not None and about.options is not None:
            there = [n for option in about.options for n in (option.name, *option.aliases)]
            if setting.key not in (*there, *COMMON):
                raise wrong(setting.column, unknown_option(name, setting.key, there))
    try:
        check_options(name, link.arguments)
    except FilterError as exc:
        column, why = _first_wrong(link, name, str(exc))
        raise wrong(column, why) from exc
    if about.dynamic:
        graph = av.filter.Graph()  # the pads go with the graph
        instance: Any = graph.add(name, link.arguments)
        pads = len(instance.inputs), len(instance.outputs)
        if pads != (1, 1):
            raise wrong(link.column, _no_link(name, *pads))


def _check_pads(link: Link, about: LibavInfo) -> None:
    inputs, outputs = about.inputs, about.outputs
    if inputs is None or outputs is None or about.in_a_chain:
        return
    if False in (*inputs, *outputs):
        raise wrong(link.column, f"{about.name} is a filter for sound, and only video is filtered here")
    raise wrong(link.column, _no_link(about.name, len(inputs), len(outputs)))


def _no_link(name: str, inputs: int, outputs: int) -> str:
    what = [f"{n} {kind}{'s' if n > 1 else ''}" for n, kind in ((inputs, "input"), (outputs, "output"))]
    pads = f"{what[0] if inputs else 'no input'} and {what[1] if outputs else 'no output'}"
    return f"{name} has {pads}: a chain takes filters with one of each"


def unknown_filter(name: str) -> str:
    """The complaint about a name that is neither ours nor FFmpeg's: what is near, or what stands in."""
    bare = name.removeprefix(FFMPEGS).removeprefix(OURS)
    if not name.startswith(OURS) and bare in STAND_INS:
        return f"FFmpeg's filter {bare} is not in PyAV's builds; instead: {STAND_INS[bare]}"
    if name.startswith(OURS) and libav_info.has(bare):
        return f"there is no filter {name!r} of ours; FFmpeg's is {bare}"
    close = near(bare, [*entry_names(), *libav_info.names()])
    return f"there is no filter {name!r}; {close or 'streamvsr filters lists them'}"


def _first_wrong(link: Link, name: str, complaint: str) -> tuple[int, str]:
    """The first setting that FFmpeg does not take, and its complaint without what is said here anyway."""
    why = complaint.partition(" these options: ")[2] or complaint
    given = settings(link)
    for count, setting in enumerate(given, start=1):
        try:
            check_options(name, write_settings([(s.key, s.value) for s in given[:count]]))
        except FilterError as exc:
            if str(exc).endswith(why):
                return setting.column, f"{name} does not take {setting.value!r}: {why}"
    return link.column, f"{name} cannot be made: {why}"
