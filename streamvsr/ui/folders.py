"""Which files may be read and written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from streamvsr.errors import StreamvsrError


class RefusedError(StreamvsrError):
    """A path outside of the folders that were allowed, or an option that reaches beyond them."""


class Folders:
    """The folders that may be read and written. Symbolic links are followed before it is decided."""

    def __init__(self, folders: Sequence[Path], own: Path) -> None:
        """``own``: where uploads are kept; readable, and not listed."""
        self.roots = tuple(Path(os.path.realpath(folder)) for folder in folders)
        self._own = Path(os.path.realpath(own))

    def readable(self, path: str) -> Path:
        """The real path of what is there. Raises ``RefusedError``."""
        real = self._real(path)
        if not any(real.is_relative_to(root) for root in (*self.roots, self._own)):
            raise RefusedError("this lies outside of the folders that were allowed when the server was started")
        if not real.exists():
            raise RefusedError("there is no such file")
        return real

    def writable(self, path: str) -> Path:
        """The real path of what may be created there. Raises ``RefusedError``."""
        real = self._real(path)
        if not any(real.is_relative_to(root) and real != root for root in self.roots):
            raise RefusedError("this lies outside of the folders that were allowed when the server was started")
        if not real.parent.is_dir():
            raise RefusedError("the folder does not exist")
        return real

    def is_own(self, path: Path) -> bool:
        return path.is_relative_to(self._own)

    @staticmethod
    def _real(path: str) -> Path:
        if not path or "\0" in path or not os.path.isabs(path):
            raise RefusedError("a path has to be absolute")
        return Path(os.path.realpath(path))
