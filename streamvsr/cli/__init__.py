"""The command line: words in, exit code out."""

from __future__ import annotations

try:
    import gc
    import os
    import sys
    import threading
    from collections.abc import Sequence
    from contextlib import suppress

    from streamvsr.cli.interrupts import loading
except KeyboardInterrupt:
    # The first hundredths of a second, before `loading` itself can help.
    raise SystemExit(130) from None

__all__ = ["main", "program"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run streamvsr with ``argv`` (``sys.argv[1:]`` unless given) and return the exit code. Never raises."""
    with loading():
        from streamvsr.cli import app
    return app.main(argv)


def program() -> int:
    """``main`` in a process of its own, which ends with it."""
    _occupy_standard_streams()
    try:
        code = main()
    except KeyboardInterrupt:
        return 130
    if threading.active_count() > 1:
        # A thread that was left behind in FFmpeg may come back while the interpreter is taken apart, and crash it.
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(code)
    # Else the collector goes through all of numpy and PyAV when the interpreter ends: 25 ms, and nothing is freed.
    gc.freeze()
    return code


def _occupy_standard_streams() -> None:
    """A standard stream that is closed (``2>&-``, some services) gets a stand-in that refuses to be used.

    Else the next file that is opened takes its number, and what FFmpeg's encoders print ends up in the video.
    """
    for number, refusing in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is taken. Inherited, for the process of a network output.
            os.set_inheritable(os.open(os.devnull, refusing), True)
