"""``streamvsr models``: the models, whether each could run here, and what is done with their weights."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from streamvsr.cli import model_files
from streamvsr.cli.console import Console, encodable
from streamvsr.cli.model_export import export_command
from streamvsr.cli.parser import asks_for_help
from streamvsr.errors import UsageError

if TYPE_CHECKING:
    from streamvsr.models.manifest import Known

USAGE = """usage: streamvsr models                    list the models, and which of them could run here
       streamvsr models --measure          the same, with this machine's speed measured first (a second)
       streamvsr models fetch NAME...      download checkpoints, check them, keep them where they are looked for
       streamvsr models fetch --list       what can be fetched, from where, under which licence
       streamvsr models convert IN OUT     the network of a checkpoint alone, as OUT.safetensors
           [--fp16] [--licence TEXT] [-y]  in half precision; under which licence; write over OUT
       streamvsr models export NAME OUT    a network of one frame, or one step of rt or animesr, as OUT.onnx
       streamvsr models verify [FILE...]   hash and contents of all checkpoints at hand, or of those given"""
SWITCHES = frozenset({"--quiet", "--debug", "--list", "--measure", "--fp16", "-y"})
VALUES = frozenset({"--licence"})
COMMANDS: Mapping[str, tuple[Callable[[Sequence[str], Mapping[str, str], Console], int], frozenset[str]]] = {
    "fetch": (model_files.fetch_command, frozenset({"--list"})),
    "convert": (model_files.convert_command, frozenset({"--fp16", "--licence", "-y"})),
    "export": (export_command, frozenset({"-y"})),
    "verify": (model_files.verify_command, frozenset()),
}
"""The word after ``models`` -> what takes the other words, and the options that it has beside the general ones."""
GENERAL = frozenset({"--quiet", "--debug"})


def models_command(words: Sequence[str]) -> int:
    """List on standard output, or do as told; the exit code. Raises ``StreamvsrError``."""
    if asks_for_help(words):
        print(USAGE)
        return 0
    names, options = _split(words)
    console = Console(quiet="--quiet" in options)
    if not names:
        if unknown := options.keys() - GENERAL - {"--measure"}:
            wanted = "fetch" if "--list" in unknown else "convert"
            raise UsageError(f"streamvsr models: {min(unknown)}: did you mean 'streamvsr models {wanted}'?")
        if "--measure" in options:
            from streamvsr.models.speed import measure

            _, path = measure()
            console.note(f"measured, and kept in {path}")
        print(encodable(listing(), sys.stdout))
        return 0
    if names[0] not in COMMANDS:
        raise UsageError(f"streamvsr models: {names[0]}: did you mean 'streamvsr models fetch'?")
    command, own = COMMANDS[names[0]]
    if unknown := options.keys() - GENERAL - own:
        raise UsageError(
            f"streamvsr models {names[0]}: {min(unknown)}: not an option of it; --help shows what there is"
        )
    return command(names[1:], options, console)


def _split(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Names, and options with their values."""
    names: list[str] = []
    options: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        if word in SWITCHES:
            options[word] = ""
        elif word in VALUES:
            value = next(rest, None)
            if value is None:
                raise UsageError(f"streamvsr models: {word} takes a value")
            options[word] = value
        elif word.startswith("-"):
            raise UsageError(f"streamvsr models: {word}: not an option; --help shows what there is")
        else:
            names.append(word)
    return names, options


def listing() -> str:
    """A paragraph a model: what it is for, what would run, how fast, and what else there is."""
    from streamvsr.models import registry, resources, speed

    here = speed.machine()
    lines = []
    for listed in registry.list_models():
        state = str(listed.path) if listed.path else "ready" if listed.ready else "no checkpoint here"
        lines += [f"{listed.entry.name:13} {listed.entry.summary}", f"{'':13} {state}"]
        for known, path in listed.sources:
            lines += [
                f"{'':13} - {known.name} ({known.licence}): {'here' if path else _way(known)}",
                f"{'':15} {_size(known, path)}{_origin(known)}; {speed.speed_text(known.kmacs, here)}",
                f"{'':15} {known.note}",
            ]
    way = f"measured on {here.device}" if here.measured else "estimated; 'streamvsr models --measure' measures"
    lines.append(f"Speeds: input of 320x180 on this machine, fp32, {way}.")
    lines.append(f"Checkpoints are looked for in: {', '.join(map(str, resources.checkpoint_folders()))}")
    lines.append(f"Fetched ones go into: {resources.cache_folder()}")
    return "\n".join(lines)


def _way(known: Known) -> str:
    """What brings the checkpoint here."""
    if not known.places:
        return "missing: install streamvsr again"
    return f"streamvsr models fetch {known.name}" if known.fetchable else f"download {known.places[0]}"


def _size(known: Known, path: Path | None) -> str:
    if path is None and known.size_mb is None:
        return f"{known.least_mb} MB or more" if known.least_mb else "size unknown"
    megabytes = path.stat().st_size / 1e6 if path else known.size_mb or 0
    return f"{megabytes:.2g} MB" if megabytes < 10 else f"{megabytes:.0f} MB"


def _origin(known: Known) -> str:
    if not known.places:
        return ""
    names = [urlsplit(p.url).hostname or "" if p.url else f"pip: {p.package}" for p in known.places]
    return f", from {' or '.join(dict.fromkeys(names))}"
