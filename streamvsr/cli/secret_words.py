"""The secrets of a command line, so that none of its words reaches the screen, whatever becomes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamvsr.config import GROUPS, Config
from streamvsr.options import is_sensitive, options_of
from streamvsr.secrets import secrets_in

_OURS = frozenset(
    flag for group in GROUPS.values() for _, face in options_of(group) for flag in face.flags if face.sensitive
)


def typed_secrets(words: Sequence[str]) -> set[str]:
    """Of all words, before any of them is understood: also of a command line that makes no sense."""
    found: set[str] = set()
    flag = ""
    for word in words:
        found |= secrets_in(word)
        if _is_sensitive(flag):
            found |= _of_value(word)
        name, equals, value = word.partition("=")
        if equals and _is_sensitive(name):
            found |= _of_value(value)
        flag = word
    return found


def config_secrets(config: Config) -> set[str]:
    """Of what presets have added."""
    options: list[Mapping[str, str]] = [config.input.options, config.output.options]
    found: set[str] = set()
    for name, value in (pair for each in options for pair in each.items()):
        found |= secrets_in(value) | (_of_value(value) if is_sensitive(name) else set())
    return found | secrets_in(config.output.filters or "")


def _is_sensitive(flag: str) -> bool:
    return flag.startswith("-") and (flag in _OURS or is_sensitive(flag.lstrip("-")))


def _of_value(value: str) -> set[str]:
    """The value, its lines (FFmpeg prints headers one by one), and what follows a colon or an equals sign in them."""
    lines = {line.strip() for line in value.replace("\\r", "\n").replace("\\n", "\n").splitlines()}
    after = {line.partition(mark)[2].strip() for line in lines for mark in ":="}
    return {value, *lines, *after} - {""}
