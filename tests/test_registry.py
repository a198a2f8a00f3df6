"""Which model runs, where its weights are found, and what mm configs say; the models that have no network."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import torch

from streamvsr.cli import model_files, models_command
from streamvsr.errors import CheckpointError, ModelError, UsageError
from streamvsr.models import registry, resources
from streamvsr.models.basicvsr.network import BasicVSRNet, RealBasicVSRNet
from streamvsr.models.basicvsr_pp.network import BasicVSRPlusPlusNet
from streamvsr.models.checkpoint import read
from streamvsr.models.plain import PlainModel, bicubic_x4, load_bicubic, load_identity
from tests.test_nanovsr import training_weights

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "configs" / "realbasicvsr_x4.py"


def put(folder: Path, name: str, network: torch.nn.Module | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    torch.save((network or BasicVSRNet(4, 1)).state_dict(), folder / name)
    return folder / name


def test_importing_the_registry_loads_no_torch() -> None:
    code = "import sys; from streamvsr.models import registry; registry.list_models(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("entry", registry.ENTRIES.values(), ids=str)
def test_every_loader_exists(entry: registry.Entry) -> None:
    module, function = entry.loader.split(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_manifest_speaks_of_models_that_exist() -> None:
    known = registry.known_checkpoints()
    assert {k.model for k in known} == {e.name for e in registry.ENTRIES.values() if e.needs_checkpoint}
    for k in known:
        assert k.licence
        assert k.kmacs > 0
        by_hand = "download it yourself" in k.note
        assert not k.places or k.fetchable != by_hand, f"{k.name} can be fetched, but not checked, or says it cannot"
        for place in k.places:
            assert place.sha256 is None or len(bytes.fromhex(place.sha256)) == 32
            if place.sha256_prefix:
                assert place.file_name.endswith(f"-{place.sha256_prefix}.pth")
            assert any(fnmatchcase(place.file_name, pattern) for pattern in k.files), "fetched, but not found"
            assert (place.url is None) == (place.member is not None) == (place.package is not None)
            assert place.url or re.fullmatch(r"[a-z0-9-]+==[0-9.]+", place.package or ""), (
                "a version that never changes"
            )


def test_least_sizes_are_those_of_the_networks() -> None:
    with torch.device("meta"):
        plus, large = BasicVSRPlusPlusNet(64, 7), BasicVSRPlusPlusNet(128, 25)
        clean, basic, real = BasicVSRPlusPlusNet(128, 25, False), BasicVSRNet(64, 30), RealBasicVSRNet(64, 20, 20)
    states: dict[str, Mapping[str, torch.Tensor]] = {
        "realbasicvsr": real.state_dict(),
        "basicvsr": basic.state_dict(),
        "basicvsr_pp": plus.state_dict(),
        "basicvsr_pp_ntire_vsr": large.state_dict(),
        "basicvsr_pp_decompress_1": clean.state_dict(),
        "basicvsr_pp_decompress_2": clean.state_dict(),
        "basicvsr_pp_decompress_3": clean.state_dict(),
        "nanovsr": training_weights(48, 12),
    }
    for known in registry.known_checkpoints():
        assert not known.places or known.size_mb or known.least_mb, f"nobody is told how large {known.name} is"
        if known.least_mb:
            state = states.get(known.name, states.get(known.model, {}))
            assert known.least_mb == round(sum(v.numel() * v.element_size() for v in state.values()) / 1e6), known.name


def test_manifest_is_shipped() -> None:
    folder = resources.packaged_folder()
    assert folder is not None
    assert (folder / resources.MANIFEST).is_file()


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("RealBasicVSR_x4.pth", "realbasicvsr"),
        ("realbasicvsr_c64b20_1x30x8_lr5e-5_150k_reds_20211104-52f77c2c.pth", "realbasicvsr"),
        ("BasicVSR_REDS4.pth", "basicvsr"),
        ("BasicVSR_REDS4-543c8261.pth", "basicvsr"),
        ("basicvsr_reds4_20120409-0e599677.pth", "basicvsr"),
        ("rt.safetensors", "rt"),
        ("AnimeSR_v2.pth", "animesr"),
        ("realesr-animevideov3.pth", "srvgg"),
        ("realesr-general-x4v3.fp16.safetensors", "srvgg"),
    ],
)
def test_common_names_are_found(cache: Path, name: str, model: str) -> None:
    (cache / name).write_bytes(b"x")
    found = {m: registry.find_checkpoint(m) for m in registry.ENTRIES}
    assert {m: p for m, p in found.items() if p} == {model: cache / name}


def test_search_order_and_empty_files(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "RealBasicVSR_x4.pth"
    packaged = cache.parent / "packaged"
    for folder in (cache, cache.parent / "checkpoints", packaged):
        put(folder, name)
    assert registry.find_checkpoint("realbasicvsr") == Path("checkpoints") / name
    monkeypatch.setattr(resources, "packaged_folder", lambda name="checkpoints": packaged)
    assert registry.find_checkpoint("realbasicvsr") == packaged / name
    (packaged / name).write_bytes(b"")
    assert registry.find_checkpoint("realbasicvsr") == Path("checkpoints") / name


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/streamvsr"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "~/.cache/streamvsr"),
        ("linux", {}, "~/.cache/streamvsr"),
        ("darwin", {}, "~/Library/Caches/streamvsr"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/streamvsr"),
        ("linux", {"STREAMVSR_CACHE": "~/mine", "XDG_CACHE_HOME": "/x"}, "~/mine"),
    ],
)
def test_cache_folder(
    monkeypatch: pytest.MonkeyPatch, platform: str, environment: dict[str, str], expected: str
) -> None:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "STREAMVSR_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert resources.cache_folder() == Path(expected).expanduser()


def test_auto_takes_realbasicvsr_with_a_gpu_only(cache: Path) -> None:
    (cache / "rt.safetensors").write_bytes(b"x")
    entry, path, reason = registry.select(device_has_gpu=True)
    assert (entry.name, path) == ("rt", cache / "rt.safetensors")
    assert "no RealBasicVSR checkpoint" in reason
    put(cache, "RealBasicVSR_x4.pth")
    assert registry.select(device_has_gpu=True).entry.name == "realbasicvsr"
    entry, _, reason = registry.select(device_has_gpu=False)
    assert entry.name == "rt"
    assert "wants a GPU" in reason


def test_auto_without_any_weights(cache: Path) -> None:
    with pytest.raises(CheckpointError, match="install it again"):
        registry.select()
    put(cache, "RealBasicVSR_x4.pth")
    assert "slow without a GPU" in registry.select().reason


def test_a_checkpoint_alone_says_which_network(cache: Path) -> None:
    path = put(cache, "mine.pth", RealBasicVSRNet(4, 1, 1))
    selection = registry.select(checkpoint=path)
    assert selection[:2] == (registry.ENTRIES["realbasicvsr"], path)
    assert registry.load_model(selection).info.name == "realbasicvsr"


def test_disagreements_are_named(cache: Path) -> None:
    path = put(cache, "mine.pth")
    with pytest.raises(CheckpointError, match=r"mine\.pth: holds a basicvsr network, but realbasicvsr is asked for"):
        registry.select("realbasicvsr", checkpoint=path)
    with pytest.raises(CheckpointError, match="but realbasicvsr is asked for"):
        registry.select(checkpoint=path, config=CONFIG)
    with pytest.raises(ModelError, match="describes a realbasicvsr network, but --model is rt"):
        registry.select("rt", config=CONFIG)
    with pytest.raises(UsageError, match="unknown model 'superres'; there are auto, rt"):
        registry.select("superres")
    with pytest.raises(
        CheckpointError, match="no checkpoint for realbasicvsr: get it with 'streamvsr models fetch realbasicvsr_x4'"
    ):
        registry.select("realbasicvsr")


def test_config_has_to_fit_the_weights(cache: Path) -> None:
    path = put(cache, "mine.pth", RealBasicVSRNet(4, 1, 1))
    selection = registry.select(checkpoint=path, config=CONFIG)
    with pytest.raises(CheckpointError, match=r"mine\.pth: .* states mid_channels = 64, but the weights have 4"):
        registry.load_model(selection, CONFIG)


def test_config_sets_the_refinement(cache: Path) -> None:
    path = put(cache, "mine.pth", RealBasicVSRNet(4, 1, 1))
    config = cache / "mine.py"
    config.write_text("model = dict(generator=dict(type='RealBasicVSRNet', mid_channels=4, dynamic_refine_thres=1.5))")
    model = registry.load_model(registry.select(checkpoint=path, config=config), config)
    assert model.rule.threshold == 1.5  # type: ignore[attr-defined]


def test_file_of_another_network_under_a_known_name(cache: Path) -> None:
    put(cache, "RealBasicVSR_x4.pth")
    selection = registry.select("realbasicvsr")
    with pytest.raises(CheckpointError, match=r"RealBasicVSR_x4\.pth: holds a basicvsr network, not realbasicvsr"):
        registry.load_model(selection)


def test_a_checkpoint_of_the_manifest_may_be_named(cache: Path) -> None:
    with pytest.raises(CheckpointError, match="get it with 'streamvsr models fetch realesr-animevideov3'"):
        registry.select("realesr-animevideov3")
    for name in ("realesr-general-x4v3.pth", "realesr-animevideov3.pth"):
        (cache / name).write_bytes(b"x")
    assert registry.select("srvgg")[:2] == (registry.ENTRIES["srvgg"], cache / "realesr-general-x4v3.pth")
    assert registry.select("realesr-animevideov3").path == cache / "realesr-animevideov3.pth"
    assert registry.select(config=put_config(cache, "BasicVSRNet"), checkpoint=put(cache, "b.pth")).entry.name


def test_config_alone_takes_the_checkpoint_at_hand(cache: Path) -> None:
    path = put(cache, "BasicVSR_REDS4.pth")
    assert registry.select(config=put_config(cache, "BasicVSRNet")).path == path


def put_config(folder: Path, kind: str) -> Path:
    (folder / "config.py").write_text(f"model = dict(generator=dict(type={kind!r}))")
    return folder / "config.py"


def test_what_can_be_fetched(cache: Path) -> None:
    assert registry.known_checkpoint("realbasicvsr").name == "realbasicvsr_x4"
    assert registry.known_checkpoint("basicvsr_vimeo90k_bi").model == "basicvsr"
    assert registry.known_checkpoint("rt").places == ()
    with pytest.raises(UsageError, match="no checkpoint is called 'animesr_v3'; did you mean animesr_v2"):
        registry.known_checkpoint("animesr_v3")


def test_listing(cache: Path) -> None:
    path = put(cache, "BasicVSR_REDS4.pth")
    listed = {entry.entry.name: entry for entry in registry.list_models()}
    assert listed["basicvsr"].path == path
    assert [p for _, p in listed["basicvsr"].sources] == [path, None, None]
    assert {name for name, entry in listed.items() if entry.ready} == {"basicvsr", "bicubic", "identity"}
    text = models_command.listing()
    parts = (
        str(path),
        "no checkpoint here",
        "streamvsr models fetch realbasicvsr_x4",
        "148 MB, from download.",
        "SPyNet",
    )
    for part in (*parts, "basicvsr_reds4 (Apache-2.0): here", f"go into: {cache}"):
        assert part in text
    assert max(map(len, text.splitlines())) < 200
    text = model_files.sources()
    for part in (
        "sha256 52f77c2c",
        "sha256 0e599677...",
        "https://download.openmmlab",
        "animesr_v2: for model animesr",
    ):
        assert part in text


class TestPlain:
    def run(self, model: PlainModel, frames: torch.Tensor) -> torch.Tensor:
        session = model.session()
        session.reset()
        return torch.stack(list(session.window(frames, len(frames), range(len(frames)))))

    @pytest.mark.parametrize("size", [(1, 1), (7, 9), (18, 32)])
    def test_bicubic_is_that_of_torch_with_its_antialiasing(self, size: tuple[int, int]) -> None:
        """torch uses -0.5 where it antialiases; it renormalises at the edges, so the picture is padded before."""
        frames = torch.rand((2, 1, *size))
        padded = torch.nn.functional.pad(frames, (2,) * 4, mode="replicate")
        expected = torch.nn.functional.interpolate(padded, scale_factor=4, mode="bicubic", antialias=True)
        outputs = self.run(load_bicubic({}, {}), frames)
        assert torch.allclose(outputs, expected[..., 8:-8, 8:-8], atol=1e-5)

    def test_bicubic_keeps_constants_and_ramps(self) -> None:
        assert torch.allclose(bicubic_x4(torch.full((1, 1, 5, 6), 0.3)), torch.tensor(0.3))
        ramp = torch.arange(12.0).expand(1, 1, 5, 12)
        inner = bicubic_x4(ramp)[..., 8:-8]
        assert torch.allclose(inner, (torch.arange(48) / 4 - 0.375)[8:-8].expand_as(inner), atol=1e-4)

    def test_identity(self) -> None:
        frames = torch.rand(3, 1, 5, 6)
        model = load_identity({}, {}).to(torch.device("cpu"), torch.float32)
        assert model.info.scale == 1
        assert torch.equal(self.run(model, frames), frames)

    def test_keep_and_misuse(self) -> None:
        session = load_bicubic({}, {}).session()
        assert len(list(session.window(torch.rand(4, 1, 5, 6), 4, range(1, 3)))) == 2
        with pytest.raises(ModelError, match="1, H, W"):
            session.window(torch.rand(4, 3, 5, 6), 4, range(4))


def _pair(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The two checkpoints of realesr-general, small, as files of ``folder``."""
    from safetensors.torch import save_file

    from streamvsr.models.srvgg import SRVGGNet

    strong, weak = (SRVGGNet(4, 2, 4).state_dict() for _ in range(2))
    save_file(strong, folder / "realesr-general-x4v3.safetensors", {"architecture": "srvgg"})
    save_file(weak, folder / "realesr-general-wdn-x4v3.safetensors", {"architecture": "srvgg"})
    return strong, weak


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_denoise_mixes_the_weights_of_the_two_checkpoints(share: float, tmp_path: Path) -> None:
    strong, weak = _pair(tmp_path)
    model = registry.load_model(
        registry.select(checkpoint=tmp_path / "realesr-general-x4v3.safetensors"), denoise=share
    )
    found = model.network.state_dict()  # type: ignore[attr-defined]
    for key, value in strong.items():
        torch.testing.assert_close(found[key], share * value + (1 - share) * weak[key])


def test_denoise_without_the_second_checkpoint_says_where_to_get_it(tmp_path: Path) -> None:
    _pair(tmp_path)
    (tmp_path / "realesr-general-wdn-x4v3.safetensors").unlink()
    choice = registry.select(checkpoint=tmp_path / "realesr-general-x4v3.safetensors")
    with pytest.raises(CheckpointError, match=r"realesr-general-wdn-x4v3.*download https://.*put it into"):
        registry.load_model(choice, denoise=0.5)
    registry.load_model(choice, denoise=1.0)


def test_the_share_of_detail_is_that_of_the_option() -> None:
    choice = registry.select("rt-real")
    assert choice.path is not None
    default = float(read(choice.path).config["detail"])
    frames = torch.rand(2, 3, 8, 8)
    less, stated, more = (
        torch.stack(list(registry.load_model(choice, detail=share).session().window(frames, 2, range(2))))
        for share in (0.0, default, 2.0)
    )
    own = torch.stack(list(registry.load_model(choice).session().window(frames, 2, range(2))))
    assert torch.equal(own, stated)
    torch.testing.assert_close(stated, less.lerp(more, default / 2), atol=1e-5, rtol=0)
    assert (more - less).abs().mean() > 1e-3


@pytest.mark.parametrize("model", ["rt", "bicubic", "identity"])
def test_detail_is_refused_by_a_model_that_has_none(model: str) -> None:
    with pytest.raises(UsageError, match=r"--detail: .*rt-real has, and"):
        registry.load_model(registry.select(model), detail=1.0)


@pytest.mark.parametrize("model", ["rt", "rt-real", "bicubic", "identity"])
def test_denoise_is_refused_by_a_model_without_such_a_knob(model: str) -> None:
    with pytest.raises(UsageError, match=r"--denoise: .*realesr-general-x4v3 can"):
        registry.load_model(registry.select(model), denoise=1.0)
