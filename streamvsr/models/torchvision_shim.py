"""``import torchvision`` where it is absent, or was built for another torch, in the two ways that libraries need it.

Old OpenMMLab code imports it for its version and calls nothing of it here; spandrel imports two functions, of which
frames need one. A torchvision with CUDA beside a torch without it ends its own import with "operator torchvision::nms
does not exist".
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

NAME = "torchvision"


def make_importable() -> None:
    """From now on ``import torchvision`` works: the real one where it can, else the stand-in, for the whole process."""
    import torch

    try:
        importlib.import_module(NAME)
        return
    except ImportError:
        sys.modules.update(_stand_in())
        return
    except RuntimeError:
        pass
    for name in _imported():
        del sys.modules[name]
    # The schemas of its operators are enough to import it.
    for operator in ("nms", "qnms"):
        torch.library.define(f"{NAME}::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    importlib.import_module(NAME)


@contextmanager
def replaced() -> Iterator[None]:
    """Within, ``import torchvision`` finds the stand-in unless the real one is imported already; afterwards it is gone.

    The real one takes as long to import as torch itself, and may fail: too much for one function.
    """
    if _imported():
        yield
        return
    stand_in, blocked = _stand_in(), NAME in sys.modules
    sys.modules.update(stand_in)
    try:
        yield
    finally:
        for name in stand_in:
            sys.modules.pop(name, None)
        if blocked:
            sys.modules[NAME] = None  # type: ignore[assignment]


def _imported() -> list[str]:
    # None: somebody has said that it is not to be imported.
    return [name for name, module in sys.modules.items() if name.split(".")[0] == NAME and module is not None]


def _stand_in() -> dict[str, types.ModuleType]:
    top, transforms, functional = (
        types.ModuleType(NAME + rest) for rest in ("", ".transforms", ".transforms.functional")
    )
    for module in (top, transforms):
        # Packages, below which names may be looked for.
        module.__spec__ = ModuleSpec(module.__name__, None, is_package=True)
        module.__path__ = []
    vars(top).update(__version__="0.0.0", transforms=transforms)
    vars(transforms).update(functional=functional)
    vars(functional).update(normalize=_normalize, rotate=_rotate, InterpolationMode=_InterpolationMode)
    return {module.__name__: module for module in (top, transforms, functional)}


def _normalize(tensor: Tensor, mean: Any, std: Any, inplace: bool = False) -> Tensor:
    """``(tensor - mean) / std`` for each channel of (..., C, H, W)."""
    wide = (-1, 1, 1)
    mean, std = (tensor.new_tensor(numbers).view(wide) for numbers in (mean, std))
    return tensor.sub_(mean).div_(std) if inplace else (tensor - mean) / std


def _rotate(*_: Any, **__: Any) -> Any:
    raise NotImplementedError("torchvision is needed: pip install torchvision")


class _InterpolationMode(Enum):
    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
