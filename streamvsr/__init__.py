"""streamvsr: real-world video super-resolution as a stream.

The public names. Each is imported when it is first used: ``import streamvsr`` alone loads neither torch nor av.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # what type checkers take for true, without the time that importing `typing` takes
if TYPE_CHECKING:
    from streamvsr import config, errors
    from streamvsr.api import Clip, Frames, VideoFrame, Writing, from_frames, open, upscale  # noqa: A004
    from streamvsr.config import LiveOptions
    from streamvsr.errors import StreamvsrError
    from streamvsr.pipeline.stats import Progress

__version__ = "0.1.0"

_HOMES = {
    "open": "streamvsr.api",
    "Clip": "streamvsr.api",
    "Frames": "streamvsr.api",
    "VideoFrame": "streamvsr.api",
    "Writing": "streamvsr.api",
    "Progress": "streamvsr.pipeline.stats",
    "from_frames": "streamvsr.api",
    "upscale": "streamvsr.api",
    "LiveOptions": "streamvsr.config",
    "StreamvsrError": "streamvsr.errors",
}

_MODULES = ("config", "errors")
"""Found as attributes without an import of their own."""

__all__ = [
    "Clip",
    "Frames",
    "LiveOptions",
    "Progress",
    "StreamvsrError",
    "VideoFrame",
    "Writing",
    "__version__",
    "config",
    "errors",
    "from_frames",
    "open",
    "upscale",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value
    if name in _MODULES:
        return import_module(f"streamvsr.{name}")
    raise AttributeError(f"module 'streamvsr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
