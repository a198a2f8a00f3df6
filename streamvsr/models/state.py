"""Putting weights into a network, with errors that say which of them do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from streamvsr.errors import CheckpointError

Network = TypeVar("Network", bound=nn.Module)

NAMED_KEYS = 3
"""Keys named in an error; the rest are counted."""
SHOWN_CHARS = 80
"""Of each."""


def shown(key: str) -> str:
    """A name as an error shows it."""
    return key if len(key) <= SHOWN_CHARS else f"{key[:SHOWN_CHARS]}..."


def _some(keys: Iterable[str]) -> str:
    names = sorted(map(shown, keys))
    rest = len(names) - NAMED_KEYS
    return ", ".join(names[:NAMED_KEYS]) + (f" and {rest} more" if rest > 0 else "")


def require(state: Mapping[str, Tensor], *keys: str) -> None:
    """Raise ``CheckpointError`` unless all ``keys`` are there."""
    if missing := [key for key in keys if key not in state]:
        raise CheckpointError(f"weights are missing: {_some(missing)}")


def check_fit(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Raise ``CheckpointError`` unless names and shapes are exactly the network's, and all numbers finite."""
    wanted = network.state_dict()
    problems = []
    if missing := wanted.keys() - state.keys():
        problems.append(f"missing: {_some(missing)}")
    if unexpected := state.keys() - wanted.keys():
        problems.append(f"unknown: {_some(unexpected)}")
    wrong = [key for key in wanted.keys() & state.keys() if wanted[key].shape != state[key].shape]
    if wrong:
        key = min(wrong)
        shapes = f"{tuple(state[key].shape)} instead of {tuple(wanted[key].shape)}"
        problems.append(f"of another shape: {_some(wrong)} ({key} is {shapes})")
    if problems:
        raise CheckpointError(f"the weights do not fit {type(network).__name__}; {'; '.join(problems)}")
    numbers = [key for key, value in state.items() if value.is_floating_point() != wanted[key].is_floating_point()]
    if numbers:
        kind = str(state[min(numbers)].dtype).removeprefix("torch.")
        raise CheckpointError(f"the weights are no floating-point numbers: {_some(numbers)} ({kind})")
    check_finite(state)


def check_finite(state: Mapping[str, Tensor]) -> None:
    """Raise ``CheckpointError`` unless all numbers are finite."""
    if broken := [key for key, value in state.items() if value.is_floating_point() and not _is_finite(value)]:
        raise CheckpointError(f"the weights hold numbers that are not finite: {_some(broken)}")


def _is_finite(value: Tensor) -> bool:
    # There is no isfinite for numbers of 8 bits.
    return bool((value if value.element_size() > 1 else value.float()).isfinite().all())


def filled(make: Callable[[], Network], state: Mapping[str, Tensor]) -> Network:
    """The network that ``make`` gives, holding ``state`` as float32, channels last, on the CPU.

    Raises ``CheckpointError`` as ``check_fit`` does.
    """
    # Without memory until the weights come: two of the same would be held for a moment, and so would a second layout.
    with torch.device("meta"):
        network = make().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    check_fit(network, state)
    network.to_empty(device="cpu")
    network.load_state_dict({key: value.to(torch.float32) for key, value in state.items()})
    return cast(Network, network)
