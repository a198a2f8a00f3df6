"""Runs the queue: one job at a time, each a process that outlives the server and is found again by the next one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from streamvsr.errors import StreamvsrError
from streamvsr.ui.jobs import ACTIVE, ENDED, MOST_NOTES, Job, Queue
from streamvsr.ui.supervise import held, lock, started

LOOK_SECONDS = 0.2
START_SECONDS = 15.0
"""A supervisor that has not named its job's process by then is gone."""
MOST_LINE_BYTES = 1 << 16
KILL_SECONDS = 20.0
"""How long a job that was interrupted twice may take to end."""


class Scheduler:
    """Everything happens in one event loop."""

    def __init__(self, queue: Queue, changed: Callable[[Job], None], check: Callable[[Job], None]) -> None:
        """``changed`` is called with each job that has changed; ``check`` raises ``StreamvsrError`` for a job that
        may not be run."""
        self.queue, self._changed, self._check = queue, changed, check
        self._read: dict[str, int] = {}
        """How far each job's log has been read, in bytes."""
        self._began: dict[str, float] = {}
        self._stop_requested: dict[str, float] = {}
        self._supervisors: dict[str, subprocess.Popen[bytes]] = {}
        for job in queue:
            if job.state in ACTIVE and not self._alive(job) and not (queue.folder(job) / "exit").exists():
                # Server and job were killed together: the job's store has what is finished.
                job.state = "queued" if not job.wanted and not job.live else "cancelled"
                job.notes.append("the job was cut off, and goes on with what was finished")

    async def run(self) -> None:
        """Until it is cancelled. Jobs go on."""
        while True:
            try:
                self.look()
            except OSError:
                # A full disk: the queue stands as it was, and the jobs run.
                await asyncio.sleep(1)
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        for job in [job for job in self.queue if job.state in ACTIVE]:
            self._follow(job)
        if not any(job.state in ACTIVE for job in self.queue):
            waiting = next((job for job in self.queue if job.state == "queued"), None)
            if waiting is not None:
                self._start(waiting)

    def pause(self, job: Job) -> bool:
        if job.state != "running" or job.live or os.name != "posix" or not self._signal(job, signal.SIGSTOP):
            return False
        return self._becomes(job, "paused")

    def resume(self, job: Job) -> bool:
        if job.state != "paused" or not self._signal(job, signal.SIGCONT):
            return False
        return self._becomes(job, "running")

    def stop(self, job: Job) -> bool:
        """The output ends here, and can be played."""
        return self._end(job, "stop", 1)

    def cancel(self, job: Job) -> bool:
        """Nothing is left under the output's name."""
        if job.state == "queued":
            return self._becomes(job, "cancelled")
        return self._end(job, "cancel", 2)

    def retry(self, job: Job) -> bool:
        if job.state not in ("failed", "cancelled"):
            return False
        job.error, job.ended, job.progress, job.notes, job.wanted = "", None, None, [], ""
        return self._becomes(job, "queued")

    def _end(self, job: Job, how: str, signals: int) -> bool:
        if job.state not in ACTIVE:
            return False
        job.wanted = how
        self._signal(job, signal.SIGCONT)
        for _ in range(signals):
            self._signal(job, signal.SIGINT)
            time.sleep(0.02)  # two that come together are one
        self._stop_requested[job.id] = time.monotonic()
        return self._becomes(job, "stopping")

    def _becomes(self, job: Job, state: Any) -> bool:
        job.state = state
        if state in ENDED:
            job.ended = time.time()
        self.queue.save()
        self._changed(job)
        return True

    def _start(self, job: Job) -> None:
        try:
            self._check(job)
        except StreamvsrError as error:
            job.error = str(error)
            self._becomes(job, "failed")
            return
        folder = self.queue.folder(job)
        if held(folder):
            # The server was killed after it began the job and before it could write that down.
            self._becomes(job, "running")
            return
        (folder / "pair").mkdir(parents=True, exist_ok=True)
        for name in ("exit", "pid.json", "log"):
            (folder / name).unlink(missing_ok=True)
        extra = ["--progress", "json", "-nostdin"]
        if job.kind == "run":
            extra += ["--live-pair", str(folder / "pair")]
            if not job.live and not {"--resume", "--no-resume"} & set(job.words):
                extra.append("--resume")
        words = ["compare", *extra, *job.words] if job.kind == "compare" else [*extra, *job.words]
        (folder / "command.json").write_text(json.dumps(words))
        self._read[job.id] = 0
        self._began[job.id] = time.monotonic()
        job.began = time.time()
        job.error = ""
        command = [sys.executable, "-P", "-m", "streamvsr.ui.supervise", str(folder)]
        # The supervisor has the lock from its first moment on, even if this process is killed in its own next one.
        with lock(folder) as inherited:
            # A session of its own: Ctrl-C on the server's terminal is not for it, and it is paused as a whole.
            self._supervisors[job.id] = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True, cwd=folder, pass_fds=inherited,
            )  # fmt: skip
        self._becomes(job, "running")

    def _follow(self, job: Job) -> None:
        code = self._exit_code(job)
        changed = self._read_log(job)
        if code is None:
            if changed:
                self._changed(job)
            asked = self._stop_requested.get(job.id)
            if asked is not None and job.wanted == "cancel" and time.monotonic() - asked > KILL_SECONDS:
                self._signal(job, signal.SIGKILL)
            return
        child = self._supervisors.pop(job.id, None)
        if child is not None:
            child.poll()
        self._stop_requested.pop(job.id, None)
        if job.wanted == "cancel":
            self._becomes(job, "cancelled")
        elif code == 0 or (job.wanted == "stop" and os.path.exists(job.output)):
            job.error = ""
            self._becomes(job, "done")
        else:
            job.error = job.error or f"the process ended with code {code}"
            self._becomes(job, "failed")

    def _exit_code(self, job: Job) -> int | None:
        """None while it runs."""
        with suppress(OSError, ValueError):
            return int((self.queue.folder(job) / "exit").read_text())
        if self._alive(job):
            return None
        # Written between the two looks?
        with suppress(OSError, ValueError):
            return int((self.queue.folder(job) / "exit").read_text())
        job.error = "the process was killed, perhaps for want of memory"
        return -9

    def _record(self, job: Job) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            found = json.loads((self.queue.folder(job) / "pid.json").read_text())
            return found if isinstance(found, dict) else {}
        return {}

    def _alive(self, job: Job) -> bool:
        child = self._supervisors.get(job.id)
        if child is not None and child.poll() is None:
            return True
        if held(self.queue.folder(job)):
            return True
        record = self._record(job)
        if not record:
            return time.monotonic() - self._began.get(job.id, -START_SECONDS) < START_SECONDS and child is None
        return any(
            record.get(when) and started(record[who]) == record[when]
            for who, when in (("pid", "started"), ("supervisor", "supervisor_started"))
        )

    def _signal(self, job: Job, number: int) -> bool:
        record = self._record(job)
        if not record or started(record["pid"]) != record["started"]:
            return False
        try:
            os.kill(record["pid"], number)
        except OSError:
            return False
        return True

    def _read_log(self, job: Job) -> bool:
        """Take in what the job has said since; whether it said anything."""
        path: Path = self.queue.folder(job) / "log"
        at = self._read.get(job.id, 0)
        try:
            with path.open("rb") as file:
                file.seek(at)
                new = file.read(1 << 20)
        except OSError:
            return False
        whole = new.rpartition(b"\n")[0] if b"\n" in new else new if len(new) >= MOST_LINE_BYTES else b""
        if not whole:
            return False
        self._read[job.id] = at + len(whole) + 1
        for line in whole.splitlines():
            self._take(job, line)
        return True

    @staticmethod
    def _take(job: Job, line: bytes) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            said = {"type": "message", "level": "error", "text": line.decode("utf-8", "replace")[:2000]}
        if not isinstance(said, dict):
            return
        if said.get("type") == "progress":
            job.progress = said
        elif said.get("level") == "error":
            job.error = str(said.get("text", ""))[:2000]
        else:
            job.notes = [*job.notes, str(said.get("text", ""))[:2000]][-MOST_NOTES:]
