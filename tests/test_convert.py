"""``models convert`` and ``models verify``, and what ``models`` says about speed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from streamvsr.cli import main
from streamvsr.errors import CheckpointError, UsageError
from streamvsr.models import registry, resources, speed
from streamvsr.models.basicvsr.network import BasicVSRNet, RealBasicVSRNet
from streamvsr.models.checkpoint import read
from streamvsr.models.convert import convert
from streamvsr.models.fetch import sha256_of
from streamvsr.models.verify import verify_file
from tests.test_checkpoint import Payload


def training_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """A restorer as OpenMMLab trains it, at ``path``; the weights of its averaged network."""
    torch.manual_seed(0)
    plain, averaged = RealBasicVSRNet(8, 1, 1).state_dict(), RealBasicVSRNet(8, 1, 1).state_dict()
    state = {f"generator.{k}": v for k, v in plain.items()} | {f"generator_ema.{k}": v for k, v in averaged.items()}
    state |= {"step_counter": torch.zeros(1), "discriminator.conv.weight": torch.zeros(99, 99)}
    torch.save({"meta": {"iter": 9}, "state_dict": state, "optimizer": {"state": {0: torch.zeros(9999)}}}, path)
    return averaged


@pytest.mark.parametrize("half", [False, True])
def test_the_averaged_network_alone(tmp_path: Path, half: bool) -> None:
    source, target = tmp_path / "trained.pth", tmp_path / "small.safetensors"
    averaged = training_checkpoint(source)
    convert(source, target, half=half, licence="CC-BY-4.0")
    stored = load_file(target)
    assert stored.keys() == averaged.keys()
    large = {key for key, value in averaged.items() if value.numel() > 1024}
    assert {key for key, value in stored.items() if value.dtype == torch.float16} == (large if half else set())
    for key, value in averaged.items():
        assert torch.equal(stored[key].float(), value.half().float() if half and key in large else value)
    with safe_open(target, "pt") as file:
        said = file.metadata()
    assert (said["architecture"], said["licence"]) == ("realbasicvsr", "CC-BY-4.0")
    assert (said["source"], said["source_sha256"]) == ("trained.pth", sha256_of(source))
    assert target.stat().st_size < source.stat().st_size / (4 if half else 2)
    # It is a checkpoint like any other, also for being converted again.
    assert read(target).architecture == "realbasicvsr"
    frames = torch.rand(2, 3, 64, 64)
    made = [run(path, frames) for path in (source, target)]
    assert torch.equal(*made) if not half else torch.allclose(*made, atol=1e-2)


def run(path: Path, frames: torch.Tensor) -> torch.Tensor:
    found = read(path)
    model = registry.load_state(found.architecture, found.state, found.config, path)
    return torch.stack(list(model.session().window(frames, len(frames), range(len(frames)))))


def test_what_cannot_be_converted(tmp_path: Path) -> None:
    source = tmp_path / "in.pth"
    state = BasicVSRNet(8, 1).state_dict()
    torch.save(state, source)
    with pytest.raises(UsageError, match="give it that ending"):
        convert(source, tmp_path / "out.pth")
    torch.save({"some.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="unknown network"):
        convert(tmp_path / "other.pth", tmp_path / "out.safetensors")
    torch.save({k: v for k, v in state.items() if k != "conv_last.bias"}, source)
    with pytest.raises(CheckpointError, match=r"in.pth: .*missing: conv_last.bias"):
        convert(source, tmp_path / "out.safetensors")
    state["upsample1.upsample_conv.weight"][0, 0, 0, 0] = 1e6
    torch.save(state, source)
    with pytest.raises(CheckpointError, match="too large for float16"):
        convert(source, tmp_path / "out.safetensors", half=True)
    torch.save({"x": Payload(tmp_path / "ran")}, source)
    with pytest.raises(CheckpointError, match="not loaded because they can run code"):
        convert(source, tmp_path / "out.safetensors")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.pth", "other.pth"]


def test_convert_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    training_checkpoint(Path("trained.pth"))
    assert main(["models", "convert", "trained.pth", "out.safetensors", "--fp16"]) == 0
    assert "out.safetensors: realbasicvsr, fp16, licence unknown;" in capsys.readouterr().err
    before = Path("out.safetensors").read_bytes()
    assert main(["models", "convert", "trained.pth", "out.safetensors"]) == 2
    assert "give -y to write over it" in capsys.readouterr().err
    assert Path("out.safetensors").read_bytes() == before
    assert main(["models", "convert", "trained.pth", "out.safetensors", "-y", "--quiet"]) == 0
    assert main(["models", "convert", "out.safetensors", "out.safetensors", "-y"]) == 2
    assert main(["models", "convert", "trained.pth"]) == 2
    assert main(["models", "convert", "missing.pth", "new.safetensors"]) == 1
    assert "no such checkpoint" in capsys.readouterr().err


def test_the_manifests_licence_goes_along(shared_data: Path, tmp_path: Path) -> None:
    target = tmp_path / "animesr.safetensors"
    said = convert(shared_data / "weights" / "AnimeSR_v2.pth", target)
    assert said["licence"] == "Apache-2.0"
    assert said["source"].startswith("https://github.com/")
    assert verify_file(target).text.startswith("animesr, intact, Apache-2.0, converted from https://github.com/")


def test_verify(cache: Path, capsys: pytest.CaptureFixture[str], shared_data: Path) -> None:
    training_checkpoint(cache / "trained.pth")
    convert(cache / "trained.pth", cache / "converted.safetensors")
    (cache / "AnimeSR_v2.pth").write_bytes((shared_data / "weights" / "AnimeSR_v2.pth").read_bytes())
    (cache / "big.pth.part").write_bytes(b"x")
    assert main(["models", "verify"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:4] for line in lines] == ["good"] * 4
    assert "animesr_v2 as published, Apache-2.0 sha256 d0f29c89" in lines[0]
    assert "an unfinished download" in lines[1]
    assert "realbasicvsr, intact, unknown, converted from trained.pth" in lines[2]
    assert "realbasicvsr, of your own, licence unknown" in lines[3]

    data = bytearray((cache / "converted.safetensors").read_bytes())
    data[-2] ^= 1
    (cache / "converted.safetensors").write_bytes(data)
    (cache / "AnimeSR_v2.pth").write_bytes((cache / "trained.pth").read_bytes())
    (cache / "cut.pth").write_bytes((cache / "trained.pth").read_bytes()[:5000])
    torch.save({"x": Payload(cache / "ran")}, cache / "evil.pth")
    assert main(["models", "verify"]) == 1
    verdicts = {line.split(":")[0].rpartition("/")[2]: line for line in capsys.readouterr().out.splitlines()}
    assert "its weights are not those that were converted" in verdicts["converted.safetensors"]
    assert "not the file that is published under this name" in verdicts["AnimeSR_v2.pth"]
    assert "cut short" in verdicts["cut.pth"]
    assert "can run code" in verdicts["evil.pth"]
    assert not (cache / "ran").exists()
    assert [line[:4] for line in verdicts.values()].count("BAD ") == 4
    assert main(["models", "verify", str(cache / "trained.pth")]) == 0
    assert main(["models", "verify", str(cache / "none.pth")]) == 1


def test_what_ships_is_good() -> None:
    folder = resources.packaged_folder()
    assert folder is not None
    verdicts = [verify_file(path) for path in folder.glob("*.safetensors")]
    assert verdicts
    for verdict in verdicts:
        assert verdict.good
        assert "comes with streamvsr, Apache-2.0" in verdict.text


def test_a_file_that_lies_about_its_network(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(2)}, path, {"architecture": "basicvsr"})
    assert not verify_file(path).good
    save_file({"a": torch.zeros(2)}, path, {"architecture": "nothing"})
    assert "says it is a 'nothing' network" in verify_file(path).text


def test_speed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "processors", lambda: 4)
    assert speed.machine() == (4 * speed.PROCESSOR_GMACS, False, "cpu")
    monkeypatch.setattr(speed, "MEASURE_SECONDS", 0.01)
    here, path = speed.measure("cpu")
    assert here.gmacs > 0
    assert path.parent == cache
    assert speed.machine() == (pytest.approx(here.gmacs, abs=0.06), True, "cpu")
    monkeypatch.setattr(speed, "processors", lambda: 5)
    assert not speed.machine().measured, "measured with another number of processors"
    for broken in ("", "[]", "{}", json.dumps({"gmacs": "x", "processors": 5, "device": "cpu"})):
        path.write_text(broken)
        assert not speed.machine().measured
    machine = speed.Machine(100.0, True, "cpu")
    assert speed.speed_text(34, machine) == "live, about 50 frames/s"
    assert speed.speed_text(1720, machine) == "slow, about 1 frame/s"
    assert speed.speed_text(619, machine) == "slow, about 3 frames/s"
    assert speed.speed_text(6554, machine) == "for the night, about 0.3 frames/s"
