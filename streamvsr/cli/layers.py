"""Settings in layers: what the command line says lies over what a preset says, and that over the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamvsr.cli.values import PARSERS
from streamvsr.config import GROUPS
from streamvsr.errors import UsageError
from streamvsr.options import Option, options_of
from streamvsr.presets import Preset, Value

Origins = Mapping[tuple[str, str], str]
"""(group, field, or ``options.NAME``) -> "command line" or "preset NAME"; what is missing has its default."""

COMMAND_LINE = "command line"

ENCODER_FIELDS = ("crf", "bit_rate", "preset", "pixel_format")
"""Settings that mean something to one encoder: they are not handed to another one."""


class Layers:
    """Filled from the top: first what was typed, in order, then the presets, the last one first."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._typed: dict[str, dict[str, Any]] = {}
        self._typed_options: dict[str, dict[str, str]] = {}
        self._below: dict[str, dict[str, Any]] = {}
        self._options_below: dict[str, dict[str, str]] = {}
        self._origins: dict[tuple[str, str], str] = {}

    def over(self, group: str, name: str, face: Option, flag: str, text: str | None) -> None:
        """One typed option. Raises ``UsageError``."""
        values = self._typed.setdefault(group, {})
        if text is None:
            values[name] = flag == face.flags[0] if face.kind == "yes_no" else True
        elif face.kind in ("list", "pairs"):
            values[name] = (*values.get(name, ()), _parsed(face, flag, text))
        else:
            values[name] = _parsed(face, flag, text)

    def pass_through(self, group: str, name: str, value: str) -> None:
        """One typed option that only FFmpeg knows."""
        self._typed_options.setdefault(group, {})[name] = value

    def under(self, preset: Preset) -> None:
        """Put a preset under what was typed, and over the presets before it. Raises ``UsageError``."""
        self._retract(preset)
        settings = {group: dict(values) for group, values in preset.settings.items()}
        options = {group: dict(values) for group, values in preset.options.items()}
        self._give_way(preset, settings.get("output", {}), options.get("output", {}))
        for group, values in settings.items():
            faces = dict(options_of(GROUPS[group]))
            for name, value in values.items():
                where = f"preset '{preset.name}': [{group}] {name}"
                self._below.setdefault(group, {})[name] = _parsed_value(faces[name], where, value)
                self._origins[group, name] = f"preset {preset.name}"
        for group, passed in options.items():
            self._options_below.setdefault(group, {}).update(passed)
            self._origins.update({(group, f"options.{name}"): f"preset {preset.name}" for name in passed})

    def values(self, group: str) -> dict[str, Any]:
        """Field -> value of everything that was said."""
        return {**self._below.get(group, {}), **self._typed.get(group, {})}

    def options(self, group: str) -> dict[str, str]:
        return {**self._options_below.get(group, {}), **self._typed_options.get(group, {})}

    @property
    def origins(self) -> Origins:
        typed = {(group, name): COMMAND_LINE for group, values in self._typed.items() for name in values}
        passed = {(g, f"options.{name}"): COMMAND_LINE for g, values in self._typed_options.items() for name in values}
        return {**self._origins, **typed, **passed}

    def _retract(self, preset: Preset) -> None:
        """Take back of earlier presets what cannot stand beside this one."""
        output, before = preset.settings.get("output", {}), self._below.get("output", {})
        gone = [other for one, other in (("crf", "bit_rate"), ("bit_rate", "crf")) if one in output]
        encoder = before.get("video_codec")
        if encoder is not None and output.get("video_codec", encoder) != encoder:
            gone += ENCODER_FIELDS
            for name in self._options_below.pop("output", {}):
                del self._origins["output", f"options.{name}"]
        for name in gone:
            if before.pop(name, None) is not None:
                del self._origins["output", name]

    def _give_way(self, preset: Preset, output: dict[str, Value], options: dict[str, str]) -> None:
        """Take out of a preset what cannot stand beside what was typed: quality against bit rate, and all that was
        meant for another encoder."""
        typed = self._typed.get("output", {})
        for one, other in (("crf", "bit_rate"), ("bit_rate", "crf")):
            if one in typed:
                output.pop(other, None)
        encoder = typed.get("video_codec")
        if encoder is None or output.get("video_codec") in (None, encoder):
            return
        gone = [name for name in ENCODER_FIELDS if output.pop(name, None) is not None] + list(options)
        options.clear()
        if gone:
            meant = output["video_codec"]
            self.notes.append(f"preset {preset.name} is for {meant}, not {encoder}: without its {', '.join(gone)}")


def _parsed(face: Option, flag: str, text: str) -> Any:
    try:
        return PARSERS[face.kind](text)
    except ValueError as error:
        raise UsageError(f"{flag} {text}: {error}") from None


def _parsed_value(face: Option, where: str, value: Value) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, tuple):
        return tuple(_parsed(face, where, text) for text in value)
    return _parsed(face, where, value)
