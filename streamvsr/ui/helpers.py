"""Short commands for the page: a look, a preview, a forecast, a copy that browsers play. Each is a process."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from streamvsr.errors import StreamvsrError

AT_ONCE = 2
"""Looks, previews, forecasts, measurements. Copies, which take long, wait for each other."""
LONGEST_SECONDS = 300.0
MOST_KEPT = 40
"""Previews and copies; the oldest are removed."""
COPY_WORDS = (
    *("-c:v", "libx264", "-crf", "20", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-sn", "-dn"),
    *("-movflags", "+faststart"),
)
"""What every browser plays, from the beginning on."""
COPY_CHAIN = "scale=w=trunc(min(1920\\,iw)/2)*2:h=-2"


class HelperError(StreamvsrError):
    """A command's own line of error."""


class Helpers:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._slots, self._copies = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(1)
        self._making: dict[str, asyncio.Task[Path]] = {}

    def place(self, *about: str) -> Path:
        """The folder of what is made from these texts; inputs count with their time of change."""
        stamps = [f"{os.stat(text).st_mtime_ns}" for text in about if os.path.isabs(text) and os.path.exists(text)]
        key = hashlib.sha256("\0".join([*about, *stamps]).encode("utf-8", "surrogateescape")).hexdigest()[:24]
        path = self._folder / key
        if not path.is_dir():
            self._tidy()
            path.mkdir(exist_ok=True)
        with suppress(OSError):
            os.utime(path)
        return path

    async def run(self, words: Sequence[str], longest: float = LONGEST_SECONDS, *, copy: bool = False) -> bytes:
        """What a command prints. Raises ``HelperError``."""
        async with self._copies if copy else self._slots:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "streamvsr", *words, cwd=self._folder,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            try:
                out, said = await asyncio.wait_for(process.communicate(), longest)
            except BaseException as error:
                # Also where the page that asked is gone.
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
                if isinstance(error, TimeoutError):
                    raise HelperError(f"this takes longer than {longest:g} seconds") from error
                raise
        if process.returncode:
            lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.startswith("error: ")]
            raise HelperError(lines[-1].removeprefix("error: ") if lines else "the command failed")
        return out

    async def look(self, path: str) -> dict[str, Any]:
        """What ``streamvsr look --json`` says; ``strip`` is the name of a picture. Raises ``HelperError``."""
        place = self.place("look", path)
        stored = place / "look.json"
        if not stored.exists():
            words = ["look", "--json", "--no-trial", "-y", "--strip", str(place / "strip.png"), path]
            # Written as a whole: two pages may ask for the same.
            found = await self.run(words)
            part = place / f"look.{os.urandom(4).hex()}"
            part.write_bytes(found)
            os.replace(part, stored)
        answer = json.loads(stored.read_bytes())
        answer["strip"] = f"{place.name}/strip.png"
        return dict(answer)

    async def forecast(self, words: Sequence[str]) -> dict[str, Any]:
        """Of a run's words. Raises ``HelperError``."""
        return dict(json.loads(await self.run(["look", "--json", *words])))

    def copy_of(self, path: str) -> Path | None:
        """A copy of a video that browsers play; None while it is made. Raises what making it raised."""
        place = self.place("copy", path)
        target = place / "copy.mp4"
        if target.exists():
            return target
        task = self._making.get(path)
        if task is None:
            self._making[path] = asyncio.create_task(self._copy(path, target))
            return None
        if task.done():
            del self._making[path]
            return task.result()
        return None

    async def _copy(self, path: str, target: Path) -> Path:
        words = ["-y", "-nostdin", "--quiet", "--no-resume", "-i", path, "-vf", COPY_CHAIN, *COPY_WORDS, str(target)]
        await self.run(words, 24 * 3600.0, copy=True)
        return target

    def file(self, key: str, name: str) -> Path | None:
        """One that was made."""
        path = self._folder / key / name
        if key.isalnum() and name in FILES and path.is_file():
            return path
        return None

    def _tidy(self) -> None:
        kept = sorted((p for p in self._folder.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
        for path in kept[: max(0, len(kept) - MOST_KEPT)]:
            shutil.rmtree(path, ignore_errors=True)


FILES = frozenset({"strip.png", "p.before.png", "p.after.png", "before.mp4", "after.mp4", "copy.mp4"})
