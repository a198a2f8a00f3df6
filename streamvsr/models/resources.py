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
    """Where downloaded checkpoints belong: ``STREAMVSR_CACHE``, else ``streamvsr`` in the system's cache folder."""
    if own := os.environ.get("STREAMVSR_CACHE"):
        return Path(own).expanduser()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "streamvsr"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "streamvsr"
    base = os.environ.get("XDG_CACHE_HOME")
    # The specification tells to ignore a relative path here.
    return (Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache") / "streamvsr"


def checkpoint_folders() -> tuple[Path, ...]:
    """Existing folders that may hold checkpoints, in the order in which they are searched."""
    found: dict[Path, Path] = {}
    for folder in (packaged_folder(), Path("checkpoints"), cache_folder()):
        if folder is not None and folder.is_dir():
            found.setdefault(folder.resolve(), folder)
    return tuple(found.values())
