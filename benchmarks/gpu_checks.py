"""What gpu.py checks: does the card give what the CPU gives, and does nothing in the steady state wait for it?"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from gpu_measure import DTYPES, Device, decibels, drifting
from torch import Tensor

import streamvsr
from streamvsr.config import ModelOptions
from streamvsr.frames import PIXEL_FORMATS, Color, Frame, StreamInfo
from streamvsr.models import fused, registry
from streamvsr.models.base import Model
from streamvsr.models.basicvsr.network import BasicVSRNet, RealBasicVSRNet
from streamvsr.vsr.filter import VsrFilter

Say = Callable[..., None]
LEAST_DB = {"fp32": 90.0, "fp16": 45.0, "bf16": 35.0}
"""Of random networks against float32 on the CPU, without TF32; a step of 8 bits is 59 dB."""
TF32_DB = 60.0
LEAST_TILED_DB = 80.0


def small_network(name: str, device: Device) -> Model:
    """With random weights that let every branch reach the result. A CPU computes half precision slowly: smaller."""
    if name in ("rt", "rt-real"):
        return registry.load_model(registry.select(name))
    channels, blocks = (16, 4) if device.cuda else (4, 1)
    high = 16 if device.cuda else 4
    net = RealBasicVSRNet(channels, blocks, 2, high) if name == "realbasicvsr" else BasicVSRNet(channels, blocks, high)
    generator = torch.Generator().manual_seed(0)
    for key, parameter in net.named_parameters():
        torch.nn.init.normal_(parameter, std=0.04 if "spynet" in key else 0.06, generator=generator)
    return registry.ENTRIES[name].load(net.state_dict(), {})


def results(model: Model, frames: Tensor, options: ModelOptions, warn: Callable[[str], None]) -> Tensor:
    """All of a clip in windows of 4 with one frame of look-ahead."""
    model.tune(options, warn)
    session, made, start, fed = model.session(), [], 0, 0
    with torch.inference_mode():
        while start < len(frames):
            end = min(start + 4, len(frames))
            keep = range(end - start if end == len(frames) else 3)
            made += [out.clone() for out in session.window(frames[start:end], end - fed, keep)]
            start, fed = start + len(keep), end
    return torch.stack(made)


@contextmanager
def without_tf32() -> Iterator[None]:
    kept = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = kept


def numbers(device: Device, name: str, say: Say) -> None:
    """Each type of numbers against float32 on the CPU, then tiles, compiled code and graphs against plain execution."""
    model = small_network(name, device)
    frames = drifting(model.info.channels, 96, 72, torch.device("cpu"))[: 7 if device.cuda else 2]
    wanted = results(model, frames, ModelOptions(), lambda _: None)
    said: list[str] = []

    def on_device(precision: str, options: ModelOptions) -> Tensor:
        dtype = DTYPES[precision]
        moved = small_network(name, device).to(device.torch, dtype)
        return results(moved, frames.to(device.torch), options, said.append)

    def check(what: str, found: Tensor, against: Tensor, least: float) -> None:
        db = decibels(found, against)
        say("check", what=f"{name}: {what}", ok=db >= least and not said, value=f"{db:.1f} dB", wanted=f"{least:g}",
            said=list(said))  # fmt: skip
        said.clear()

    with without_tf32():
        exact = on_device("fp32", ModelOptions())
        check("fp32 against the CPU", exact, wanted, LEAST_DB["fp32"])
    check("fp32 as torch does it (TF32)", on_device("fp32", ModelOptions()), wanted, TF32_DB)
    for precision in ("fp16", "bf16"):
        check(f"{precision} against fp32", on_device(precision, ModelOptions()), wanted, LEAST_DB[precision])
    if model.info.tunable:
        with without_tf32():
            tiles = on_device("fp32", ModelOptions(tile="64"))
            check("tiles of 64 against whole frames", tiles, exact, LEAST_TILED_DB)


def fast_ways(device: Device, say: Say) -> None:
    """Compiled code and CUDA graphs against plain execution; a line of theirs says where they gave up."""
    frames = drifting(3, 96, 72, device.torch)[: 7 if device.cuda else 2]

    def found(options: ModelOptions, said: list[str]) -> Tensor:
        return results(
            small_network("realbasicvsr", device).to(device.torch, torch.float16), frames, options, said.append
        )

    plain = found(ModelOptions(), [])
    for what, options in (("compiled", ModelOptions(compile=True)), ("CUDA graphs", ModelOptions(cuda_graphs=True))):
        said = list[str]()
        db = decibels(found(options, said), plain)
        ok = db >= LEAST_DB["fp16"] and (not said or not device.cuda)
        say("check", what=f"{what} against eager, fp16", ok=ok, value=f"{db:.1f} dB", wanted="45", said=said)


def _clip(count: int, width: int, height: int) -> tuple[StreamInfo, list[Frame]]:
    layout, base, color = PIXEL_FORMATS["yuv420p"], Fraction(1, 25), Color(matrix=1, full_range=False)
    draw = np.random.default_rng(0)
    large = [draw.integers(16, 235, (h + 16, w + 16), np.uint8) for h, w in layout.plane_shapes(width, height)]
    frames = []
    for n in range(count):
        planes = [
            np.ascontiguousarray(plane[:h, n : n + w])
            for plane, (h, w) in zip(large, layout.plane_shapes(width, height), strict=True)
        ]
        frames.append(Frame(tuple(planes), layout, n, base, color=color))
    return StreamInfo(width, height, layout, base, Fraction(25), color=color), frames


def steady_state(device: Device, name: str, say: Say) -> None:
    """A whole filter, planes in and planes out: the CPU's codes, and no call that waits for the device."""
    info, frames = _clip(13, 96, 72)

    def made(where: torch.device, watch: bool) -> list[Frame]:
        vsr = VsrFilter(
            small_network(name, device), ModelOptions(max_seq_len=4, overlap=1, scene_threshold=0), device=where
        )
        vsr.configure(info)
        out = [one for frame in frames[:4] for one in vsr.push(frame)]  # with what a network does once only
        if watch and device.cuda:
            torch.cuda.set_sync_debug_mode("error")
        try:
            out += [one for frame in frames[4:] for one in vsr.push(frame)]
        finally:
            if watch and device.cuda:
                torch.cuda.set_sync_debug_mode("default")
        return [*out, *vsr.flush()]

    with without_tf32():
        wanted, found = made(torch.device("cpu"), False), made(device.torch, True)
    most = max(
        int(np.abs(a.astype(int) - b).max())
        for one, other in zip(found, wanted, strict=True) for a, b in zip(one.planes, other.planes, strict=True)
    )  # fmt: skip
    what = f"{name}: the whole filter without a wait, codes off the CPU's by"
    say("check", what=what, ok=most <= 2, value=str(most), wanted="at most 2")


def memory_ladder(device: Device, say: Say) -> None:
    """Less and less memory: smaller tiles, then shorter windows; every frame comes, and nearly the same."""
    torch.manual_seed(0)
    side, count, channels = (512, 6, 64) if device.cuda else (96, 2, 4)
    model = registry.ENTRIES["basicvsr"].load(BasicVSRNet(channels, 1, channels).state_dict(), {})
    model = model.to(device.torch, torch.float32)
    frames = drifting(3, side, side, device.torch)[:count]
    wanted = results(model, frames, ModelOptions(), lambda _: None).cpu()
    for mebi in (2048, 1024, 512):
        said = list[str]()
        device.forget_peak()
        with _limited(device, mebi):
            try:
                found = results(model, frames, ModelOptions(), said.append).cpu()
            except RuntimeError as error:
                say("check", what=f"{mebi} MiB of memory", ok=mebi < 1024, value="out of memory", wanted="all frames",
                    said=[*said, str(error).splitlines()[0][:120]])  # fmt: skip
                continue
        db = decibels(found, wanted)
        say("check", what=f"{mebi} MiB of memory: {len(found)} frames", ok=len(found) == count and db >= 40,
            value=f"{db:.1f} dB", wanted="40", said=said)  # fmt: skip


@contextmanager
def _limited(device: Device, mebi: int) -> Iterator[None]:
    """``mebi`` more than is in use; on a CPU, convolutions of large maps fail as they would."""
    if device.cuda:
        whole = torch.cuda.get_device_properties(device.torch).total_memory
        share = (torch.cuda.memory_allocated(device.torch) + (mebi << 20)) / whole
        torch.cuda.set_per_process_memory_fraction(min(1.0, share), device.torch)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, device.torch)
            torch.cuda.empty_cache()
        return
    plain, fuses = torch.nn.functional.conv2d, fused._available

    def conv2d(x: Tensor, weight: Tensor, *args: object, **more: object) -> Tensor:
        if x.shape[-1] * x.shape[-2] * weight.shape[0] > mebi * 1024:
            raise torch.OutOfMemoryError("out of memory, as rehearsed")
        return plain(x, weight, *args, **more)  # type: ignore[arg-type]

    torch.nn.functional.conv2d, fused._available = conv2d, lambda *_: False  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.nn.functional.conv2d, fused._available = plain, fuses


def tensors_stay(device: Device, say: Say) -> None:
    """Frames given as tensors of the device: as the same frames from arrays, and back on it without a copy up."""
    frames = (drifting(3, 96, 72, torch.device("cpu"))[:5] * 255).round().to(torch.uint8)
    where = "cuda" if device.cuda else "cpu"
    arrays = [np.ascontiguousarray(p.permute(1, 2, 0).numpy()) for p in frames]
    clips = [streamvsr.from_frames(given, rate=25) for given in (list(frames.to(device.torch)), arrays)]
    made = [[f.torch(where) for f in clip.filter("vsr", model="rt", device=where)] for clip in clips]
    assert all(t.device.type == device.torch.type for t in made[0])
    db = decibels(torch.stack(made[0]), torch.stack(made[1]))
    say("check", what="tensors of the device against arrays", ok=db >= 55, value=f"{db:.1f} dB", wanted="55")


def write_clip(path: Path, width: int, height: int, frames: int) -> Path:
    """Moving texture, H.264, 25 frames a second."""
    import av

    texture = drifting(1, width, height, torch.device("cpu"))[:, 0].mul(219).add(16).byte().numpy()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        grey = np.full((height // 2, width), 128, np.uint8)
        for luma in itertools.islice(itertools.cycle(texture), frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.vstack([luma, grey]), format="yuv420p")))
        container.mux(stream.encode(None))
    return path


def hardware(device: Device, say: Say) -> None:
    """NVDEC's frames against software's, and whether NVENC opens and gives every frame."""
    from streamvsr.media.decode.hardware import accelerator
    from streamvsr.media.encode.hardware import usable_encoder

    said = list[str]()
    decodes = not device.cuda or accelerator("cuda", said.append) is not None
    with tempfile.TemporaryDirectory() as folder:
        clip = write_clip(Path(folder) / "clip.mkv", 320, 192, 30)
        if decodes:
            wanted = [f.raw.planes for f in streamvsr.open(clip)]
            found = [f.raw.planes for f in streamvsr.open(clip, hwaccel="cuda" if device.cuda else "none")]
            same = len(found) == 30 and all(
                np.array_equal(a, b) for one, other in zip(found, wanted, strict=True)
                for a, b in zip(one, other, strict=True)
            )  # fmt: skip
            say("check", what="NVDEC's frames against software's", ok=same, value=f"{len(found)} frames", wanted="same")
        else:
            say("fact", what="NVDEC", value=f"left out: {said[0]}")
        for codec in ("h264_nvenc", "hevc_nvenc", "av1_nvenc"):
            said.clear()
            if usable_encoder(codec, said.append) != codec:
                say("fact", what=codec, value=f"left out: {said[0]}")
                continue
            target = Path(folder) / f"{codec}.mkv"
            streamvsr.open(clip).write(target, video_codec=codec, overwrite=True)
            count = sum(1 for _ in streamvsr.open(target))
            say("check", what=codec, ok=count == 30, value=f"{count} frames", wanted="30")
