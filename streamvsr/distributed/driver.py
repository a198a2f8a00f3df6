"""The driver of a job: hands segments to workers, keeps what they answer, and joins it in the end.

::

    todo ──► a worker, at most IN_FLIGHT tasks each ──► store ──► sink.finish() joins them in order
      ▲              │ failed: again, elsewhere; TRIES times, then the run ends and the job stays
      └──────────────┘

The task at the head of a worker's line is the one that it works on. Where a worker is lost that one counts as tried,
those behind it do not.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamvsr.build import OpenedJob
from streamvsr.distributed.cluster import Cluster, LostError
from streamvsr.distributed.tasks import MAX_VALUE_BYTES, TOKEN, Job, Place, decode_answer, decode_place, encode
from streamvsr.errors import StreamvsrError, WorkerError
from streamvsr.media.demux.frame_index import CannotSeekError

IN_FLIGHT = 2
"""Tasks that a worker has at most: the one that it works on, and the next."""

TRIES = 3
"""How often a segment may fail, and how many workers in a row may not come up."""

LOOK_SECONDS = 0.2
"""How often a request to stop is looked for while no worker has answered: Ray cannot be woken."""

START_SECONDS = 300
"""How long the first worker may take to come up."""


@dataclass(eq=False, slots=True)
class _Member:
    """A worker, as the driver knows it."""

    actor: Any
    device: str
    starting: Any
    """What it answers when it is up; None once it has."""
    place: Place | None = None
    tasks: deque[tuple[Any, int]] = field(default_factory=deque)
    """(what it answers, the segment), in the order in which it works."""


class Driver:
    """Computes the segments of a job that its store does not have."""

    def __init__(
        self, opened: OpenedJob, cluster: Cluster, *, note: Callable[[str], None], stopping: Callable[[], bool]
    ) -> None:
        """``note`` gets lines for the user; ``stopping`` is asked whether the run is to end early."""
        self._opened, self._cluster, self._note, self._stopping = opened, cluster, note, stopping
        plan, store, config = opened.job.plan, opened.job.store, opened.config
        assert plan is not None
        self._plan, self._store = plan, store
        token = secrets.token_hex(16)
        (store.folder / TOKEN).write_text(token)
        self._job = encode(Job(config, plan, str(store.folder.absolute()), token))
        self._todo = deque(number for number in range(len(plan.segments)) if number not in store.records)
        self._failures: Counter[int] = Counter()
        self._avoid: dict[int, _Member] = {}
        """By segment, the worker with which it failed last."""
        self._members: list[_Member] = []
        self._never_up = 0
        self._threads = 1

    def run(self) -> None:
        """Returns when all segments are in the store, or when it is to stop. Raises ``WorkerError``."""
        options, model = self._opened.config.run, self._opened.config.model
        crew = self._cluster.crew(
            options.workers, model.threads, model.device, same_device_only=options.same_device_only
        )
        self._threads = crew.threads
        if crew.gpus and crew.cpus:
            self._note(
                f"{crew.gpus} workers on GPUs and {crew.cpus} on CPUs: their results differ in the last bit;"
                " --same-device-only leaves the CPUs out"
            )
        begin = time.monotonic()
        try:
            for device in ["cuda"] * crew.gpus + ["cpu"] * crew.cpus:
                self._members.append(self._new_member(device))
            while (self._todo or any(member.tasks for member in self._members)) and not self._stopping():
                self._hand_out()
                refs = [m.starting for m in self._members if m.starting is not None]
                refs += [ref for member in self._members for ref, _ in member.tasks]
                for ref in self._cluster.done(refs, LOOK_SECONDS):
                    self._answered(ref)
                if not any(m.place for m in self._members) and time.monotonic() - begin > START_SECONDS:
                    raise WorkerError(f"no worker came up in {START_SECONDS} s: the cluster has no place for it")
        finally:
            for member in self._members:
                self._cluster.kill(member.actor)

    def _new_member(self, device: str) -> _Member:
        actor = self._cluster.worker(self._job, self._threads, device)
        return _Member(actor, device, actor.place.remote())

    def _hand_out(self) -> None:
        """Each worker gets one segment, and a second as long as there are enough for all."""
        up = [member for member in self._members if member.place is not None]
        for most in range(1, IN_FLIGHT + 1):
            for member in up:
                if len(member.tasks) < most and (most == 1 or len(self._todo) > len(up)):
                    self._give(member, alone=len(up) == 1)

    def _give(self, member: _Member, *, alone: bool) -> None:
        number = next((n for n in self._todo if alone or self._avoid.get(n) is not member), None)
        if number is None:
            return
        self._todo.remove(number)
        assert member.place is not None
        clip = None if member.place.reads_input else self._clip(number, member.place)
        member.tasks.append((member.actor.compute.remote(number, clip), number))

    def _clip(self, number: int, place: Place) -> bytes:
        segment = self._plan.segments[number]
        try:
            if self._plan.decoded_through:
                raise CannotSeekError(self._plan.decoded_through)
            with closing(self._opened.open_input()) as source:
                clip = source.clip(segment.entry, segment.exit)
        except CannotSeekError as error:
            raise WorkerError(
                f"the worker on {place.node} does not see the input, and it cannot be sent in parts ({error}): put it"
                " where all machines see it under the same name"
            ) from error
        if len(clip) > MAX_VALUE_BYTES:
            raise WorkerError(
                f"the worker on {place.node} does not see the input, and a segment of it has {len(clip) >> 20} MB, more"
                f" than are sent ({MAX_VALUE_BYTES >> 20} MB): put it where all machines see it under the same name"
            )
        return clip

    def _answered(self, ref: Any) -> None:
        member = next((m for m in self._members if ref is m.starting or any(ref is task for task, _ in m.tasks)), None)
        if member is None:
            return  # of a worker that is lost
        number = next((n for task, n in member.tasks if task is ref), None)
        try:
            answer = self._cluster.result(ref)
        except LostError as error:
            self._lost(member, error)
        except Exception as error:
            if number is None:
                self._lost(member, error)
            else:
                member.tasks = deque(task for task in member.tasks if task[0] is not ref)
                self._failed(number, member, error)
        else:
            if number is None:
                self._came_up(member, decode_place(answer))
            else:
                member.tasks = deque(task for task in member.tasks if task[0] is not ref)
                self._keep(number, *answer)

    def _came_up(self, member: _Member, place: Place) -> None:
        member.starting, member.place, self._never_up = None, place, 0
        for name, version in self._plan.versions.items():
            if place.versions.get(name) != version:
                raise WorkerError(
                    f"the worker on {place.node} has {name} {place.versions.get(name, 'not at all')}, this machine"
                    f" {version}: results would differ"
                )

    def _keep(self, number: int, data: bytes, packets: bytes | None) -> None:
        answer = decode_answer(data)
        if packets is None:
            path = Path(answer.path)
        else:
            path = self._store.folder / f"{number:05d}.received"
            path.write_bytes(packets)
        self._store.adopt(number, path, answer.record)
        if packets is None:
            shutil.rmtree(path.parent, ignore_errors=True)

    def _lost(self, member: _Member, error: Exception) -> None:
        """The worker's process, or its machine, is gone: another one takes its place."""
        self._members.remove(member)
        numbers = [number for _, number in member.tasks]
        self._todo.extendleft(reversed(numbers[1:]))
        if member.place is None:
            self._never_up += 1
            if self._never_up >= TRIES:
                raise WorkerError(f"workers do not come up: {error}")
        self._members.append(self._new_member(member.device))
        if numbers:
            self._failed(numbers[0], member, error)

    def _failed(self, number: int, member: _Member, error: Exception) -> None:
        self._failures[number] += 1
        self._avoid[number] = member
        node = member.place.node if member.place is not None else "?"
        said = str(error) if isinstance(error, StreamvsrError | LostError) else f"{type(error).__name__}: {error}"
        if self._failures[number] >= TRIES:
            raise WorkerError(
                f"segment {number + 1} of {len(self._plan.segments)} has failed {TRIES} times, last on {node}:"
                f" {said.splitlines()[0]}; {self._store.folder} keeps what is finished, and the same command goes on"
            )
        self._todo.appendleft(number)
