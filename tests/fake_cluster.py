"""Workers in this process, with failures where a test wants them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from streamvsr.distributed.cluster import Crew
from streamvsr.distributed.worker import Worker


class FakeCluster:
    """Workers in this process, one call at a time; ``fault`` is asked before each segment."""

    def __init__(self, crew: Crew, fault: Callable[[int, int], Exception | None] = lambda worker, number: None) -> None:
        self._crew, self._fault = crew, fault
        self.log: list[tuple[int, int]] = []
        """(worker, segment) of each try."""
        self.most_in_flight = self._in_flight = self.killed = 0
        self.workers = 0

    def __enter__(self) -> FakeCluster:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def crew(self, *_: Any, **__: Any) -> Crew:
        return self._crew

    def worker(self, job: bytes, threads: int, device: str) -> Any:
        cluster, number = self, self.workers
        self.workers += 1
        real = Worker(job, threads, device)

        class Call:
            def __init__(self, function: Callable[..., Any]) -> None:
                self._function = function

            def remote(self, *words: Any) -> Callable[[], Any]:
                cluster._in_flight += self._function is compute
                cluster.most_in_flight = max(cluster.most_in_flight, cluster._in_flight)
                return lambda: self._function(*words)

        def compute(segment: int, clip: bytes | None) -> Any:
            cluster._in_flight -= 1
            cluster.log.append((number, segment))
            if (fault := cluster._fault(number, segment)) is not None:
                raise fault
            return real.compute(segment, clip)

        class Actor:
            place = Call(real.place)

        Actor.compute = Call(compute)  # type: ignore[attr-defined]
        return Actor

    def done(self, refs: Sequence[Any], _: float) -> list[Any]:
        return list(refs[:1])

    def result(self, ref: Callable[[], Any]) -> Any:
        return ref()

    def kill(self, _: Any) -> None:
        self.killed += 1
