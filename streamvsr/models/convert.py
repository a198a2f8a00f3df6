"""``streamvsr models convert``: the restoring network of a checkpoint alone, as safetensors that say what they are.

A training checkpoint also holds the network as it was before averaging, an optimiser and a discriminator:
RealBasicVSR's is 148 MB, of which its averaged network is 25 MB in float32 and 13 MB in float16. Safetensors hold
numbers and text: nothing in them can run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy  # noqa: F401 - safetensors and hashing go through it, and torch without it fails in words of its own
import torch
from safetensors.torch import save_file
from torch import Tensor

from streamvsr.errors import CheckpointError, UsageError
from streamvsr.models import registry
from streamvsr.models.checkpoint import read
from streamvsr.models.fetch import sha256_of
from streamvsr.part_file import PartFile

WEIGHTS_HASH = "sha256_of_weights"
"""Key in the metadata: see ``hash_of_weights``."""
LEAST_HALVED = 1025
"""Values that a tensor has at least to be stored in float16: biases and statistics are small, and stay as they are."""


def hash_of_weights(state: Mapping[str, Tensor]) -> str:
    """The SHA-256 over names, types, shapes and values, in the order of the names."""
    digest = hashlib.sha256()
    for key in sorted(state):
        value = state[key].detach().contiguous()
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def convert(source: Path, target: Path, *, half: bool = False, licence: str | None = None) -> dict[str, str]:
    """Write the network in ``source`` to ``target`` (``.safetensors``), in float16 if ``half``; the metadata written.

    The licence is the one given, else that of the manifest where the file is one that it lists, else what a safetensors
    file says itself, else "unknown". Raises ``UsageError`` for another ending, ``CheckpointError`` where the source
    cannot be read, is of no network known here, or holds values too large for float16.
    """
    if target.suffix != ".safetensors":
        raise UsageError(f"{target}: the result is a .safetensors file: give it that ending")
    found = read(source)
    state = {key: _stored(value, half) for key, value in found.state.items()}
    if broken := [k for k, v in state.items() if not v.isfinite().all() and found.state[k].isfinite().all()]:
        raise CheckpointError(f"{source}: {broken[0]} holds values too large for float16: leave out --fp16")
    # Before anything is written: what does not make a network is no checkpoint.
    registry.load_state(found.architecture, state, found.config, source)
    listed = registry.published(source)
    metadata = dict(found.config) | {
        "architecture": found.architecture,
        "source": str(listed[1]) if listed else source.name,
        "source_sha256": sha256_of(source),
        "licence": licence or (listed[0].licence if listed else found.config.get("licence", "unknown")),
        "precision": "fp16" if half else "fp32",
        WEIGHTS_HASH: hash_of_weights(state),
    }
    try:
        part = PartFile(target, replace=True)
        try:
            save_file(state, part.path, metadata)
            part.commit()
        finally:
            part.discard()
    except OSError as error:
        raise CheckpointError(f"{target}: cannot be written: {error.strerror or error}") from error
    return metadata


def _stored(value: Tensor, half: bool) -> Tensor:
    if not value.is_floating_point():
        return value.contiguous()
    wanted = torch.float16 if half and value.numel() >= LEAST_HALVED else torch.float32
    # A tensor that shares memory with another one could not be saved.
    return value.to(wanted, copy=True).contiguous()
