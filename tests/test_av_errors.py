"""Every exception of PyAV and the usual ones of the system become one line that names the input and hides secrets."""

from __future__ import annotations

import errno
import inspect

import pytest
from av import error as ave

from streamvsr.errors import ReaderLeftError, SinkError, SourceError, StreamvsrError
from streamvsr.media.av_errors import FOREIGN, sink_error, source_error

pytestmark = pytest.mark.io

URL = "rtsp://bob:hunter2@camera.example/stream"
CLASSES = sorted(
    {c for c in vars(ave).values() if inspect.isclass(c) and issubclass(c, ave.FFmpegError)}, key=lambda c: c.__name__
)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda c: c.__name__)
def test_every_class_of_pyav_becomes_one_masked_line(kind: type[ave.FFmpegError]) -> None:
    exc = kind(22, f"said\nof {URL}", URL)
    assert isinstance(exc, FOREIGN)
    for made, expected in ((source_error(exc, URL), SourceError), (sink_error(exc, URL), SinkError)):
        text = str(made)
        assert isinstance(made, expected)
        assert "hunter2" not in text
        assert "\n" not in text
        assert "camera.example" in text or isinstance(made, ReaderLeftError)
        assert "{" not in text


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EIO, errno.EISDIR, errno.EROFS])
def test_system_errors(number: int) -> None:
    exc = OSError(number, "in the system's words", "out.mp4")
    assert "out.mp4" in str(sink_error(exc, "out.mp4"))
    assert "in.mp4" in str(source_error(exc, "in.mp4"))


def test_disk_full_says_so() -> None:
    assert "no space left" in str(sink_error(OSError(errno.ENOSPC, "x"), "out.mp4"))
    assert "no space left" in str(sink_error(ave.OSError(errno.ENOSPC, "x"), "out.mp4"))


def test_the_reader_of_our_pipe_left() -> None:
    wrapped = ave.PyAVCallbackError(1, "User callback error")
    wrapped.__cause__ = BrokenPipeError(errno.EPIPE, "Broken pipe")
    for exc in (BrokenPipeError(errno.EPIPE, "x"), ave.BrokenPipeError(errno.EPIPE, "x"), wrapped):
        assert isinstance(sink_error(exc, "-"), ReaderLeftError)
    assert not isinstance(sink_error(ave.PyAVCallbackError(1, "x"), "-"), ReaderLeftError)


def test_what_a_callback_raised_is_what_is_told() -> None:
    wrapped = ave.PyAVCallbackError(1, "User callback error")
    wrapped.__cause__ = OSError(errno.ENOSPC, "No space left")
    assert "no space left" in str(sink_error(wrapped, "out.mp4"))


def test_our_own_errors_pass_through() -> None:
    ours = SourceError("said already")
    assert source_error(ours, "x") is ours
    assert "x" in str(source_error(StreamvsrError("something"), "x"))


def test_missing_files_and_standard_streams_are_named() -> None:
    assert str(source_error(ave.FileNotFoundError(2, "No such file", "x.mp4"), "x.mp4")) == "no such file: 'x.mp4'"
    assert str(source_error(ave.InvalidDataError(1, "bad"), "-")).startswith("standard input: ")
    assert str(sink_error(ave.InvalidDataError(1, "bad"), "pipe:1")).startswith("standard output: ")
