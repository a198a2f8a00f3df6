"""PSNR of ``rt`` against bicubic: ``python -m streamvsr.training.evaluate_rt rt.safetensors clip.mp4@2 ...``.

Whole frames, no border left out, whole sequences as one stream. The figure is the mean over the frames of the PSNR of
BT.601 luma (16..235 of 255, as in the literature). The low resolution is antialiased bicubic, rounded to 8 bits.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from streamvsr.errors import CheckpointError, StreamvsrError
from streamvsr.media.color.shrink import split_shrink
from streamvsr.models.rt.network import RTNet, bicubic_kernel
from streamvsr.training.clips import load_sequence, low_resolution
from streamvsr.training.sequences import triples


@dataclass(frozen=True, slots=True)
class Score:
    """Mean PSNR in dB of one clip."""

    name: str
    frames: int
    bicubic: float
    """Cubic coefficient a = -0.75, as torch and OpenCV enlarge."""
    bicubic_soft: float
    """a = -0.5, as MATLAB and Pillow enlarge."""
    rt: float

    @property
    def gain(self) -> float:
        """Over the better of the two."""
        return self.rt - max(self.bicubic, self.bicubic_soft)


def read_network(path: Path) -> RTNet:
    try:
        return RTNet.from_state_dict(load_file(path)).eval()
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except (SafetensorError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"{path}: is not a checkpoint of rt ({error})") from error


def psnr(result: Tensor, truth: Tensor) -> float:
    """dB, for luma 0..1 of which 1 is 219 steps of 8-bit video; ``result`` is rounded as a file would hold it."""
    error = ((result * 219).round().clamp(0, 219) - truth * 219).square().mean()
    return float(10 * torch.log10(255 * 255 / error.clamp_min(1e-6)))


@torch.inference_mode()
def evaluate(net: RTNet, spec: str, limit: int | None = None) -> Score:
    """Run the first ``limit`` frames of a clip (``PATH`` or ``PATH@N``)."""
    truth = torch.from_numpy(load_sequence(spec, limit))[:, None].float().div_(255)
    low = low_resolution(truth)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    hidden = net.initial_state(1, low.shape[-2], low.shape[-1])
    kernels = (bicubic_kernel(-0.75), bicubic_kernel(-0.5))
    sums = [0.0, 0.0, 0.0]
    for t, neighbours in enumerate(triples(low)):
        output, hidden = net(neighbours, hidden)
        padded = F.pad(low[t : t + 1], (2, 2, 2, 2), mode="replicate")
        results = [F.pixel_shuffle(F.conv2d(padded, kernel), 4) for kernel in kernels]
        for i, result in enumerate([*results, output]):
            sums[i] += psnr(result[0], truth[t]) / low.shape[0]
    return Score(Path(split_shrink(spec)[0]).name, low.shape[0], *sums)


def main(argv: Sequence[str] | None = None) -> int:
    p = argparse.ArgumentParser(prog="python -m streamvsr.training.evaluate_rt", description="PSNR-Y of rt, bicubic.")
    p.add_argument("checkpoint", type=Path)
    p.add_argument("clips", nargs="+", metavar="PATH[@N]", help="a video or a folder of its frames; @N shrinks first")
    p.add_argument("--limit", type=int, metavar="FRAMES", help="only the first frames of each clip")
    args = p.parse_args(argv)
    try:
        net = read_network(args.checkpoint)
        scores = [evaluate(net, spec, args.limit) for spec in args.clips]
    except StreamvsrError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print("| clip | frames | bicubic a=-0.75 | bicubic a=-0.5 | rt | gain |\n|---|---|---|---|---|---|")
    for s in scores:
        print(f"| {s.name} | {s.frames} | {s.bicubic:.2f} | {s.bicubic_soft:.2f} | {s.rt:.2f} | {s.gain:+.2f} |")
    print(f"| mean gain | | | | | {sum(s.gain for s in scores) / len(scores):+.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
