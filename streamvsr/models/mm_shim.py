"""Makes ``mmcv-full`` 1.7.2 and ``mmedit`` 0.16.1 importable beside a current torch and numpy, without compiled ops.

Three things break at import; each is mended only where the real thing is missing, and only when this is asked for.
Of the compiled operators the one that video restorers need is there in plain torch; the others say that they are not.
"""

from __future__ import annotations

import importlib
import sys
import types
import warnings
from importlib.util import find_spec
from typing import Any

from streamvsr.errors import MissingExtraError
from streamvsr.models import torchvision_shim


class MissingOperatorError(NotImplementedError):
    """A compiled operator of mmcv was called that is not there."""


class _MissingOps(types.ModuleType):
    """Stands in for mmcv's compiled operators: importable, and says so when one of them is called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*_: Any, **__: Any) -> Any:
            raise MissingOperatorError(f"mmcv's compiled operator {name!r} is needed: build mmcv-full with its ops")

        return missing


def import_mmedit() -> types.ModuleType:
    """``mmedit`` itself, ready to build networks. Raises ``MissingExtraError`` where it is not installed."""
    import numpy

    for package in ("mmcv", "mmedit"):
        if find_spec(package) is None:
            raise MissingExtraError(f"{package} is not installed; the mm extra brings it: pip install 'streamvsr[mm]'")
    if not hasattr(numpy, "bool8"):
        numpy.bool8 = numpy.bool_  # type: ignore[attr-defined]
    torchvision_shim.make_importable()
    if "mmcv._ext" not in sys.modules and find_spec("mmcv._ext") is None:
        from streamvsr.models import deform

        sys.modules["mmcv._ext"] = _MissingOps("mmcv._ext")
        vars(sys.modules["mmcv._ext"])["modulated_deform_conv_forward"] = deform.modulated_deform_conv_forward
    with warnings.catch_warnings():
        # Of a release announced for 2023.
        warnings.simplefilter("ignore")
        importlib.import_module("mmedit.models")
    # Its networks call torch.meshgrid as torch of their time did; the default that they rely on still holds.
    warnings.filterwarnings("ignore", message="torch.meshgrid", category=UserWarning)
    return importlib.import_module("mmedit")
