"""What happens on a device that is not the CPU: rehearsed on "meta" tensors, and run where there is a CUDA device.

Meta tensors hold no numbers: whatever asks for one, and so would wait for the device, is an error of torch's.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from streamvsr import networks
from streamvsr.config import ModelOptions
from streamvsr.errors import ModelError
from streamvsr.frames import PIXEL_FORMATS, Frame, StreamInfo
from streamvsr.media.color import resample, transfer
from streamvsr.media.color import yuv as color
from streamvsr.models import one_frame, recurrent, registry
from streamvsr.models.base import Model
from streamvsr.models.basicvsr import BasicVSRModel
from streamvsr.models.basicvsr import session as session_module
from streamvsr.models.basicvsr.cleaning import RefineRule
from streamvsr.models.basicvsr.network import BasicVSRNet
from streamvsr.models.basicvsr_pp.network import BasicVSRPlusPlusNet
from streamvsr.models.compiled import ISOLATES, compiled
from streamvsr.models.device import choose_device, is_cuda
from streamvsr.vsr import filter as vsr_module
from streamvsr.vsr.filter import VsrFilter
from tests.fakes import tuning, vsr_filter
from tests.test_basicvsr import carried, random_model, video
from tests.test_models_contract import MAKE
from tests.test_nanovsr import training_weights

META = torch.device("meta")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


def clip(format: str, count: int, width: int = 80, height: int = 72) -> tuple[StreamInfo, list[Frame]]:
    layout, base = PIXEL_FORMATS[format], Fraction(1, 25)
    draw = np.random.default_rng(0)
    frames = []
    for number in range(count):
        planes = [
            draw.integers(0, layout.peak, shape, dtype=layout.dtype) for shape in layout.plane_shapes(width, height)
        ]
        frames.append(Frame(tuple(planes), layout, number, base))
    return StreamInfo(width, height, layout, base, Fraction(25)), frames


def run(vsr: VsrFilter, info: StreamInfo, frames: list[Frame]) -> list[Frame]:
    vsr.configure(info)
    return pushed(vsr, frames)


def pushed(vsr: VsrFilter, frames: list[Frame]) -> list[Frame]:
    made = [out for frame in frames for out in vsr.push(frame)]
    return [*made, *vsr.flush()]


class Crossings(TorchDispatchMode):
    """Every operation that takes tensors of one device and gives one of another, or takes both."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        devices = {t.device for t in (*args, result) if isinstance(t, Tensor) and t.ndim}
        if len(devices) > 1:
            self.found.append(func.__name__)
        return result


class Unread:
    """In the place of a flag that would come back from the device."""

    def __init__(self, value: Tensor) -> None:
        assert value.device == META

    def read(self) -> bool:
        return False


def rt() -> Model:
    return registry.load_model(registry.select("rt"))


@pytest.mark.parametrize(
    ("make", "source", "target", "size", "dtype"),
    [
        (random_model, "yuv420p", None, None, torch.float32),
        (random_model, "yuv420p10le", "gbrp", (200, 150), torch.float16),
        (rt, "gbrap", "yuva420p", (317, 201), torch.bfloat16),
        (rt, "yuv420p", None, (1917, 1081), torch.float32),
        (rt, "gbrp", "yuv422p10le", None, torch.float16),
        (rt, "gray", "gbrp16le", None, torch.float32),
        (MAKE["srvgg"], "yuv420p10le", "gbrp", None, torch.float16),
    ],
)
def test_no_copy_waits_for_the_device(
    make: Any, source: str, target: str | None, size: tuple[int, int] | None, dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """All that goes up or comes back goes by way of ``transfer``, and nothing asks what a tensor holds."""
    crossings = Crossings()

    def upload(codes: Tensor, device: torch.device | None) -> Tensor:
        with torch.utils._python_dispatch._disable_current_modes():
            return codes.to(device)

    def download(codes: Tensor) -> Tensor:
        assert codes.device == META
        return torch.zeros(codes.shape, dtype=codes.dtype)

    for module, name, own in ((color, "upload", upload), (resample, "upload", upload), (color, "download", download)):
        monkeypatch.setattr(module, name, own)
    for module in (vsr_module, session_module, recurrent, one_frame):
        monkeypatch.setattr(module, "Flag", Unread)
    vsr = vsr_filter(
        make(), device=META, dtype=dtype, output_format=target, size=size, max_seq_len=3, overlap=1,
        tile="64",
    )  # fmt: skip
    info, frames = clip(source, 4)
    vsr.configure(info)
    with crossings:
        assert len(pushed(vsr, frames)) == 4
    assert crossings.found == []


@pytest.mark.parametrize(
    ("make", "target", "size"),
    [(rt, None, None), (rt, None, (300, 200)), (random_model, None, None), (random_model, "yuv420p10le", (300, 200))],
)
def test_codes_alone_cross_the_bus(
    make: Any, target: str | None, size: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a window has run, each frame sends its planes up once and gets its codes back: no table, no matrix."""
    up: list[tuple[torch.dtype, tuple[int, ...]]] = []
    down: list[torch.dtype] = []

    def upload(codes: Tensor, device: torch.device | None) -> Tensor:
        up.append((codes.dtype, tuple(codes.shape)))
        return codes.to(device)

    def download(codes: Tensor) -> Tensor:
        down.append(codes.dtype)
        return torch.zeros(codes.shape, dtype=codes.dtype)

    for module, name, own in ((color, "upload", upload), (resample, "upload", upload), (color, "download", download)):
        monkeypatch.setattr(module, name, own)
    for module in (vsr_module, session_module):
        monkeypatch.setattr(module, "Flag", Unread)
    vsr = vsr_filter(make(), device=META, output_format=target, size=size, max_seq_len=3, overlap=1, tile="64")
    info, frames = clip("yuv420p", 9)
    vsr.configure(info)
    for frame in frames[:4]:
        list(vsr.push(frame))
    up.clear()
    down.clear()
    made = sum(1 for frame in frames[4:] for _ in vsr.push(frame))
    assert made >= 4
    assert {dtype for dtype, _ in up} == {torch.uint8}
    assert {shape for _, shape in up} == set(info.format.plane_shapes(80, 72))
    assert len(down) == 3 * made
    assert set(down) == {torch.uint16 if target else torch.uint8}


def test_whoever_waits_for_the_device_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spinning would take a core from the decoder and the encoder; the fence comes first, and lies behind the flag."""
    order: list[str] = []

    class Event:
        def __init__(self, *, blocking: bool = False) -> None:
            assert blocking

        def record(self, stream: Any) -> None:
            order.append(f"recorded on {stream}")

        def synchronize(self) -> None:
            order.append("waited")

    class Raised:
        def read(self) -> bool:
            order.append("read")
            return False

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(transfer, "_copies", lambda device: f"copies of {device}")
    _, frames = clip("yuv420p", 1)
    pending = vsr_module._PendingFrame(frames[0], 0, Raised(), transfer.Fence(torch.device("cuda:0")))  # type: ignore[arg-type]
    assert vsr_filter(rt())._finished(pending) is frames[0]
    assert order == ["recorded on copies of cuda:0", "waited", "read"]


@pytest.mark.parametrize(
    "ratio", [Fraction(2), Fraction(4), Fraction(1, 2), Fraction(3, 2), Fraction(7, 5), Fraction(1, 4)]
)
@pytest.mark.parametrize("phase", [Fraction(1, 2), Fraction(1, 4)])
def test_devices_resample_tap_by_tap_to_the_same(ratio: Fraction, phase: Fraction) -> None:
    """They need no convolution, which a GPU would round to ten bits."""
    x, axis = torch.rand(1, 1, 9, 21), resample._Axis.make(ratio, phase, Fraction(1, 2))
    for dim in (2, 3):
        wanted = int(x.shape[dim] * ratio)
        taps = resample._gathered(resample._padded(x, dim, axis, wanted), dim, axis, wanted)
        assert torch.allclose(taps, resample._along(x, dim, axis, wanted), atol=1e-6)


def test_devices_that_are_none() -> None:
    assert choose_device("cpu") == choose_device("cpu:0") == torch.device("cpu")
    for name in ("meta", "vulkan", "hpu", "gpu"):
        with pytest.raises(ModelError, match=f"--device {name}: expected auto, cpu, cuda"):
            choose_device(name)
    for name in ("cuda:x", "cuda:99"):
        with pytest.raises(ModelError, match=f"--device {name} cannot be used here") as failure:
            choose_device(name)
        assert len(str(failure.value)) < 250


def test_auto_chooses_for_the_device_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RealBasicVSR takes minutes for what a CPU is asked for, whether or not there is a GPU besides."""
    (tmp_path / "RealBasicVSR_x4.pth").write_bytes(b"x")
    monkeypatch.setenv("STREAMVSR_CACHE", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    _, reason = networks.make_vsr(ModelOptions(device="cpu"), warn=print)
    assert reason.startswith("model rt")


def test_what_a_model_has_no_use_for_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    networks.make_vsr(ModelOptions(model="rt", tile="64", max_history=20, compile=True), warn=said.append)
    assert said == ["--max-history, --tile, --compile: of no use to rt"]
    networks.make_vsr(ModelOptions(model="bicubic", tile="off", max_history=0), warn=pytest.fail)
    for name, state, words in (
        ("nanovsr", training_weights(), "--tile, --dynamic-refine-thres"),
        ("basicvsr_pp", BasicVSRPlusPlusNet(4, 1, groups=2).state_dict(), "--dynamic-refine-thres"),
        ("basicvsr", BasicVSRNet(4, 1).state_dict(), "--dynamic-refine-thres"),
    ):
        said.clear()
        torch.save(state, tmp_path / "weights.pth")
        asked = ModelOptions(checkpoint=str(tmp_path / "weights.pth"), tile="64", dynamic_refine_thres=5, max_history=9)
        networks.make_vsr(asked, warn=said.append)
        assert said == [f"{words}: of no use to {name}"]


def test_copies_from_a_device_have_a_stream_for_each_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the fence of one run could stand on another stream than its copies."""
    numbers = itertools.count()
    monkeypatch.setattr(torch.cuda, "Stream", lambda index: (index, next(numbers)))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    seen: list[tuple[Any, Any, Any]] = []

    def look() -> None:
        devices = (torch.device(name) for name in ("cuda", "cuda:1", "cuda:0"))
        first, second, third = (transfer._copies(device) for device in devices)
        seen.append((first, second, third))

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
        thread.join()
    assert [first == second != third for first, second, third in seen] == [True, True]
    assert seen[0][0] != seen[1][0]


def test_each_network_is_compiled_for_shapes_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch counts by class and stops at eight; tiles alone have nine shapes."""
    made = 0

    def backend(module: torch.fx.GraphModule, _: list[Tensor]) -> Any:
        nonlocal made
        made += 1
        return module.forward

    plain = torch.compile
    monkeypatch.setattr(torch, "compile", lambda network, mode, **how: plain(network, backend=backend, **how))
    for count in (9, 1):
        fast = compiled(torch.nn.Conv2d(1, 1, 1), torch.device("cpu"), compile=True, graphs=False, warn=pytest.fail)
        with torch.inference_mode():
            for side in range(count):
                fast(torch.zeros(1, 1, side + 2, 3))
    # An older torch runs the second network with what it compiled for the first.
    assert made == (10 if ISOLATES else 9)


def on_cuda(settings: tuple[Any, ...], frames: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    model = random_model().to(torch.device("cuda"), dtype)
    model.tune(*settings)
    with torch.inference_mode():
        made = [p.float().cpu() for p, _ in carried(model.session(), frames.to("cuda"), 4, 1)]
    return torch.stack(made)


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TF32, which torch computes float32 convolutions in by default."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@needs_cuda
@pytest.mark.usefixtures("exact")
def test_cuda_gives_what_the_cpu_gives() -> None:
    frames = video(7, 70, 90)
    with torch.inference_mode():
        expected = torch.stack([p for p, _ in carried(random_model().session(), frames, 4, 1)])
    assert (on_cuda(tuning(), frames) - expected).abs().max() < 1e-3
    assert (on_cuda(tuning(tile="64"), frames) - expected).abs().max() < 1e-3
    for dtype in (torch.float16, torch.bfloat16):
        said: list[str] = []
        off = on_cuda(tuning(warn=said.append), frames, dtype) - expected
        assert off.square().mean().sqrt() < 0.02
        assert said == []


@needs_cuda
@pytest.mark.usefixtures("exact")
def test_cuda_graphs_give_the_same_in_every_thread() -> None:
    frames, said = video(7), list[str]()
    expected = on_cuda(tuning(), frames)
    made: list[Tensor] = []
    graphs = tuning(cuda_graphs=True, warn=said.append)
    for _ in range(2):
        thread = threading.Thread(target=lambda: made.append(on_cuda(graphs, frames)))
        thread.start()
        thread.join()
    assert said == []
    assert len(made) == 2
    assert all((other - expected).abs().max() < 1e-3 for other in made)


@needs_cuda
@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("make", [random_model, rt])
def test_a_whole_run_on_cuda_does_not_wait_in_the_middle(make: Any) -> None:
    """``set_sync_debug_mode`` raises at every copy, read or call that waits for the device, but not at events."""
    info, frames = clip("yuv420p", 9)
    expected = run(vsr_filter(make(), max_seq_len=3, overlap=1), info, frames)
    vsr = vsr_filter(make(), device=torch.device("cuda"), max_seq_len=3, overlap=1)
    vsr.configure(info)
    made = [out for frame in frames[:4] for out in vsr.push(frame)]  # with what a network does once only
    torch.cuda.set_sync_debug_mode("error")
    try:
        made += [out for frame in frames[4:] for out in vsr.push(frame)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    made += vsr.flush()
    assert [frame.pts for frame in made] == [frame.pts for frame in expected]
    for ours, cpus in zip(made, expected, strict=True):
        for a, b in zip(ours.planes, cpus.planes, strict=True):
            assert np.abs(a.astype(int) - b).max() <= 2


@needs_cuda
def test_cuda_without_enough_memory_loses_nothing() -> None:
    torch.manual_seed(0)
    model = BasicVSRModel(BasicVSRNet(64, 1), RefineRule()).to(torch.device("cuda"), torch.float32)
    frames = video(6, 512, 512).cuda()
    expected = [p.cpu() for p in _pictures(model, frames, 4)]
    torch.cuda.empty_cache()
    # Weights, frames and states take some 300 MB; the upsampler alone wants more than 2 GB at once.
    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_allocated() + (1 << 30)) / whole)
    try:
        made = [p.cpu() for p in _pictures(model, frames, 4)]
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert len(made) == 6
    assert all((a - b).abs().mean() < 1e-2 for a, b in zip(made, expected, strict=True))


def _pictures(model: BasicVSRModel, frames: Tensor, length: int) -> Iterator[Tensor]:
    with torch.inference_mode():
        for picture, _ in carried(model.session(), frames, length, 1):
            yield picture


def test_torch_is_not_asked_for_a_gpu_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(name: str) -> torch.device:
        asked.append(name)
        return torch.device("cuda:0")

    monkeypatch.setattr("streamvsr.models.device.choose_device", answer)
    monkeypatch.setattr("streamvsr.models.device._has_driver", lambda: False)
    assert (is_cuda("auto"), is_cuda("cpu"), asked) == (False, False, [])
    assert (is_cuda("cuda:0"), asked) == (True, ["cuda:0"])
    monkeypatch.setattr("streamvsr.models.device._has_driver", lambda: True)
    assert (is_cuda("auto"), asked) == (True, ["cuda:0", "auto"])
