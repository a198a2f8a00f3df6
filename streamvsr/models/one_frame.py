"""Networks that look at one frame at a time: one model and one session for all of them, whatever is inside."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Self

import torch
from torch import Tensor, nn

from streamvsr.config import ModelOptions, tile_px
from streamvsr.errors import ModelError
from streamvsr.models.base import Domain, Model, ModelInfo, Session, silent
from streamvsr.models.checks import check_window
from streamvsr.models.compiled import compiled
from streamvsr.models.memory import peak_bytes
from streamvsr.models.precision import HALF, WIDENED, ExactWeights, Flag, looks_broken
from streamvsr.models.tiling import Tiled, TilePlan

__all__ = ["DOMAINS", "FrameModel", "FrameSession", "Traits"]

DOMAINS: Mapping[int, Domain] = {1: "luma", 3: "rgb", 4: "rgba"}
"""By the channels of a network."""

USELESS = frozenset({"max_history", "dynamic_refine_thres", "refine_rule"})
"""Options of networks with a memory or a cleaning stage."""
PROBE_PX = 64
"""Side of the piece of a frame that a network's need of memory is measured on."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What is to be known of a network before it is run."""

    halo_px: int
    """Pixels around a tile that are computed and thrown away."""
    multiple_px: int = 1
    """Tiles begin at multiples of this, so that windows of an attention lie as in the whole frame."""
    tiles: bool = True
    """False where the network has to see the frame as a whole."""
    measures_frame: bool = False
    """Whether it takes means over the whole frame, which in tiles are means over each: results differ somewhat."""
    batches: bool = True
    """Whether several frames may go through it at once."""
    channels_last: bool = True
    """Whether it runs in that memory format: for networks of convolutions it is faster (benchmarks/bench_layout.py)."""
    bf16: bool = False
    """Whether its results in bfloat16 are known to be within 50 dB of those in float32."""
    without: frozenset[torch.dtype] = frozenset()
    """Types of numbers in which it does not give what it should."""


class FrameModel(Model):
    """A network of one frame with its weights; windows of one frame, no look-ahead.

    ``network``: (N, C, H, W), float32, 0..1, C as ``domain`` says, any H and W from 1, to (N, C, H * scale, W * scale);
    with weights in half precision it converts what its layers take. Nothing is changed in what it gets. A longer
    window, where asked for, is a batch.
    """

    def __init__(
        self, name: str, network: nn.Module, scale: int, traits: Traits, domain: Domain = "rgb", note: str = ""
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.traits = traits
        if traits.channels_last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        useless = USELESS if traits.tiles else USELESS | {"tile"}
        self.info = ModelInfo(
            name,
            scale,
            domain,
            max_seq_len=1,
            overlap=0,
            temporal=False,
            causal_after=0,
            steady=True,
            tunable=True,
            useless=useless,
            note=note,
        )
        self._exact = ExactWeights(self.network, whole=True)
        self._options = ModelOptions()
        self._warn: Callable[[str], None] = silent

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        """See ``Model.to``. Raises ``ModelError`` for a type that the network cannot compute in."""
        if dtype in self.traits.without:
            short = {torch.float16: "fp16", torch.bfloat16: "bf16"}.get(dtype, str(dtype))
            raise ModelError(f"--precision {short}: this {self.info.name} network does not run in it; leave it out")
        self._exact.convert(device, dtype)
        return self

    def tune(self, options: ModelOptions, warn: Callable[[str], None] = silent) -> None:
        self._options, self._warn = options, warn

    def bf16_module(self) -> nn.Module | None:
        return self.network if self.traits.bf16 else None

    def session(self) -> FrameSession:
        return FrameSession(self.network, self.info, self.traits, self._options, self._warn, self._exact.widen)


class FrameSession(Session):
    """Each frame by itself; nothing to remember but the size of tiles.

    A frame that half precision breaks is computed again in float32, and so are all that follow.
    """

    def __init__(
        self,
        network: nn.Module,
        info: ModelInfo,
        traits: Traits,
        options: ModelOptions,
        warn: Callable[[str], None] = silent,
        widen: Callable[[], None] | None = None,
    ) -> None:
        """``widen`` converts the weights to float32; None: no fallback."""
        weight = next((p for p in network.parameters() if p.is_floating_point()), None)
        if weight is None:
            raise ModelError(f"model {info.name}: the network has no weights")
        self._network, self._info, self._traits, self._weight = network, info, traits, weight
        self._layout = torch.channels_last if traits.channels_last else torch.contiguous_format
        self._warn, self._widen, self._warned = warn, widen, False
        self._plan = TilePlan(tile_px(options.tile) if traits.tiles else 0, warn)
        fast = compiled(network, weight.device, compile=options.compile, graphs=options.cuda_graphs, warn=warn)
        self._tiled = Tiled(fast, self._plan, traits.halo_px, info.scale, traits.multiple_px)

    def reset(self, number: int = 0) -> None:
        pass

    def window(self, frames: Tensor, new: int, keep: range) -> Iterator[Tensor]:
        """See ``Session.window``; ``frames`` is (T, C, H, W)."""
        check_window(frames, new, keep, self._weight, channels=self._info.channels)
        return self._run(frames, keep)

    def _run(self, frames: Tensor, keep: range) -> Iterator[Tensor]:
        step = max(1, len(keep)) if self._traits.batches else 1
        # On a GPU a batch is checked while the next one is computed, so that the device never waits.
        behind = 1 if frames.device.type == "cuda" else 0
        pending: deque[tuple[Tensor, Tensor, Flag | None]] = deque()
        for start in range(keep.start, keep.stop, step):
            batch = frames[start : min(start + step, keep.stop)]
            output, half = self._batch(batch), self._weight.dtype in HALF and self._widen is not None
            pending.append((batch, output, Flag(looks_broken(output, batch)) if half else None))
            if len(pending) > behind:
                yield from self._checked(*pending.popleft())
        while pending:
            yield from self._checked(*pending.popleft())

    def _checked(self, batch: Tensor, output: Tensor, broken: Flag | None) -> Tensor:
        """The output of the batch, in float32 where half precision broke it."""
        if broken is None or not broken.read():
            return output
        if self._weight.dtype in HALF and self._widen is not None:
            self._warn(WIDENED)
            self._widen()
        return self._batch(batch)

    # no_grad rather than inference_mode: the caller may go on to change the frame in place, outside of either.
    @torch.no_grad()
    def _batch(self, frames: Tensor) -> Tensor:
        frames = frames.contiguous(memory_format=self._layout)
        self._plan.settle_for(frames, partial(self._pixel_bytes, frames), self._traits.halo_px)
        output = self._tiled(frames)
        # Afterwards: tiles may have been what memory allowed.
        if self._traits.measures_frame and not self._warned and 0 < self._plan.tile_px < max(frames.shape[2:]):
            self._warned = True
            self._warn(f"{self._info.name}: this network measures the whole frame: tiles come out slightly different")
        return output

    def _pixel_bytes(self, frames: Tensor) -> int:
        side = max(PROBE_PX, self._traits.multiple_px)
        piece = frames[:1, :, :side, :side].contiguous(memory_format=self._layout)
        return max(1, peak_bytes(self._network, piece) // (piece.shape[-1] * piece.shape[-2]))
