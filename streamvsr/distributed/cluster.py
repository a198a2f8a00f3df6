"""Ray: started on this machine or joined, and the actors in it. The one module that imports it."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from streamvsr.distributed.worker import Worker
from streamvsr.errors import MissingExtraError, WorkerError

LOCAL_STORE_BYTES = 128 << 20
"""Ray's object store on this machine. What goes through it is JSON: packets lie in the job's folder."""

STARTS = 3
"""How often Ray is started on this machine: it gives up after 30 s, which a busy one may need."""

MOST_THREADS = 4
"""CPU threads of a worker on a cluster, where the user does not say and its smallest machine has as many."""


class LostError(Exception):
    """A worker's process or its machine is gone, or never came up."""


@dataclass(frozen=True, slots=True)
class Crew:
    """Which workers there are to be."""

    gpus: int
    """So many on a GPU each."""
    cpus: int
    """So many on CPU threads."""
    threads: int
    """CPU threads of each."""


def crew_for(
    wanted: int | None, threads: int | None, device: str, *, same_device_only: bool, gpus: int, smallest_cpus: int,
    all_cpus: int,
) -> Crew:  # fmt: skip
    """Who works, of what a cluster has: GPUs first, then CPU threads.

    ``wanted``: so many workers; None: one for each GPU, or as many as the CPUs hold. ``device``: the option.
    """
    threads = threads or max(1, min(MOST_THREADS, smallest_cpus, all_cpus // (wanted or 1)))
    there = gpus if device == "auto" or device.startswith("cuda") else 0
    count = wanted or there or max(1, all_cpus // threads)
    on_gpus = min(count, there)
    on_cpus = 0 if device.startswith("cuda") or (on_gpus and same_device_only) else count - on_gpus
    return Crew(on_gpus, on_cpus, threads)


class Cluster:
    """A context: within it Ray runs."""

    def __init__(self, address: str | None, workers: int | None, threads: int | None) -> None:
        """``address``: of a cluster that runs; None: on this machine, for ``workers`` of ``threads``.

        Raises ``MissingExtraError``, ``WorkerError`` where there is no cluster.
        """
        # Read when it is imported. No usage statistics are sent.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        # Ray's own is 15: workers on this machine have the priority that the user has given to the run.
        os.environ.setdefault("RAY_worker_niceness", "0")
        try:
            import ray
        except ImportError as error:
            raise MissingExtraError("--workers and --ray need Ray: pip install 'streamvsr[ray]'") from error
        self._ray: Any = ray
        self._joined = ray.is_initialized()
        if not self._joined:
            self._start(address, max(os.cpu_count() or 1, (workers or 1) * (threads or 1)))

    def _start(self, address: str | None, cpus: int) -> None:
        own = {"num_cpus": cpus, "object_store_memory": LOCAL_STORE_BYTES, "include_dashboard": False}
        for left in reversed(range(1 if address else STARTS)):
            try:
                self._ray.init(
                    address=address or "local", log_to_driver=False, logging_level=logging.CRITICAL,
                    **({} if address else own),
                )  # fmt: skip
                return
            except Exception as error:  # what it raises where it does not start has no type of its own
                self._ray.shutdown()
                if left:
                    continue
                where = f"at {address}" if address else "on this machine"
                raise WorkerError(f"Ray cannot be used {where}: {str(error).strip().splitlines()[0]}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._joined:
            self._ray.shutdown()

    def crew(self, wanted: int | None, threads: int | None, device: str, *, same_device_only: bool) -> Crew:
        """See ``crew_for``."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        cpus = [int(node.get("CPU", 0)) for node in nodes]
        return crew_for(
            wanted, threads, device, same_device_only=same_device_only,
            gpus=int(sum(node.get("GPU", 0) for node in nodes)), smallest_cpus=min(filter(None, cpus), default=1),
            all_cpus=sum(cpus),
        )  # fmt: skip

    def worker(self, job: bytes, threads: int, device: str) -> Any:
        """A new actor; it may have to wait for a place."""
        on_gpu = device.startswith("cuda")
        actor = self._ray.remote(num_cpus=threads, num_gpus=int(on_gpu), max_restarts=0, max_task_retries=0)(Worker)
        return actor.remote(job, threads, device)

    def done(self, refs: Sequence[Any], seconds: float) -> list[Any]:
        """Those of ``refs`` whose result is there, or will never be; waits for one at most ``seconds``."""
        ready: list[Any] = self._ray.wait(list(refs), num_returns=1, timeout=seconds)[0]
        return ready

    def result(self, ref: Any) -> Any:
        """Raises what the call raised, and ``LostError``."""
        try:
            return self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            raise (error.cause or error) from error
        except self._ray.exceptions.RayError as error:
            raise LostError(str(error).strip().splitlines()[0]) from error

    def kill(self, actor: Any) -> None:
        self._ray.kill(actor)
