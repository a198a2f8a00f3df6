"""Jobs and the queue on the disk: one file, written whole at each change, and a folder a job."""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from streamvsr.part_file import write_file

State = Literal["queued", "running", "paused", "stopping", "done", "failed", "cancelled"]
ACTIVE = ("running", "paused", "stopping")
ENDED = ("done", "failed", "cancelled")
MOST_NOTES = 30


@dataclass(slots=True)
class Job:
    """Times are seconds since 1970."""

    id: str
    kind: str
    """``run`` or ``compare``."""
    words: list[str]
    input: str
    output: str
    method: str = "network"
    """``network`` or ``traditional``: how the page calls its result."""
    group: str = ""
    """Jobs of one form, as network and traditional, share it."""
    live: bool = False
    state: State = "queued"
    created: float = 0.0
    began: float | None = None
    ended: float | None = None
    error: str = ""
    wanted: str = ""
    """How a running job was asked to end: "", ``stop`` or ``cancel``."""
    progress: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        """As the interface shows it. An address shows no password."""
        from streamvsr.secrets import mask

        found = asdict(self)
        found["words"] = [mask(word) for word in self.words]
        found["input"] = mask(self.input)
        found["output_name"] = os.path.basename(self.output)
        found["input_name"] = mask(self.input) if "://" in self.input else os.path.basename(self.input)
        found.pop("wanted")
        return found


class Queue:
    """All jobs in order: what is to be run next stands first among the queued."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "jobs").mkdir(parents=True, exist_ok=True)
        self.jobs: dict[str, Job] = {}
        names = {one.name for one in fields(Job)}
        try:
            stored = json.loads((folder / "queue.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            stored = []
        for one in stored if isinstance(stored, list) else []:
            job = Job(**{key: value for key, value in one.items() if key in names})
            # It names a folder.
            if re.fullmatch(r"[0-9a-f]{12}", job.id):
                self.jobs[job.id] = job

    def __iter__(self) -> Iterator[Job]:
        return iter(self.jobs.values())

    def add(self, job: Job) -> Job:
        job.id, job.created = secrets.token_hex(6), time.time()
        self.folder(job).mkdir()
        self.jobs[job.id] = job
        self.save()
        return job

    def remove(self, job: Job) -> None:
        del self.jobs[job.id]
        self.save()

    def move(self, job: Job, before: str | None) -> None:
        """In front of another job, or to the end."""
        rest = [one for one in self if one is not job]
        place = next((n for n, one in enumerate(rest) if one.id == before), len(rest))
        self.jobs = {one.id: one for one in [*rest[:place], job, *rest[place:]]}
        self.save()

    def save(self) -> None:
        """Raises ``OSError``, also where the disk is full: then the file is as it was."""
        text = json.dumps([asdict(job) for job in self], indent=1)
        write_file(self._folder / "queue.json", text.encode("utf-8"), durable=True)

    def folder(self, job: Job) -> Path:
        return self._folder / "jobs" / job.id

    def outputs(self) -> frozenset[str]:
        """What jobs will write."""
        return frozenset(job.output for job in self if job.state not in ("failed", "cancelled"))
