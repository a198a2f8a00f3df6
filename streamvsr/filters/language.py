r"""The language of ``-vf``: FFmpeg's own, for one chain with one input and one output.

::

    chain    = ["[in]"] link { "," link } ["[out]"]
    link     = name ["@" instance] ["=" arguments]
    arguments = setting { ":" setting }            taken apart by the filter itself, after the first level is off
    setting  = [key "="] value

A chain is unescaped twice, as in "Notes on filtergraph escaping" of ffmpeg-filters: once when it is cut into links,
where ``\ ' [ ] , ;`` are special, and once when the arguments of a link are cut into settings, where ``\ ' :`` are. On
each level ``\x`` stands for x and ``'...'`` for what is between the quotes, backslashes included; white space around a
token is dropped unless it is escaped or quoted. So ``drawbox=x=1\,5`` gives the filter ``x=1,5``, and a colon inside of
a value is written ``'a\:b'`` or ``a\\:b``.

Everything keeps its column in the chain (counted from 1), so that errors can point at it. What FFmpeg lets pass and is
surely a slip is refused: a quote that is never closed, an empty link.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_letters, digits

from streamvsr.errors import UsageError
from streamvsr.quoting import WHITE, UnclosedQuoteError, after_white, token

_KEY = frozenset(ascii_letters + digits + "-_/.")
_LINK_SPECIALS, _SETTING_SPECIALS = "\\'[],;", "\\':"


@dataclass(frozen=True, slots=True)
class Link:
    """One filter of a chain as it is written."""

    name: str
    arguments: str = ""
    """With the first level of escaping off, as libavfilter's own ``init`` takes it."""
    column: int = 1
    """Where the name stands."""
    columns: tuple[int, ...] = ()
    """Where each character of ``arguments`` stands, and the end of them; empty where the link stands in no chain."""
    instance: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """One option of a link; ``key`` is None where it is given by its position."""

    key: str | None
    value: str
    column: int


def wrong(column: int, what: str) -> UsageError:
    """The error of a chain, pointing at the place."""
    return UsageError(f"-vf, at column {column}: {what}")


def parse(chain: str) -> tuple[Link, ...]:
    """The links of a chain in order. Raises ``UsageError`` for what is no chain with one input and one output."""
    text = _Text(chain, tuple(range(1, len(chain) + 2)))
    at = after_white(chain, 0)
    if chain.startswith("[in]", at):
        at = after_white(chain, at + 4)
    links: list[Link] = []
    while True:
        link, at = _link(text, at)
        links.append(link)
        if chain.startswith("[out]", at):
            after = after_white(chain, at + 5)
            if after == len(chain):
                return tuple(links)
        if at == len(chain):
            return tuple(links)
        if chain[at] == ";":
            raise wrong(at + 1, "';' begins a second chain, and -vf takes one: filters follow each other after ','")
        if chain[at] != ",":
            raise _label(at) if chain[at] in "[]" else wrong(at + 1, f"{chain[at]!r} does not belong here")
        at = after_white(chain, at + 1)


def settings(link: Link) -> tuple[Setting, ...]:
    """The options in a link's arguments, with the second level of escaping off."""
    text = _Text(link.arguments, link.columns or (link.column,) * (len(link.arguments) + 1))
    found: list[Setting] = []
    at, end = 0, len(text.value)
    while at < end:
        at = after_white(text.value, at)
        column = text.columns[at]
        key_end = at
        while key_end < end and text.value[key_end] in _KEY:
            key_end += 1
        equals = after_white(text.value, key_end)
        key = None
        if equals < end and text.value[equals] == "=":
            key = text.value[at:key_end]
            if not key:
                raise wrong(column, f"an option of {link.name} has no name before its '='")
            at = equals + 1
        value, at = _token(text, at, ":")
        at += 1
        found.append(Setting(key, value.value, column))
    return tuple(found)


def write(links: Sequence[Link]) -> str:
    """The chain of these links; ``parse`` gives them back, columns apart."""
    return ",".join(
        escape(link.name, _LINK_SPECIALS + "=@")
        + (f"@{escape(link.instance, _LINK_SPECIALS + '=')}" if link.instance else "")
        + (f"={escape(link.arguments, _LINK_SPECIALS)}" if link.arguments else "")
        for link in links
    )


def write_settings(pairs: Sequence[tuple[str | None, str]]) -> str:
    """The arguments of a link with these options; ``settings`` gives them back."""
    return ":".join((f"{key}=" if key else "") + escape(value, _SETTING_SPECIALS) for key, value in pairs)


def escape(text: str, specials: str) -> str:
    """``text`` with a backslash before each special character, and before white space at its ends."""
    inner = text.strip(WHITE)
    lead = len(text) - len(text.lstrip(WHITE)) if inner else len(text)
    white = set(range(lead)) | set(range(lead + len(inner), len(text)))
    return "".join(f"\\{c}" if c in specials or n in white else c for n, c in enumerate(text))


@dataclass(frozen=True, slots=True)
class _Text:
    """Characters, where each of them stands in the chain, and where the text ends."""

    value: str
    columns: tuple[int, ...]


def _link(text: _Text, at: int) -> tuple[Link, int]:
    chain = text.value
    if chain.startswith("[", at):
        raise _label(at)
    column = text.columns[at]
    full, at = _token(text, at, "=,;[")
    name, _, instance = full.value.partition("@")
    if not name:
        raise wrong(column, "there is no filter here" if chain.strip(WHITE) else "the chain is empty")
    if chain[at : at + 1] != "=":
        return Link(name, "", column, (text.columns[at],), instance), at
    arguments, at = _token(text, at + 1, "[],;")
    return Link(name, arguments.value, column, arguments.columns, instance), at


def _label(at: int) -> UsageError:
    return wrong(
        at + 1,
        "link labels such as [a] are not possible: -vf takes one chain with one input and one output"
        r" (a bracket inside of an option is written \[)",
    )


def _token(text: _Text, at: int, ends: str) -> tuple[_Text, int]:
    """What stands from ``at`` to an unescaped character of ``ends``, unescaped, and where it ended."""
    try:
        found = token(text.value, at, ends)
    except UnclosedQuoteError as error:
        raise wrong(text.columns[error.place], str(error)) from error
    end = text.columns[found.end if found.value else found.start]
    return _Text(found.value, (*(text.columns[n] for n in found.places), end)), found.end
