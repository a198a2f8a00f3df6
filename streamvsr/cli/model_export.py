"""``streamvsr models export``: a network as an ONNX file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from streamvsr.cli.console import Console
from streamvsr.errors import UsageError


def export_command(names: Sequence[str], options: Mapping[str, str], console: Console) -> int:
    """``NAME OUT.onnx``, where NAME is a model, a checkpoint of the list, or a file of weights."""
    if len(names) != 2:
        raise UsageError("streamvsr models export: give a model or a file of weights, and OUT.onnx")
    from streamvsr.models import registry
    from streamvsr.models.export import export

    name, target = names[0], Path(names[1])
    if target.exists() and "-y" not in options:
        raise UsageError(f"{target} exists already: -y writes over it")
    is_file = Path(name).suffix in (".pth", ".pt", ".safetensors")
    choice = registry.select(checkpoint=name) if is_file else registry.select(name)
    export(registry.load_model(choice), target)
    console.note(f"{choice.reason}: {target}")
    return 0
