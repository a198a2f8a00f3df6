"""Between main memory and a GPU without making either wait.

Frames go up as codes (1.5 bytes a pixel of 4:2:0) through pinned memory, and come back as codes on a stream of their
own, while the next frame is computed. What came back must not be read before a ``Fence`` set after it was waited for.
On other devices all of this is a plain copy. **Not run on a GPU yet**: benchmarks/gpu.py proves it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
from torch import Tensor

from streamvsr.frames import Plane

_local = threading.local()


def _copies(device: torch.device) -> torch.cuda.Stream:
    """The stream that this thread's copies from ``device`` to main memory run on."""
    # ``cuda`` and ``cuda:0`` are the same device, but not the same key.
    index = torch.cuda.current_device() if device.index is None else device.index
    streams: dict[int, torch.cuda.Stream] = vars(_local).setdefault("streams", {})
    if index not in streams:
        streams[index] = torch.cuda.Stream(index)  # type: ignore[no-untyped-call]
    return streams[index]


def upload(codes: Tensor, device: torch.device | None) -> Tensor:
    """``codes``, in main memory, on ``device``. Small tables too: a plain copy would wait for all that is queued."""
    if device is None or device.type != "cuda":
        return codes.to(device)
    return codes.pin_memory().to(device, non_blocking=True)


@contextmanager
def deferred(keep: bool = False) -> Iterator[None]:
    """``download`` does not wait, within and in this thread: the caller sets a ``Fence`` and waits for that.

    ``keep``: planes that are made meanwhile keep their codes on the device as well, see ``DevicePlane``.
    """
    _local.deferred, _local.keep = True, keep
    try:
        yield
    finally:
        _local.deferred = _local.keep = False


def keeps_codes() -> bool:
    """Within ``deferred(keep=True)``, in this thread."""
    return getattr(_local, "keep", False)


def download(codes: Tensor) -> Tensor:
    """``codes`` in main memory; within ``deferred`` from a GPU, only some time later."""
    if codes.device.type != "cuda" or not getattr(_local, "deferred", False):
        return codes.cpu()
    stream = _copies(codes.device)
    stream.wait_stream(torch.cuda.current_stream(codes.device))
    with torch.cuda.stream(stream):
        # torch takes pinned memory for a copy that does not block, and gives it back when the array dies.
        there = codes.to("cpu", non_blocking=True)
    # Or the allocator would hand the codes' memory out again before they are copied.
    codes.record_stream(stream)
    return there


class Fence:
    """A mark behind all downloads that this thread has queued so far."""

    def __init__(self, device: torch.device) -> None:
        self._event: torch.cuda.Event | None = None
        if device.type == "cuda":
            # Waiting threads sleep: spinning would take a core from the decoder and the encoder.
            self._event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            self._event.record(_copies(device))

    def wait(self) -> None:
        if self._event is not None:
            self._event.synchronize()


class DevicePlane(np.ndarray):
    """A plane in main memory whose codes lie on a device as well: ``codes``, a tensor of its shape and dtype.

    Views and copies have no codes, so they cannot be those of other samples.
    """

    codes: Tensor


def with_codes(plane: Plane, codes: Tensor) -> Plane:
    """A view of ``plane`` that has ``codes``."""
    there = plane.view(DevicePlane)
    there.codes = codes
    return cast(Plane, there)


def codes_of(plane: Plane) -> Tensor | None:
    """The plane's codes where they are on a device already."""
    return getattr(plane, "codes", None)


def on_device(tensor: Tensor) -> bool:
    """Whether it lies elsewhere than in main memory."""
    return tensor.device.type != "cpu"
