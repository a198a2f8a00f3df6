"""Every exception that streamvsr raises on purpose.

::

    StreamvsrError                 exit code 1 unless stated
    ├── UsageError                 exit code 2: the command line or a configuration is wrong
    ├── SourceError                an input cannot be opened or read
    │   ├── NoVideoError           the input opens, but has no video to work on
    │   └── StreamLostError        an input is gone for good, or breaks off; what came before it is whole, and is kept
    ├── SinkError                  an output cannot be opened or written
    │   └── ReaderLeftError        exit code 141: the reader of our pipe has gone
    ├── FilterError                a filter cannot work with these options or this pixel format
    ├── ModelError                 a model is unknown, cannot be built, or gave a broken frame
    │   └── CheckpointError        a checkpoint is missing, damaged, or of another network
    ├── WorkerError                workers on Ray do not come up, or fail again and again
    ├── MissingExtraError          a package is needed that is not installed; the message says how to install it
    └── StageError                 any other exception inside a stage, with the stage's name

Messages are one line: they name the input, say what is wrong and what to do. Foreign exceptions are translated
where they arise (``media/av_errors.py`` for FFmpeg's) and stay reachable as ``__cause__``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``; did you mean a, b?`` for the end of a message, or nothing where no known name is close."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f"; did you mean {', '.join(close)}?" if close else ""


_DISTRIBUTIONS = {"cv2": "opencv-python-headless", "PIL": "pillow", "mmcv": "mmcv-full", "google": "protobuf"}
"""What pip calls packages that are imported by another name."""


class StreamvsrError(Exception):
    """Base of all errors of this package; ``exit_code`` is what the command line ends with."""

    exit_code = 1


class UsageError(StreamvsrError):
    exit_code = 2


class SourceError(StreamvsrError):
    pass


class NoVideoError(SourceError):
    pass


class StreamLostError(SourceError):
    pass


class SinkError(StreamvsrError):
    pass


class ReaderLeftError(SinkError):
    exit_code = 141


class FilterError(StreamvsrError):
    pass


class ModelError(StreamvsrError):
    pass


class CheckpointError(ModelError):
    pass


class WorkerError(StreamvsrError):
    pass


class MissingExtraError(StreamvsrError):
    pass


class StageError(StreamvsrError):
    pass


def missing_package(error: ImportError) -> MissingExtraError | None:
    """What to tell of another package that cannot be imported; None where it is ours that is wrong."""
    package = (error.name or "streamvsr").partition(".")[0]
    if package == "streamvsr":
        return None
    wanted = _DISTRIBUTIONS.get(package, package)
    if isinstance(error, ModuleNotFoundError):
        return MissingExtraError(f"the package {package} is not installed, and this needs it: pip install {wanted}")
    return MissingExtraError(
        f"the package {package} cannot be loaded ({error}); "
        f"install what it lacks, or it anew: pip install --force-reinstall {wanted}"
    )
