"""Any of mmedit's video restorers as a model: built by mmedit from its own config, run in independent windows.

For networks that streamvsr has none of its own for (IconVSR, BasicVSR++, EDVR), and to compare with those that it has.
A config is Python and is run here, by mmcv, because the user names it; what it would fetch or train with is left out.

Two kinds of networks fit. Recurrent ones take (N, T, 3, H, W) and give as many frames: a window goes in and comes
out whole. Sliding ones take a fixed number of frames and give the middle one; at the ends of a window the frames that
are missing are mirrored as in mmedit's own inference.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from streamvsr.errors import CheckpointError, ModelError
from streamvsr.models.base import Model, ModelInfo, Session
from streamvsr.models.checkpoint import NETWORK_PREFIXES, read_weights
from streamvsr.models.checks import check_window
from streamvsr.models.mm_shim import MissingOperatorError, import_mmedit
from streamvsr.models.recognise import from_basicsr
from streamvsr.models.state import check_fit

MAX_SEQ_LEN = 15
OVERLAP = 4
"""Two frames on either side of a window: seams are less visible, for a third more work than without."""
PROBE_SIZES_PX = (64, 256)
"""Networks say their least size by an assertion only: 64, or four times that where they shrink first."""
PROBE_FRAMES = (1, 2, 3, 5, 7)
"""Frames that the networks of mmedit need at least, or exactly."""
MULTIPLE_PX = 4
"""Sliding networks, and those that shrink first, take multiples of this only."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What trying a network shows."""

    scale: int
    least_px: int
    frames: int
    """The least number of frames, or the exact one where the network slides."""
    slides: bool
    """One frame comes out, that of the middle."""

    @property
    def multiple_px(self) -> int:
        return MULTIPLE_PX if self.slides or self.scale == 1 else 1


class MmeditModel(Model):
    """A network of mmedit with its weights. Takes and gives R'G'B' 0..1."""

    def __init__(self, name: str, network: nn.Module, ensemble: nn.Module | None = None) -> None:
        """``ensemble``: mmedit's, called with the frames and the network instead of the network. Tries the network."""
        self.network = network.eval().requires_grad_(False)
        self.ensemble = ensemble
        self.facts = facts = probe(name, network)
        length = max(MAX_SEQ_LEN, facts.frames)
        overlap = 2 * (facts.frames // 2) if facts.slides else OVERLAP
        self.info = ModelInfo(f"{name} of mmedit", facts.scale, "rgb", length, overlap, facts.least_px)

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        self.network.to(device=device, dtype=dtype)
        return self

    def session(self) -> MmeditSession:
        return MmeditSession(self)


class MmeditSession(Session):
    """Windows are independent: nothing is remembered. A window's results are all in memory before the first leaves."""

    def __init__(self, model: MmeditModel) -> None:
        self._model = model
        self._weight = next(model.network.parameters())

    def reset(self, number: int = 0) -> None:
        pass

    def window(self, frames: Tensor, new: int, keep: range) -> Iterator[Tensor]:
        """See ``Session.window``; ``frames`` is (T, 3, H, W), and all of them are new."""
        check_window(frames, new, keep, self._weight, least_px=self._model.facts.least_px)
        if new != len(frames):
            raise ModelError("networks of mmedit carry no state: run them in independent windows")
        return self._run(frames, keep)

    def _run(self, frames: Tensor, keep: range) -> Iterator[Tensor]:
        facts = self._model.facts
        height, width = frames.shape[2:]
        grow = (0, -width % facts.multiple_px, 0, -height % facts.multiple_px)
        grown = functional.pad(frames, grow, mode="replicate")
        if facts.slides:
            for i in keep:
                output = self._call(grown[neighbours(i, len(frames), facts.frames)])[0]
                yield output[:, : height * facts.scale, : width * facts.scale]
            return
        if missing := max(0, facts.frames - len(frames)):
            grown = grown[[*range(len(frames)), *(mirrored(len(frames) + i, len(frames)) for i in range(missing))]]
        results = self._call(grown)[0]
        for i in keep:
            yield results[i, :, : height * facts.scale, : width * facts.scale]

    @torch.no_grad()
    def _call(self, frames: Tensor) -> Tensor:
        # A copy: some of these networks clean their input in place.
        batch = frames.unsqueeze(0).to(self._weight.dtype, memory_format=torch.contiguous_format, copy=True)
        ensemble, network = self._model.ensemble, self._model.network
        with _named_operators(self._model.info.name):
            result: Tensor = network(batch) if ensemble is None else ensemble(batch, network)
        return result


def mirrored(position: int, count: int) -> int:
    """Where a position outside of 0..count-1 lies when the sequence is reflected at its ends."""
    period = max(1, 2 * count - 2)
    position %= period
    return position if position < count else period - position


def neighbours(position: int, count: int, frames: int) -> list[int]:
    """The ``frames`` positions around one; beyond the ends what mmedit puts there, from inside the sequence.

    With five frames those two before the first are frames 4 and 3, so that no frame is there twice::

        position 0:  4 3 0 1 2      position 1:  3 0 1 2 3

    Where the sequence is too short for that it is reflected.
    """
    reach, last = frames // 2, count - 1
    found = []
    for i in range(position - reach, position + reach + 1):
        other = i if 0 <= i <= last else reach - i if i < 0 else 2 * last - reach - i
        found.append(other if 0 <= other <= last else mirrored(i, count))
    return found


@contextmanager
def _named_operators(name: str) -> Iterator[None]:
    """What the stand-ins of compiled operators raise, as an error of the model."""
    try:
        yield
    except MissingOperatorError as error:
        raise ModelError(f"{name}: {error}") from error


def probe(name: str, network: nn.Module) -> Facts:
    """Try ``network`` on small black sequences, on the CPU. Raises ``ModelError`` where none of them goes through."""
    reason: Exception | None = None
    for size in PROBE_SIZES_PX:
        for frames in PROBE_FRAMES:
            try:
                with torch.no_grad(), _named_operators(name):
                    result = network(torch.zeros(1, frames, 3, size, size))
            except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:
                reason = error
                continue
            slides = isinstance(result, Tensor) and result.ndim == 4
            shape = tuple(result.shape) if isinstance(result, Tensor) else None
            scale = shape[-1] // size if shape else 0
            leading = (1, 3) if slides else (1, frames, 3)
            if not scale or shape != (*leading, size * scale, size * scale):
                found = shape or type(result).__name__
                raise ModelError(f"{name}: gives no frames for a sequence of them, but {found}")
            return Facts(scale, size, frames, slides)
    what = str(reason).splitlines()[0] if str(reason) else type(reason).__name__
    raise ModelError(f"{name}: is no video restorer: it takes no sequence of frames ({what})") from reason


def load(config: str | Path, checkpoint: str | Path) -> MmeditModel:
    """Build the network of an mm config with mmedit's own builder, and fill it with a checkpoint (weights alone).

    Runs ``config``. Fetches nothing: what a config would have downloaded for training is taken out of it. Raises
    ``MissingExtraError``, ``ModelError`` that names the config, ``CheckpointError`` that names the checkpoint.
    """
    import_mmedit()
    options = _options(Path(config))
    generator = without_pretrained(options.get("generator") or {})
    name = str(generator.get("type", ""))
    if not name:
        raise ModelError(f"{config}: names no network: 'model = dict(type=..., generator=dict(type=...))' is expected")
    try:
        network: nn.Module = importlib.import_module("mmedit.models").build_backbone(generator)
    except (AssertionError, AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        raise ModelError(f"{config}: mmedit cannot build it: {_one_line(error)}") from error
    # As mmedit: the averaged weights, unless the config says otherwise.
    prefixes = NETWORK_PREFIXES[1:] if options.get("is_use_ema") is False else NETWORK_PREFIXES
    state = from_basicsr(read_weights(checkpoint, prefixes))
    try:
        check_fit(network, state)
    except CheckpointError as error:
        raise CheckpointError(f"{checkpoint}: {error}; is it the one of {config}?") from error
    network.load_state_dict({key: value.to(torch.float32) for key, value in state.items()})
    return MmeditModel(name, network, _ensemble(options.get("ensemble")))


def _options(path: Path) -> dict[str, Any]:
    """The config's ``model``; refuses configs of networks that take other values than 0..1."""
    if not path.is_file():
        raise ModelError(f"{path}: no such config; --backend mmedit takes a local file")
    try:
        config = importlib.import_module("mmcv").Config.fromfile(str(path))
        model = config.get("model")
    except Exception as error:
        # A config is a program: anything may go wrong in it.
        raise ModelError(f"{path}: cannot be run as an mm config: {_one_line(error)}") from error
    for pipeline in ("test_pipeline", "demo_pipeline"):
        for step in config.get(pipeline) or ():
            if step.get("type") == "Normalize" and (any(step.get("mean", ())) or set(step.get("std", (1,))) != {1}):
                raise ModelError(f"{path}: its network takes normalised values, which streamvsr does not give")
    return dict(model) if isinstance(model, Mapping) else {}


def without_pretrained(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options without addresses of weights to begin a training with."""
    kept: dict[str, Any] = {}
    for key, value in options.items():
        if key == "pretrained" or key.endswith("_pretrained"):
            continue
        kept[key] = without_pretrained(value) if isinstance(value, Mapping) else value
    return kept


def _ensemble(options: Mapping[str, Any] | None) -> nn.Module | None:
    if not options:
        return None
    if options.get("type") != "SpatialTemporalEnsemble":
        raise ModelError(f"ensemble {options.get('type')!r} is not known; mmedit has SpatialTemporalEnsemble")
    made: nn.Module = importlib.import_module("mmedit.models.common.ensemble").SpatialTemporalEnsemble(
        options.get("is_temporal_ensemble", False)
    )
    return made


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
