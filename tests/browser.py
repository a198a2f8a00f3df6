"""For tests of the page: Chromium, driven by Playwright, and axe-core, which finds what keeps people out."""

from __future__ import annotations

import shutil
import subprocess
import tarfile

from tests.conftest import ROOT, missing

ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
]
"""Nothing but the page is asked for."""
AXE = "axe-core@4.14.1"
NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """The program. Skips, or fails in CI, where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        missing("Chromium (Debian: apt install chromium)")
    return found or ""


def axe() -> str:
    """The source of axe-core, fetched once into build/. Skips, or fails in CI, where it cannot be had."""
    folder = ROOT / "build" / "axe"
    script = folder / "package" / "axe.min.js"
    if not script.exists():
        folder.mkdir(parents=True, exist_ok=True)
        npm = shutil.which("npm")
        if npm is None:
            missing("npm, which fetches axe-core")
        done = subprocess.run([str(npm), "pack", AXE], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            missing(f"axe-core ({done.stderr.strip()[-200:]})")
        with tarfile.open(folder / done.stdout.strip().splitlines()[-1]) as archive:
            archive.extract("package/axe.min.js", folder, filter="data")
    return script.read_text(encoding="utf-8")
