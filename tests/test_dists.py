"""DISTS against its definition, step by step, with weights drawn at random."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from streamvsr.errors import CheckpointError
from streamvsr.metrics.dists import CHANNELS, STAGES, Dists


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("dists")
    generator = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}
    inputs = 3
    for stage, channels in zip(STAGES, CHANNELS[1:], strict=True):
        for number in stage:
            scale = (2 / (9 * inputs)) ** 0.5
            state[f"features.{number}.weight"] = torch.randn(channels, inputs, 3, 3, generator=generator) * scale
            state[f"features.{number}.bias"] = torch.randn(channels, generator=generator) * 0.1
            inputs = channels
    torch.save(state, folder / "vgg16.pth")
    weights = {k: torch.rand(1, sum(CHANNELS), 1, 1, generator=generator) for k in ("alpha", "beta")}
    torch.save(weights, folder / "weights.pt")
    return folder / "vgg16.pth", folder / "weights.pt"


def by_hand(result: np.ndarray, reference: np.ndarray, files: tuple[Path, Path]) -> float:
    """In double precision, with max pooling's place taken by the paper's L2 pooling."""
    state, weights = (torch.load(path, weights_only=True) for path in files)
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).view(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64).view(3, 1, 1)
    hann = torch.from_numpy(np.outer(np.hanning(5)[1:-1], np.hanning(5)[1:-1]) / 4)

    def features(pixels: np.ndarray) -> list[Tensor]:
        x = torch.from_numpy(pixels).double().permute(2, 0, 1) / 255
        found, x = [x], (x - mean) / deviation
        for number, stage in enumerate(STAGES):
            if number:
                padded = torch.nn.functional.pad(x.square(), (1, 1, 1, 1))
                pooled = torch.stack([
                    sum(hann[i, j] * padded[c, i:, j:][: 2 * (x.shape[1] // 2) : 2, : 2 * (x.shape[2] // 2) : 2]
                        for i in range(3) for j in range(3)) for c in range(len(x))
                ])  # fmt: skip
                x = (pooled + 1e-12).sqrt()
            for layer in stage:
                weight, bias = (state[f"features.{layer}.{k}"].double() for k in ("weight", "bias"))
                x = torch.nn.functional.conv2d(x[None], weight, bias, padding=1)[0].clamp(min=0)
            found.append(x)
        return found

    whole = float(weights["alpha"].sum() + weights["beta"].sum())
    like, at = 0.0, 0
    for one, two in zip(features(result), features(reference), strict=True):
        for a, b in zip(one, two, strict=True):
            texture = (2 * a.mean() * b.mean() + 1e-6) / (a.mean() ** 2 + b.mean() ** 2 + 1e-6)
            covariance = (a * b).mean() - a.mean() * b.mean()
            spread = (a - a.mean()).square().mean() + (b - b.mean()).square().mean()
            structure = (2 * covariance + 1e-6) / (spread + 1e-6)
            alpha, beta = (float(weights[k][0, at, 0, 0]) / whole for k in ("alpha", "beta"))
            like += alpha * float(texture) + beta * float(structure)
            at += 1
    return 1 - like


def test_it_is_what_the_paper_says(files: tuple[Path, Path]) -> None:
    rng = np.random.default_rng(1)
    reference = rng.uniform(0, 255, (64, 64, 3)).astype(np.float32)
    result = (reference * 0.7 + rng.uniform(0, 80, reference.shape)).astype(np.float32)
    assert Dists(*files)(result, reference) == pytest.approx(by_hand(result, reference, files), abs=1e-4)


def test_identical_is_0_and_worse_is_more(files: tuple[Path, Path]) -> None:
    rng = np.random.default_rng(2)
    reference = rng.uniform(0, 255, (64, 80, 3)).astype(np.float32)
    dists = Dists(*files)
    noises = [(reference + rng.normal(0, s, reference.shape)).astype(np.float32) for s in (5, 40)]
    assert dists(reference, reference) == pytest.approx(0, abs=1e-5)
    assert 0 < dists(noises[0], reference) < dists(noises[1], reference)
    assert np.isnan(dists(reference[:8], reference[:8]))


def test_other_files_are_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not torchvision's VGG-16"):
        Dists(files[1], files[1])
    with pytest.raises(CheckpointError, match="no weights of DISTS"):
        Dists(files[0], files[0])
    with pytest.raises(CheckpointError, match=r"--dists-backbone .*no such file"):
        Dists(tmp_path / "none", files[1])
