"""The models that streamvsr has, which checkpoint each would take, and which one ``auto`` means here.

A model is one line in ``ENTRIES``; where its weights can be had stands in ``checkpoints/manifest.toml``. Importing this
loads no torch: the network's module is imported when a model is loaded.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatch
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from streamvsr.errors import CheckpointError, ModelError, UsageError
from streamvsr.models import resources
from streamvsr.models.licence import stated as licence_text
from streamvsr.models.manifest import Known, Place, read_manifest

if TYPE_CHECKING:
    from torch import Tensor

    from streamvsr.models.base import Model
    from streamvsr.models.mm_config import NetworkConfig


class Loader(Protocol):
    """What ``Entry.loader`` names: builds a model from its weights and what was stated about it beside them."""

    def __call__(self, state: dict[str, Tensor], config: dict[str, str], /) -> Model: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One model."""

    name: str
    """As given to ``--model``, and the ``architecture`` of its checkpoints."""
    loader: str
    """``module:function`` of a ``Loader``."""
    summary: str
    needs_checkpoint: bool = True

    def load(self, state: dict[str, Tensor], config: dict[str, str]) -> Model:
        module, function = self.loader.split(":")
        return cast(Loader, getattr(import_module(module), function))(state, config)


ENTRIES: Mapping[str, Entry] = {
    e.name: e
    for e in (
        Entry("rt", "streamvsr.models.rt:load", "x4, small and fast, for CPUs and live use"),
        Entry("realbasicvsr", "streamvsr.models.basicvsr:load", "x4, cleans and restores real footage, for GPUs"),
        Entry("basicvsr", "streamvsr.models.basicvsr:load", "x4, for clean footage that was only shrunk"),
        Entry(
            "basicvsr_pp",
            "streamvsr.models.basicvsr_pp:load",
            "x4 for clean footage that was only shrunk; x1 for compressed, noisy or blurred video",
        ),
        Entry("nanovsr", "streamvsr.models.nanovsr:load", "x4, light, for clean footage that was only shrunk"),
        Entry("animesr", "streamvsr.models.animesr:load", "x4, for animation, looks at neighbouring frames"),
        Entry("srvgg", "streamvsr.models.srvgg:load", "x4, frame by frame, the small Real-ESRGAN networks"),
        Entry("spandrel", "streamvsr.models.spandrel:load", "x1 to x8, frame by frame, networks that spandrel knows"),
        Entry("bicubic", "streamvsr.models.plain:load_bicubic", "x4, plain interpolation, no network", False),
        Entry("identity", "streamvsr.models.plain:load_identity", "x1, gives back what it gets", False),
    )
}
AUTO, SPANDREL = "auto", "spandrel"


class Selection(NamedTuple):
    """A model to run, its weights, and a sentence for the user on why this one."""

    entry: Entry
    path: Path | None
    reason: str


class Listed(NamedTuple):
    """A line of ``streamvsr models``."""

    entry: Entry
    path: Path | None
    """The checkpoint that would be taken; None where there is none, or none is needed."""
    sources: tuple[tuple[Known, Path | None], ...]
    """The checkpoints of this model that the manifest lists, and where they are; None: not here."""

    @property
    def ready(self) -> bool:
        return self.path is not None or not self.entry.needs_checkpoint


@cache
def known_checkpoints() -> tuple[Known, ...]:
    """The manifest's entries, in its order. Raises ``CheckpointError`` where it is damaged."""
    folder = resources.packaged_folder()
    if folder is None or not (folder / resources.MANIFEST).is_file():
        return ()
    path = folder / resources.MANIFEST
    try:
        return read_manifest(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (AttributeError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path}: the list of checkpoints is damaged; install streamvsr again") from error


def find_checkpoint(name: str) -> Path | None:
    """The best checkpoint at hand for the model ``name``.

    Looked for by file name in the package, in ``./checkpoints``, then in the user's cache folder; within a folder in
    the manifest's order. The contents are checked when it is loaded.
    """
    return _find([known for known in known_checkpoints() if known.model == name])


def is_here(name: str) -> bool:
    """Whether the checkpoint ``name`` of the manifest is at hand."""
    return _find([known for known in known_checkpoints() if known.name == name]) is not None


def _find(wanted: Iterable[Known]) -> Path | None:
    for folder in resources.checkpoint_folders():
        for known in wanted:
            if path := _in_folder(folder, known):
                return path
    return None


def _in_folder(folder: Path, known: Known) -> Path | None:
    for pattern in known.files:
        for path in sorted(folder.glob(pattern)):
            if os.path.isfile(path) and os.access(path, os.R_OK) and os.path.getsize(path):
                return path
    return None


def known_checkpoint(name: str) -> Known:
    """What the manifest lists under ``name``, or, where that is a model, the best that can be fetched for it.

    Raises ``UsageError`` that lists the names.
    """
    known = known_checkpoints()
    found = [k for k in known if k.name == name] or [k for k in known if k.model == name]
    if not found:
        names = [k.name for k in known if k.fetchable]
        close = get_close_matches(name, names, 1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise UsageError(f"no checkpoint is called {name!r}; {hint}there are {', '.join(names)}")
    return next((k for k in found if k.fetchable), found[0])


def how_to_get(name: str) -> str:
    """One sentence on where weights of the model or the checkpoint ``name`` can be had."""
    source = next((k for k in known_checkpoints() if name in (k.model, k.name) and k.fetchable), None)
    if source is None:
        address = next((str(k.places[0]) for k in known_checkpoints() if name == k.name and k.places), None)
        if address is not None:
            return f"download {address} and put it into {resources.cache_folder()}"
        return f"give a file with --checkpoint, or put one into {resources.cache_folder()}"
    return f"get it with 'streamvsr models fetch {source.name}', or give a file with --checkpoint"


def select(
    model: str = AUTO,
    checkpoint: str | Path | None = None,
    config: str | Path | None = None,
    device_has_gpu: bool = False,
) -> Selection:
    """Decide which model runs, from what the user gave and what is at hand.

    A checkpoint alone says which network it is, and so does a config; what else is given has to agree with them. With
    nothing given, ``realbasicvsr`` where its checkpoint is at hand and there is a GPU, else ``rt``. ``model`` may also
    be the name of a checkpoint in the manifest, which is then the one that is taken.
    Raises ``UsageError`` for an unknown model, ``CheckpointError`` for a missing or wrong checkpoint, and
    ``ModelError`` for a wrong config. Reading a checkpoint imports torch.
    """
    wanted = model
    if model != AUTO and model not in ENTRIES:
        named = next((k for k in known_checkpoints() if k.name == model), None)
        if named is None:
            known = [AUTO, *ENTRIES]
            near = difflib.get_close_matches(model, [*known, *(k.name for k in known_checkpoints())], n=1)
            if near:
                raise UsageError(f"unknown model {model!r}: did you mean {near[0]}?")
            raise UsageError(f"unknown model {model!r}; there are {', '.join(known)}, and checkpoints by name")
        model = named.model
    described = _network_config(config)
    if described is not None:
        if model not in (AUTO, described.architecture):
            raise ModelError(f"{config} describes a {described.architecture} network, but --model is {model}")
        model = described.architecture
        wanted = model if wanted == AUTO else wanted
    if checkpoint is not None:
        return _select_given(model, Path(checkpoint))
    if model == AUTO:
        return _select_auto(device_has_gpu)
    entry = ENTRIES[model]
    of_name = [k for k in known_checkpoints() if wanted in (k.model, k.name)]
    path = _find(of_name) if entry.needs_checkpoint else None
    if path is None and entry.needs_checkpoint:
        raise CheckpointError(f"no checkpoint for {wanted}: {how_to_get(wanted)}")
    return Selection(entry, path, f"model {model}" + (f" with {path.name}" if path else ""))


def _network_config(config: str | Path | None) -> NetworkConfig | None:
    if config is None:
        return None
    from streamvsr.models.mm_config import read_mm_config

    return read_mm_config(config)


def _select_given(model: str, path: Path) -> Selection:
    from streamvsr.models.checkpoint import read

    found = read(path).architecture
    if found not in ENTRIES:
        raise CheckpointError(f"{path}: says it is a {found!r} network; there are {', '.join(ENTRIES)}")
    if model not in (AUTO, found, SPANDREL):
        held = "a network that streamvsr has not" if found == SPANDREL else f"a {found} network"
        raise CheckpointError(f"{path}: holds {held}, but {model} is asked for by --model or --config")
    if model == SPANDREL:
        # Asked for by name it takes what we have a network of our own for, too.
        found = SPANDREL
    return Selection(ENTRIES[found], path, f"model {found}, the network of {path.name}")


def _select_auto(device_has_gpu: bool) -> Selection:
    small, large = find_checkpoint("rt"), find_checkpoint("realbasicvsr")
    if large and device_has_gpu:
        reason = f"model realbasicvsr: {large.name} is at hand and there is a GPU"
        return Selection(ENTRIES["realbasicvsr"], large, reason)
    if small:
        why = "RealBasicVSR wants a GPU" if large else "no RealBasicVSR checkpoint is at hand; see 'streamvsr models'"
        return Selection(ENTRIES["rt"], small, f"model rt: {why}")
    if large:
        reason = f"model realbasicvsr with {large.name}: the small model's weights are missing; slow without a GPU"
        return Selection(ENTRIES["realbasicvsr"], large, reason)
    raise CheckpointError("the weights that come with streamvsr are missing: install it again, or give --checkpoint")


def load_model(
    selection: Selection, config: str | Path | None = None, denoise: float | None = None, detail: float | None = None
) -> Model:
    """Build the selected model on the CPU in float32. ``config``: an mm config, whose numbers have to fit the weights.
    ``denoise``: 1 is the checkpoint itself, 0 the one that keeps noise, values between mix their weights (Wang et al.,
    "Deep network interpolation for continuous imagery effect transition", CVPR 2019). ``detail``: 0 to 2, instead of
    what the checkpoint states (``models/rt/color.py``).

    Raises ``UsageError`` for ``denoise`` where the checkpoint has no such partner and for ``detail`` where it has none,
    ``CheckpointError`` naming the file where the weights do not fit, ``ModelError`` where the config is wrong.
    """
    entry, path, _ = selection
    weak = None if denoise is None else _weak_partner(selection)
    if not entry.needs_checkpoint or path is None:
        _check_detail(detail, {}, entry.name)
        return entry.load({}, {})
    described = _network_config(config)
    from streamvsr.models.checkpoint import read

    found = read(path)
    if entry.name not in (found.architecture, SPANDREL):
        raise CheckpointError(f"{path}: holds a {found.architecture} network, not {entry.name}")
    listed = published(path)
    licence = {"licence": listed[0].licence} if listed else {}
    stated = licence | dict(found.config) | (dict(described.options) if described else {})
    state = dict(found.state)
    _check_detail(detail, state if entry.name == "rt" else {}, path.name)
    if detail is not None:
        stated["detail"] = str(detail)
    if denoise is not None and weak is not None and denoise < 1:
        state = _mixed(state, _weak_weights(weak, path), denoise, weak)
    model = load_state(entry.name, state, stated, path)
    if not model.info.note and not _came_along(path):
        model.info = replace(model.info, note=licence_text(stated))
    return model


def published(path: Path) -> tuple[Known, Place] | None:
    """The entry of the manifest whose file this is, by its hash, and the place that has the same; None: none has."""
    if _came_along(path):
        return None
    from streamvsr.models.fetch import sha256_of

    digest = sha256_of(path)
    return next(((k, p) for k in known_checkpoints() for p in k.places if p.accepts(digest)), None)


def _came_along(path: Path) -> bool:
    """Whether the file is one that is shipped with streamvsr."""
    folder = resources.packaged_folder()
    if folder is None or not os.path.samefile(path.parent, folder):
        return False
    return any(fnmatch(path.name, pattern) for k in known_checkpoints() if not k.places for pattern in k.files)


def load_state(architecture: str, state: Mapping[str, Tensor], config: Mapping[str, str], path: Path) -> Model:
    """The model of weights that were read from ``path``. Raises ``CheckpointError`` where they do not fit."""
    if architecture not in ENTRIES:
        raise CheckpointError(f"{path}: says it is a {architecture!r} network; there are {', '.join(ENTRIES)}")
    try:
        model = ENTRIES[architecture].load(dict(state), dict(config))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    model.weights = path
    return model


def _weak_partner(selection: Selection) -> Known:
    path = selection.path
    known = known_checkpoints()
    for one in known:
        if path is not None and one.weak and any(fnmatch(path.name, pattern) for pattern in one.files):
            return next(k for k in known if k.name == one.weak)
    which = selection.entry.name if path is None else path.name
    able = ", ".join(k.name for k in known if k.weak)
    raise UsageError(f"--denoise: {which} cannot be told how much to clean; {able} can, and --strength works with all")


def _check_detail(detail: float | None, state: Mapping[str, Tensor], name: str) -> None:
    if detail is not None and "detail.weight" not in state:
        raise UsageError(f"--detail: {name} has no detail to scale; rt-real has, and --strength works with all")


def _weak_weights(weak: Known, beside: Path) -> dict[str, Tensor]:
    path = _in_folder(beside.parent, weak) or _find([weak])
    if path is None:
        raise CheckpointError(f"--denoise below 1 needs {weak.name} too: {how_to_get(weak.name)}")
    from streamvsr.models.checkpoint import read

    return dict(read(path).state)


def _mixed(state: dict[str, Tensor], weak: dict[str, Tensor], share: float, known: Known) -> dict[str, Tensor]:
    """``share`` of ``state``, the rest of ``weak``."""
    if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in weak.items()}:
        raise CheckpointError(f"--denoise: the weights of {known.name} are not of the same network")
    return {key: weak[key].float().lerp(value.float(), share) for key, value in state.items()}


def list_models() -> tuple[Listed, ...]:
    """Every model, whether it could run here, and where its weights can be had."""
    return tuple(
        Listed(
            entry,
            find_checkpoint(entry.name) if entry.needs_checkpoint else None,
            tuple((k, _find([k])) for k in known_checkpoints() if k.model == entry.name),
        )
        for entry in ENTRIES.values()
    )
