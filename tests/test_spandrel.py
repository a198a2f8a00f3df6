"""Networks of one frame that spandrel knows: built by its own classes, saved, run through the whole program."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from streamvsr.cli import main
from streamvsr.errors import CheckpointError, ModelError
from streamvsr.models import registry, spandrel, tiling, torchvision_shim
from streamvsr.models.checkpoint import read
from streamvsr.models.licence import stated
from streamvsr.models.manifest import Known, Place
from streamvsr.models.one_frame import FrameModel
from tests.conftest import missing
from tests.fakes import tuning
from tests.one_way import in_windows, real_pair, whole
from tests.spandrel_cases import ALL_CASES, CASES, SMALL_COMPACT, SMALL_ESRGAN, Case, weights

ROOT = Path(__file__).resolve().parent.parent
EXACT = 2e-5
"""A convolution may add up a batch, or a tile, in another order."""


@pytest.fixture(scope="module", autouse=True)
def library() -> Any:
    try:
        return spandrel._registry()
    except CheckpointError as error:
        missing(str(error))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("weights")

    def path(name: str) -> Path:
        file = folder / f"{name}.pth"
        if not file.exists():
            torch.save({"params_ema": weights(ALL_CASES[name])}, file)
        return file

    return path


def loaded(path: Path) -> FrameModel:
    model = registry.load_model(registry.select(checkpoint=path))
    assert isinstance(model, FrameModel)
    return model


def by_spandrel(library: Any, state: dict[str, Tensor], frames: Tensor) -> Tensor:
    """Each frame alone through the library's own interface."""
    descriptor = library.load(dict(state)).eval()
    return torch.cat([descriptor(frame[None].clone()) for frame in frames])


def test_each_architecture_that_takes_batches_is_tried() -> None:
    assert {case.architecture for case in ALL_CASES.values()} >= spandrel.BATCHES


@pytest.mark.parametrize("name", ALL_CASES)
def test_equals_the_library_itself(name: str, files: Callable[[str], Path], library: Any) -> None:
    case, model = ALL_CASES[name], loaded(files(name))
    assert (model.info.scale, model.info.domain, model.info.temporal) == (case.scale, case.domain, False)
    # Compact networks with PReLUs are run by our own, which does not clamp.
    name = library[case.architecture].architecture.name
    assert model.info.note.startswith(name) or model.info.name == "srvgg"
    frames = torch.rand(3, model.info.channels, 17, 23)
    before = frames.clone()
    expected = by_spandrel(library, weights(case), frames)
    assert expected.std() > 100 * EXACT, "nothing to compare"
    assert torch.allclose(in_windows(model, frames, 1, 0).clamp(0, 1), expected, rtol=0, atol=EXACT)
    assert torch.allclose(whole(model, frames).clamp(0, 1), expected, rtol=0, atol=EXACT), (
        "frames in one batch see each other"
    )
    assert torch.equal(frames, before), "the network worked in what it was given"
    assert whole(model, frames[:1, :, :1, :1]).shape[2:] == (case.scale, case.scale)


LOSSLESS = {"gray": "ffv1", "gbrp": "utvideo", "gbrap": "utvideo"}


def clip(path: Path, format: str, width: int, height: int, count: int) -> list[np.ndarray]:
    """Random frames without loss; planes as (H, W, C) with R, G, B, A in this order."""
    generator = np.random.default_rng(0)
    made = []
    with av.open(str(path), "w") as container:
        stream = container.add_stream(LOSSLESS[format], rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = width, height, format
        for _ in range(count):
            planes = {"gray": 1, "gbrp": 3, "gbrap": 4}[format]
            picture = generator.integers(0, 256, (height, width, planes), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture if planes > 1 else picture[..., 0], format)))
            made.append(picture)
        container.mux(stream.encode())
    return made


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray() for frame in container.decode(video=0)]
    return [p if p.ndim == 3 else p[..., None] for p in pictures]


@pytest.mark.parametrize("name", CASES)
def test_through_the_whole_program(name: str, files: Callable[[str], Path], library: Any, tmp_path: Path) -> None:
    """Values of the written file are the library's own, rounded to codes."""
    case = CASES[name]
    format = {"luma": "gray", "rgb": "gbrp", "rgba": "gbrap"}[case.domain]
    given = clip(tmp_path / "in.avi", format, 18, 13, 2)
    words = ["-c:v", LOSSLESS[format], "-pix_fmt", format, "--checkpoint", str(files(name)), "--quiet"]
    assert main([str(tmp_path / "in.avi"), *words, str(tmp_path / "out.avi")]) == 0
    frames = torch.from_numpy(np.stack(given)).permute(0, 3, 1, 2).float() / 255
    expected = by_spandrel(library, weights(case), frames).permute(0, 2, 3, 1) * 255
    made = decoded(tmp_path / "out.avi")
    assert len(made) == 2
    for picture, truth in zip(made, expected.numpy(), strict=True):
        assert picture.shape == truth.shape
        assert np.abs(picture - truth).max() < 0.51


def test_a_filter_that_keeps_the_size_before_one_that_enlarges(
    files: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one chain as in two runs: ``-vf vsr=checkpoint=dejpeg.pth,vsr``."""
    clean, source = files("swinir_x1"), str(ROOT / "demo" / "city_180p.mp4")
    small = ["-frames:v", "3", "-c:v", "ffv1", "--scene-threshold", "0"]
    head = ["-vf", f"scale=64:36,vsr=checkpoint={clean},vsr=model=rt"]
    assert main([source, *head, *small, str(tmp_path / "chain.mkv")]) == 0
    said = capsys.readouterr().err
    assert "SwinIR" in said
    assert "licence is not stated" in said
    assert main([source, "-vf", f"scale=64:36,vsr=checkpoint={clean}", *small, str(tmp_path / "clean.mkv")]) == 0
    assert main([str(tmp_path / "clean.mkv"), *small, "--model", "rt", str(tmp_path / "two.mkv")]) == 0
    chain, two = decoded(tmp_path / "chain.mkv"), decoded(tmp_path / "two.mkv")
    assert [p.shape for p in chain] == [(216, 256, 1)] * 3
    # rt sees the frame after the one that it enlarges: what -frames:v cuts off differs.
    assert all(np.array_equal(a, b) for a, b in zip(chain[:2], two[:2], strict=True))


# Reaches less far than the halo, and windows lie as in the whole frame: nothing but rounding.
@pytest.mark.parametrize(
    "name", ["compact_grey_x1", "esrgan_x4", "esrgan_shuffled_x2", "span_x2", "swinir_x3", "swin2sr_x2"]
)
def test_tiles_of_networks_that_see_no_further_than_their_halo(name: str, files: Callable[[str], Path]) -> None:
    model = loaded(files(name))
    frames = torch.rand(2, model.info.channels, 75, 107)
    together = whole(model, frames)
    model.tune(*tuning(tile="70"))
    assert torch.allclose(whole(model, frames), together, rtol=0, atol=EXACT)


@pytest.mark.parametrize("name", ALL_CASES)
def test_a_tile_leaves_its_neighbours_alone(name: str, files: Callable[[str], Path]) -> None:
    """RCAN multiplies what it gets in place."""
    model = loaded(files(name))
    frames = torch.rand(1, model.info.channels, 40, 48)
    before = frames.clone()
    model.network(frames[..., :32, :32])
    assert torch.equal(frames, before)


def test_tiles_where_memory_asks_for_them(files: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """By what the network needs, measured on a piece of the frame."""
    model, said = loaded(files("esrgan_x4")), []
    frames = torch.rand(1, 3, 100, 140)
    together = whole(model, frames)
    model.tune(*tuning(warn=said.append))
    for free, count in ((1 << 40, 0), (1 << 27, 0), (12 << 20, 1)):
        monkeypatch.setattr(tiling, "free_bytes", lambda device, free=free: free)
        assert torch.allclose(whole(model, frames), together, rtol=0, atol=EXACT)
        assert len(said) == count, free
    assert "140x100 is large for 12 MiB of free memory: working in tiles of 64" in said[0]


@pytest.mark.parametrize(("name", "words"), [("omnisr_x4", 1), ("span_x2", 0)])
def test_a_network_that_measures_the_frame_says_so_in_tiles(
    name: str, words: int, files: Callable[[str], Path]
) -> None:
    model, said = loaded(files(name)), []
    frames = torch.rand(1, 3, 64, 140)
    for tile, count in (("off", 0), ("160", 0), ("64", words)):
        said.clear()
        model.tune(*tuning(tile=tile, warn=said.append))
        session = model.session()
        for _ in range(2):
            list(session.window(frames, 1, range(1)))
        assert len(said) == count, tile
    assert all("measures the whole frame" in text for text in said)


def test_a_network_that_runs_out_of_memory_goes_on_in_tiles(
    files: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, said = loaded(files("esrgan_x4")), []
    frames = torch.rand(1, 3, 150, 210)
    together = whole(model, frames)
    forward = model.network.forward

    def spoiled(x: Tensor) -> Tensor:
        if x.shape[-1] > 200:
            raise MemoryError
        return forward(x)

    monkeypatch.setattr(model.network, "forward", spoiled)
    model.tune(*tuning(warn=said.append))
    assert torch.allclose(whole(model, frames), together, rtol=0, atol=EXACT)
    assert said == ["out of memory: going on in tiles of 105 pixels"]


@pytest.mark.parametrize("name", ["realesr-animevideov3.pth", "realesr-general-x4v3.fp16.safetensors"])
def test_trained_weights_through_both_loaders(shared_data: Path, name: str) -> None:
    path = shared_data / "weights" / name
    own = registry.load_model(registry.select(checkpoint=path))
    theirs = registry.load_model(registry.select("spandrel", path))
    assert (own.info.name, theirs.info.name) == ("srvgg", "spandrel")
    _, low = real_pair(shared_data / "clips" / "bbb_480p_30s.mp4", 300, 2, 96, 128)
    assert torch.allclose(whole(own, low).clamp(0, 1), whole(theirs, low), rtol=0, atol=EXACT)


def test_types_of_numbers(files: Callable[[str], Path]) -> None:
    cpu = torch.device("cpu")
    with pytest.raises(ModelError, match="--precision fp16: this spandrel network does not run in it"):
        loaded(files("swinir_x1")).to(cpu, torch.float16)
    model = loaded(files("span_x2"))
    frames = torch.rand(1, 3, 16, 16)
    exact = whole(model, frames)
    half = whole(model.to(cpu, torch.bfloat16), frames)
    assert half.dtype == torch.bfloat16
    assert (half - exact).abs().mean() < 0.02


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(Path(os.environ["STREAMVSR_BOMB"])),)


def test_code_in_a_checkpoint_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STREAMVSR_BOMB", str(tmp_path / "ran"))
    torch.save(weights(CASES["esrgan_x4"]) | {"bomb": Bomb()}, tmp_path / "bomb.pth")
    out = tmp_path / "out.mkv"
    assert main([str(ROOT / "demo" / "city_180p.mp4"), "--checkpoint", str(tmp_path / "bomb.pth"), str(out)]) == 1
    said = capsys.readouterr().err
    assert "bomb.pth: holds Python objects other than weights, which are not loaded because they can run code" in said
    assert not (tmp_path / "ran").exists()
    assert not out.exists()


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (
            {"x.weight": torch.zeros(1)},
            r"unknown network \(first key: x.weight\); known: rt, .*ESRGAN, .*SwinIR, ",
        ),
        ({"params": {"model.0.weight": torch.zeros(3)}}, "unknown network"),
    ],
)
def test_files_of_no_known_network_tell_which_are(tmp_path: Path, state: Any, message: str) -> None:
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=f"odd.pth: weights of an {message}"):
        loaded(tmp_path / "odd.pth")


def test_weights_that_do_not_fit_and_networks_that_cannot_run(tmp_path: Path, library: Any) -> None:
    state = weights(CASES["esrgan_x4"])
    torch.save(state | {min(state): torch.zeros(8, 3, 3)}, tmp_path / "bent.pth")
    with pytest.raises(CheckpointError, match=r"bent.pth: the weights look like ESRGAN, but do not fit it \("):
        loaded(tmp_path / "bent.pth")
    torch.save(state | {min(state): state[min(state)] * torch.nan}, tmp_path / "nan.pth")
    with pytest.raises(CheckpointError, match="not finite"):
        loaded(tmp_path / "nan.pth")
    odd = Case("ESRGAN", {"in_nc": 3, "out_nc": 1, **SMALL_ESRGAN}, 4, "luma")
    torch.save(weights(odd), tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=r"odd.pth: this ESRGAN network makes 1 channels of 3: it takes"):
        loaded(tmp_path / "odd.pth")
    torch.save(state, tmp_path / "good.pth")
    with pytest.raises(CheckpointError, match="holds a network that streamvsr has not, but rt is asked for"):
        registry.select("rt", tmp_path / "good.pth")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "its licence is not stated in the file"),
        (
            {"license": "CC-BY-NC-SA-4.0", "author": "A. Person"},
            "licence CC-BY-NC-SA-4.0, not for commercial use, by A. Person",
        ),
        ({"modelspec.license": "MIT", "url": "https://x.org"}, "licence MIT, from https://x.org"),
        (
            {"licence": "free for non-commercial\nuse\x1b[31m"},
            "licence free for non-commercial use [31m, not for commercial use",
        ),
        ({"Licence": "Apache-2.0"}, "licence Apache-2.0"),
        ({"license": "NCSA"}, "licence NCSA"),
        ({"licence": "unknown", "source": "x.pth"}, "its licence is not stated in the file, from x.pth"),
    ],
)
def test_what_a_file_says_of_itself(config: dict[str, str], words: str) -> None:
    assert stated(config) == words


def test_licences_are_read_from_either_kind_of_file(tmp_path: Path) -> None:
    state = weights(CASES["esrgan_x4"])
    torch.save({"params_ema": state, "license": "WTFPL", "epoch": 3}, tmp_path / "a.pth")
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "b.safetensors", {"license": "WTFPL"})
    for name in ("a.pth", "b.safetensors"):
        assert loaded(tmp_path / name).info.note.endswith("licence WTFPL")
    assert set(read(tmp_path / "a.pth").config) == {"license"}


def test_networks_of_our_own_tell_their_licence_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what the file says, or by the list of published files where its hash is there; what came along needs none."""
    state = weights(Case("Compact", {**SMALL_COMPACT, "upscale": 2, "num_in_ch": 3, "num_out_ch": 3}, 2))
    torch.save({"params_ema": state}, tmp_path / "a.pth")
    torch.save({"params_ema": state, "license": "CC-BY-NC-4.0"}, tmp_path / "b.pth")
    notes = [loaded(tmp_path / name).info.note for name in ("a.pth", "b.pth")]
    assert notes == ["its licence is not stated in the file", "licence CC-BY-NC-4.0, not for commercial use"]
    digest = hashlib.sha256((tmp_path / "a.pth").read_bytes()).hexdigest()
    place = Place(url="https://x.org/a.pth", sha256=digest)
    known = (Known("a", "srvgg", ("a.pth",), "BSD-3-Clause", 2, "", 1, (place,)),)
    monkeypatch.setattr(registry, "known_checkpoints", lambda: known)
    assert loaded(tmp_path / "a.pth").info.note == "licence BSD-3-Clause"
    monkeypatch.undo()
    assert registry.load_model(registry.select("rt")).info.note == ""


def test_a_mark_beside_the_weights_reaches_the_network(tmp_path: Path) -> None:
    """Real-CUGAN's "pro" variants have other ranges, and nothing but this entry tells them."""
    state = weights(CASES["cugan_x3"])
    torch.save(state | {"pro": "yes"}, tmp_path / "pro.pth")
    torch.save(state, tmp_path / "plain.pth")
    frames = torch.rand(1, 3, 32, 32)
    pro, plain = (whole(loaded(tmp_path / f"{name}.pth"), frames) for name in ("pro", "plain"))
    assert "pro" in loaded(tmp_path / "pro.pth").info.note
    assert (pro - plain).abs().max() > 0.01


def test_without_the_library_our_own_networks_run_and_others_name_the_extra(
    files: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = spandrel.find_spec
    monkeypatch.setattr(spandrel, "find_spec", lambda name: None if name == "spandrel" else find(name))
    with pytest.raises(CheckpointError, match=r"span_x2.pth: .*unknown network .* pip install 'streamvsr\[spandrel\]'"):
        loaded(files("span_x2"))
    assert registry.load_model(registry.select("rt")).info.name == "rt"


@pytest.mark.parametrize("torchvision", ["absent", "broken", "as it is here"])
def test_torchvision_is_not_needed_and_not_touched(
    torchvision: str, files: Callable[[str], Path], tmp_path: Path
) -> None:
    code = (
        "import sys; from streamvsr.models import registry\n"
        "model = registry.load_model(registry.select(checkpoint=sys.argv[1]))\n"
        "print(model.info.name, [name for name in sys.modules if name.startswith('torchvision') and sys.modules[name]])"
    )
    path = str(ROOT)
    if torchvision == "absent":
        code = "import sys; sys.modules['torchvision'] = None\n" + code
    elif torchvision == "broken":
        (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
        path = f"{tmp_path}{os.pathsep}{ROOT}"
    done = subprocess.run(
        [sys.executable, "-c", code, str(files("span_x2"))],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.stdout == "spandrel []\n", done.stderr


def test_the_one_function_of_torchvision() -> None:
    x, mean, std = torch.rand(2, 3, 4, 5), [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
    expected = torch.stack([(x[:, c] - mean[c]) / std[c] for c in range(3)], 1)
    assert torch.allclose(torchvision_shim._normalize(x, mean, std), expected)
    torchvision_shim._normalize(x, mean, std, inplace=True)
    assert torch.allclose(x, expected)
