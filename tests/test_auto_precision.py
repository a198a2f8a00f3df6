"""``--precision auto``: what decides, what is kept, and who is never asked."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from streamvsr import networks
from streamvsr.cli import main
from streamvsr.config import ModelOptions
from streamvsr.models import auto_precision, processor
from streamvsr.models.auto_precision import FP32, MARGIN, Choice, Piece, choose, gain_of, pieces_of
from streamvsr.models.plain import PlainModel
from streamvsr.models.rt import RTModel
from streamvsr.models.rt.color import RTColorNet
from tests.conftest import ROOT
from tests.test_rt import lively_net

CPU = torch.device("cpu")
X86 = "processor\t: 0\nvendor_id\t: AMD\nmodel name\t: AMD EPYC 9654\nflags\t\t: fpu avx2 {}\n\nprocessor\t: 1\n"
ARM = "processor\t: 0\nBogoMIPS\t: 100.00\nFeatures\t: fp asimd {}\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STREAMVSR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / auto_precision.CACHE_FILE


@pytest.fixture
def cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Another processor, of which torch knows nothing."""
    for name in processor.TORCH_TELLS:
        monkeypatch.delattr(torch.cpu, name, raising=False)
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")

    def write(text: str) -> None:
        (tmp_path / "cpuinfo").write_text(text)

    return write


@pytest.fixture
def bf16(cpuinfo: Callable[[str], None]) -> None:
    cpuinfo(X86.format("avx512_bf16"))


class Measured:
    """Stands in for the measurement: gives ``gain``, and counts."""

    def __init__(self, gain: float) -> None:
        self.gain, self.times = gain, 0

    def __call__(self, pieces: list[Piece], clock: object) -> float:
        assert pieces
        self.times += 1
        return self.gain


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measured:
    found = Measured(1.6)
    monkeypatch.setattr(auto_precision, "gain_of", found)
    return found


def model(channels: int = 4) -> RTModel:
    return RTModel(lively_net(channels))


# --- the processor


@pytest.mark.parametrize(
    ("text", "there"),
    [
        (X86.format(""), False),
        (X86.format("avx512f avx512bw"), False),
        (X86.format("avx512f avx512_bf16"), True),
        (X86.format("amx_bf16"), True),
        (ARM.format("i8mm bf16"), True),
        (ARM.format("sve"), False),
        ("", False),
    ],
)
def test_the_processor_says_whether_it_multiplies_bf16(cpuinfo: Callable[[str], None], text: str, there: bool) -> None:
    cpuinfo(text)
    assert processor.has_bf16() is there


@pytest.mark.parametrize("name", processor.TORCH_TELLS)
def test_so_does_torch_where_there_is_no_cpuinfo(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "none")
    for each in processor.TORCH_TELLS:
        monkeypatch.setattr(torch.cpu, each, lambda each=each: each == name, raising=False)
    assert processor.has_bf16()
    monkeypatch.setattr(torch.cpu, name, lambda: False)
    assert not processor.has_bf16()
    monkeypatch.setattr(torch.cpu, name, lambda: True)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not processor.has_bf16(), "torch without oneDNN emulates it"


def test_processors_are_told_apart(cpuinfo: Callable[[str], None]) -> None:
    seen = set()
    for text in (X86.format(""), X86.format("avx512_bf16"), X86.format("").replace("9654", "9754"), ARM.format("")):
        cpuinfo(text)
        seen.add(processor.description())
    assert len(seen) == 4
    cpuinfo(X86.format("").replace("fpu avx2", "avx2  fpu"))
    assert processor.description() in seen


# --- the measurement


class Clock:
    """Runs on by what the work at hand takes."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []

    def __call__(self) -> float:
        return self.now

    def work(self, name: str, *seconds: float) -> Callable[[], None]:
        """Takes those times in turn, the last one ever after."""
        left = list(seconds)

        def run() -> None:
            self.log.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


def test_kinds_count_as_often_as_the_network_has_them() -> None:
    clock = Clock()
    pieces = [
        Piece(3, clock.work("a", 0.002), clock.work("A", 0.001)),
        Piece(1, clock.work("b", 0.002), clock.work("B", 0.004)),
    ]
    assert gain_of(pieces, clock) == pytest.approx((3 * 2 + 2) / (3 * 1 + 4))
    assert clock.log[:8] == ["a", "A", "b", "B"] * 2, "in turns"


def test_one_disturbance_changes_nothing() -> None:
    clock = Clock()
    # The first time prepares the kernel and is not counted.
    piece = Piece(1, clock.work("full", 0.5, 0.003, 0.003, 0.9, 0.003), clock.work("half", 0.5, 0.002))
    assert gain_of([piece], clock) == pytest.approx(1.5)


@pytest.mark.parametrize("seconds", [0.0001, 0.004, 1.0])
def test_it_ends_in_time_and_has_five_rounds(seconds: float) -> None:
    clock = Clock()
    gain_of([Piece(1, clock.work("full", seconds), clock.work("half", seconds))], clock)
    rounds = clock.log.count("full") - 1
    assert abs(rounds - max(5, 0.02 / (2 * seconds))) <= 1
    assert rounds >= 5


def test_what_is_hopeless_is_run_twice() -> None:
    clock = Clock()
    assert gain_of([Piece(1, clock.work("full", 0.001), clock.work("half", 0.009))], clock) == 0
    assert clock.log == ["full", "half"] * 2
    assert gain_of([], clock) == 0


def test_the_dearest_kinds_are_run_in_both_types(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = [nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)]
    layers += [nn.Conv2d(8, 40, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8)]
    network = nn.Sequential(*layers)
    before = copy.deepcopy(network.state_dict())
    seen: list[tuple[torch.Size, torch.dtype]] = []
    forward = nn.Conv2d.forward

    def watched(self: nn.Conv2d, x: Tensor) -> Tensor:
        seen.append((self.weight.shape, x.dtype))
        return forward(self, x)

    monkeypatch.setattr(nn.Conv2d, "forward", watched)
    pieces = pieces_of(network)
    with torch.inference_mode():
        for piece in pieces:
            piece.full()
            piece.half()
    assert [piece.number for piece in pieces] == [2, 1, 1]
    shapes = [(8, 8, 3, 3), (40, 8, 1, 1), (8, 3, 3, 3)]
    assert seen == [(torch.Size(s), t) for s in shapes for t in (torch.float32, torch.bfloat16)]
    after = network.state_dict()
    assert all(torch.equal(before[name], value) and value.dtype == before[name].dtype for name, value in after.items())
    assert pieces_of(nn.Sequential(nn.Linear(3, 3))) == []


def test_the_real_probe_runs_here(bf16: None) -> None:
    """With bf16 emulated where the processor lacks it: it may choose either, and leaves torch as it was."""
    threads = torch.get_num_threads()
    assert choose(model(32), CPU, 1).precision in ("fp32", "bf16")
    assert torch.get_num_threads() == threads


# --- the choice


@pytest.mark.usefixtures("bf16")
@pytest.mark.parametrize("gain", [0.0, 0.9, MARGIN - 0.01, MARGIN, 1.6])
def test_clearly_faster_it_is_bf16(measured: Measured, gain: float) -> None:
    measured.gain = gain
    found = choose(model(), CPU, None)
    if gain < MARGIN:
        assert found == FP32
    else:
        assert found.precision == "bf16"
        assert f"{gain:.1f} times" in found.note


def test_a_processor_without_bf16_is_not_asked(cpuinfo: Callable[[str], None], measured: Measured, cache: Path) -> None:
    cpuinfo(X86.format("avx512f"))
    assert choose(model(), CPU, None) == FP32
    assert measured.times == 0
    assert not cache.exists()


@pytest.mark.usefixtures("bf16")
def test_networks_that_are_not_known_to_keep_50_db_are_not_asked(measured: Measured) -> None:
    assert choose(PlainModel("bicubic", 4), CPU, None) == FP32
    assert measured.times == 0


@pytest.mark.usefixtures("bf16")
def test_it_is_measured_once(measured: Measured) -> None:
    assert choose(model(), CPU, None) == choose(model(), CPU, None)
    assert measured.times == 1


@pytest.mark.parametrize("other", ["processor", "torch", "threads", "network", "colours", "oneDNN"])
def test_and_once_for_each(
    other: str, bf16: None, cpuinfo: Callable[[str], None], measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(model(), CPU, 2)
    measured.gain = 1.0
    network, threads = model(), 2
    if other == "processor":
        cpuinfo(X86.format("avx512_bf16 amx_bf16"))
    elif other == "torch":
        monkeypatch.setattr(torch, "__version__", "99.0")
    elif other == "threads":
        threads = 1
    elif other == "network":
        network = model(6)
    elif other == "colours":
        network = RTModel(lively_net(kind=RTColorNet))
    else:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert choose(network, CPU, threads) == FP32
    assert measured.times == 2
    assert choose(network, CPU, threads) == FP32
    assert measured.times == 2


@pytest.mark.usefixtures("bf16")
@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"\xff\xfe", b"[1]", b"null", b"[" * 100_000, b'{"KEY": "fast"}', b'{"KEY": NaN}', b'{"KEY": 1e999}',
     b'{"KEY": -1}', b'{"KEY": null}', b'{"KEY": [2]}'],
)  # fmt: skip
def test_a_damaged_file_is_measured_over(measured: Measured, cache: Path, damage: bytes) -> None:
    choose(model(), CPU, None)
    key = cache.read_text().split('"')[1]
    cache.write_bytes(damage.replace(b"KEY", key.encode()))
    assert choose(model(), CPU, None).precision == "bf16"
    assert measured.times == 2
    choose(model(), CPU, None)
    assert measured.times == 2, "written anew"


@pytest.mark.usefixtures("bf16")
def test_a_folder_that_cannot_be_written_costs_a_measurement(measured: Measured, cache: Path) -> None:
    cache.parent.parent.joinpath("cache").write_text("a file")
    assert choose(model(), CPU, None).precision == choose(model(), CPU, None).precision == "bf16"
    assert measured.times == 2


@pytest.mark.parametrize(
    ("capability", "nvidia", "precision"),
    [((7, 5), True, "fp32"), ((8, 0), True, "bf16"), ((9, 0), True, "bf16"), ((12, 0), True, "bf16"),
     ((9, 0), False, "fp32")],
)  # fmt: skip
def test_gpus_by_their_capability(
    capability: tuple[int, int], nvidia: bool, precision: str, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0" if nvidia else None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA A100")
    found = choose(model(), torch.device("cuda", 0), None)
    assert found.precision == precision
    assert ("NVIDIA A100" in found.note) == (precision == "bf16")
    assert measured.times == 0
    assert choose(model(), torch.device("mps"), None) == FP32


# --- the run


@pytest.mark.parametrize("precision", ["auto", "fp32", "bf16"])
def test_the_network_is_run_in_what_was_chosen(monkeypatch: pytest.MonkeyPatch, precision: Any) -> None:
    monkeypatch.setattr(auto_precision, "choose", lambda *_: Choice("bf16", "precision bf16: because"))
    notes: list[str] = []
    options = ModelOptions(model="rt", device="cpu", precision=precision)
    (made,), reason = networks.make_vsr(options, warn=pytest.fail, note=notes.append)
    assert made.network.precision == ("fp32" if precision == "fp32" else "bf16")
    assert notes == (["precision bf16: because"] if precision == "auto" else [])
    assert "precision" not in reason


@pytest.mark.parametrize("way", ["run", "json", "dry run", "look", "look --json"])
def test_a_line_says_so(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # Without the precision, which would be emulated here.
    monkeypatch.setattr(auto_precision, "choose", lambda *_: Choice("fp32", "precision bf16: because"))
    clip, out = str(ROOT / "demo" / "city_180p.mp4"), str(tmp_path / "o.mkv")
    run = [clip, out, "--model", "rt", "--device", "cpu", "-frames:v", "2", "-nostdin"]
    words = {
        "run": run, "json": [*run, "--progress", "json"], "dry run": [*run, "--dry-run"],
        "look": ["look", "--model", "rt", clip], "look --json": ["look", "--json", "--model", "rt", clip],
    }[way]  # fmt: skip
    assert main(words) == 0
    said = capfd.readouterr()
    line = next(line for line in (said.out + said.err).splitlines() if "because" in line)
    assert ("precision  bf16: because" if way == "look" else "precision bf16: because") in line
