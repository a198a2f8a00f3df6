"""``streamvsr models``: the models, whether each could run here, and its weights, listed or fetched."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from streamvsr.cli.console import Console, encodable
from streamvsr.cli.parser import asks_for_help
from streamvsr.errors import UsageError

USAGE = """usage: streamvsr models                    list the models, and which of them could run here
       streamvsr models fetch NAME...      download checkpoints, check them, keep them where they are looked for
       streamvsr models fetch --list       what can be fetched, from where, under which licence"""
SWITCHES = frozenset({"--quiet", "--debug", "--list"})


def models_command(words: Sequence[str]) -> int:
    """List on standard output, or fetch; the exit code. Raises ``StreamvsrError``."""
    if asks_for_help(words):
        print(USAGE)
        return 0
    switches = {word for word in words if word in SWITCHES}
    names = [word for word in words if word not in SWITCHES]
    if unknown := [name for name in names if name.startswith("-")]:
        raise UsageError(f"streamvsr models: {unknown[0]}: not an option; --help shows what there is")
    if not names and "--list" not in switches:
        print(encodable(listing(), sys.stdout))
        return 0
    if not names or names[0] != "fetch":
        raise UsageError(f"streamvsr models: {(names or ['--list'])[0]}: did you mean 'streamvsr models fetch'?")
    if "--list" in switches:
        print(encodable(sources(), sys.stdout))
        return 0
    if not names[1:]:
        raise UsageError("streamvsr models fetch: give a name; 'streamvsr models fetch --list' shows them")
    _fetch(names[1:], Console(quiet="--quiet" in switches))
    return 0


def listing() -> str:
    """A paragraph a model: what it is for, what would run, and what else there is."""
    from streamvsr.models import registry, resources

    lines = []
    for listed in registry.list_models():
        state = str(listed.path) if listed.path else "ready" if listed.ready else "no checkpoint here"
        lines += [f"{listed.entry.name:13} {listed.entry.summary}", f"{'':13} {state}"]
        for known, path in listed.sources:
            if known.name == listed.entry.name:
                continue
            size = f"{known.size_mb} MB, " if known.size_mb else ""
            way = f"streamvsr models fetch {known.name}" if known.fetchable else f"download {known.url}"
            get = "here" if path or known.url is None else f"{size}{way}"
            lines += [f"{'':13} - {known.name} ({known.licence}): {get}", f"{'':15} {known.note}"]
    lines.append(f"Checkpoints are looked for in: {', '.join(map(str, resources.checkpoint_folders()))}")
    lines.append(f"Fetched ones go into: {resources.cache_folder()}")
    return "\n".join(lines)


def sources() -> str:
    """Where each checkpoint that can be fetched comes from, and what it is checked with."""
    from streamvsr.models import registry

    lines = []
    for known in registry.known_checkpoints():
        if not known.fetchable:
            continue
        size = f", {known.size_mb} MB" if known.size_mb else ""
        lines += [
            f"{known.name}: for model {known.model}, {known.licence}{size}",
            f"    {known.url}",
            f"    sha256 {known.sha256 or f'{known.sha256_prefix}...'}",
        ]
    return "\n".join(lines)


def _fetch(names: Sequence[str], console: Console) -> None:
    from streamvsr.cli.download import Download
    from streamvsr.models import registry, resources
    from streamvsr.models.fetch import fetch

    # A wrong name is said before the first one is fetched.
    for known in [registry.known_checkpoint(name) for name in names]:
        console.note(f"{known.name}: {known.licence}. {known.note}")
        with Download(known.name, console) as shown:
            path = fetch(known, resources.cache_folder(), told=shown.update)
        console.note(f"{known.name}: {path}")
