"""mmedit's own networks through the model interface, against calling them; and what can be wrong with a config."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from streamvsr.errors import CheckpointError, MissingExtraError, ModelError
from streamvsr.models import mm_shim, mmedit
from streamvsr.models.deform import modulated_deform_conv_forward
from streamvsr.models.mmedit import Facts, MmeditModel, load, mirrored, neighbours, without_pretrained

pytestmark = pytest.mark.mm

TOLERANCE = 1e-6

REALBASICVSR = """
model = dict(
    type='RealBasicVSR',
    generator=dict(type='RealBasicVSRNet', mid_channels=8, num_propagation_blocks=1, num_cleaning_blocks=1,
                   dynamic_refine_thres=5, spynet_pretrained='https://example.invalid/spynet.pth',
                   is_sequential_cleaning=True),
    discriminator=dict(type='UNetDiscriminatorWithSpectralNorm', in_channels=3, mid_channels=4, skip_connection=True),
    perceptual_loss=dict(type='PerceptualLoss', layer_weights={'2': 0.1}, vgg_type='vgg19', pretrained='x'),
    is_use_ema=True)
test_cfg = dict(metrics=['PSNR'], crop_border=0)
"""
BASICVSR = """
model = dict(type='BasicVSR', generator=dict(type='BasicVSRNet', mid_channels=8, num_blocks=1,
             spynet_pretrained='https://example.invalid/spynet.pth'), pixel_loss=dict(type='CharbonnierLoss'))
"""
ICONVSR = """
model = dict(type='BasicVSR', generator=dict(type='IconVSR', mid_channels=64, num_blocks=1, keyframe_stride=4,
             padding=2, spynet_pretrained='x', edvr_pretrained='https://example.invalid/edvr.pth'))
"""
BASICVSR_PP = """
model = dict(type='BasicVSR', generator=dict(type='BasicVSRPlusPlus', mid_channels=8, num_blocks=1,
             is_low_res_input=True, spynet_pretrained='x'))
"""
BASICVSR_PP_X1 = BASICVSR_PP.replace("True", "False")
EDVR = """
model = dict(type='EDVR', generator=dict(type='EDVRNet', in_channels=3, out_channels=3, mid_channels=8, num_frames=5,
             deform_groups=2, num_blocks_extraction=1, num_blocks_reconstruction=1, center_frame_idx=2, with_tsa=True))
test_pipeline = [dict(type='Normalize', keys=['lq'], mean=[0, 0, 0], std=[1, 1, 1], to_rgb=True)]
"""


def randomise(network: nn.Module, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        # Flows of a few pixels: larger ones would point outside of so small a picture.
        nn.init.normal_(parameter, std=0.04 if "spynet" in name else 0.08, generator=generator)


@pytest.fixture
def made(mm: Any, tmp_path: Path) -> Any:
    """Writes a config and weights for it, and gives our model and mmedit's network of the same weights."""
    del mm
    mmcv, models = importlib.import_module("mmcv"), importlib.import_module("mmedit.models")

    def make(text: str) -> tuple[MmeditModel, nn.Module]:
        config, checkpoint = tmp_path / "config.py", tmp_path / "weights.pth"
        config.write_text(text)
        options = mmcv.Config.fromfile(str(config)).model.generator
        network = models.build_backbone(without_pretrained(options)).eval()
        randomise(network)
        torch.save({"state_dict": {f"generator.{k}": v for k, v in network.state_dict().items()}}, checkpoint)
        return load(config, checkpoint), network

    return make


def run(model: MmeditModel, frames: Tensor, keep: range | None = None) -> Tensor:
    session = model.session()
    session.reset()
    before = frames.clone()
    outputs = torch.stack(list(session.window(frames, len(frames), keep or range(len(frames)))))
    assert torch.equal(frames, before), "a window is not changed"
    return outputs


@torch.no_grad()
def direct(network: nn.Module, frames: Tensor) -> Tensor:
    outputs: Tensor = network(frames[None].clone())[0]
    return outputs


@pytest.mark.parametrize(
    ("text", "name", "count", "size"),
    [
        (BASICVSR, "BasicVSRNet", 3, (65, 70)),
        (BASICVSR, "BasicVSRNet", 1, (64, 64)),
        (REALBASICVSR, "RealBasicVSRNet", 2, (64, 66)),
        (ICONVSR, "IconVSR", 5, (64, 66)),
        (BASICVSR_PP, "BasicVSRPlusPlus", 3, (65, 66)),
    ],
)
def test_recurrent_networks(made: Any, text: str, name: str, count: int, size: tuple[int, int]) -> None:
    model, network = made(text)
    assert (model.info.name, model.info.scale, model.info.min_size_px) == (f"{name} of mmedit", 4, 64)
    frames = torch.rand((count, 3, *size), generator=torch.Generator().manual_seed(1))
    expected = direct(network, frames)
    assert float(expected.std()) > 0.01
    assert torch.allclose(run(model, frames), expected, atol=TOLERANCE, rtol=0)
    kept = run(model, frames, range(count // 2, count))
    assert torch.allclose(kept, expected[count // 2 :], atol=TOLERANCE, rtol=0)


def test_windows_that_are_too_short_are_mirrored(made: Any) -> None:
    model, network = made(ICONVSR)
    assert model.facts == Facts(4, 64, 5, slides=False)
    frames = torch.rand(3, 3, 64, 64)
    expected = direct(network, frames[[0, 1, 2, 1, 0]])[:3]
    assert torch.allclose(run(model, frames), expected, atol=TOLERANCE, rtol=0)


def test_network_that_keeps_the_size(made: Any) -> None:
    """BasicVSR++ for compressed video shrinks by four first; it takes multiples of four only, we anything."""
    model, network = made(BASICVSR_PP_X1)
    assert (model.facts.scale, model.info.min_size_px) == (1, 256)
    frames = torch.rand(model.facts.frames, 3, 257, 258)
    grown = functional.pad(frames, (0, 2, 0, 3), mode="replicate")
    expected = direct(network, grown)[..., :257, :258]
    assert torch.allclose(run(model, frames), expected, atol=TOLERANCE, rtol=0)


def test_sliding_network(made: Any) -> None:
    """One picture a call; at the ends what mmedit's own inference puts there."""
    model, network = made(EDVR)
    assert model.facts == Facts(4, 64, 5, slides=True)
    assert model.info.overlap == 4
    frames = torch.rand(7, 3, 66, 64)
    # As its pad_sequence does it.
    padded = torch.cat((frames[3:5].flip(0), frames, frames[-5:-3].flip(0)))
    padded = functional.pad(padded, (0, 0, 0, 2), mode="replicate")
    expected = torch.stack([direct(network, padded[i : i + 5]) for i in range(7)])[..., : 4 * 66, :]
    assert torch.allclose(run(model, frames), expected, atol=TOLERANCE, rtol=0)
    assert torch.allclose(run(model, frames, range(2, 4)), expected[2:4], atol=TOLERANCE, rtol=0)
    assert run(model, frames[:1]).shape == (1, 3, 4 * 66, 4 * 64)


def test_the_ensemble_of_a_config(made: Any) -> None:
    plain, network = made(BASICVSR)
    model, _ = made(BASICVSR.replace("pixel_loss", "ensemble=dict(type='SpatialTemporalEnsemble'), pixel_loss"))
    frames = torch.rand(2, 3, 64, 64)
    turned = importlib.import_module("mmedit.models.common.ensemble").SpatialTemporalEnsemble(False)
    with torch.no_grad():
        expected = turned(frames[None], network)[0]
    assert torch.allclose(run(model, frames), expected, atol=TOLERANCE, rtol=0)
    assert not torch.allclose(run(plain, frames), expected, atol=1e-3)


def test_averaged_weights_unless_the_config_says_otherwise(mm: Any, tmp_path: Path) -> None:
    config, checkpoint = tmp_path / "config.py", tmp_path / "weights.pth"
    config.write_text(REALBASICVSR)
    trained, averaged = (mm.RealBasicVSRNet(8, 1, 1, dynamic_refine_thres=5) for _ in range(2))
    randomise(trained, 1)
    randomise(averaged, 2)
    parts = {"generator.": trained.state_dict(), "generator_ema.": averaged.state_dict()}
    state = {prefix + key: value for prefix, part in parts.items() for key, value in part.items()}
    torch.save({"state_dict": state | {"step_counter": torch.zeros(1), "discriminator.x": torch.zeros(2)}}, checkpoint)
    key = "image_cleaning.1.weight"
    assert torch.equal(load(config, checkpoint).network.state_dict()[key], averaged.state_dict()[key])
    config.write_text(REALBASICVSR.replace("is_use_ema=True", "is_use_ema=False"))
    assert torch.equal(load(config, checkpoint).network.state_dict()[key], trained.state_dict()[key])


def test_the_configs_that_mmedit_brings(mm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of video restorers are read, built and tried, without weights; TDAN takes other values than 0 to 1."""
    del mm
    monkeypatch.setattr(mmedit, "read_weights", lambda *_: {})
    folder = Path(importlib.import_module("mmedit").__file__ or "").parent / ".mim" / "configs" / "restorers"
    paths = [p for name in ("basicvsr", "iconvsr", "real_basicvsr") for p in sorted((folder / name).glob("*.py"))]
    assert len(paths) >= 6
    for path in paths:
        with pytest.raises(CheckpointError, match="the weights do not fit"):
            load(path, "weights.pth")
    for path in (folder / "tdan").glob("*bix4_lr*.py"):
        with pytest.raises(ModelError, match="normalised values"):
            load(path, "weights.pth")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("raise OSError('made up')", r"config\.py: cannot be run as an mm config: made up"),
        ("model = 3", "names no network"),
        ("model = dict(type='BasicVSR')", "names no network"),
        ("model = dict(generator=dict(type='NoSuchNet'))", "mmedit cannot build it: .*NoSuchNet"),
        ("model = dict(generator=dict(type='BasicVSRNet', blocks=3))", "mmedit cannot build it: .*blocks"),
        ("model = (", "cannot be run as an mm config"),
    ],
)
def test_configs_that_are_wrong(mm: Any, tmp_path: Path, text: str, words: str) -> None:
    config = tmp_path / "config.py"
    config.write_text(text)
    with pytest.raises(ModelError, match=words) as caught:
        load(config, tmp_path / "weights.pth")
    assert "\n" not in str(caught.value)


def test_files_that_are_wrong(mm: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.py: no such config"):
        load(tmp_path / "none.py", "x.pth")
    config, checkpoint = tmp_path / "config.py", tmp_path / "weights.pth"
    config.write_text(BASICVSR)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load(config, checkpoint)
    torch.save(mm.BasicVSRNet(8, 2).state_dict(), checkpoint)
    with pytest.raises(
        CheckpointError, match=r"weights\.pth: .*unknown: backward_resblocks.*is it the one of .*config"
    ):
        load(config, checkpoint)


def test_networks_that_restore_no_video(made: Any) -> None:
    with pytest.raises(ModelError, match="SRCNN: is no video restorer"):
        made("model = dict(generator=dict(type='SRCNN'))")


def test_windows_are_independent(made: Any) -> None:
    model, _ = made(BASICVSR)
    with pytest.raises(ModelError, match="run them in independent windows"):
        model.session().window(torch.rand(3, 3, 64, 64), 2, range(2))
    with pytest.raises(ModelError, match="at least 64"):
        model.session().window(torch.rand(3, 3, 63, 64), 3, range(2))


def test_operators_that_are_missing_are_named(mm: Any) -> None:
    del mm

    class Needy(nn.Module):
        def forward(self, frames: Tensor) -> Tensor:
            return mm_shim._MissingOps("mmcv._ext").deform_conv_forward(frames)  # type: ignore[no-any-return]

    with pytest.raises(ModelError, match="Needy: mmcv's compiled operator 'deform_conv_forward' is needed"):
        MmeditModel("Needy", Needy())


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mm_shim, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'streamvsr\[mm\]'"):
        load(tmp_path / "config.py", tmp_path / "weights.pth")


def test_positions_at_the_ends() -> None:
    assert [mirrored(i, 4) for i in range(-3, 8)] == [3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]
    assert [mirrored(i, 1) for i in range(3)] == [0, 0, 0]
    assert neighbours(0, 7, 5) == [4, 3, 0, 1, 2]
    assert neighbours(1, 7, 5) == [3, 0, 1, 2, 3]
    assert neighbours(6, 7, 5) == [4, 5, 6, 3, 2]
    assert neighbours(0, 2, 5) == [0, 1, 0, 1, 0]


def by_hand(x: Tensor, weight: Tensor, bias: Tensor, offset: Tensor, mask: Tensor, stride: int, pad: int) -> Tensor:
    """Deformable convolution, one value after the other; (C, H, W), one deformable group for each half of C."""
    channels, height, width = x.shape
    outputs, inputs, kernel, _ = weight.shape
    groups = channels // inputs
    rows, columns = offset.shape[1:]

    def value(c: int, y: float, z: float) -> float:
        total = 0.0
        for row in (int(y // 1), int(y // 1) + 1):
            for column in (int(z // 1), int(z // 1) + 1):
                if 0 <= row < height and 0 <= column < width:
                    total += (1 - abs(y - row)) * (1 - abs(z - column)) * float(x[c, row, column])
        return total

    result = torch.zeros(outputs, rows, columns)
    for o in range(outputs):
        for r in range(rows):
            for q in range(columns):
                total = float(bias[o])
                for i in range(inputs):
                    c = o * groups // outputs * inputs + i
                    half = c * 2 // channels
                    for tap in range(kernel * kernel):
                        n = half * kernel * kernel + tap
                        y = r * stride - pad + tap // kernel + float(offset[2 * n, r, q])
                        z = q * stride - pad + tap % kernel + float(offset[2 * n + 1, r, q])
                        total += float(weight[o, i, tap // kernel, tap % kernel] * mask[n, r, q]) * value(c, y, z)
                result[o, r, q] = total
    return result


@pytest.mark.parametrize(("stride", "group"), [(1, 1), (2, 2)])
def test_deformable_convolution(stride: int, group: int) -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(1, 4, 5, 6, generator=generator)
    weight, bias = torch.rand(2, 4 // group, 3, 3, generator=generator), torch.rand(2, generator=generator)
    rows, columns = (5 + 2 - 3) // stride + 1, (6 + 2 - 3) // stride + 1
    offset = torch.randn(1, 36, rows, columns, generator=generator) * 1.5
    mask = torch.rand(1, 18, rows, columns, generator=generator)
    sizes = {"kernel_h": 3, "kernel_w": 3, "stride_h": stride, "stride_w": stride, "pad_h": 1, "pad_w": 1}
    rest: dict[str, Any] = {"dilation_h": 1, "dilation_w": 1, "group": group, "deformable_group": 2, "with_bias": True}
    empty = torch.empty(0)

    def run_op(offset: Tensor, mask: Tensor) -> Tensor:
        output = torch.empty(1, 2, rows, columns)
        modulated_deform_conv_forward(x, weight, bias, empty, offset, mask, output, empty, **sizes, **rest)
        return output

    expected = by_hand(x[0], weight, bias, offset[0], mask[0], stride, 1)
    assert torch.allclose(run_op(offset, mask)[0], expected, atol=1e-5)
    plain = functional.conv2d(x, weight, bias, stride, 1, groups=group)
    assert torch.allclose(run_op(torch.zeros_like(offset), torch.ones_like(mask)), plain, atol=1e-5)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    import av
    import numpy as np

    path = tmp_path / "in.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 70, 48, "yuv420p"
        for n in range(5):
            picture = np.random.default_rng(n).integers(0, 255, (48, 70, 3), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(stream.encode(None))
    return path


def test_the_command_line(made: Any, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import av

    from streamvsr.cli import main

    made(BASICVSR)
    words = [
        "--backend",
        "mmedit",
        "--config",
        str(tmp_path / "config.py"),
        "--checkpoint",
        str(tmp_path / "weights.pth"),
    ]
    target = tmp_path / "out.mkv"
    assert main([str(clip), str(target), *words, "--max-seq-len", "3", "--overlap", "1", "--device", "cpu"]) == 0
    assert "model BasicVSRNet of mmedit, in independent windows" in capsys.readouterr().err
    with av.open(str(target)) as written:
        assert [(f.width, f.height) for f in written.decode(video=0)] == [(280, 192)] * 5
