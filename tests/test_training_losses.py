"""What a network is trained for: losses beside other implementations of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from streamvsr.errors import StreamvsrError
from streamvsr.training.discriminator import Discriminator
from streamvsr.training.losses import VGG_WEIGHTS, PerceptualLoss, sharpened, temporal_loss


def small_vgg() -> tuple[nn.Sequential, dict[str, torch.Tensor]]:
    """torchvision's layout of ``vgg19().features``, narrower."""
    layers: list[nn.Module] = []
    width = 3
    for block, convolutions in enumerate((2, 2, 4, 4, 4)):
        for _ in range(convolutions):
            layers += [nn.Conv2d(width, 2 + block, 3, padding=1), nn.ReLU()]
            width = 2 + block
        layers.append(nn.MaxPool2d(2, 2))
    net = nn.Sequential(*layers)
    return net, {f"features.{key}": value for key, value in net.state_dict().items()}


def test_perceptual_features_are_those_of_torchvision(tmp_path: Path) -> None:
    torch.manual_seed(1)
    net, state = small_vgg()
    torch.save(state | {"classifier.0.weight": torch.zeros(1)}, tmp_path / "vgg.pth")
    loss = PerceptualLoss.read(tmp_path / "vgg.pth")
    a, b = torch.rand(2, 2, 3, 32, 32)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = torch.zeros(())
    for n, weight in VGG_WEIGHTS.items():
        features = [net[: n + 1]((x - mean.view(3, 1, 1)) / std.view(3, 1, 1)) for x in (a, b)]
        expected = expected + weight * (features[0] - features[1]).abs().mean()
    torch.testing.assert_close(loss(a, b), expected)
    a.requires_grad_(True)
    loss(a, b).backward()
    assert a.grad is not None
    assert a.grad.any()
    with pytest.raises(StreamvsrError, match=r"features\.34"):
        PerceptualLoss({key: value for key, value in state.items() if "34" not in key})


def test_the_adversary_learns_to_tell() -> None:
    torch.manual_seed(0)
    adversary = Discriminator(8)
    optimiser = torch.optim.Adam(adversary.parameters(), 2e-3)
    real, fake = torch.rand(4, 3, 16, 24), torch.full((4, 3, 16, 24), 0.5)
    assert adversary(real).shape == (4, 1, 16, 24)
    for _ in range(30):
        loss = nn.functional.softplus(-adversary(real)).mean() + nn.functional.softplus(adversary(fake)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert adversary(real).mean() > 0.5 + adversary(fake).mean()


def test_sharpening_is_unsharp_masking_behind_a_soft_mask() -> None:
    y, x = np.mgrid[:64, :80]
    waves = [np.sin(x * (0.4 + c / 5)) * np.cos(y * 0.3) for c in range(3)]
    # Less and less detail to the left, so that the mask has an edge.
    picture = (0.5 + 0.4 * np.stack(waves, -1) * (x / 80)[..., None] ** 3).astype(np.float32)
    residue = picture - cv2.GaussianBlur(picture, (51, 51), 0)
    mask = cv2.GaussianBlur((np.abs(residue) * 255 > 10).astype(np.float32), (51, 51), 0)
    assert mask.min() < 0.1
    assert mask.max() > 0.6
    expected = mask * np.clip(picture + 0.5 * residue, 0, 1) + (1 - mask) * picture
    result = sharpened(torch.from_numpy(picture).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(result, expected, atol=1e-4)


def test_the_temporal_loss_sees_flicker_and_no_constant_error() -> None:
    truth = torch.rand(5, 1, 1, 8, 8)
    steady = list(truth + 0.1)
    flickering = [frame + 0.1 * (-1) ** t for t, frame in enumerate(truth)]
    assert temporal_loss(steady, truth) < 0.002
    assert temporal_loss(flickering, truth) == pytest.approx(0.2, abs=0.002)
