"""The command line: words in, exit code out."""

from __future__ import annotations

import gc
from collections.abc import Sequence

try:
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
    code = main()
    # Else the collector goes through all of numpy and PyAV when the interpreter ends: 25 ms, and nothing is freed.
    gc.freeze()
    return code
