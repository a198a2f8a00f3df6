"""What a job is: the input, the options and the programs that decide every bit of its output, and where it is cut.

A plan is plain data. Two runs with equal plans give equal segments, so what one has finished the other may take over.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

from streamvsr.config import Config
from streamvsr.errors import SourceError
from streamvsr.options import is_sensitive
from streamvsr.plain_json import from_json, plain, to_json
from streamvsr.secrets import HIDDEN, mask

FORMAT = 4
"""Of the files in a job's folder."""

SEGMENT_SECONDS = 60
"""What a power cut loses at most. 40 frames of context a segment are 2.7 % of its frames at 25 a second."""

MAX_CUTS = 1000
"""A file may state any length, and have a gap of days in it: segments are longer then."""

SAMPLE_BYTES = 1 << 20
"""How much of the input's beginning and end is hashed beside its size and date."""

IRRELEVANT = {"input": {"realtime"}, "output": {"path", "overwrite", "timeout"}, "model": {"threads"}}
"""Options that change nothing about the output's contents."""


@dataclass(frozen=True, slots=True)
class InputIdentity:
    """Which file was read, as far as it is known without reading it all."""

    path: str
    bytes: int
    modified_ns: int
    sha256_of_ends: str

    @classmethod
    def of(cls, path: str) -> InputIdentity:
        """Raises ``SourceError``."""
        try:
            found = os.stat(path)
            digest = hashlib.sha256()
            with open(path, "rb") as file:
                digest.update(file.read(SAMPLE_BYTES))
                if found.st_size > SAMPLE_BYTES:
                    file.seek(max(SAMPLE_BYTES, found.st_size - SAMPLE_BYTES))
                    digest.update(file.read(SAMPLE_BYTES))
        except OSError as error:
            raise SourceError(f"'{path}' cannot be read: {error.strerror or error}") from error
        return cls(os.path.abspath(path), found.st_size, found.st_mtime_ns, digest.hexdigest())


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the input that is computed and encoded by itself: its frames [start, end), in ticks of the plan's
    ``time_base``, which are those of the whole input."""

    start: int | None
    """None: it begins with the input."""
    end: int | None
    """None: it ends with the input."""
    before: int
    """Frames before its first one that are run first, and thrown away behind the network."""
    after: int
    """Frames behind its last one that the network sees."""
    entry: int | None = None
    """The key frame with which decoding begins; None: the input's first."""
    exit: int | None = None
    """The last frame that has to be decoded; None: up to the end."""
    scene: bool = False
    """A scene begins with it."""
    number: int = 0
    """Of the first frame that the network gets, within its scene."""
    seen: int = 0
    """How many of the frames before are looked at for scenes alone: the first ones."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a finished segment depends on. ``to_json`` and ``from_json`` give it back equal."""

    input: InputIdentity
    options: dict[str, dict[str, Any]]
    """Group -> field -> value of every option that differs from its default and matters for the contents."""
    models: tuple[str, ...]
    """Name and sha256 of the weights of each network in the chain."""
    versions: dict[str, str]
    """Of the packages that decide about bits."""
    time_base: Fraction
    segments: tuple[Segment, ...]
    precision: str = "fp32"
    """What the network computes with; where the user leaves it open, it is what was chosen when the job began."""
    encoder_threads: int = 0
    """Threads of the encoder, where its packets depend on their number and the user does not say; 0: its own affair."""
    decoded_through: str = ""
    """Why every segment's decoding begins with the input; nothing where it need not."""
    seconds: float = 0.0
    """How long it took to make. It decides nothing, so ``differences`` does not compare it."""
    format: int = FORMAT

    def starts(self) -> tuple[Fraction, ...]:
        """Seconds at which segments begin, but the first."""
        return tuple(one.start * self.time_base for one in self.segments if one.start is not None)

    def to_json(self) -> bytes:
        return to_json(self, indent=True)

    @classmethod
    def from_json(cls, data: bytes) -> Plan:
        """Raises ``ValueError`` for anything that is no plan."""
        return from_json(data, cls)

    def differences(self, other: Plan) -> list[str]:
        """In words, what is different in ``other``; nothing where the segments of the one fit the other."""
        found = []
        for name in ("bytes", "modified_ns", "sha256_of_ends"):
            if getattr(self.input, name) != getattr(other.input, name):
                found.append(f"the input has changed ({name.replace('_', ' ')})")
                break
        for group in sorted(self.options.keys() | other.options.keys()):
            mine, theirs = self.options.get(group, {}), other.options.get(group, {})
            found += [
                f"{group} option {name.replace('_', '-')} was {_shown(mine.get(name))}, is {_shown(theirs.get(name))}"
                for name in sorted(mine.keys() | theirs.keys())
                if mine.get(name) != theirs.get(name)
            ]
        if self.models != other.models:
            found.append("the network or its weights have changed")
        found += [
            f"{name} was {self.versions.get(name, 'absent')}, is {other.versions.get(name, 'absent')}"
            for name in sorted(self.versions.keys() | other.versions.keys())
            if self.versions.get(name) != other.versions.get(name)
        ]
        if self.format != other.format:
            found.append("it was planned in another way")
        return found


def regular_borders(duration: Fraction, seconds: int = SEGMENT_SECONDS) -> tuple[Fraction, ...]:
    """About where segments begin: every ``seconds``, or a multiple of them, of which ``MAX_CUTS`` are enough; the last
    segment is at least half as long."""
    seconds *= int(duration // (seconds * MAX_CUTS)) + 1
    count = max(0, (2 * duration // seconds - 1) // 2)
    return tuple(Fraction(seconds * n) for n in range(1, int(count) + 1))


def stated_options(config: Config) -> dict[str, dict[str, Any]]:
    """Group -> field -> plain value of the options that are not at their default and matter for the contents. None of
    them is a secret: the plan lies in a file."""
    stated: dict[str, dict[str, Any]] = {}
    for group in ("input", "output", "model"):
        options = getattr(config, group)
        fresh = type(options)()
        left_out = IRRELEVANT.get(group, set()) | {"path"}
        values = {
            f.name: _without_secrets(plain(getattr(options, f.name)))
            for f in fields(options)
            if f.name not in left_out and getattr(options, f.name) != getattr(fresh, f.name)
        }
        if values:
            stated[group] = values
    return stated


def _without_secrets(value: Any, name: str = "") -> Any:
    """A password in a URL decides no bit of the output; a key does, and its place is taken by a slow digest of it."""
    if isinstance(value, dict):
        return {key: _without_secrets(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_secrets(each, name) for each in value]
    if not isinstance(value, str):
        return value
    if is_sensitive(name):
        return f"{HIDDEN} {hashlib.scrypt(value.encode(), salt=name.encode(), n=1 << 14, r=8, p=1, dklen=8).hex()}"
    return mask(value)


def versions(names: Sequence[str] = ("av", "numpy", "torch")) -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    import streamvsr

    found = {"streamvsr": streamvsr.__version__}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def weights_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _shown(value: Any) -> str:
    return "not given" if value is None else str(value)
