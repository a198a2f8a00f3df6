"""What the tests of training and of its networks share."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
from torch import Tensor

from streamvsr.media.color.shrink import antialiased
from streamvsr.training.clips import Frames


def low_resolution(truth: Tensor) -> Tensor:
    """(N, C, 4h, 4w) 0..1 -> (N, C, h, w), shrunk and rounded to the 8 bits that a video would carry."""
    small = antialiased(truth, truth.shape[-2] // 4, truth.shape[-1] // 4)
    return (small * 255).round_().clamp_(0, 255).div_(255)


def pictures(count: int, height: int = 64, width: int = 80) -> Frames:
    """(count, height, width, 3): a coloured pattern that slides; the first column's red is the frame's number."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin((x + 2 * t) * (0.4 + c / 5)) * np.cos(y * 0.3) for t in range(count) for c in range(3)]
    planes = 128 + 100 * np.array(waves).reshape(count, 3, height, width)
    painted = planes.transpose(0, 2, 3, 1).round().astype(np.uint8)
    painted[:, :, :8] = 20 + 10 * np.arange(count)[:, None, None, None]
    return painted


def write_video(path: Path, frames: Frames, codec: str = "ffv1", pixels: str = "bgr0", **options: str) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        for picture in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(stream.encode(None))


def write_pictures(folder: Path, frames: Frames, first: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(frames, first):
        cv2.imwrite(str(folder / f"{number:04}.png"), picture[..., ::-1])
