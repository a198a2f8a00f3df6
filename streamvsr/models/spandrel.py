"""Any network of one frame that the library spandrel knows, by its checkpoint alone.

spandrel (MIT, 42 architectures in 0.4.2) tells networks by the keys and shapes of their weights, and says what each
needs: channels, scale, sizes, types of numbers. The file is read here, as weights alone; spandrel is only given them.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from streamvsr.errors import CheckpointError
from streamvsr.models import torchvision_shim
from streamvsr.models.licence import stated
from streamvsr.models.one_frame import DOMAINS, FrameModel, Traits
from streamvsr.models.recognise import own_architectures
from streamvsr.models.state import check_finite, shown

__all__ = ["SpandrelNetwork", "known_architectures", "load"]

HALO_PX = 32
"""Around tiles. Attention sees further than any halo: docs/models.md has the differences that were measured."""
MEASURE_FRAME = frozenset({"HVICIDNet", "MixDehazeNet", "OmniSR", "PLKSR", "RCAN", "SAFMN", "SCUNet"})
"""Architectures whose tiles differed from the whole by more than a tenth of an 8-bit step (bench_frame_tiles.py).
spandrel discourages tiles of SwinIR and RetinexFormer as well, which did not."""
MULTIPLE_PX = 32
"""Windows of 4, 8, 16 and 32 pixels then lie in a tile as they lie in the whole frame."""
MARKS = ("pro",)
"""Entries beside the weights that say how a network is to be run, and are no tensors. Real-CUGAN has this one."""
CHANNELS_LAST = frozenset({"Compact", "ESRGAN", "SPAN", "PLKSR", "RealCUGAN"})
"""Architectures for which it is faster (benchmarks/bench_layout.py)."""
# fmt: off
BATCHES = frozenset((
    "ATD", "Compact", "CRAFT", "DAT", "DITN", "DRCT", "ESRGAN", "FBCNN", "FDAT", "GRL", "HAT", "MoESR",
    "MoSR", "NAFNet", "OmniSR", "PLKSR", "RCAN", "RealCUGAN", "RGT", "SAFMN", "SCUNet", "SPAN", "Swin2SR",
    "SwiftSRGAN", "SwinIR", "Uformer",
))
# fmt: on
"""Architectures of which it was tested that frames do not see each other in a batch; some fail with two frames."""
FOR = {
    "FaceSR": "made for faces that were cut out, not for whole frames",
    "Restoration": "cleans, and keeps the size",
}


class SpandrelNetwork(nn.Module):
    """spandrel's descriptor of a network as a module: pads to the sizes that the network takes, and cuts back."""

    def __init__(self, descriptor: Any) -> None:
        super().__init__()
        self.model = descriptor.model
        self._descriptor = descriptor

    @property
    def _dtype(self) -> torch.dtype:
        weights: Iterator[Tensor] = self.model.parameters()
        return next(weight.dtype for weight in weights if weight.is_floating_point())

    def forward(self, frames: Tensor) -> Tensor:
        """(N, C, H, W), 0..1, any H and W from 1, to (N, C, H * scale, W * scale), clamped to 0..1.

        Half precision throughout, where the weights are.
        """
        # A copy: some networks (RCAN) work in what they get, which may be a tile of a frame with neighbours.
        output: Tensor = self._descriptor(frames.to(self._dtype, copy=True))
        # Outside of inference mode the caller could not change what came out of it.
        return output.clone() if output.is_inference() and not torch.is_inference_mode_enabled() else output


def _registry() -> Any:
    """spandrel's own. Raises ``CheckpointError`` where it, or what it needs, is not installed."""
    for package in ("spandrel", "einops"):
        if find_spec(package) is None:
            raise CheckpointError(f"{package} is not installed: pip install 'streamvsr[spandrel]'")
    with torchvision_shim.replaced(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("spandrel").MAIN_REGISTRY


def known_architectures() -> tuple[str, ...]:
    """Names of what can be run, in alphabetical order. Raises ``CheckpointError`` where spandrel is not installed."""
    return tuple(sorted((support.architecture.name for support in _registry()), key=str.lower))


def load(state: Mapping[str, Tensor], config: Mapping[str, str]) -> FrameModel:
    """The model of a checkpoint, on the CPU in float32; ``config`` may state its licence and its author.

    Raises ``CheckpointError`` for weights that spandrel does not know, that do not fit, or that want more than a frame,
    and where spandrel is not installed.
    """
    unknown = f"weights of an unknown network (first key: {shown(min(state, default='none'))})"
    try:
        registry = _registry()
    except CheckpointError as error:
        raise CheckpointError(f"{unknown}; spandrel knows many more, but {error}") from error
    check_finite(state)
    # A copy of the table: some architectures rename keys in it.
    given: dict[str, Any] = dict(state) | {mark: torch.zeros(1) for mark in MARKS if mark in config}
    support = next((s for s in registry.architectures("detection") if _detects(s, given)), None)
    if support is None:
        raise CheckpointError(
            f"{unknown}; known: {', '.join(own_architectures())}, and by spandrel {', '.join(known_architectures())}"
        )
    kind, name = support.architecture.id, support.architecture.name
    try:
        with warnings.catch_warnings():
            # Of torch's own changes, and of what a network would need to be trained.
            warnings.simplefilter("ignore")
            descriptor = support.architecture.load(given)
    except Exception as error:
        # It reads widths and depths off the shapes; what is not as it expects makes it raise nearly anything.
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise CheckpointError(f"the weights look like {name}, but do not fit it ({reason})") from error
    inputs, outputs = descriptor.input_channels, descriptor.output_channels
    if descriptor.purpose == "Inpainting":
        raise CheckpointError(f"{name} fills holes and wants a mask for each frame: there is none here")
    if inputs != outputs or inputs not in DOMAINS:
        raise CheckpointError(f"this {name} network makes {outputs} channels of {inputs}: it takes 1, 3 or 4 of each")
    torch_types = {torch.float16: descriptor.supports_half, torch.bfloat16: descriptor.supports_bfloat16}
    traits = Traits(
        halo_px=HALO_PX,
        multiple_px=math.lcm(MULTIPLE_PX, descriptor.size_requirements.multiple_of),
        tiles=descriptor.tiling.name != "INTERNAL",
        measures_frame=kind in MEASURE_FRAME,
        batches=kind in BATCHES,
        channels_last=kind in CHANNELS_LAST,
        without=frozenset(dtype for dtype, runs in torch_types.items() if not runs),
    )
    network = SpandrelNetwork(descriptor.eval())
    return FrameModel("spandrel", network, descriptor.scale, traits, DOMAINS[inputs], _note(name, descriptor, config))


def _detects(support: Any, state: Mapping[str, Any]) -> bool:
    try:
        return bool(support.detect(state))
    except Exception:
        # Of keys that are there, with shapes that nobody expected.
        return False


def _note(name: str, descriptor: Any, config: Mapping[str, str]) -> str:
    about = [f"{' '.join([name, *descriptor.tags])}, x{descriptor.scale}"]
    about += [FOR[descriptor.purpose]] if descriptor.purpose in FOR else []
    about += ["of one-channel frames"] if descriptor.input_channels == 1 else []
    return "; ".join([*about, stated(config)])
