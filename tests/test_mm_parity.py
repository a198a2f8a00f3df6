"""streamvsr's networks against mmedit's own, on random and on trained weights."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from streamvsr.models.basicvsr import BasicVSRModel, load
from streamvsr.models.checkpoint import read

pytestmark = pytest.mark.mm

TOLERANCE = 1e-4
CONFIG = Path(__file__).resolve().parent.parent / "configs" / "realbasicvsr_x4.py"


@pytest.fixture(scope="module")
def roof(shared_data: Path) -> torch.Tensor:
    """Nine real low-resolution frames, (9, 3, 64, 72), R'G'B', 0..1."""
    frames = []
    for path in sorted((shared_data / "gt" / "roof_540p" / "lr_x4").glob("*.png"))[:9]:
        with av.open(str(path)) as picture:
            frames.append(next(picture.decode(video=0)).to_ndarray(format="rgb24")[40:104, 60:132])
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous() / 255


def randomise(network: torch.nn.Module, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        # Flows of a few pixels: larger ones would point outside, and warping would not be compared at all.
        torch.nn.init.normal_(parameter, std=0.04 if "spynet" in name else 0.08, generator=generator)


def run(model: BasicVSRModel, frames: torch.Tensor, chunk: int | None = None) -> torch.Tensor:
    """Independent windows of ``chunk`` frames, as the original's --max_seq_len; None: one window."""
    session = model.session()
    outputs: list[torch.Tensor] = []
    for part in frames.split(chunk or len(frames)):
        session.reset()
        outputs += session.window(part, len(part), range(len(part)))
    return torch.stack(outputs)


@torch.no_grad()
def reference(network: torch.nn.Module, frames: torch.Tensor, chunk: int | None = None) -> torch.Tensor:
    return torch.cat([network(part[None])[0] for part in frames.split(chunk or len(frames))])


@pytest.mark.parametrize("size", [(64, 64), (70, 85), (65, 96)])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_realbasicvsr_random_weights(mm: Any, count: int, size: tuple[int, int]) -> None:
    theirs = mm.RealBasicVSRNet(8, 2, 1).eval()
    randomise(theirs)
    frames = torch.rand((count, 3, *size), generator=torch.Generator().manual_seed(1))
    assert torch.allclose(run(load(theirs.state_dict(), {}), frames), reference(theirs, frames), atol=TOLERANCE, rtol=0)


def test_basicvsr_random_weights_mirrored(mm: Any) -> None:
    """mmedit saves half of the flows on a mirrored sequence; the result has to be that of computing them."""
    theirs = mm.BasicVSRNet(8, 1).eval()
    randomise(theirs)
    half = torch.rand((2, 3, 64, 66))
    frames = torch.cat((half, half.flip(0)))
    assert torch.allclose(run(load(theirs.state_dict(), {}), frames), reference(theirs, frames), atol=TOLERANCE, rtol=0)


def test_published_size_has_the_same_keys(mm: Any) -> None:
    theirs = mm.RealBasicVSRNet().state_dict()
    ours = load(theirs, {}).network.state_dict()
    assert len(ours) == 320
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in theirs.items()}


def test_cleaning_over_the_window_stops_as_theirs(mm: Any) -> None:
    theirs = mm.RealBasicVSRNet(8, 1, 1, dynamic_refine_thres=5).eval()
    randomise(theirs)
    state = theirs.state_dict()
    frames = torch.rand((3, 3, 64, 64))
    ours = load(state, {"dynamic_refine_thres": "5", "refine_scope": "window"})
    expected = reference(theirs, frames)
    assert torch.allclose(run(ours, frames), expected, atol=TOLERANCE, rtol=0)
    assert not torch.allclose(run(load(state, {}), frames), expected, atol=TOLERANCE, rtol=0), "one pass would do too"


def test_trained_weights(mm: Any, shared_data: Path, roof: torch.Tensor) -> None:
    """The whole sequence and the original's --max_seq_len, with BasicSR's file against mmedit's network."""
    checkpoint = read(shared_data / "weights" / "BasicVSR_REDS4.pth")
    theirs = mm.BasicVSRNet().eval()
    theirs.load_state_dict(dict(checkpoint.state))
    ours = load(checkpoint.state, {})
    few = roof[:5]
    assert torch.allclose(run(ours, few), reference(theirs, few), atol=TOLERANCE, rtol=0)
    assert torch.allclose(run(ours, few, 2), reference(theirs, few, 2), atol=TOLERANCE, rtol=0)


def test_our_config_builds_in_mmedit_and_its_checkpoint_loads(mm: Any, tmp_path: Path) -> None:
    from streamvsr.models.mm_config import read_mm_config

    mmcv = importlib.import_module("mmcv")
    config = mmcv.Config.fromfile(str(CONFIG))
    config.model.generator.update(mid_channels=8, num_propagation_blocks=1, num_cleaning_blocks=1)
    models = importlib.import_module("mmedit.models")
    restorer = models.build_model(config.model, train_cfg=config.train_cfg, test_cfg=config.test_cfg).eval()
    randomise(restorer.generator, 1)
    randomise(restorer.generator_ema, 2)
    path = tmp_path / "trained.pth"
    torch.save({"meta": {"iter": 3}, "state_dict": restorer.state_dict(), "optimizer": {"state": {}}}, path)
    checkpoint = read(path)
    assert checkpoint.architecture == read_mm_config(CONFIG).architecture
    frames = torch.rand((2, 3, 64, 64))
    # test_cfg makes the restorer take its averaged network, and so do we.
    expected = reference(restorer.generator_ema, frames)
    assert torch.allclose(run(load(checkpoint.state, {}), frames), expected, atol=TOLERANCE, rtol=0)


def test_shim_without_torchvision(mm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A torchvision that is not there is replaced by a stub that mmcv can look at."""
    import sys

    from streamvsr.models import torchvision_shim

    del mm
    for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    torchvision_shim.make_importable()
    assert sys.modules["torchvision"].__version__ == "0.0.0"


def test_compiled_operator_says_what_is_missing(mm: Any) -> None:
    import sys

    from streamvsr.models.mm_shim import _MissingOps

    del mm
    extension = sys.modules["mmcv._ext"]
    if not isinstance(extension, _MissingOps):
        pytest.skip("mmcv has its compiled operators here")
    with pytest.raises(NotImplementedError, match="deform_conv"):
        extension.deform_conv()


def test_configs_read_here_agree_with_mmcv_running_them(mm: Any) -> None:
    """The configs that mmedit brings."""
    from streamvsr.models.mm_config import read_mm_config

    del mm
    mmcv, mmedit = importlib.import_module("mmcv"), importlib.import_module("mmedit")
    folder = Path(mmedit.__file__).parent / ".mim" / "configs" / "restorers"
    paths = [CONFIG, *folder.glob("basicvsr/*.py"), *folder.glob("real_basicvsr/*.py")]
    for path in paths:
        generator = mmcv.Config.fromfile(str(path)).model.generator
        options = read_mm_config(path).options
        blocks = generator.get("num_blocks", generator.get("num_propagation_blocks"))
        assert (options["mid_channels"], options["num_blocks"]) == (str(generator.mid_channels), str(blocks)), path
