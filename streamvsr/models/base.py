"""What a model is to the rest of streamvsr, whatever network is inside."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from streamvsr.config import ModelOptions

if TYPE_CHECKING:
    import torch


WORKING_MAPS = 6
"""Feature maps that a trunk of residual blocks needs at a time, with the convolutions' own working memory."""
Domain = Literal["rgb", "rgba", "luma", "ycbcr"]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a caller has to know before the first frame."""

    name: str
    scale: int
    """Output pixels per input pixel, in both directions."""
    domain: Domain
    """What the network takes: R'G'B' (3 channels), that and alpha (4), Y' alone (1 channel; the chroma is resized by
    the filter), or Y', Cb and Cr (3 channels; chroma -0.5..0.5, at full size on both sides, and no finer than half of
    it in the result)."""
    max_seq_len: int
    """Frames in a window, where the user does not say."""
    overlap: int
    """Frames of look-ahead at the end of a window, where the user does not say."""
    min_size_px: int = 1
    """The least height and width that the network takes; the filter pads smaller frames by replicating the edge."""
    max_history: int = 0
    """Frames that a carried state goes back at most, where the user does not say; 0: no bound. Longer windows raise it:
    one state has to last for 5/6 of the bound, so that what fits into a window is run as a whole."""
    temporal: bool = True
    """False where each output depends on its own frame alone: scenes need not be found then."""
    causal_after: int | None = None
    """Frames of look-ahead after which more of them change nothing at all (0: one frame suffices); None: no bound."""
    context: int = 40
    """Frames before a frame that its result depends on; older ones change it by one 8-bit code at most (``rt``, the
    clip of benchmarks/bench_cuts.py). For resuming and workers, where ``Model.exact_from`` knows no bound."""
    steady: bool = False
    """Whether its result is held still where the input stands still, where the user does not say."""
    tunable: bool = False
    """Whether the options with ``tuning`` (``config.ModelOptions``) are of use to it; else they are left alone."""
    useless: frozenset[str] = frozenset()
    """Names of those that are not, where the others are."""
    note: str = ""
    """What the user should know of these weights: what they are for, from whom, under which licence."""

    @property
    def channels(self) -> int:
        """Of what the network takes, and of what it gives."""
        return {"luma": 1, "rgba": 4}.get(self.domain, 3)


def silent(text: str) -> None:
    """For callers who want no warnings."""


class Session(ABC):
    """One run of one video through a model. Not thread safe; belongs to one stage."""

    @abstractmethod
    def reset(self, number: int = 0) -> None:
        """Forget everything: the next window begins with frame ``number`` of a scene, so anything that happens at
        regular frames of a scene happens as in a session that has seen those before."""

    @abstractmethod
    def window(self, frames: torch.Tensor, new: int, keep: range) -> Iterator[torch.Tensor]:
        """Run one window and yield the outputs to keep, one at a time, in order.

        ``frames``: (T, C, H, W), float32, on the model's device, nominal range 0..1, C and the value domain as
        ``ModelInfo.domain`` says, H and W at least ``min_size_px``. A network in half precision rounds what its layers
        take; the enlargement that they are added to stays float32, or ten-bit video would come out in eight bits.
        ``new``: how many frames at the end of ``frames`` this session has not been given since its last reset. The
        T - new frames before them are the ones that followed the last kept frame of the window before (so ``frames``
        always begins right after it), or, in independent windows, T == new after a reset.
        ``keep``: the positions in ``frames`` whose results are wanted, contiguous. The session carries its state
        forward to ``keep.stop - 1``: the next window, unless a reset comes first, begins at ``keep.stop``.

        Yields ``len(keep)`` tensors (C, H*scale, W*scale) on the model's device, values not clamped: float32, or half
        precision from networks that are half precision throughout. The generator must be consumed or closed before the
        next call. Nothing is changed in ``frames``.
        """


class Model(ABC):
    """A network with its weights, on a device, ready to run."""

    info: ModelInfo
    weights: Path | None = None
    """The file that the weights were read from."""

    @abstractmethod
    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        """Move to ``device`` and compute in ``dtype``; frames stay float32 in half precision."""

    def tune(self, options: ModelOptions, warn: Callable[[str], None] = silent) -> None:
        """Take the options for the sessions created from now on; what a model has no use for, it leaves alone.

        ``warn`` gets one line for each thing that goes differently from what was asked. Without a call the defaults
        hold.
        """

    @property
    def pixel_bytes(self) -> int:
        """Memory that it takes for a pixel of the input while it works, about, in float32 and without tiles."""
        from torch import nn

        networks = [value for value in vars(self).values() if isinstance(value, nn.Module)]
        widths = [m.in_channels for net in networks for m in net.modules() if isinstance(m, nn.Conv2d)]
        return WORKING_MAPS * 4 * max(widths, default=0)

    def bf16_module(self) -> torch.nn.Module | None:
        """The module that computes, where its results in bfloat16 are known to be within 50 dB of those in float32, so
        that ``--precision auto`` may choose it; None: they are not known to be."""
        return None

    def exact_from(self, number: int) -> int | None:  # noqa: ARG002
        """The frame of a scene from which on a session that was reset to frame ``number`` gives, in the same windows,
        what a session gives that has seen the scene from its first frame; None where that is never quite so.

        Holds for the options that ``tune`` was given.
        """
        return None

    @abstractmethod
    def session(self) -> Session:
        """A fresh session with no history."""
