"""Where checkpoints are looked for. Imports neither torch nor numpy."""

from __future__ import annotations

import os
import sys
from pathlib import Path

MANIFEST = "manifest.toml"


def packaged_folder(name: str = "checkpoints") -> Path | None:
    """``checkpoints`` or ``configs`` as shipped: inside the installed package, or beside it in a source checkout."""
    package = Path(__file__).resolve().parent.parent
    if (package / name).is_dir():
        return package / name
    # A folder of that name beside an installed package is not ours; the manifest tells.
    if (package.parent / "checkpoints" / MANIFEST).is_file() and (package.parent / name).is_dir():
        return package.parent / name
    return None


def cache_folder() -> Path:
    """Where downloaded checkpoints belong: ``STREAMVSR_CACHE``, else ``streamvsr`` in the system's cache folder, else,
    for a user without a home, ``checkpoints`` in the working folder."""
    if own := os.environ.get("STREAMVSR_CACHE"):
        return Path(os.path.expanduser(own))
    base = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    # The specification tells to ignore a relative path here.
    if sys.platform != "darwin" and base and Path(base).is_absolute():
        return Path(base) / "streamvsr"
    # Left as it is where there is neither HOME nor an entry in the passwd file, as in containers with a bare uid.
    home = os.path.expanduser("~")
    if home == "~":
        return Path("checkpoints")
    caches = {"win32": "AppData/Local", "darwin": "Library/Caches"}.get(sys.platform, ".cache")
    return Path(home) / caches / "streamvsr"


def checkpoint_folders() -> tuple[Path, ...]:
    """Existing folders that may hold checkpoints, in the order in which they are searched. One that may not be read,
    as another user's home, does not exist here."""
    found: dict[Path, Path] = {}
    for folder in (packaged_folder(), Path("checkpoints"), cache_folder()):
        # Path.is_dir raises where a folder above may not be entered.
        if folder is not None and os.path.isdir(folder) and os.access(folder, os.R_OK | os.X_OK):
            found.setdefault(Path(os.path.realpath(folder)), folder)
    return tuple(found.values())
