"""``--print-config``: what holds, and where each setting comes from; the text is a preset itself."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from streamvsr.cli.layers import Origins
from streamvsr.config import GROUPS, Config
from streamvsr.options import Option, is_sensitive, options_of
from streamvsr.presets import REFUSED, SECTIONS
from streamvsr.secrets import HIDDEN


def config_text(config: Config, origins: Origins) -> str:
    """TOML; what is not set, and what a preset cannot say, as comments."""
    lines: list[str] = []
    for group, cls in GROUPS.items():
        values = getattr(config, group)
        comment_only = group not in SECTIONS
        lines += ["", f"{'# ' if comment_only else ''}[{group}]"]
        rows: list[tuple[str, str]] = []
        for name, face in options_of(cls):
            origin = origins.get((group, name), "default")
            value = getattr(values, name)
            text = _text(face, HIDDEN if face.sensitive and value is not None else value)
            if text is None:
                rows.append((f"# {name} is not set", origin))
            else:
                hidden = comment_only or name in REFUSED.get(group, {})
                rows.append((f"{'# ' if hidden else ''}{name} = {text}", origin))
        lines += _columns(rows)
        passed = getattr(values, "options", {})
        if passed:
            lines += ["", f"[{group}.options]"]
            found = [
                (
                    f"{_key(n)} = {_quoted(HIDDEN if is_sensitive(n) else v)}",
                    origins.get((group, f"options.{n}"), "default"),
                )
                for n, v in passed.items()
            ]
            lines += _columns(found)
    return "\n".join(lines[1:])


def _columns(rows: Sequence[tuple[str, str]]) -> list[str]:
    width = min(40, max((len(text) for text, _ in rows), default=0))
    return [f"{text:<{width}}  # {origin}" for text, origin in rows]


def _text(face: Option, value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple) and face.kind == "size":
        return _quoted(f"{value[0]}x{value[1]}")
    if isinstance(value, tuple):
        return f"[{', '.join(map(_quoted, value))}]"
    if isinstance(value, Fraction):
        return _quoted(str(value) if face.kind == "rate" else _decimal(value))
    if isinstance(value, int | float):
        return repr(value)
    return _quoted(str(value))


def _decimal(value: Fraction) -> str:
    """A time as the command line reads it; times that were typed are decimals, and exact here."""
    return f"{float(value):.9f}".rstrip("0").rstrip(".")


def _key(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() and name.isascii() else _quoted(name)


def _quoted(text: str) -> str:
    """A TOML string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
