"""``streamvsr models verify``: whether the checkpoints at hand are what they are said to be, and can be loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from streamvsr.errors import CheckpointError
from streamvsr.models import registry, resources
from streamvsr.models.checkpoint import read
from streamvsr.models.convert import WEIGHTS_HASH, hash_of_weights
from streamvsr.models.fetch import sha256_of

SUFFIXES = frozenset({".pth", ".pt", ".safetensors"})


class Verdict(NamedTuple):
    """What was found about one file."""

    path: Path
    sha256: str | None
    """None where the file cannot be read."""
    good: bool
    text: str
    """What the file is, or what is wrong with it."""


def verify() -> Iterator[Verdict]:
    """All checkpoints in the folders where they are looked for, and downloads that were not finished."""
    for folder in resources.checkpoint_folders():
        for path in sorted(folder.iterdir()):
            if path.suffix == ".part":
                yield Verdict(path, None, True, "an unfinished download: the same 'models fetch' goes on from there")
            elif path.suffix in SUFFIXES and path.is_file():
                yield verify_file(path)


def verify_file(path: Path) -> Verdict:
    """Hash, contents and fit of one checkpoint. Never raises for what is in the file."""
    digest: str | None = None
    try:
        digest = sha256_of(path)
        found = read(path)
        registry.load_state(found.architecture, dict(found.state), found.config, path)
        stated = found.config.get(WEIGHTS_HASH)
        if stated is not None and stated != hash_of_weights(found.state):
            return Verdict(path, digest, False, "damaged: its weights are not those that were converted")
    except CheckpointError as error:
        return Verdict(path, digest, False, str(error).removeprefix(f"{path}: "))
    except OSError as error:
        return Verdict(path, digest, False, f"cannot be read: {error.strerror or error}")
    places = [(known, place) for known in registry.known_checkpoints() for place in known.places]
    if listed := next((known for known, place in places if place.accepts(digest)), None):
        return Verdict(path, digest, True, f"{listed.name} as published, {listed.licence}")
    if wanted := next((place for _, place in places if place.file_name == path.name), None):
        text = f"{found.architecture}, but not the file that is published under this name (sha256 {wanted.hash_text})"
        return Verdict(path, digest, False, text)
    licence = found.config.get("licence", "licence unknown")
    origin = f", converted from {found.config['source']}" if stated is not None and "source" in found.config else ""
    shipped = next((k for k in registry.known_checkpoints() if not k.places and path.name in k.files), None)
    kind = "comes with streamvsr" if shipped else "of your own"
    return Verdict(path, digest, True, f"{found.architecture}, {kind if not origin else 'intact'}, {licence}{origin}")
