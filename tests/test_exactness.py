"""The video route costs nothing: what a lossless encoder holds is the network's picture, code for code.

And the network is mmedit's: with the same trained weights, whole sequence and chunk by chunk.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from streamvsr.cli import main
from streamvsr.models import registry

COUNT = 7
SIZE = (66, 70)


@pytest.fixture
def pictures(shared_data: Path, tmp_path: Path) -> Path:
    """A folder of small PNGs, cropped from the paper's own demo."""
    folder = tmp_path / "in"
    folder.mkdir()
    height, width = SIZE
    for path in sorted((shared_data / "clips" / "realbasicvsr_demo_000").glob("*.png"))[:COUNT]:
        cv2.imwrite(str(folder / path.name), cv2.imread(str(path))[100 : 100 + height, 200 : 200 + width])
    return folder


@pytest.fixture
def weights(shared_data: Path) -> Path:
    return shared_data / "weights" / "BasicVSR_REDS4.pth"


def read_folder(folder: Path) -> NDArray[np.uint8]:
    """(T, H, W, 3) RGB."""
    return np.stack([cv2.imread(str(p))[..., ::-1] for p in sorted(folder.glob("*.png"))])


def read_video(path: Path) -> NDArray[np.uint8]:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def quantised(pictures: torch.Tensor) -> NDArray[np.uint8]:
    return (pictures.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def as_tensor(pictures: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize("window", [COUNT, 3])
def test_lossless_routes_hold_the_networks_frames(window: int, pictures: Path, weights: Path, tmp_path: Path) -> None:
    options = ["--checkpoint", str(weights), "--max-seq-len", str(window), "--quiet", "-y"]
    chunks = [] if window == COUNT else ["--propagation", "window", "--overlap", "0"]
    assert main([str(pictures), str(tmp_path / "out") + "/", *options, *chunks]) == 0
    ffv1 = ["-c:v", "ffv1", "-pix_fmt", "bgr0"]
    assert main([str(pictures), *ffv1, str(tmp_path / "out.mkv"), *options, *chunks]) == 0

    model = registry.load_model(registry.select(checkpoint=weights))
    session = model.session()
    frames, made = as_tensor(read_folder(pictures)), []
    for start in range(0, COUNT, window):
        session.reset()
        part = frames[start : start + window]
        made += list(session.window(part, len(part), range(len(part))))
    expected = quantised(torch.stack(made))
    assert np.array_equal(read_folder(tmp_path / "out"), expected)
    assert np.array_equal(read_video(tmp_path / "out.mkv"), expected)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(p.name for p in pictures.iterdir())


@pytest.mark.mm
@pytest.mark.parametrize("window", [None, 3])
def test_the_original_scripts_call_gives_mmedits_frames(
    mm: Any, window: int | None, pictures: Path, tmp_path: Path
) -> None:
    """``CONFIG CHECKPOINT IN OUT --max_seq_len N`` against mmedit's own network, chunk by chunk as the script does."""
    torch.manual_seed(0)
    theirs = mm.RealBasicVSRNet(8, 1, 1, dynamic_refine_thres=255, spynet_pretrained=None, is_sequential_cleaning=False)
    torch.save({"state_dict": {f"generator_ema.{k}": v for k, v in theirs.state_dict().items()}}, tmp_path / "x.pth")
    config = tmp_path / "x.py"
    config.write_text(
        "model = dict(type='RealBasicVSR', generator=dict(type='RealBasicVSRNet', mid_channels=8,"
        " num_propagation_blocks=1, num_cleaning_blocks=1, dynamic_refine_thres=255, spynet_pretrained=None))\n"
    )
    limit = [] if window is None else ["--max_seq_len", str(window)]
    out = tmp_path / "out"
    assert main([str(config), str(tmp_path / "x.pth"), str(pictures), str(out), *limit, "--quiet"]) == 0

    frames = as_tensor(read_folder(pictures))
    with torch.no_grad():
        expected = torch.cat([theirs.eval()(part[None])[0] for part in frames.split(window or COUNT)])
    codes = expected.clamp(0, 1).permute(0, 2, 3, 1).numpy() * 255
    # Codes of values that agree to 1e-4 (0.03 of a code) differ by rounding alone.
    assert np.abs(read_folder(out).astype(np.float64) - codes).max() <= 0.5 + 255e-4


def test_yuv_through_ffv1_is_what_the_filter_made(shared_data: Path, tmp_path: Path) -> None:
    """A YUV video stays YUV: the encoder holds the filter's planes, without a second conversion."""
    from streamvsr.config import InputOptions, OutputOptions
    from streamvsr.frames import Frame
    from streamvsr.media.demux import TrimmedSource, open_source
    from tests.fakes import vsr_filter

    clip, target = shared_data / "clips" / "carphone_qcif.mp4", tmp_path / "out.mkv"
    assert main([str(clip), "-frames:v", "9", "-c:v", "ffv1", str(target), "--model", "bicubic", "--quiet"]) == 0
    source = TrimmedSource(open_source(InputOptions(path=str(clip)), OutputOptions()), frames=9)
    vsr = vsr_filter(registry.load_model(registry.select("bicubic")))
    vsr.configure(source.info.video)
    expected = [out for item in source if isinstance(item, Frame) for out in vsr.push(item)] + list(vsr.flush())
    source.close()
    with av.open(str(target)) as container:
        written = list(container.decode(video=0))
    assert len(written) == len(expected) == 9
    for made, frame in zip(expected, written, strict=True):
        for plane, kept in zip(made.planes, frame.planes, strict=True):
            rows = np.frombuffer(kept, np.uint8).reshape(kept.height, kept.line_size)[:, : kept.width]
            assert np.array_equal(plane, rows)
