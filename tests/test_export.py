"""ONNX files against the networks that they were made from, at another size than they were traced with."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from streamvsr.cli import main
from streamvsr.errors import ModelError, UsageError
from streamvsr.models import registry
from streamvsr.models.animesr.network import AnimeSRNet, Shape
from streamvsr.models.base import Model
from streamvsr.models.basicvsr.network import BasicVSRNet
from streamvsr.models.export import export, step_of
from streamvsr.models.srvgg import SRVGGNet
from tests.conftest import missing
from tests.test_models_contract import small


@pytest.fixture(autouse=True)
def packages() -> None:
    for package in ("onnx", "onnxruntime"):
        if find_spec(package) is None:
            missing(package)


def agrees(model: Model, path: Path) -> None:
    import onnxruntime

    network, example, names = step_of(model)
    inputs = {name: torch.rand(2, value.shape[1], 20, 28) for name, value in example.items()}
    with torch.no_grad():
        made = network(*(value.clone() for value in inputs.values()))
    made = made if isinstance(made, tuple) else (made,)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(list(names), {name: value.numpy() for name, value in inputs.items()})
    for ours, theirs in zip(made, found, strict=True):
        assert ours.std() > 1e-3
        assert torch.allclose(torch.from_numpy(theirs), ours, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["rt", "rt-real"])
def test_the_networks_that_ship(name: str, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    assert main(["models", "export", name, str(out), "--quiet"]) == 0
    agrees(registry.load_model(registry.select(name)), out)
    assert main(["models", "export", name, str(out), "--quiet"]) == 2, "not written over"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.onnx"]


@pytest.mark.parametrize(
    ("model", "network"), [("srvgg", SRVGGNet(8, 2, 4)), ("animesr", AnimeSRNet(Shape(4, (3, 2, 1), 4)))]
)
def test_others(model: str, network: torch.nn.Module, tmp_path: Path) -> None:
    loaded = registry.ENTRIES[model].load({k: v * 4 for k, v in small(network).items()}, {})
    export(loaded, tmp_path / "out.onnx")
    agrees(loaded, tmp_path / "out.onnx")


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    model = registry.ENTRIES["basicvsr"].load(small(BasicVSRNet(8, 1)), {})
    with pytest.raises(ModelError, match="looks at whole windows"):
        export(model, tmp_path / "out.onnx")
    with pytest.raises(UsageError, match="give it that ending"):
        export(model, tmp_path / "out.pth")
