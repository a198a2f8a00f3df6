"""Reading checkpoints: every layout that users have, and every way in which a file can be wrong."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from streamvsr.errors import CheckpointError
from streamvsr.models import registry, resources
from streamvsr.models.basicvsr import load
from streamvsr.models.basicvsr.network import BasicVSRNet, RealBasicVSRNet
from streamvsr.models.checkpoint import read, unwrap
from streamvsr.models.recognise import RECOGNISERS, from_basicsr, recognise


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return RealBasicVSRNet(4, 1, 1).state_dict()


def under(prefix: str, state: dict[str, Tensor], offset: float = 0.0) -> dict[str, Tensor]:
    return {prefix + key: value + offset for key, value in state.items()}


def layouts(state: dict[str, Tensor]) -> dict[str, Any]:
    """The same weights as they are found in the wild; whatever else lies beside them is off by one."""
    leftovers = {"step_counter": torch.zeros(1), "discriminator.conv.weight": torch.zeros(3)}
    return {
        "bare": state,
        "state_dict": {"state_dict": state, "meta": {"epoch": 3}, "optimizer": {"state": {}, "param_groups": []}},
        "params": {"params": state},
        "params_ema": {"params": under("", state, 1), "params_ema": state},
        "generator": {"state_dict": under("generator.", state) | leftovers},
        "generator_ema": {
            "state_dict": under("generator.", state, 1) | under("generator_ema.", state) | leftovers,
        },
        "module": under("module.", state),
        "module.generator": {"state_dict": under("module.generator.", state)},
        "generator.module": {"state_dict": under("generator.module.", state) | leftovers},
        "averaged by mmengine": {
            "state_dict": under("generator.", state, 1)
            | under("generator_ema.module.", state)
            | {"generator_ema.steps": torch.zeros(1), "data_preprocessor.mean": torch.zeros(3)},
        },
        "bare with leftovers": state | leftovers,
    }


@pytest.mark.parametrize("layout", list(layouts({})))
def test_layouts(tmp_path: Path, state: dict[str, Tensor], layout: str) -> None:
    path = tmp_path / "weights.pth"
    torch.save(layouts(state)[layout], path)
    checkpoint = read(path)
    assert checkpoint.architecture == "realbasicvsr"
    assert checkpoint.state.keys() == state.keys()
    assert all(torch.equal(checkpoint.state[key], value) for key, value in state.items())
    assert load(checkpoint.state, checkpoint.config).info.name == "realbasicvsr"


def test_safetensors_with_metadata(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"weight": torch.ones(2)}, path, {"architecture": "rt", "channels": "8"})
    checkpoint = read(path)
    assert (checkpoint.architecture, checkpoint.config["channels"]) == ("rt", "8")


def test_safetensors_without_metadata(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    assert read(path).architecture == "realbasicvsr"


def test_half_precision_weights_are_widened(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "weights.pth"
    torch.save({key: value.half() for key, value in state.items()}, path)
    network = load(read(path).state, {}).network
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_basicsr_names() -> None:
    """Every name of the network, turned into BasicSR's and back."""
    state = BasicVSRNet(4, 2).state_dict()
    theirs = {}
    for key, value in state.items():
        key = key.replace("_resblocks.", "_trunk.").replace("upsample1.upsample_conv", "upconv1")
        key = key.replace("upsample2.upsample_conv", "upconv2")
        if ".conv." in key:
            head, number, _, leaf = key.rsplit(".", 3)
            key = f"{head}.{int(number) * 2}.{leaf}"
        theirs[key] = value
    assert not any(".upsample_conv" in key or ".conv." in key for key in theirs)
    assert from_basicsr(theirs).keys() == state.keys()
    assert from_basicsr(state).keys() == state.keys()


def test_real_basicsr_file(shared_data: Path) -> None:
    checkpoint = read(shared_data / "weights" / "BasicVSR_REDS4.pth")
    assert checkpoint.architecture == "basicvsr"
    model = load(checkpoint.state, checkpoint.config)
    assert sum(p.numel() for p in model.network.parameters()) == 6_291_311


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        (("spynet.x", "edvr.x", "backward_resblocks.x"), "IconVSR"),
    ],
)
def test_networks_that_cannot_run_are_named(tmp_path: Path, keys: tuple[str, ...], found: str) -> None:
    path = tmp_path / "weights.pth"
    torch.save({key: torch.zeros(1) for key in keys}, path)
    with pytest.raises(CheckpointError, match=f"weights.pth: weights of {found}.*cannot run"):
        read(path)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("AnimeSR_v2.pth", "animesr"),
        ("realesr-animevideov3.pth", "srvgg"),
        ("realesr-general-x4v3.fp16.safetensors", "srvgg"),
    ],
)
def test_real_files_of_other_networks(shared_data: Path, name: str, found: str) -> None:
    assert read(shared_data / "weights" / name).architecture == found


def test_recognisers_are_distinct(state: dict[str, Tensor]) -> None:
    matching = [r.architecture for r in RECOGNISERS if r.matches(state)]
    assert matching == ["realbasicvsr"]
    plain = BasicVSRNet(4, 1).state_dict()
    assert [r.architecture for r in RECOGNISERS if r.matches(plain)] == ["basicvsr"]
    assert recognise(["anything"]) is None


class Payload:
    """Unpickling this would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.path),))


def test_code_in_a_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": {}, "hook": Payload(tmp_path / "owned")}, path)
    with pytest.raises(CheckpointError, match=r"weights\.pth: holds Python objects.*run code"):
        read(path)
    assert not (tmp_path / "owned").exists()


BROKEN = {
    "empty": (b"", "is empty"),
    "text": (b"hello, this is no checkpoint at all\n" * 9, "no checkpoint"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
    "html": (b"\n<!DOCTYPE html><html><body>Quota exceeded</body></html>", "web page"),
    "zeros": (bytes(4096), "no checkpoint"),
}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kind", list(BROKEN))
def test_what_is_no_checkpoint(tmp_path: Path, kind: str, suffix: str) -> None:
    content, message = BROKEN[kind]
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=str(path)) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    if suffix == ".pth" or kind in ("empty", "lfs", "html"):
        assert message in str(caught.value)


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nothing\.pth: no such checkpoint"):
        read(tmp_path / "nothing.pth")
    with pytest.raises(CheckpointError, match="is a folder"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds no weights, only a list"),
        ({}, "only a table with nothing"),
        ({"epoch": 3}, "only a table with epoch"),
        (torch.zeros(3), "only a Tensor"),
    ],
)
def test_torch_files_without_a_network(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=message):
        read(path)


@settings(max_examples=80, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["zip", "legacy", "safetensors"]))
def test_cut_and_scrambled_files(data: st.DataObject, kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever was cut off or flipped: a CheckpointError, or a checkpoint that reads (a flipped weight is one)."""
    path = tmp_path_factory.mktemp("cut") / ("weights.safetensors" if kind == "safetensors" else "weights.pth")
    state = {key: torch.ones(8) for key in ("spynet.x", "backward_resblocks.main.0.weight", "fusion.weight")}
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans(), label="cut"):
        path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1), label="length")])
        with pytest.raises(CheckpointError):
            read(path)
    else:
        position = data.draw(st.integers(0, len(content) - 1), label="position")
        content[position] ^= data.draw(st.integers(1, 255), label="flip")
        path.write_bytes(content)
        try:
            read(path)
        except CheckpointError as error:
            assert str(path) in str(error)  # noqa: PT017


def test_unwrap_leaves_what_is_no_tensor() -> None:
    assert unwrap({"state_dict": {"a": torch.ones(1), "b": 3}}).keys() == {"a"}
    assert unwrap(None) == {}


def rt_state() -> dict[str, torch.Tensor]:
    from streamvsr.models.rt.network import RTNet

    return {key: value.clone() for key, value in RTNet(8, 1).state_dict().items()}


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in rt_state().items()}


@pytest.mark.parametrize(
    "raw",
    [
        prefixed("_orig_mod."),
        prefixed("module._orig_mod."),
        prefixed("_orig_mod.module."),
        prefixed("net_g."),
        prefixed("net_g._orig_mod.module."),
        prefixed("module.generator_ema.module."),
        prefixed("model."),
        prefixed("model.network."),
        prefixed("net_g.generator."),
        {"net_g." + k: v for k, v in rt_state().items()}
        | {"net_d.conv.weight": torch.zeros(1), "step": torch.zeros(1)},
        {"state_dict": {"params_ema": prefixed("module.")}},
        {"model": {"state_dict": prefixed("")}, "epoch": 3},
        {"module": prefixed("")},
        {"net_g": {"params": {"state_dict": prefixed("_orig_mod.")}}},
        {key.replace("blocks.", "blocks._orig_mod."): value for key, value in rt_state().items()},
    ],
    ids=lambda raw: min(raw)[:30],
)
def test_layouts_of_checkpoints(tmp_path: Path, raw: Any) -> None:
    torch.save(raw, tmp_path / "weights.pth")
    found = read(tmp_path / "weights.pth")
    assert found.architecture == "rt"
    assert found.state.keys() == rt_state().keys()


def contains_itself() -> Any:
    table: dict[str, Any] = {}
    table["state_dict"] = table
    return table


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (contains_itself(), "holds no weights"),
        ({"body.0.weight": torch.zeros(1), "body.2000000000.bias": torch.zeros(1)}, "more than 4 digits"),
        ({f"blocks.{'9' * 6000}.weight": torch.zeros(1)}, "more than 4 digits"),
        ({"recur.weight": torch.zeros(1).expand(1 << 40)}, "claims"),
        ({"recur.weight": torch.zeros(2, 2).to_sparse()}, "sparse"),
        ({"recur.weight": torch.zeros(2, device="meta")}, "without data"),
        ({"x" * 100_000: torch.zeros(1)}, r"first key: x{80}\.\.\."),
    ],
    ids=["itself", "vast number", "long number", "expanded", "sparse", "meta", "long name"],
)
def test_checkpoints_made_to_do_harm(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=message) as caught:
        registry.load_model(registry.select(checkpoint=path))
    assert len(str(caught.value)) < 1000


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    plain, bomb = tmp_path / "plain.pth", tmp_path / "bomb.pth"
    torch.save({"recur.weight": torch.zeros(1 << 26)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    assert bomb.stat().st_size < 1 << 20
    with pytest.raises(CheckpointError, match="would become"):
        read(bomb)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_weights_have_to_be_floating_point_numbers(dtype: torch.dtype) -> None:
    from streamvsr.models.rt import load

    with pytest.raises(CheckpointError, match="no floating-point numbers"):
        load({key: value.to(dtype) for key, value in rt_state().items()}, {})


@pytest.mark.parametrize(
    "dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.float16, torch.bfloat16, torch.float64]
)
def test_any_kind_of_floating_point_number_is_read(tmp_path: Path, dtype: torch.dtype) -> None:
    from streamvsr.models.rt import load

    torch.save({key: value.to(dtype) for key, value in rt_state().items()}, tmp_path / "weights.pth")
    model = load(read(tmp_path / "weights.pth").state, {})
    assert next(model.net.parameters()).dtype == torch.float32


@pytest.mark.parametrize("text", ["checkpoint = 3", "nonsense", "[[checkpoint]]\nname = 1", "a = " + "[" * 5000])
def test_a_damaged_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (tmp_path / "manifest.toml").write_text(text)
    monkeypatch.setattr(resources, "packaged_folder", lambda name="checkpoints": tmp_path)
    registry.known_checkpoints.cache_clear()
    with pytest.raises(CheckpointError, match="damaged"):
        registry.known_checkpoints()
    registry.known_checkpoints.cache_clear()
