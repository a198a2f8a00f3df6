"""What every session asks of a window before it runs: shape, type, device and which frames are wanted."""

from __future__ import annotations

import math

from torch import Tensor

from streamvsr.errors import CheckpointError, ModelError
from streamvsr.models.precision import frame_type


def check_window(
    frames: Tensor, new: int, keep: range, weight: Tensor | None, *, channels: int = 3, least_px: int = 1
) -> None:
    """Raise ``ModelError`` unless the arguments are what ``Session.window`` asks for.

    ``weight``: any weight of the network, for its type and device; None where there is none. ``least_px``: the least
    height and width.
    """
    if frames.ndim != 4 or frames.shape[1] != channels or not len(frames) or min(frames.shape[2:]) < least_px:
        wanted = f"(T, {channels}, H, W)" + (f" with H and W at least {least_px}" if least_px > 1 else "")
        raise ModelError(f"a window has to be {wanted}, but {tuple(frames.shape) = }")
    if weight is not None and (frames.dtype != frame_type(weight.dtype) or frames.device != weight.device):
        wanted = f"{frame_type(weight.dtype)} on {weight.device}"
        raise ModelError(f"the frames are {frames.dtype} on {frames.device}, the network takes {wanted}")
    if keep.step != 1 or not 0 <= keep.start <= keep.stop <= len(frames) or not 0 <= new <= len(frames):
        raise ModelError(f"{new = } and {keep = } do not fit a window of {len(frames)} frames")


def scale_of(channels: int, planes: int = 3) -> int:
    """The scale of a pixel shuffle that makes ``planes`` planes from ``channels`` channels.

    Raises ``CheckpointError`` where there is none.
    """
    scale = math.isqrt(channels // planes) if channels > 0 else 0
    if scale * scale * planes != channels:
        raise CheckpointError(f"{channels} channels make no image of {planes} planes at any whole scale")
    return scale


def count_of(keys: dict[str, Tensor], prefix: str) -> int:
    """How many numbered parts ``prefix`` has: one more than the highest number that follows it in a key."""
    numbers = [rest.split(".", 1)[0] for key in keys if key.startswith(prefix) and (rest := key[len(prefix) :])]
    return 1 + max((int(number) for number in numbers if number.isdecimal()), default=-1)
