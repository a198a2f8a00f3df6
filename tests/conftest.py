"""Fixtures that every test may use. In CI what a test needs has to be there; on a user's machine the test skips."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# As build() does, but before any test imports torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# No test leaves this machine, and a proxy would look for its servers elsewhere; what a terminal is like, tests say.
for name in list(os.environ):
    if name.lower().endswith("_proxy") or name in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        del os.environ[name]

# A shell that starts the tests in the background has them ignore Ctrl-C, and nohup the end of the terminal, and what is
# ignored stays so in every process that a test starts and sends signals to. With a handler, they begin like any other.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

# The same examples in each run, whatever lies in .hypothesis, and no limits on their time: what fails here fails
# everywhere. `--hypothesis-profile=explore` looks for others.
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.register_profile(
    "repeatable", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("repeatable")

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"
IN_CI = os.environ.get("CI") == "true"
HAS_TORCH = find_spec("torch") is not None
# Without torch only what is marked io can even be imported.
collect_ignore = [] if HAS_TORCH else [p.name for p in ROOT.glob("tests/test_*.py") if "mark.io" not in p.read_text()]


def pytest_report_header() -> str:
    import av

    without = "" if HAS_TORCH else f", no torch: {len(collect_ignore)} test files left out"
    return f"PyAV {av.__version__}{without}"


def missing(what: str) -> None:
    """Skip with a reason, or fail in CI, where nothing may be skipped silently."""
    if IN_CI:
        pytest.fail(f"{what} is missing, and CI has to have it")
    pytest.skip(f"{what} is not here")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real clips, ground truth and weights, kept outside of the repository."""
    if not SHARED_DATA.is_dir():
        missing("the folder ../shared/data")
    return SHARED_DATA


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        missing(f"the program {name}")
    assert path is not None
    return path


@pytest.fixture(scope="session")
def ffprobe() -> str:
    """Path of ffprobe, the judge that does not share a line with PyAV's FFmpeg."""
    return _program("ffprobe")


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    return _program("ffmpeg")


@pytest.fixture(scope="session")
def mm() -> Any:
    """mmedit's own module with the networks that ours are compared with."""
    from streamvsr.errors import MissingExtraError
    from streamvsr.models.mm_shim import import_mmedit

    try:
        import_mmedit()
    except MissingExtraError as error:
        missing(str(error))
    return importlib.import_module("mmedit.models.backbones.sr_backbones")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, the only place with checkpoints."""
    from streamvsr.models import registry, resources

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMVSR_CACHE", str(tmp_path / "cache"))
    known = registry.known_checkpoints()
    monkeypatch.setattr(registry, "known_checkpoints", lambda: known)
    monkeypatch.setattr(resources, "packaged_folder", lambda name="checkpoints": None)
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"
