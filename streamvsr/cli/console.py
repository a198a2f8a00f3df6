"""What the command line says: one line each for errors, warnings and notes, all on standard error.

Standard output may carry the video. Lines may come from any thread, also while a progress bar is on the screen.
"""

from __future__ import annotations

import json
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TextIO

from streamvsr.cli.texts import error_texts
from streamvsr.secrets import HIDDEN, mask

MAX_ERROR_CHARS = 2000
"""An option's value, or a name in a file, may be of any length."""

LEAST_HIDDEN_CHARS = 6
"""Shorter secrets are hidden where they stand in a URL, and not wherever these letters are found."""

_secrets: set[str] = set()
"""All secrets of this process's command line."""

_hidden: list[str] = []
"""Those of them that are long enough to be replaced wherever they stand, the longest first. Set by ``hide`` alone."""


def hide(secrets: Iterable[str]) -> None:
    """From now on none of these is shown, in no text."""
    _secrets.update(secrets)
    _hidden[:] = sorted((one for one in _secrets if len(one) >= LEAST_HIDDEN_CHARS), key=len, reverse=True)


def forget_secrets() -> None:
    """Another command line begins."""
    _secrets.clear()
    _hidden.clear()


def hides() -> bool:
    """Whether the command line has secrets."""
    return bool(_secrets)


def redact(text: str) -> str:
    """``text`` without the secrets of the command line, and without those of any URL in it.

    The last guard before the screen: whoever writes a URL down elsewhere has to take them out there.
    """
    for secret in _hidden:
        text = text.replace(secret, HIDDEN)
    return mask(text)


def one_line(text: str) -> str:
    """``text`` on one line, with nothing in it that a terminal would obey: tags and file names may hold anything."""
    return "".join(c if c.isprintable() else " " if c in "\n\t" else ascii(c)[1:-1] for c in text.strip())


def encodable(text: str, stream: TextIO) -> str:
    """``text`` with what a terminal would obey, and what the encoding of ``stream`` lacks, written as escapes: names of
    files may hold anything, and consoles are not all UTF-8."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    plain = "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)
    return plain.encode(encoding, "backslashreplace").decode(encoding)


class Console:
    """The voice of one command. Safe to use from any thread."""

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None, as_json: bool = False) -> None:
        """``stream``: where to write, standard error unless given. ``as_json``: one JSON object a line."""
        self.quiet, self.as_json = quiet, as_json
        self.stream: TextIO | None = sys.stderr if stream is None else stream
        """None where there is no standard error, as in a program without a console."""
        self._lock = threading.Lock()
        self._writer: Callable[[str], None] | None = None

    def write_through(self, writer: Callable[[str], None] | None) -> None:
        """Give lines to ``writer`` while a progress bar owns the last line of the screen; None ends that."""
        with self._lock:
            self._writer = writer

    def error(self, text: object) -> None:
        said = one_line(str(text))
        if not self.as_json:
            said = error_texts(self.stream)(said)
        self._line(said if len(said) <= MAX_ERROR_CHARS else f"{said[:MAX_ERROR_CHARS]}...", "error")

    def warning(self, text: object) -> None:
        if not self.quiet:
            self._line(one_line(str(text)), "warning")

    def note(self, text: object) -> None:
        if not self.quiet:
            self._line(one_line(str(text)))

    def block(self, text: str) -> None:
        """Several lines that belong together, such as a table."""
        self._line(text)

    def traceback(self, error: BaseException) -> None:
        self._line(encodable("".join(traceback.format_exception(error)).rstrip(), self.stream or sys.stderr))

    def ask(self, question: str) -> bool:
        """A question on the terminal; anything but a yes is a no, so is the end of the input."""
        print(f"{one_line(redact(question))} [y/N] ", end="", file=self.stream, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def object(self, **fields: Any) -> None:
        """One JSON object on a line of its own."""
        self._print(json.dumps(fields))

    def _line(self, text: str, level: str = "note") -> None:
        if self.as_json:
            self.object(type="message", level=level, text=redact(text))
        else:
            self._print(text if level == "note" else f"{level}: {text}")

    def _print(self, text: str) -> None:
        # A log that nobody reads any more is no reason to lose hours of work.
        with self._lock, suppress(OSError):
            if self._writer is not None:
                self._writer(redact(text))
            elif self.stream is not None:
                print(redact(text), file=self.stream, flush=True)
