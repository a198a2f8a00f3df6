"""Networks as ONNX files: those of one frame, and one step of the recurrent ones, whose state goes in and comes out.

Names of inputs and outputs are in docs/models.md. Height, width and the number of frames stay open.
"""

from __future__ import annotations

import importlib
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy  # noqa: F401 - onnx cannot be imported without, which torch then tells as something else
import torch
from torch import Tensor, nn

from streamvsr.errors import MissingExtraError, ModelError, UsageError
from streamvsr.models.animesr import AnimeSRModel
from streamvsr.models.base import Model
from streamvsr.models.one_frame import FrameModel
from streamvsr.models.rt import RTModel
from streamvsr.part_file import PartFile

OPSET = 17
EXAMPLE_PX = (64, 96)
"""Height and width that the network is traced with."""


def step_of(model: Model) -> tuple[nn.Module, dict[str, Tensor], tuple[str, ...]]:
    """The network of one step, an example of its inputs by name, and the names of its outputs.

    Raises ``ModelError`` for models that are neither of one frame nor recurrent in one direction.
    """
    if isinstance(model, FrameModel):
        frames = torch.rand(1, model.info.channels, *EXAMPLE_PX)
        return model.network, {"frames": frames}, ("enlarged",)
    if isinstance(model, RTModel):
        seen = torch.rand(1, model.net.enter.in_channels, *EXAMPLE_PX)
        state = model.net.initial_state(1, *EXAMPLE_PX)
        return model.net, {"neighbours": seen, "state": state}, ("enlarged", "next_state")
    if isinstance(model, AnimeSRModel):
        seen = torch.rand(1, 9, *EXAMPLE_PX)
        folded, hidden = model.network.initial_state(seen)
        inputs = {"neighbours": seen, "enlarged_before": folded, "state": hidden}
        return model.network, inputs, ("enlarged", "enlarged_folded", "next_state")
    raise ModelError(f"model {model.info.name} has no single step that could be exported: it looks at whole windows")


def export(model: Model, target: Path) -> None:
    """Write ``model`` to ``target`` (``.onnx``), in float32.

    Raises ``UsageError`` for another ending, ``MissingExtraError`` without the package onnx, ``ModelError`` where the
    network cannot be expressed or the file not be written.
    """
    if target.suffix != ".onnx":
        raise UsageError(f"{target}: the result is an .onnx file: give it that ending")
    if find_spec("onnx") is None:
        raise MissingExtraError("onnx is not installed: pip install 'streamvsr[onnx]'")
    network, inputs, outputs = step_of(model)
    axes = {name: {0: "frames", 2: f"{name}_height", 3: f"{name}_width"} for name in (*inputs, *outputs)}
    try:
        part = PartFile(target, replace=True)
    except OSError as error:
        raise ModelError(f"{target}: cannot be written: {error.strerror or error}") from error
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # Of constants that are not folded, and of this exporter's age.
            warnings.simplefilter("ignore")
            importlib.import_module("torch.onnx").export(
                network,
                tuple(inputs.values()),
                str(part.path),
                dynamo=False,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes=axes,
            )
        part.commit()
    except Exception as error:
        # The exporter raises whatever it meets.
        part.discard()
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{target}: model {model.info.name} cannot be exported ({reason})") from error
