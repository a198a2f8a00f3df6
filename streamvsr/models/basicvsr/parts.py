"""The network's steps as a session uses them: in tiles where the frame is large, compiled where asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor, nn

from streamvsr.config import ModelOptions, tile_px
from streamvsr.models.basicvsr.network import BasicVSRNet, upsampled_pixels
from streamvsr.models.basicvsr.spynet import SPyNet
from streamvsr.models.compiled import compiled
from streamvsr.models.memory import free_bytes, is_out_of_memory, release
from streamvsr.models.tiling import USABLE, Tiled, TilePlan

HALO_PX = 24
"""The trunks reach 41 or 61 pixels, but what lies beyond 24 changes the result by a thousandth of an 8-bit step."""
LEAST_PART_FRAMES = 2
LEAST_UPSAMPLED_PIXELS = 64


class Network(Protocol):
    """What a network of the family has, whatever its branches are."""

    channels: int
    spynet: SPyNet
    conv_last: nn.Conv2d


class Parts:
    """A network's steps that have to do with memory, for one session. The weights stay shared."""

    cleaning: Callable[[Tensor], Tensor] | None = None

    def __init__(self, network: Network, options: ModelOptions, warn: Callable[[str], None]) -> None:
        self._network = network
        self._options = options
        self._warn = warn
        self._warn_once = _once(warn)
        self._tile_px = tile_px(options.tile)
        self._plan = TilePlan(self._tile_px, warn)
        self._part_frames = 0
        self._upsampled_pixels: int | None = None  # None: as many as usual
        self._looked_at = 0  # frames of the longest window that free memory was compared with

    @property
    def weight(self) -> Tensor:
        """One of the weights, for their type and device."""
        return self._network.conv_last.weight

    def _tiled(self, module: nn.Module) -> Tiled:
        options, device = self._options, self.weight.device
        fast = compiled(module, device, compile=options.compile, graphs=options.cuda_graphs, warn=self._warn_once)
        return Tiled(fast, self._plan, min(HALO_PX, _reach(module)))

    def settle(self, frame: Tensor, frames: int) -> None:
        """Choose tiles, and how many frames are run at once, for a window of ``frames`` like ``frame``."""
        bytes_each = self.weight.element_size()
        self._plan.settle(frame, self._network.channels, HALO_PX, bytes_each)
        if frames <= self._looked_at or self._tile_px == 0:
            return
        self._looked_at = frames
        free = free_bytes(frame.device)
        state = self._network.channels * bytes_each * frame.shape[-2] * frame.shape[-1]
        if free is not None and frames * state > USABLE * free and not self._part_frames:
            self._part_frames = max(LEAST_PART_FRAMES, int(USABLE * free) // state)
            self._warn(f"{free >> 20} MiB of memory are free: windows of {self._part_frames} frames")

    @property
    def part_frames(self) -> int:
        """The frames that a backward branch may run over at once; 0: any number."""
        return self._part_frames

    def shorten(self, frames: int) -> bool:
        """Memory has run out over ``frames`` at once: halve them; False where no fewer are possible."""
        if frames <= LEAST_PART_FRAMES:
            return False
        self._part_frames = max(LEAST_PART_FRAMES, frames // 2)
        self._warn(f"out of memory: going on in windows of {self._part_frames} frames")
        return True

    def flow(self, reference: Tensor, other: Tensor) -> Tensor:
        """(N, 2, H, W), always of the whole frames: only the convolutions of each level run in tiles, exactly."""
        while True:
            try:
                flow: Tensor = self._network.spynet(reference, other, self._plan.tile_px)
                return flow
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or not self._plan.shrink(reference):
                    raise
            release(reference.device)

    def _upsampled(self, frame: Tensor, reconstruct: Callable[[int | None], Tensor]) -> Tensor:
        """What ``reconstruct`` gives for so many pixels at once (None: as usual), fewer where memory runs out."""
        pixels = self._upsampled_pixels
        while True:
            try:
                output = reconstruct(pixels)
                self._upsampled_pixels = pixels
                return output
            except (RuntimeError, MemoryError) as error:
                pixels = min(frame.shape[-2] * frame.shape[-1], pixels or upsampled_pixels(frame.device)) // 4
                if pixels < LEAST_UPSAMPLED_PIXELS or not is_out_of_memory(error):
                    raise
            release(frame.device)


class BasicVSRParts(Parts):
    """``network`` and its ``cleaning`` (None without one)."""

    def __init__(
        self, network: BasicVSRNet, cleaning: nn.Module | None, options: ModelOptions, warn: Callable[[str], None]
    ) -> None:
        super().__init__(network, options, warn)
        self.network = network
        if cleaning is not None:
            residue = self._tiled(cleaning)
            self.cleaning = lambda frames: residue(frames.to(self.weight.dtype))
        self._backward = self._tiled(network.backward_resblocks)
        self._forward = self._tiled(network.forward_resblocks)

    def backward(self, frame: Tensor, state: Tensor | None, flow: Tensor | None) -> Tensor:
        return self.network.propagate(self._backward, frame, state, flow)

    def forward(self, frame: Tensor, state: Tensor | None, flow: Tensor | None) -> Tensor:
        return self.network.propagate(self._forward, frame, state, flow)

    def reconstruct(self, frame: Tensor, backward_state: Tensor, forward_state: Tensor) -> Tensor:
        """(1, 3, 4H, 4W)."""
        network = self.network
        return self._upsampled(frame, lambda n: network.reconstruct(frame, backward_state, forward_state, n))


def _once(warn: Callable[[str], None]) -> Callable[[str], None]:
    said: set[str] = set()

    def once(text: str) -> None:
        if text not in said:
            said.add(text)
            warn(text)

    return once


def _reach(module: nn.Module) -> int:
    """Pixels around it that a trunk's output depends on: one for each 3x3 convolution in a row."""
    if isinstance(module, nn.Conv2d):
        return module.kernel_size[0] // 2
    return sum(_reach(child) for child in module.children())
