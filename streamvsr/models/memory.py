"""How much memory is free, and what running out of it looks like."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from streamvsr import system_memory

_SAYS = ("not enough memory", "out of memory", "can't allocate memory", "unable to allocate", "alloc_failed")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` is a want of memory, on whatever device: torch has a class for it on CUDA alone."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _SAYS)


def release(device: torch.device) -> None:
    """Give back what is not in use any more, so that a second attempt finds it."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def free_bytes(device: torch.device) -> int | None:
    """Memory that could be had now; None where nobody says."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return system_memory.free_bytes() if device.type == "cpu" else None


def peak_bytes(network: Callable[[Tensor], Tensor], x: Tensor) -> int:
    """The most memory that tensors held at any moment of ``network(x)``, ``x`` and the weights left out.

    What an operator needs while it runs is not seen: on a CPU that was up to half as much again.
    """
    held = _Held()
    with held:
        network(x)
    return held.peak


class _Held(TorchFunctionMode):
    """Counts the storages that functions make, and those that are gone again."""

    def __init__(self) -> None:
        super().__init__()
        self.peak: int = 0
        self._now = 0
        self._held: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        given = {id(value.untyped_storage()) for value in _tensors(args)}
        for value in _tensors(output):
            storage = value.untyped_storage()
            # A view shares the storage of what it shows.
            if id(storage) not in given | self._held:
                self._count(storage)
        return output

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        self._held.add(key)
        self._now += size
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._held.discard(key)
        self._now -= size


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    return [v for value in values for v in _tensors(value)] if isinstance(values, tuple | list) else []
