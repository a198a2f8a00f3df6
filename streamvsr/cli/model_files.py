"""``streamvsr models fetch | convert | verify``: what is done with files of weights."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from streamvsr.cli.console import Console, encodable, one_line
from streamvsr.errors import UsageError

Options = Mapping[str, str]


def fetch_command(names: Sequence[str], options: Options, console: Console) -> int:
    from streamvsr.cli.download import Download
    from streamvsr.models import registry, resources
    from streamvsr.models.fetch import fetch

    if "--list" in options:
        print(encodable(sources(), sys.stdout))
        return 0
    if not names:
        raise UsageError("streamvsr models fetch: give a name; 'streamvsr models fetch --list' shows them")
    # A wrong name is said before the first one is fetched.
    for known in [registry.known_checkpoint(name) for name in names]:
        console.note(f"{known.name}: {known.licence}. {known.note}")
        with Download(known.name, console) as shown:
            path = fetch(known, resources.cache_folder(), on_progress=shown.update, note=console.warning)
        console.note(f"{known.name}: {path}")
    return 0


def sources() -> str:
    """Where each checkpoint that can be fetched comes from, in the order of trying, and what it is checked with."""
    from streamvsr.models import registry

    lines = []
    for known in registry.known_checkpoints():
        if not known.fetchable:
            continue
        size = f", {known.size_mb} MB" if known.size_mb else ""
        lines.append(f"{known.name}: for model {known.model}, {known.licence}{size}")
        for place in known.places:
            lines += [f"    {place}", f"    sha256 {place.hash_text}"]
    return "\n".join(lines)


def convert_command(names: Sequence[str], options: Options, console: Console) -> int:
    if len(names) != 2:
        raise UsageError("streamvsr models convert: give a checkpoint and the .safetensors file to write")
    source, target = map(Path, names)
    if target.exists() and (source.samefile(target) if source.exists() else False):
        raise UsageError(f"streamvsr models convert: {target} is the checkpoint itself: give the result another name")
    if target.exists() and "-y" not in options:
        raise UsageError(f"streamvsr models convert: {target} is there already: give -y to write over it")
    from streamvsr.models.convert import convert

    metadata = convert(source, target, half="--fp16" in options, licence=options.get("--licence"))
    sizes = [path.stat().st_size / 1e6 for path in (source, target)]
    console.note(
        f"{target}: {metadata['architecture']}, {metadata['precision']}, licence {metadata['licence']};"
        f" {sizes[0]:.1f} MB to {sizes[1]:.1f} MB"
    )
    return 0


def verify_command(names: Sequence[str], options: Options, console: Console) -> int:  # noqa: ARG001
    """A line for each file on standard output; 1 where one of them is not as it should be."""
    from streamvsr.models.verify import verify, verify_file

    bad = count = 0
    for verdict in (verify_file(Path(name)) for name in names) if names else verify():
        count += 1
        bad += not verdict.good
        digest = f" sha256 {verdict.sha256}" if verdict.sha256 else ""
        line = f"{'good' if verdict.good else 'BAD '} {verdict.path}: {verdict.text}{digest}"
        print(encodable(one_line(line), sys.stdout))
    if not count:
        console.note("no checkpoints are here; 'streamvsr models' says where they are looked for")
    return 1 if bad else 0
