"""What must not be shown: users, passwords, tokens and stream keys of URLs. The one place that takes URLs apart to hide
something in them.

Options whose values are secrets are declared where options are declared (``config.Option.sensitive`` and
``config.SENSITIVE_OPTIONS``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

HIDDEN = "***"
PLACEHOLDER = "USER:PASSWORD"
"""How messages of ours say where a password goes; not a secret."""

SHOWN_VALUE_CHARS = 4
"""A value of a query whose name is not known is shown up to this length: tokens have any name, and are long."""

_START = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)\\*:\\*/\\*/")
_IN_TEXT = re.compile(_START.pattern + r"[^\s'\"|<>]*")
_SECRET_NAME = re.compile(
    r"token|pass|pwd|secret|sign|key|auth|jwt|cred|session|cookie|hmac|hash|policy|user|login|streamid"
    r"|^(?:sig|sid|st|pw|pin|otp|hdn.*)$",
    re.IGNORECASE,
)
_HARMLESS_NAME = re.compile(
    r"[a-z_]*(?:timeout|size|port|addr|latency|mode|width|height|fps|rate|quality|format|channel|subtype|type|codec"
    r"|resolution|start|end|duration|time|date|ttl|reuse|nonfatal|listen|listen_timeout|transport|transtype|language"
    r"|lang|profile|index|number|version)",
    re.IGNORECASE,
)
_PAIR = re.compile(r"(?P<before>^|[?&;/~#])(?P<name>[^=&;/?#~]+)=(?P<value>[^&;/#~]*)")


@dataclass(frozen=True, slots=True)
class Url:
    """A URL in its parts, of which ``user`` is what stands before the ``@``. Together they are the whole text."""

    head: str
    """All up to and with the ``//``: FFmpeg nests protocols (``async:https://``)."""
    scheme: str
    user: str | None
    host: str
    path: str
    """From the first slash on."""
    query: str
    """With its question mark, and what follows a ``#``."""


def parse_url(text: str) -> Url | None:
    """The parts of a text that is a URL; None where it is none. Anything goes: FFmpeg takes spaces and quotes, too."""
    start = _START.search(text)
    if start is None:
        return None
    head, rest = text[: start.end()], text[start.end() :]
    host, path = _cut(rest, "/?#")
    user = None
    if "@" in host:
        user, _, host = host.rpartition("@")
    elif "@" in path and re.match(r"(?!\[)[^:]*:(?!\d{1,5}\\*$)", host):
        # A password with an unescaped slash: FFmpeg cannot use it, but it must not be shown.
        user, _, rest = rest.rpartition("@")
        host, path = _cut(rest, "/?#")
    path, query = _cut(path, "?#")
    return Url(head, start[1].lower(), user, host, path, query)


def mask_url(text: str) -> str:
    """``text``, a path or a URL, with what is secret in it replaced by ``***``."""
    url = parse_url(text)
    if url is None:
        return text
    user = "" if url.user is None else f"{url.user if url.user == PLACEHOLDER else HIDDEN}@"
    path, query = _each_secret(url, lambda _: HIDDEN)
    return f"{url.head}{user}{url.host}{path}{query}"


def mask(text: str) -> str:
    """``text`` with what is secret in the URLs in it replaced by ``***``."""
    return _IN_TEXT.sub(lambda found: mask_url(found[0]), text)


def secrets_in(text: str) -> set[str]:
    """What is secret in the URLs in ``text``, which may be one, or have some in it, escaped as in filters or not."""
    found: set[str] = set()
    plain = text.replace("\\", "").replace("'", "")

    def note(value: str) -> str:
        found.add(value)
        return value

    for url in (parse_url(text), parse_url(plain), *_urls(text), *_urls(plain)):
        if url is None:
            continue
        if url.user and url.user != PLACEHOLDER:
            found |= {url.user, url.user.partition(":")[2]}
        _each_secret(url, note)
    return {one for value in found for one in (value, unquote(value)) if one}


def _urls(text: str) -> Iterator[Url | None]:
    return (parse_url(found[0]) for found in _IN_TEXT.finditer(text))


def _each_secret(url: Url, change: Callable[[str], str]) -> tuple[str, str]:
    """Path and query, with each secret in them replaced by what ``change`` makes of it."""

    def pair(found: re.Match[str]) -> str:
        name, value = found["name"], found["value"]
        hidden = value and (_SECRET_NAME.search(name) or (found["before"] in "?&" and not _is_harmless(name, value)))
        return f"{found['before']}{name}={change(value) if hidden else value}"

    path = _PAIR.sub(pair, url.path)
    if url.scheme.startswith("rtmp"):
        # rtmp://host/app/key: whoever has the key can publish.
        app, _, key = path[1:].partition("/")
        if key:
            path = f"/{app}/{change(key)}"
    return path, _PAIR.sub(pair, url.query)


def _is_harmless(name: str, value: str) -> bool:
    return len(value) <= SHOWN_VALUE_CHARS or _HARMLESS_NAME.fullmatch(name) is not None


def _cut(text: str, ends: str) -> tuple[str, str]:
    """``text`` up to the first of ``ends``, and from there on."""
    at = next((place for place, letter in enumerate(text) if letter in ends), len(text))
    return text[:at], text[at:]
