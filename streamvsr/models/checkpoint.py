"""Reading weights: ``.pth``, ``.pt``, ``.safetensors`` of streamvsr, OpenMMLab and BasicSR. No code in them is run.

A training checkpoint holds more than the network: wrappers (``state_dict``, ``params``), prefixes of parallel training
(``module.``), a step counter, an optimiser, a discriminator, and the weights twice, as trained (``generator.``) and
averaged over training (``generator_ema.``). What is left after unwrapping is the averaged network alone, under mm
names.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from streamvsr.errors import CheckpointError
from streamvsr.models.licence import AUTHOR, LICENCE, SOURCE
from streamvsr.models.recognise import from_basicsr, recognise

WRAPPERS = (
    *("params_ema", "model_ema", "ema", "params", "state_dict", "model_state_dict", "model", "net_g_ema", "net_g"),
    *("netG", "generator_ema", "generator", "network", "weights", "module", "params-ema", "net"),
)
"""Keys below which others keep the weights; the first that is there is taken."""
MAX_WRAPPERS = 16
"""Wrappers inside of each other: a table can contain itself."""
NETWORK_PREFIXES = ("generator_ema.", "net_g_ema.", "generator.", "net_g.", "netG.")
"""Where a restorer keeps the network that restores, best first."""
LEFTOVERS = ("step_counter", "discriminator.", "perceptual_loss.", "gan_loss.", "pixel_loss.", "cleaning_loss.")
"""Parts of a training checkpoint that are of no use here."""
COMPILED = "_orig_mod."
"""What ``torch.compile`` puts before the names of the module that it wraps, which may be any part of the network."""
HOLDERS = ("model.", "network.", "net.")
"""Attributes of others' classes under which the whole network may lie."""
AVERAGE_COUNTERS = ("steps", "n_averaged")
"""Buffers that averaging wrappers (mmengine's, torch's) keep beside the weights."""
STATED = (*LICENCE, *AUTHOR, *SOURCE, "pro")
"""Short entries beside the weights of a torch file that are kept: of whom it is, and Real-CUGAN's mark of a variant."""
NO_CHECKPOINT = {
    b"version https://git-lfs": "a Git LFS pointer: fetch the file itself (git lfs pull)",
    b"<!doctype": "a web page: the download went wrong",
    b"<html": "a web page: the download went wrong",
    b"<?xml": "an XML answer of a server: the download went wrong",
}


MAX_EXPANSION = 16
"""How much larger than its file a checkpoint may be: weights can hardly be compressed, bombs are."""
MAX_EXPANSION_BYTES = 64 << 20
"""What it may be larger in any case."""
MAX_NUMBER_DIGITS = 4
"""Of a number in a weight's name. Networks are built with as many parts as the highest says."""
SHOWN_CHARS = 80

_LONG_NUMBER = re.compile(rf"(?:^|\.)\d{{{MAX_NUMBER_DIGITS + 1},}}(?:\.|$)")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Weights of one network, under mm names."""

    path: Path
    architecture: str
    """As in the registry: ``realbasicvsr``, ``basicvsr``, ``rt``...; ``spandrel`` where no network of our own fits."""
    state: Mapping[str, Tensor] = field(repr=False)
    """On the CPU, in the file's type."""
    config: Mapping[str, str] = field(default_factory=dict)
    """The metadata of a safetensors file, or what a torch file states (``STATED``)."""


def read(path: str | Path) -> Checkpoint:
    """Read, unwrap and recognise. Raises ``CheckpointError`` that names the file, the fault and the remedy."""
    path = Path(path)
    raw, config = _read(path)
    state = from_basicsr(_without_holder(_weights(path, raw)))
    return Checkpoint(path, _architecture(path, state, config), state, config)


def read_weights(path: str | Path, prefixes: Sequence[str] = NETWORK_PREFIXES) -> dict[str, Tensor]:
    """The weights alone, of whatever network: unwrapped, not recognised, names as they are. Errors as in ``read``."""
    path = Path(path)
    return _weights(path, _read(path)[0], prefixes)


def _read(path: Path) -> tuple[Any, dict[str, str]]:
    head = _head(path)
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        raw = _read_torch(path, head)
        return raw, _stated(raw)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error


def _weights(path: Path, raw: Any, prefixes: Sequence[str] = NETWORK_PREFIXES) -> dict[str, Tensor]:
    state = unwrap(raw, prefixes)
    if not state:
        raise CheckpointError(f"{path}: holds no weights, only {_kinds(raw)}; give the file of the network")
    for key, value in state.items():
        if problem := _problem(key, value):
            raise CheckpointError(f"{path}: the weight {_shown(key)} {problem}")
    return state


def _problem(key: str, value: Tensor) -> str:
    """What is wrong with a weight of any network; nothing mostly."""
    if _LONG_NUMBER.search(key):
        return f"has a number of more than {MAX_NUMBER_DIGITS} digits in its name"
    if value.layout != torch.strided or value.device.type == "meta":
        return "is sparse or without data; save plain weights"
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return f"claims {tuple(value.shape)} numbers and holds fewer; save contiguous weights"
    return ""


def _without_holder(state: dict[str, Tensor]) -> dict[str, Tensor]:
    inner = state
    while recognise(inner) is None:
        prefix = next((p for p in HOLDERS if all(key.startswith(p) for key in inner)), None)
        if prefix is None:
            return state
        inner = {key.removeprefix(prefix): value for key, value in inner.items()}
    return inner


def _shown(key: object) -> str:
    text = str(key)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}..."


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such checkpoint; 'streamvsr models' lists what is there") from error
    except IsADirectoryError as error:
        raise CheckpointError(f"{path}: is a folder; give the .pth or .safetensors file in it") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not head:
        raise CheckpointError(f"{path}: is empty; download it again")
    for start, what in NO_CHECKPOINT.items():
        if head.lstrip().lower().startswith(start):
            raise CheckpointError(f"{path}: is not a checkpoint but {what}")
    return head


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"{path}: damaged or no safetensors file ({error}); download it again") from error


def _read_torch(path: Path, head: bytes) -> Any:
    zipped = head.startswith(b"PK\x03\x04")
    if zipped and not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path}: is cut short; download it again")
    try:
        if zipped:
            _refuse_bomb(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error)
        if "nsupported" in reason and ("global" in reason.lower() or "class" in reason.lower()):
            what = "holds Python objects other than weights, which are not loaded because they can run code"
            raise CheckpointError(f"{path}: {what}; save its state_dict alone, or as safetensors") from error
        raise CheckpointError(f"{path}: is no checkpoint that torch can read, or it is damaged") from error
    except (OSError, CheckpointError):
        raise
    except Exception as error:
        # A cut or scrambled pickle makes torch raise nearly anything, assertions and missing keys included.
        raise CheckpointError(f"{path}: is damaged or no checkpoint; download it again") from error


def _refuse_bomb(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        inside = sum(entry.file_size for entry in archive.infolist())
    size = path.stat().st_size
    if inside > size * MAX_EXPANSION + MAX_EXPANSION_BYTES:
        raise CheckpointError(f"{path}: {size >> 10} KiB that would become {inside >> 20} MiB are no weights")


def _stated(raw: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for _ in range(MAX_WRAPPERS):
        if not isinstance(raw, Mapping):
            break
        found |= {key: str(raw[key]) for key in STATED if isinstance(raw.get(key), str | int | float)}
        raw = next((raw[key] for key in WRAPPERS if isinstance(raw.get(key), Mapping)), None)
    return found


def unwrap(raw: Any, prefixes: Sequence[str] = NETWORK_PREFIXES) -> dict[str, Tensor]:
    """The tensors of the restoring network alone, without wrappers and prefixes; empty where there are none.

    ``prefixes``: where the network may lie among others; the first that is there is taken.
    """
    for _ in range(MAX_WRAPPERS):
        inner = next((k for k in WRAPPERS if isinstance(raw, Mapping) and isinstance(raw.get(k), Mapping)), None)
        if inner is None:
            break
        raw = raw[inner]
    if not isinstance(raw, Mapping):
        return {}
    state = {str(key).replace(COMPILED, ""): value for key, value in raw.items() if isinstance(value, Tensor)}
    state = _strip(state, "module.")
    # Each time round a prefix goes: wrappers wrap wrappers.
    while prefix := next((p for p in prefixes if any(key.startswith(p) for key in state)), ""):
        state = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        state = _strip({k: v for k, v in state.items() if k not in AVERAGE_COUNTERS}, "module.")
    return {key: value for key, value in state.items() if not key.startswith(LEFTOVERS)}


def _strip(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    while state and all(key.startswith(prefix) for key in state):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _architecture(path: Path, state: Mapping[str, Tensor], config: Mapping[str, str]) -> str:
    if stated := config.get("architecture"):
        return stated
    found = recognise(state)
    if found is None:
        return "spandrel"
    if not found.supported:
        what = f"weights of {found.architecture}, which streamvsr's own networks cannot run"
        hint = "; --backend mmedit with its --config can" if found.in_mmedit else ""
        raise CheckpointError(f"{path}: {what}{hint}")
    return found.architecture


def _kinds(raw: Any) -> str:
    if isinstance(raw, Mapping):
        return f"a table with {', '.join(map(_shown, sorted(map(str, raw))[:4])) or 'nothing in it'}"
    return f"a {type(raw).__name__}"
