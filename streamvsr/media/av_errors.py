"""Where exceptions of FFmpeg (through PyAV) and of the operating system become ours.

One table for both directions. A message is one line: the input or output with its credentials masked, what is wrong,
and what to do about it. The original stays reachable as ``__cause__`` (``raise source_error(exc, path) from exc``).
"""

from __future__ import annotations

import errno
from typing import NamedTuple

import av
from av import error as ave

from streamvsr.errors import ReaderLeftError, SinkError, SourceError, StreamvsrError
from streamvsr.secrets import mask, mask_url


class _Rule(NamedTuple):
    kinds: tuple[type[BaseException], ...]
    reading: str
    """What to say of an input; ``{what}`` is what FFmpeg or the system said."""
    writing: str


_RULES = (
    _Rule((FileNotFoundError,), "no such file", "the folder does not exist; create it first"),
    _Rule((IsADirectoryError,), "is a folder, not a file", "is a folder; give a file name in it"),
    _Rule((NotADirectoryError,), "a part of the path is not a folder", "a part of the path is not a folder"),
    _Rule((FileExistsError,), "{what}", "exists already; allow overwriting with -y"),
    _Rule((PermissionError,), "may not be read: {what}", "may not be written: {what}"),
    _Rule(
        (ConnectionRefusedError,), "connection refused; is the server running, is the port right?", "connection refused"
    ),
    _Rule(
        (ConnectionError,),
        "the connection was lost ({what})",
        "the connection was lost ({what})",
    ),
    _Rule(
        (TimeoutError, ave.ExitError),
        "no answer in time; check the address and the network",
        "no answer in time; check the address and the network",
    ),
    _Rule(
        (ave.HTTPUnauthorizedError,),
        "the server wants a user and a password; put them before the host: SCHEME://USER:PASSWORD@HOST/...",
        "{same}",
    ),
    _Rule((ave.HTTPForbiddenError,), "the server does not allow this (403)", "{same}"),
    _Rule((ave.HTTPNotFoundError,), "the server does not have this (404)", "{same}"),
    _Rule((ave.HTTPTooManyRequestsError,), "the server asks to come back later (429)", "{same}"),
    _Rule((ave.HTTPError,), "the server answers: {what}", "{same}"),
    _Rule(
        (ave.ProtocolNotFoundError,),
        "this protocol is not supported by the FFmpeg in use",
        "this protocol is not supported by the FFmpeg in use",
    ),
    _Rule((ave.DemuxerNotFoundError,), "unknown input format; leave -f out or name another", "{same}"),
    _Rule((ave.MuxerNotFoundError,), "{what}", "unknown output format; name one with -f"),
    _Rule((ave.DecoderNotFoundError,), "FFmpeg has no decoder for its video", "{same}"),
    _Rule((ave.EncoderNotFoundError,), "{what}", "FFmpeg has no such encoder; choose another with -c:v"),
    _Rule((ave.OptionNotFoundError,), "an option is unknown: {what}", "an option is unknown: {what}"),
    _Rule(
        (ave.InvalidDataError,),
        "FFmpeg cannot make sense of it: damaged, not a video, or its kind has to be named with -f",
        "FFmpeg refuses these data for this kind of output",
    ),
    _Rule(
        (ave.ArgumentError,),
        "FFmpeg refuses an argument ({what}); check the input options",
        "FFmpeg refuses an argument ({what}); the container may not take these tracks or options: try .mkv, or -an -sn",
    ),
    _Rule((ave.ExperimentalError,), "{what}", "FFmpeg calls this experimental; add -strict experimental"),
    _Rule((ave.PatchWelcomeError,), "uses a feature that FFmpeg does not support", "needs a feature that FFmpeg lacks"),
    _Rule((MemoryError,), "out of memory", "out of memory"),
)
"""The first rule whose kinds fit is taken, so special kinds stand before general ones."""

_ERRNO = {
    errno.ENOSPC: "no space left on the device; free some, or write elsewhere",
    errno.EDQUOT: "the disk quota is used up; free some, or write elsewhere",
    errno.EFBIG: "the file grows larger than this file system allows; write elsewhere",
    errno.EROFS: "the file system is read-only; write elsewhere",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EMFILE: "too many open files; raise the limit (ulimit -n)",
    errno.ENETUNREACH: "the network cannot be reached",
    errno.EHOSTUNREACH: "the host cannot be reached",
    errno.EADDRINUSE: "the address is in use by another program",
    errno.EPROTONOSUPPORT: "the server does not support this transport; try another (rtsp_transport=tcp or udp)",
}

FOREIGN: tuple[type[BaseException], ...] = (av.FFmpegError, OSError, MemoryError, ValueError, EOFError)
"""What to catch around calls into PyAV: it also raises plain ValueError (a track that a container cannot hold)."""


def source_error(exc: BaseException, path: str) -> SourceError:
    """The SourceError for an exception that arose while ``path`` was opened or read."""
    if isinstance(exc, SourceError):
        return exc
    return SourceError(_message(exc, path, reading=True))


def sink_error(exc: BaseException, path: str) -> SinkError:
    """The SinkError for an exception that arose while ``path`` was opened or written; ReaderLeftError for EPIPE."""
    if isinstance(exc, SinkError):
        return exc
    kind = ReaderLeftError if _is_broken_pipe(exc) else SinkError
    return kind("the reader of our output has gone" if kind is ReaderLeftError else _message(exc, path, reading=False))


def _is_broken_pipe(exc: BaseException | None) -> bool:
    """Also where PyAV hides it: an exception of our file object comes back as PyAVCallbackError with a cause."""
    seen = 0
    while exc is not None and seen < 8:
        if isinstance(exc, BrokenPipeError) or getattr(exc, "errno", None) == errno.EPIPE:
            return True
        exc, seen = exc.__cause__ or exc.__context__, seen + 1
    return False


def _message(exc: BaseException, path: str, *, reading: bool) -> str:
    name = "standard input" if reading else "standard output"
    name = name if path in ("-", "pipe:", "pipe:0", "pipe:1") else f"'{mask_url(path)}'"
    if isinstance(exc, ave.PyAVCallbackError) and exc.__cause__ is not None:
        exc = exc.__cause__
    if isinstance(exc, StreamvsrError):
        return f"{name}: {exc}"
    if reading and isinstance(exc, FileNotFoundError):
        return f"no such file: {name}"
    return f"{name}: {_explain(exc, reading=reading)}"


def _explain(exc: BaseException, *, reading: bool) -> str:
    what = mask(_said(exc))
    number = getattr(exc, "errno", None)
    if number in _ERRNO:
        return _ERRNO[number]
    for rule in _RULES:
        if isinstance(exc, rule.kinds):
            text = rule.reading if reading or rule.writing == "{same}" else rule.writing
            return text.format(what=what)
    return what


def _said(exc: BaseException) -> str:
    """FFmpeg's or the system's own words, without number and file name, on one line."""
    words = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
    return " ".join(str(words).split())
