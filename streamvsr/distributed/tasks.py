"""What goes between the driver and its workers: plain data, as JSON."""

from __future__ import annotations

from dataclasses import dataclass

from streamvsr.config import Config
from streamvsr.jobs.plan import Plan
from streamvsr.jobs.store import SegmentRecord
from streamvsr.plain_json import from_json, to_json

MAX_VALUE_BYTES = 256 << 20
"""Packets that a worker sends by value where it does not see the job's folder; a segment of more has to be shared. A
minute at 30 Mbit/s is 225 MB."""

TOKEN = "token"  # noqa: S105 - no secret
"""A file in the job's folder by which a worker knows that it is this one, and not another of that name."""


@dataclass(frozen=True, slots=True)
class Job:
    """What all tasks of one job have in common."""

    config: Config
    """Nothing in it is left to be decided."""
    plan: Plan
    folder: str
    token: str
    """The contents of the file ``TOKEN`` in the folder."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a worker says of itself before it gets a task."""

    node: str
    pid: int
    device: str
    """The device that its network runs on, as ``cpu`` or ``cuda NVIDIA H100``."""
    versions: dict[str, str]
    reads_input: bool
    """It sees the very file that the plan was made for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A segment is computed."""

    record: SegmentRecord
    path: str
    """Of the packets, in a folder inside the job's that is to be removed; empty where they come by value."""
    seconds: float
    """How long the worker took."""


def encode(value: Job | Place | Answer) -> bytes:
    return to_json(value)


def decode_job(data: bytes) -> Job:
    return from_json(data, Job)


def decode_place(data: bytes) -> Place:
    return from_json(data, Place)


def decode_answer(data: bytes) -> Answer:
    return from_json(data, Answer)
