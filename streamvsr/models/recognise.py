"""Which network a set of weights belongs to, by its keys; and the renaming of other projects' layouts."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Recogniser:
    """``keys`` all present and ``without`` all absent (prefixes ending in a dot match any key below them)."""

    architecture: str
    keys: tuple[str, ...]
    without: tuple[str, ...] = ()
    supported: bool = True
    in_mmedit: bool = False
    """Where it is not supported here: whether mmedit can run it."""

    def matches(self, present: Collection[str]) -> bool:
        return all(_has(k, present) for k in self.keys) and not any(_has(k, present) for k in self.without)


def _has(key: str, present: Collection[str]) -> bool:
    return any(p.startswith(key) for p in present) if key.endswith(".") else key in present


RECOGNISERS: tuple[Recogniser, ...] = (
    Recogniser("rt", ("recur.weight", "leave.weight")),
    Recogniser("realbasicvsr", ("image_cleaning.", "basicvsr.fusion.weight", "basicvsr.spynet.")),
    Recogniser("nanovsr", ("feat_extract.rbr_dense.0.weight", "forward_net.", "backward_net.")),
    Recogniser("nanovsr", ("feat_extract.rbr_reparam.weight", "forward_net.", "backward_net.")),
    Recogniser("IconVSR", ("spynet.", "edvr.", "backward_resblocks."), supported=False, in_mmedit=True),
    Recogniser("IconVSR", ("spynet.", "edvr.", "backward_trunk."), supported=False),
    Recogniser("basicvsr_pp", ("spynet.", "deform_align.", "backbone.backward_1.main.0.weight")),
    Recogniser(
        "basicvsr", ("spynet.", "backward_resblocks.main.0.weight", "fusion.weight"), without=("edvr.", "deform_align.")
    ),
    Recogniser("animesr", ("recurrent_cell.conv_s1_first.0.weight", "recurrent_cell.fusion.2.weight")),
    Recogniser("srvgg", ("body.0.weight", "body.1.weight", "body.2.weight"), without=("conv_first.",)),
)
"""Tried in this order; where a safetensors file states its ``architecture``, that holds instead."""

_BASICSR: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"^(backward|forward)_trunk\."), r"\1_resblocks."),
    (re.compile(r"^upconv([12])\."), r"upsample\1.upsample_conv."),
)
_BASICSR_FLOW = re.compile(r"^(spynet\.basic_module\.\d+\.basic_module)\.(\d+)\.(weight|bias)$")


def from_basicsr(state: Mapping[str, Value]) -> dict[str, Value]:
    """BasicSR's names of the BasicVSR network, turned into those of mmedit; any other names are left as they are."""
    if not _has("backward_trunk.", state) or not _has("spynet.", state):
        return dict(state)
    renamed: dict[str, Value] = {}
    for key, value in state.items():
        for pattern, replacement in _BASICSR:
            key = pattern.sub(replacement, key)
        # Five convolutions with a ReLU between each two: 0, 2, 4, 6, 8 there; five pairs here.
        key = _BASICSR_FLOW.sub(lambda m: f"{m[1]}.{int(m[2]) // 2}.conv.{m[3]}", key)
        renamed[key] = value
    return renamed


def own_architectures() -> tuple[str, ...]:
    """The networks that run here without another library."""
    return tuple(dict.fromkeys(r.architecture for r in RECOGNISERS if r.supported))


def recognise(state: Collection[str]) -> Recogniser | None:
    """The first recogniser whose keys are there, or None."""
    return next((r for r in RECOGNISERS if r.matches(state)), None)
