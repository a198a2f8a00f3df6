"""The process behind ``relay.py``: packets from standard input to a muxer that writes to the network.

It prints nothing; its standard output carries answers, pickled pairs with their length in front: ``("here", None)``,
``("ready", name of an option that nobody knows)``, ``("warning", text)``, ``("failed", (is it the user's fault,
text))``, ``("done", None)``.
When its input ends without the message that says so, its parent has gone, and it goes too.
"""

from __future__ import annotations

import io
import math
import os
import pickle
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from streamvsr.errors import StreamvsrError, UsageError
from streamvsr.media.av_errors import FOREIGN, sink_error
from streamvsr.media.av_packets import av_packet
from streamvsr.media.mux.options import start
from streamvsr.media.mux.timestamps import Timestamps
from streamvsr.media.open_container import open_container
from streamvsr.secrets import mask, mask_url

GRACE_SECONDS = 5
"""How much longer than its parent would wait a call may take: one that has lost its parent too ends itself."""


@dataclass
class Setup:
    """What the parent sends first."""

    url: str
    format: str
    options: dict[str, str]
    """The user's, of the muxer or the protocol; ``own`` are ours, which may be unknown."""
    own: dict[str, str]
    timeout: float
    """Seconds that the parent waits for anything."""
    head: bytes = b""
    """A NUT file whose streams are those to write."""
    streams: list[tuple[dict[str, str], int]] = field(default_factory=list)
    """Tags and disposition of each."""
    metadata: dict[str, str] = field(default_factory=dict)


def frame_message(message: object) -> bytes:
    """A pickle with its length in front; None ends the stream."""
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return len(data).to_bytes(4, "big") + data


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # What anything prints by itself must not get between the answers.
    answers = os.dup(1)
    os.dup2(2, 1)

    def answer(kind: str, value: object = None) -> None:
        try:
            os.write(answers, frame_message((kind, value)))
        except BrokenPipeError:
            os._exit(0)

    setup = _read()
    answer("here")
    try:
        _serve(setup, answer)
    except BaseException as exc:
        if isinstance(exc, BrokenPipeError):
            text = f"'{mask_url(setup.url)}': the connection was lost"
        elif isinstance(exc, (StreamvsrError, *FOREIGN)):
            text = str(exc if isinstance(exc, StreamvsrError) else sink_error(exc, setup.url))
        else:
            text = f"'{mask_url(setup.url)}': {type(exc).__name__}: {mask(str(exc))}"
        answer("failed", (isinstance(exc, UsageError), text))
    # Not through the interpreter's end, which closes the container again and may wait for the network.
    os._exit(0)


def _serve(setup: Setup, answer: Any) -> None:
    container: Any = open_container(
        setup.url, "w", format=setup.format, options=setup.options, container_options=setup.own
    )  # fmt: skip
    with open_container(io.BytesIO(setup.head), format="nut") as head:
        for template, (tags, disposition) in zip(head.streams, setup.streams, strict=True):
            stream: Any = container.add_stream_from_template(template, opaque=True)
            stream.metadata.update(tags)
            stream.disposition = disposition
        container.metadata.update(setup.metadata)
        with _watched(setup):
            unknown = start(container, setup.options)
    stamps = [Timestamps(s, container.format.flags, lambda text: answer("warning", text)) for s in container.streams]
    answer("ready", unknown)
    while (packet := _read()) is not None:
        made = av_packet(packet)
        made.stream = container.streams[packet.track]
        with _watched(setup):
            container.mux(stamps[packet.track].apply(made))
    with _watched(setup):
        container.close()
    answer("done")


@contextmanager
def _watched(setup: Setup) -> Iterator[None]:
    """Ends this process where a call does not return; the signal needs no Python to do so."""
    signal.alarm(math.ceil(setup.timeout) + GRACE_SECONDS)
    yield
    signal.alarm(0)


def _read() -> Any:
    size = int.from_bytes(_exactly(4), "big")
    return pickle.loads(_exactly(size))  # noqa: S301 - only our parent writes to this pipe


def _exactly(count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = sys.stdin.buffer.read(count - len(data))
        if not part:
            raise EOFError("the parent has gone")
        data += part
    return data
