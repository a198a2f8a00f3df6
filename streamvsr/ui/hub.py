"""Server-sent events for any number of pages: each has room for one state a job, so a slow one costs nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

ALIVE_SECONDS = 15.0
"""A comment is sent when nothing else was: connections that are gone are noticed."""
MOST_CLIENTS = 200


class Hub:
    """To be used in one event loop."""

    def __init__(self) -> None:
        self._clients: set[_Client] = set()

    @property
    def clients(self) -> int:
        return len(self._clients)

    def tell(self, key: str, event: dict[str, Any]) -> None:
        """An earlier message under ``key`` that was not yet sent is dropped."""
        for client in self._clients:
            client.waiting[key] = event
            client.woken.set()

    async def events(self, first: dict[str, Any]) -> AsyncIterator[str]:
        """The text of a stream that begins with ``first``."""
        client = _Client()
        self._clients.add(client)
        try:
            yield _text(first)
            while True:
                try:
                    await asyncio.wait_for(client.woken.wait(), ALIVE_SECONDS)
                except TimeoutError:
                    yield ": alive\n\n"
                    continue
                client.woken.clear()
                events, client.waiting = client.waiting, {}
                for event in events.values():
                    yield _text(event)
        finally:
            self._clients.discard(client)


class _Client:
    def __init__(self) -> None:
        self.waiting: dict[str, dict[str, Any]] = {}
        self.woken = asyncio.Event()


def _text(event: dict[str, Any]) -> str:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
