"""streamvsr: real-world video super-resolution as a stream.

The public names. Each is imported when it is first used: ``import streamvsr`` alone loads neither torch nor av.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # what type checkers take for true, without the time that importing `typing` takes
if TYPE_CHECKING:
    from streamvsr.api import Clip, Frames, VideoFrame, open  # noqa: A004 - `streamvsr.open`
    from streamvsr.errors import StreamvsrError

__version__ = "0.1.0"

_HOMES = {
    "open": "streamvsr.api",
    "Clip": "streamvsr.api",
    "Frames": "streamvsr.api",
    "VideoFrame": "streamvsr.api",
    "StreamvsrError": "streamvsr.errors",
}

__all__ = ["Clip", "Frames", "StreamvsrError", "VideoFrame", "__version__", "open"]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value
    raise AttributeError(f"module 'streamvsr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
