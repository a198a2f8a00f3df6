"""Convolutions that are trained as several branches and run as one: re-parameterisation.

A 3x3 convolution, a 1x1 one beside it, and a 1x1 one into twice as many channels followed by a 3x3 one are together
one 3x3 convolution, since nothing non-linear lies between them (RepVGG, CVPR 2021; ECBSR, ACM MM 2021). Here the
*kernels* are added before the convolution and not its results after it: the steps are those of the branches, their cost
is nearly that of one, and what is saved is one kernel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

WIDER = 2


class Branches(nn.Module):
    """Parametrisation of a (out, in, 3, 3) kernel; at first it changes nothing."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        outputs, inputs = weight.shape[:2]
        self.point = nn.Parameter(weight.new_zeros(outputs, inputs))
        # So small that a step of Adam on ``squeeze`` moves the kernel about as far as a step on the kernel itself.
        self.expand = nn.Parameter(weight.new_empty(inputs * WIDER, inputs).normal_(0, 1 / inputs))
        self.squeeze = nn.Parameter(weight.new_zeros(outputs, inputs * WIDER, 3, 3))

    def forward(self, weight: Tensor) -> Tensor:
        outputs, wide = self.squeeze.shape[:2]
        turned = self.squeeze.permute(0, 2, 3, 1).reshape(-1, wide) @ self.expand
        kernel = weight + turned.view(outputs, 3, 3, -1).permute(0, 3, 1, 2)
        kernel[:, :, 1, 1] += self.point
        return kernel


def branch(net: nn.Module) -> None:
    """Give every 3x3 convolution of ``net`` its branches."""
    for module in [m for m in net.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]:
        with torch.no_grad():
            parametrize.register_parametrization(module, "weight", Branches(module.weight))


@torch.no_grad()
def collapsed(net: nn.Module) -> dict[str, Tensor]:
    """The state dict of the network as it runs: each kernel one tensor, under the names of the plain convolution."""
    state: dict[str, Tensor] = {}
    for key, value in net.state_dict().items():
        if ".parametrizations." not in key:
            state[key] = value.clone()
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            for part in ("weight", "bias"):
                if parametrize.is_parametrized(module, part):
                    state[f"{name}.{part}"] = getattr(module, part).clone()
    return state
