"""What the interface does: one object, in one event loop. ``web.py`` says under which addresses."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from streamvsr.config import IMAGES, VIDEOS
from streamvsr.errors import StreamvsrError, UsageError
from streamvsr.secrets import mask
from streamvsr.ui.commands import Order, Services, check_images, free_name, is_live, options_in, order, words_of
from streamvsr.ui.folders import Folders, RefusedError
from streamvsr.ui.helpers import HelperError, Helpers
from streamvsr.ui.hub import Hub
from streamvsr.ui.jobs import ACTIVE, Job, Queue
from streamvsr.ui.scheduler import Scheduler
from streamvsr.ui.uploads import check_size, plain_name, save, tidy

MOST_ENTRIES = 2000
"""Of a folder are shown."""
MOST_JOBS = 1000
MOST_LOG_BYTES = 1 << 20
MOST_CLIP_SECONDS = 5.0
COMPARED = {"before": "--label=before", "after": "--label=after"}


class NotFound(StreamvsrError):  # noqa: N818
    """There is no such job, or nothing to show of it."""


class Conflict(StreamvsrError):  # noqa: N818
    """Not in this state."""


class Server:
    """Methods raise ``StreamvsrError`` of kinds that ``web.py`` has a status for."""

    def __init__(
        self, folders: Folders, state: Path, services: Services, *, most_upload: float, local: bool = True
    ) -> None:
        """``local``: whoever sees the page sits at this machine."""
        self.folders, self._state, self._services = folders, Path(os.path.realpath(state)), services
        self._most_upload, self._local = most_upload, local
        self.queue = Queue(state)
        self.hub = Hub()
        self.helpers = Helpers(state / "made")
        self.scheduler = Scheduler(self.queue, self._changed, self._allowed)
        self._loop: asyncio.Task[None] | None = None
        self._coming = 0
        """Bytes of uploads that are being sent."""

    async def start(self) -> None:
        tidy(self._state / "uploads", {job.input for job in self.queue})
        self._loop = asyncio.create_task(self.scheduler.run())

    async def close(self) -> None:
        """Jobs go on."""
        if self._loop is not None:
            self._loop.cancel()
            with suppress(asyncio.CancelledError):
                await self._loop

    def form(self, language: str) -> dict[str, Any]:
        return {**self._services.describe(language), "local": self._local}

    def files(self, path: str | None) -> dict[str, Any]:
        if not path:
            return {"path": None, "parent": None, "entries": [_entry(root, str(root)) for root in self.folders.roots]}
        folder = self.folders.readable(path)
        if not folder.is_dir():
            raise NotFound("this is no folder")
        entries: list[dict[str, Any]] = []
        images = 0
        with os.scandir(folder) as found:
            for one in sorted(found, key=lambda one: one.name.lower()):
                if one.name.startswith(".") or len(entries) >= MOST_ENTRIES or not _is_text(one.name):
                    continue
                # A link that leads out of the allowed folders is not shown.
                try:
                    real = self.folders.readable(one.path)
                except RefusedError:
                    continue
                suffix = Path(one.name).suffix.lower()
                images += suffix in IMAGES
                if real.is_dir() or suffix in VIDEOS:
                    with suppress(OSError):
                        entries.append(_entry(real, one.name))
        at_root = folder in self.folders.roots
        return {
            "path": str(folder),
            "parent": None if at_root else str(folder.parent),
            "entries": entries,
            "images": images,
        }

    def upload_check(self, name: str, length: str | None) -> dict[str, Any]:
        folder = self._state / "uploads"
        folder.mkdir(parents=True, exist_ok=True)
        size = check_size(length, folder, self._most_upload, self._coming)
        return {"name": plain_name(name), "size": size}

    async def upload(self, name: str, length: str | None, chunks: AsyncIterator[bytes]) -> dict[str, Any]:
        checked = self.upload_check(name, length)
        size = checked["size"]
        self._coming += size
        try:
            path = await save(chunks, size, self._state / "uploads", checked["name"])
        finally:
            self._coming -= size
        return {"path": str(path), "name": path.name, "size": size}

    async def look(self, path: str) -> dict[str, Any]:
        if is_live(path):
            return {"live": True, "path": path}
        real = self.folders.readable(path)
        found = await self.helpers.look(str(real))
        return {
            **found,
            "path": str(real),
            "name": real.name,
            "size": real.stat().st_size if real.is_file() else None,
            "free": shutil.disk_usage(self.folders.roots[0]).free,
        }

    async def command(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        checked = self._checked(await self._sized(spec))
        return {"command": mask(shlex.join(["streamvsr", *checked.words])), "output": checked.output}

    async def preview(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        at, seconds = _number(spec, "at"), min(MOST_CLIP_SECONDS, _number(spec, "seconds"))
        spec = await self._sized(spec)
        options = options_in(spec)
        # The moment is one of the whole video.
        for group in ("input", "output"):
            for flag in ("-ss", "-t", "-to", "-frames:v"):
                options.get(group, {}).pop(flag, None)
        for flag in ("--resume", "--no-resume"):
            options.get("run", {}).pop(flag, None)
        checked = self._checked({**spec, "options": options, "output": None, "suffix": ".mp4"})
        if checked.live:
            raise UsageError("a live stream has no preview: start it and watch")
        words, whole = list(checked.words[:-1]), bool(spec.get("whole"))
        place = self.helpers.place("preview", checked.input, *words, f"{at:.3f} {seconds:.3f} {whole}")
        made = place.name
        if seconds == 0:
            names = ("p.before.png", "p.after.png")
            if not all((place / name).exists() for name in names):
                extra = ["--whole"] if whole else []
                target = str(place / "p.png")
                await self.helpers.run(["preview", "-y", "--at", f"{at:.3f}", "--apart", *extra, *words, target])
        else:
            names = ("before.mp4", "after.mp4")
            cut = ["-y", "-nostdin", "--quiet", "--no-resume", "-ss", f"{at:.3f}", "-t", f"{seconds:.3f}"]
            play = ["-c:v", "libx264", "-crf", "16", "-preset", "veryfast", "-pix_fmt", "yuv420p"]
            play += ["-an", "-sn", "-dn", "-movflags", "+faststart"]
            plain = [*cut, "-i", checked.input, "-vf", "null", *play, str(place / names[0])]
            if not (place / names[0]).exists():
                await self.helpers.run(plain)
            if not (place / names[1]).exists():
                # Behind the form's own, which they overrule.
                await self.helpers.run([*cut, *words, *play, str(place / names[1])])
        return {
            "kind": "clip" if seconds else "frame",
            **dict(zip(("before", "after"), (f"{made}/{n}" for n in names), strict=True)),
        }

    async def forecast(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        checked = self._checked(await self._sized(spec))
        if checked.live:
            raise UsageError("a live stream has no end that could be forecast")
        found = (await self.helpers.forecast(checked.words[:-1])).get("forecast") or {}
        return {**found, "free": shutil.disk_usage(Path(checked.output).parent).free}

    def snapshot(self) -> dict[str, Any]:
        return {"jobs": [job.shown() for job in self.queue]}

    def job(self, number: str) -> Job:
        try:
            return self.queue.jobs[number]
        except KeyError:
            raise NotFound("there is no such job") from None

    async def submit(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        if len(self.queue.jobs) >= MOST_JOBS:
            raise Conflict("there are a thousand jobs: forget some that have ended")
        if "command" in spec:
            words = spec["command"]
            if not isinstance(words, list):
                raise UsageError("a command is a list of texts")
            checked = order(words, self._services, self.folders)
            return {"jobs": [self._add(checked, "network", "")]}
        spec = await self._sized(spec)
        if spec.get("method") != "both":
            return {"jobs": [self._add(self._checked(spec), str(spec.get("method") or "network"), "")]}
        if spec.get("output"):
            raise UsageError("two results have two names: leave the output out")
        both = [(method, self._checked({**spec, "method": method})) for method in ("network", "traditional")]
        group = os.urandom(6).hex()
        return {"jobs": [self._add(checked, method, group) for method, checked in both]}

    def remove(self, number: str) -> dict[str, Any]:
        job = self.job(number)
        if job.state in ACTIVE:
            raise Conflict("it runs: cancel it first")
        folder = self.queue.folder(job)
        self.queue.remove(job)
        shutil.rmtree(folder, ignore_errors=True)
        if self.folders.is_own(Path(job.input)) and all(other.input != job.input for other in self.queue):
            Path(job.input).unlink(missing_ok=True)
        self.hub.tell(job.id, {"type": "gone", "id": job.id})
        return {}

    def act(self, number: str, action: str) -> dict[str, Any]:
        job = self.job(number)
        if action == "open":
            return self._open(job)
        acts = {name: getattr(self.scheduler, name) for name in ("pause", "resume", "stop", "cancel", "retry")}
        if action not in acts:
            raise NotFound("there is no such action")
        if not acts[action](job):
            raise Conflict(f"a job that is {job.state} cannot do this now")
        return job.shown()

    def move(self, number: str, before: Any) -> dict[str, Any]:
        self.queue.move(self.job(number), before if isinstance(before, str) else None)
        self.hub.tell("jobs", {"type": "jobs", **self.snapshot()})
        return {}

    def compare(self, number: str) -> dict[str, Any]:
        job = self.job(number)
        result = self.result(number)
        source = str(self.folders.readable(job.input))
        spec = {"method": job.method}
        target = free_name(str(result.with_name(f"{result.stem}_compare.mp4")), spec, _Anywhere(), self.queue.outputs())
        target = str(self.folders.writable(target))
        words = ["--mode", "wipe", *COMPARED.values(), source, str(result), target, *("-movflags", "+faststart")]
        made = Job("", "compare", words, job.input, target, job.method)
        self.queue.add(made)
        self._changed(made)
        return made.shown()

    async def measure(self, number: str) -> dict[str, Any]:
        """BRISQUE, which needs no reference, of three frames of the input and of the result: lower is better."""
        job, result = self.job(number), self.result(number)
        frames = int((job.progress or {}).get("frames") or 1)
        places = ",".join(str(frame) for frame in sorted({0, frames // 2, frames - 1}))
        found = {}
        for side, path in (("before", str(self.folders.readable(job.input))), ("after", str(result))):
            target = self.helpers.place("metrics", path, places) / "metrics.json"
            if not target.exists():
                words = ["metrics", "-y", "--metric", "brisque", "--at", places, "--json", str(target), path]
                await self.helpers.run(words)
            found[side] = json.loads(target.read_bytes())["mean"]
        return found

    def log(self, number: str) -> bytes:
        with suppress(OSError), (self.queue.folder(self.job(number)) / "log").open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - MOST_LOG_BYTES))
            return file.read()
        return b""

    def result(self, number: str) -> Path:
        job = self.job(number)
        if job.state != "done" or not os.path.isfile(job.output):
            raise NotFound("there is no result")
        return self.folders.readable(job.output)

    def video(self, number: str, side: str, copied: bool) -> Path | None:
        """None while a copy is made."""
        if side not in ("before", "after"):
            raise NotFound("there are two sides, before and after")
        job = self.job(number)
        if side == "before" and job.live:
            raise NotFound("a live stream is not kept")
        path = self.folders.readable(job.input) if side == "before" else self.result(number)
        return self.helpers.copy_of(str(path)) if copied or path.is_dir() else path

    def pair(self, number: str) -> dict[str, Any]:
        folder = self.queue.folder(self.job(number)) / "pair"
        with suppress(OSError):
            (folder / "watched").touch()
        try:
            stamp = (folder / "seconds").stat().st_mtime_ns
            return {"number": str(stamp), "seconds": float((folder / "seconds").read_text())}
        except (OSError, ValueError):
            return {"number": None, "seconds": None}

    def pair_file(self, number: str, side: str) -> Path:
        path = self.queue.folder(self.job(number)) / "pair" / f"{side}.jpg"
        if side not in ("before", "after") or not path.is_file():
            raise NotFound("there is no frame yet")
        return path

    async def _sized(self, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        """The traditional chain makes frames of any size; ours become as large as the network's."""
        options, path = options_in(spec), spec.get("input")
        if spec.get("method") not in ("traditional", "both") or not isinstance(path, str) or is_live(path):
            return spec
        model = options.setdefault("model", {})
        if not model.get("--scale"):
            factor = (await self.helpers.look(str(self.folders.readable(path))))["usual_factor"]
            if factor != 4:
                model["--scale"] = f"{factor:.9g}"
        return {**spec, "options": options}

    def _checked(self, spec: Mapping[str, Any]) -> Order:
        if not spec.get("output") and isinstance(spec.get("input"), str):
            spec = {**spec, "output": free_name(spec["input"], spec, self.folders, self.queue.outputs())}
        return order(words_of(spec, self.folders), self._services, self.folders)

    def _add(self, checked: Order, method: str, group: str) -> dict[str, Any]:
        if checked.output in self.queue.outputs() or os.path.exists(checked.output):
            raise Conflict(f"'{os.path.basename(checked.output)}' exists already, or is another job's output")
        words = list(checked.words)
        job = Job("", "run", words, checked.input, checked.output, method, group, checked.live)
        self.queue.add(job)
        self._changed(job)
        return job.shown()

    def _allowed(self, job: Job) -> None:
        """Since a job was submitted, links and the allowed folders may have changed. Raises ``RefusedError``."""
        if not job.live:
            source = self.folders.readable(job.input)
            if str(source) != job.input:
                raise RefusedError("the input has become a link")
            if source.is_dir():
                check_images(job.input, self.folders)
        if str(self.folders.writable(job.output)) != job.output:
            raise RefusedError("the output has become a link")

    def _changed(self, job: Job) -> None:
        if job.id in self.queue.jobs:
            self.hub.tell(job.id, {"type": "job", "job": job.shown()})

    def _open(self, job: Job) -> dict[str, Any]:
        opener = {"darwin": "open", "win32": "explorer"}.get(sys.platform, "xdg-open")
        program = shutil.which(opener)
        if not self._local or program is None:
            raise HelperError("there is no file manager to open it with")
        folder = str(self.folders.readable(os.path.dirname(job.output)))
        subprocess.Popen([program, folder], stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
        return {}


class _Anywhere(Folders):
    """For a name that is checked afterwards."""

    def __init__(self) -> None:
        super().__init__([Path("/")], Path("/nowhere"))

    def readable(self, path: str) -> Path:
        return Path(path)


def _entry(path: Path, name: str) -> dict[str, Any]:
    is_folder = path.is_dir()
    return {"path": str(path), "name": name, "folder": is_folder, "size": None if is_folder else path.stat().st_size}


def _is_text(name: str) -> bool:
    """Whether the page can name it: a file's name may be bytes of no encoding."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _number(spec: Mapping[str, Any], name: str) -> float:
    value = spec.get(name) or 0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise UsageError(f"'{name}' has to be a number of seconds")
    return float(value)
