"""A worker: segments to packets, with the network kept from one to the next. Knows nothing of Ray."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
import uuid
from dataclasses import replace
from pathlib import Path

from streamvsr.build import build
from streamvsr.distributed.tasks import MAX_VALUE_BYTES, TOKEN, Answer, Place, decode_job, encode
from streamvsr.errors import NoVideoError, SinkError, SourceError
from streamvsr.jobs.job import Part
from streamvsr.jobs.plan import InputIdentity, versions
from streamvsr.jobs.store import JobStore, worker_folder
from streamvsr.networks import Models
from streamvsr.threads import wait_asleep


class Worker:
    """One process of a job. Calls come one after another."""

    def __init__(self, job: bytes, threads: int, device: str) -> None:
        """``job``: a ``tasks.Job``. ``threads``: CPU threads of the network. ``device``: where it runs."""
        wait_asleep()
        self._job = decode_job(job)
        model = replace(self._job.config.model, threads=threads, device=device)
        self._config = replace(self._job.config, model=model)
        self._models: Models = {}

    def place(self) -> bytes:
        """A ``tasks.Place``."""
        plan = self._job.plan
        try:
            reads = InputIdentity.of(plan.input.path) == plan.input
        except SourceError:
            reads = False
        return encode(Place(platform.node(), os.getpid(), self._device(), versions(), reads))

    def compute(self, number: int, clip: bytes | None = None) -> tuple[bytes, bytes | None]:
        """(a ``tasks.Answer``, the packets where they are sent by value). ``clip``: of an input that is not seen here.

        May be called again for the same segment, here or elsewhere: it leaves nothing behind but what it answers.
        """
        begin, job = time.monotonic(), self._job
        shared = self._shares()
        folder = worker_folder(Path(job.folder)) if shared else Path(tempfile.mkdtemp()) / uuid.uuid4().hex
        try:
            run = build(self._config, warn=_silent, part=Part(job.plan, number, folder, clip), models=self._models)
            run.start()
            while not run.wait(60):
                pass
            try:
                run.result()
            except NoVideoError:
                # Frames far apart: a segment at fixed times may have none.
                store = JobStore(folder)
                store.finish(number, store.writer(number))
                store.close()
            store = JobStore(folder)
            record, path = store.records[number], store.packets_path(number)
            store.close()
            seconds = time.monotonic() - begin
            if shared:
                return encode(Answer(record, str(path), seconds)), None
            if path.stat().st_size > MAX_VALUE_BYTES:
                raise SinkError(
                    f"segment {number} has {path.stat().st_size >> 20} MB, more than are sent between machines"
                    f" ({MAX_VALUE_BYTES >> 20} MB): put the output into a folder that all machines share"
                )
            return encode(Answer(record, "", seconds)), path.read_bytes()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            if not shared:
                shutil.rmtree(folder.parent, ignore_errors=True)

    def _shares(self) -> bool:
        try:
            return (Path(self._job.folder) / TOKEN).read_text() == self._job.token
        except OSError:
            return False

    def _device(self) -> str:
        from streamvsr.models.device import choose_device

        device = choose_device(self._config.model.device)
        if device.type != "cuda":
            return device.type
        import torch

        return f"cuda {torch.cuda.get_device_name(device)}"


def _silent(line: str) -> None:
    pass
