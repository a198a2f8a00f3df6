"""A job's folder: its plan, and for each finished segment its packets and a record of them.

::

    out.mp4.streamvsr/
      plan.json
      00000.packets  00000.json     a finished segment: its record is written last, and only whole
      00001.packets.new             the segment at hand

A file is written under a temporary name, flushed to the disk and renamed, and the folder is flushed after it, so that
what has a record is complete whenever the power fails. Nothing in here is ever executed: plan and records are JSON,
packets are msgpack.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import IO

import msgspec

from streamvsr.errors import SinkError, UsageError
from streamvsr.frames import Packet
from streamvsr.jobs.plan import Plan
from streamvsr.media.encode.shift import Shifts
from streamvsr.part_file import sync_folder, write_file
from streamvsr.plain_json import from_json, to_json

SUFFIX = ".streamvsr"
"""Of a job's folder, behind the output's name."""

MAX_PACKET_BYTES = 1 << 30
"""What is longer is no packet but a damaged file."""

_LENGTH = struct.Struct("<I")
_NEW = ".new"
_WORKER = "worker-"


@dataclass(frozen=True, slots=True)
class SegmentRecord:
    """What is known of a finished segment."""

    sha256: str
    """Of its file of packets."""
    frames: int
    start: Fraction | None
    """Seconds of its first frame; None where it has none."""
    end: Fraction | None
    """Seconds at which its last frame ends."""
    shifts: Shifts = field(default_factory=Shifts)


@dataclass(frozen=True, slots=True)
class PartialOutput:
    """The playable file that an interrupted run has left under the output's name."""

    bytes: int
    modified_ns: int


class SegmentWriter:
    """Packets of one segment on their way to the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames = 0
        self.start: Fraction | None = None
        self.end: Fraction | None = None
        self.shifts = Shifts()
        self._digest = hashlib.sha256()
        self._file: IO[bytes] = path.open("wb")

    def add_frame(self, start: Fraction, end: Fraction) -> None:
        """A frame of the segment has been given to the encoder."""
        self.frames += 1
        self.start = start if self.start is None else self.start
        self.end = end

    def write(self, packet: Packet) -> None:
        data = msgspec.msgpack.encode(
            (packet.data, packet.pts, packet.dts, packet.duration, packet.time_base.numerator,
             packet.time_base.denominator, packet.keyframe, packet.side_data)
        )  # fmt: skip
        for piece in (_LENGTH.pack(len(data)), data):
            self._file.write(piece)
            self._digest.update(piece)

    def flush(self) -> None:
        """Everything is readable by others."""
        self._file.flush()

    def close(self) -> SegmentRecord:
        """On the disk, under its temporary name."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return SegmentRecord(self._digest.hexdigest(), self.frames, self.start, self.end, self.shifts)

    def discard(self) -> None:
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def job_folder(output: str) -> Path:
    """The folder of the job that writes ``output``."""
    path = Path(os.path.realpath(output))
    return path.with_name(path.name + SUFFIX)


def worker_folder(folder: Path) -> Path:
    """A new name inside a job's folder, for what a worker computes."""
    return folder / f"{_WORKER}{uuid.uuid4().hex}"


class JobStore:
    """The folder of one job. One process at a time."""

    def __init__(self, folder: Path) -> None:
        """Take the folder and make it where it is not there. Raises ``SinkError`` where another process has it."""
        self.folder = folder
        self.records: dict[int, SegmentRecord] = {}
        """By segment, what is finished."""
        try:
            folder.mkdir(exist_ok=True)
            self._lock = (folder / "lock").open("ab")
        except OSError as error:
            raise SinkError(f"{folder}: {error.strerror or error}; --no-resume keeps no job") from error
        if not _locked(self._lock):
            self._lock.close()
            raise SinkError(f"{folder}: another process is working on this output")
        for left in folder.glob(f"{_WORKER}*"):
            shutil.rmtree(left, ignore_errors=True)
        for record in sorted(folder.glob("[0-9]*.json")):
            with suppress(ValueError, OSError):
                number = int(record.stem)
                if self.packets_path(number).is_file():
                    self.records[number] = from_json(record.read_bytes(), SegmentRecord)

    @property
    def finished(self) -> int:
        """How many segments are finished, from the first on without a gap."""
        count = 0
        while count in self.records:
            count += 1
        return count

    def plan(self) -> Plan | None:
        """The plan that the segments here were computed by; None for a new job. Raises ``SinkError`` if damaged."""
        path = self.folder / "plan.json"
        try:
            return Plan.from_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise SinkError(f"{path} cannot be read ({error}): remove {self.folder} to begin anew") from error

    def check(self, plan: Plan) -> Plan | None:
        """The plan by which to go on; None for a new job. Raises ``UsageError`` where the folder holds another one."""
        known = self.plan()
        if known is not None and (found := known.differences(plan)):
            raise UsageError(
                f"{self.folder} holds another job than this one: {'; '.join(found[:3])}. Run the command as it was to"
                " go on, or begin anew with --restart"
            )
        return known

    def begin(self, plan: Plan) -> None:
        """Begin a job."""
        # Segments without a plan are of nobody knows what.
        self._forget_segments()
        write_file(self.folder / "plan.json", plan.to_json(), durable=True)

    def drop_damaged(self) -> None:
        """Segments whose packets are not those of their record are not finished."""
        for number, record in list(self.records.items()):
            if _hash(self.packets_path(number)) != record.sha256:
                del self.records[number]

    def restart(self) -> None:
        """Forget everything."""
        self._forget_segments()
        for name in ("plan.json", "partial.json"):
            (self.folder / name).unlink(missing_ok=True)

    def adopt(self, number: int, path: Path, record: SegmentRecord) -> None:
        """Segment ``number`` has been computed by a worker, into a file on this disk. Raises ``SinkError`` where what
        is there is not what the worker has written."""
        if _hash(path) != record.sha256:
            raise SinkError(f"{path} is not what the worker has written")
        os.replace(path, self.packets_path(number))
        sync_folder(self.folder)
        self._record(number, record)

    def writer(self, number: int) -> SegmentWriter:
        return SegmentWriter(self.packets_path(number).with_suffix(".packets" + _NEW))

    def finish(self, number: int, writer: SegmentWriter) -> None:
        """Segment ``number`` is complete."""
        record = writer.close()
        os.replace(writer.path, self.packets_path(number))
        sync_folder(self.folder)
        self._record(number, record)

    def finish_empty(self, number: int) -> None:
        """Segment ``number`` is complete, and no frame begins in it. A gap of days is many of them, so they are not
        flushed to the disk: what a power cut takes of one makes it unfinished, no more."""
        record = SegmentRecord(hashlib.sha256().hexdigest(), 0, None, None)
        self.packets_path(number).write_bytes(b"")
        (self.folder / f"{number:05d}.json").write_bytes(msgspec.json.encode(record, enc_hook=str))
        self.records[number] = record

    def packets_path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.packets"

    def left_partial(self, output: str) -> None:
        """An interrupted run has left what is done so far under the output's name."""
        found = os.stat(output)
        write_file(self.folder / "partial.json", to_json(PartialOutput(found.st_size, found.st_mtime_ns)), durable=True)

    def remove(self) -> None:
        """The output is complete."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self) -> None:
        """Release the folder; remove it where it holds neither a finished segment nor a note of a partial output."""
        self._lock.close()
        if not self.records and not (self.folder / "partial.json").exists():
            shutil.rmtree(self.folder, ignore_errors=True)

    def _forget_segments(self) -> None:
        self.records.clear()
        for pattern in ("[0-9]*.packets", f"[0-9]*.packets{_NEW}", "[0-9]*.json"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)

    def _record(self, number: int, record: SegmentRecord) -> None:
        write_file(self.folder / f"{number:05d}.json", to_json(record), durable=True)
        self.records[number] = record


def read_packets(path: Path) -> Iterator[Packet]:
    """The packets of one segment's file. Raises ``SinkError`` for a damaged one."""
    with path.open("rb") as file:
        while head := file.read(_LENGTH.size):
            size = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else MAX_PACKET_BYTES + 1
            data = file.read(size) if size <= MAX_PACKET_BYTES else b""
            if len(data) != size:
                raise SinkError(f"{path} is damaged: remove {path.parent} to begin anew")
            yield _packet(data)


_Fields = tuple[bytes, int | None, int | None, int, int, int, bool, tuple[tuple[str, bytes], ...]]


def _packet(data: bytes) -> Packet:
    payload, pts, dts, duration, numerator, denominator, keyframe, side_data = msgspec.msgpack.decode(
        data, type=_Fields
    )
    return Packet(0, payload, pts, dts, duration, Fraction(numerator, denominator), keyframe, side_data)


def is_partial_output(output: str) -> bool:
    """Whether the file under the output's name is what an interrupted run of a job has left, unchanged since."""
    try:
        data = (job_folder(output) / "partial.json").read_bytes()
        partial = from_json(data, PartialOutput)
        found = os.stat(output)
    except (OSError, ValueError):
        return False
    return (found.st_size, found.st_mtime_ns) == (partial.bytes, partial.modified_ns)


def _hash(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _locked(file: IO[bytes]) -> bool:
    try:
        import fcntl
    except ImportError:
        return True  # Windows: two processes on one output are the user's to keep apart
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
