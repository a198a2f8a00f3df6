"""Runs as files: a TOML preset names options of the input, the network and the output::

    description = "what it is for"

    [output]
    video_codec = "libx265"      # a field of OutputOptions, or a flag without its dash ("c:v")
    crf = 15

    [output.options]             # what only the encoder or the muxer knows, by FFmpeg's names
    tune = "grain"

A preset is data: reading one runs nothing. It names no input and no output, cannot allow overwriting, and cannot name a
network's config, because those are Python; all of that stays with the command line.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamvsr.config import InputOptions, LiveOptions, ModelOptions, OutputOptions
from streamvsr.errors import UsageError
from streamvsr.options import Option, options_of

SECTIONS: Mapping[str, type] = {
    "input": InputOptions,
    "model": ModelOptions,
    "output": OutputOptions,
    "live": LiveOptions,
}

Value = str | bool | tuple[str, ...]
"""A text as on the command line; True or False for options without a value; several texts for those given often."""

REFUSED: Mapping[str, Mapping[str, str]] = {
    "input": {"path": "the input stands on the command line"},
    "model": {"config": "a config is a program, and a preset runs none: give --config on the command line"},
    "output": {
        "path": "the output stands on the command line",
        "overwrite": "whether to overwrite is said on the command line, with -y",
    },
}

OTHER_KINDS = (".yaml", ".yml", ".json", ".ini")
"""Files that people try, and that no preset is written in."""

MAX_BYTES = 1 << 20
"""A preset has some hundred bytes; what is much larger is another file, or a device."""


@dataclass(frozen=True, slots=True)
class Preset:
    name: str
    description: str = ""
    settings: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    """Section -> field of its options -> value, still as text."""
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Section -> FFmpeg's name -> value."""


def load(name: str) -> Preset:
    """The preset of a name or a file (``.toml``, or anything with a folder in it). Raises ``UsageError``."""
    import tomllib  # here: most runs have no preset

    path = find(name)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise UsageError(f"preset '{name}': this file is too large to be one")
        return _checked(name, tomllib.loads(data.decode("utf-8")))
    except OSError as error:
        raise UsageError(f"preset '{name}' cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"preset '{name}' is not TOML: {' '.join(str(error).split())}") from error


def find(name: str) -> Path:
    """The file of a preset: the user's own go before those that come with streamvsr."""
    if name.lower().endswith(OTHER_KINDS):
        raise UsageError(f"preset '{name}': a preset is a TOML file (docs/runs.md has one)")
    if name.endswith(".toml") or "/" in name or os.sep in name:
        return Path(name)
    for folder in folders():
        # Path.is_file raises where a folder above may not be entered.
        if os.path.isfile(folder / f"{name}.toml"):
            return folder / f"{name}.toml"
    known = names()
    close = difflib.get_close_matches(name, known, n=1)
    advice = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}" if known else "there are none"
    raise UsageError(f"no preset '{name}': {advice} (-preset {name}, with one dash, is the encoder's)")


def names() -> list[str]:
    """The presets that ``--preset`` knows by name."""
    return sorted({path.stem for folder in folders() if os.path.isdir(folder) for path in folder.glob("*.toml")})


def folders() -> list[Path]:
    """Where presets are looked for: the user's folder, then the shipped ones."""
    if sys.platform == "win32":
        own = os.environ.get("APPDATA") or "~/AppData/Roaming"
    else:
        own = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    here = Path(__file__).resolve().parent
    # Inside the installed package, or beside it in a source checkout.
    shipped = [folder / "configs" / "presets" for folder in (here, here.parent)]
    # Where there is no home the ~ stays, and no such folder is found.
    own = os.path.expanduser(own)
    return [Path(own) / "streamvsr" / "presets", *(folder for folder in shipped if folder.is_dir())]


def _checked(name: str, table: Mapping[str, Any]) -> Preset:
    settings: dict[str, dict[str, Value]] = {}
    options: dict[str, dict[str, str]] = {}
    for section, content in table.items():
        if section == "description" and isinstance(content, str):
            continue
        if section == "description":
            raise UsageError(f"preset '{name}': description: expected a text")
        if section not in SECTIONS:
            raise UsageError(f"preset '{name}': {_unknown(section, [*SECTIONS, 'description'], 'section')}")
        if not isinstance(content, dict):
            raise UsageError(f"preset '{name}': {section}: expected one section [{section}] of names and values")
        settings[section] = {}
        faces = dict(options_of(SECTIONS[section]))
        spelled = {flag.lstrip("-"): key for key, face in faces.items() for flag in face.flags} | {k: k for k in faces}
        for key, value in content.items():
            if key == "options" and section in ("input", "output"):
                options[section] = _pass_through(name, section, value)
                continue
            found = str(spelled.get(key, key))
            if found in REFUSED.get(section, {}):
                raise UsageError(f"preset '{name}': [{section}] {key}: {REFUSED[section][found]}")
            if found not in faces:
                raise UsageError(f"preset '{name}': [{section}] has no {_unknown(key, list(spelled))}")
            if found in settings[section]:
                raise UsageError(f"preset '{name}': [{section}] {found} is given twice, the second time as {key}")
            settings[section][found] = _value(faces[found], value, f"preset '{name}': [{section}] {key}")
    return Preset(name, str(table.get("description", "")), settings, options)


def _value(face: Option, value: Any, where: str) -> Value:
    if face.kind in ("flag", "yes_no"):
        if not isinstance(value, bool):
            raise UsageError(f"{where}: expected true or false")
        return value
    if face.kind in ("list", "pairs") and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UsageError(f"{where}: expected {'texts in brackets' if face.kind in ('list', 'pairs') else 'one value'}")
    return (str(value),) if face.kind in ("list", "pairs") else str(value)


def _pass_through(name: str, section: str, table: Any) -> dict[str, str]:
    where = f"preset '{name}': [{section}.options]"
    if not isinstance(table, dict):
        raise UsageError(f"{where}: expected a section of FFmpeg's names and values")
    for key, value in table.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise UsageError(f"{where} {key}: expected a text or a number, as ffmpeg takes it")
    return {key: str(value) for key, value in table.items()}


def _unknown(key: str, known: list[str], what: str = "") -> str:
    close = difflib.get_close_matches(key, known, n=3)
    advice = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(sorted(set(known)))}"
    return f"{f'unknown {what} ' if what else ''}'{key}': {advice}"
