"""The process between the server and a job: ``python -m streamvsr.ui.supervise FOLDER``.

The server may be killed and started again while a job runs; whoever asks later how the job ended finds it in the
folder: ``command.json`` (what is run), ``pid.json`` (who runs), ``log`` (what it said), ``exit`` (its code), ``lock``
(held while this process lives).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

from streamvsr.part_file import write_file


def started(pid: int) -> str:
    """When a process began, as the system counts; "" for one that is not there, or ended. With the number, no other
    process that got the number later is taken for it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        if Path("/proc/self").exists() or os.name != "posix":
            return ""
        shown = subprocess.run(["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)  # noqa: S603
        return shown.stdout.strip()
    return "" if fields[0] in ("Z", "X") else fields[19]


@contextmanager
def lock(folder: Path) -> Iterator[tuple[int, ...]]:
    """The lock of the job's supervisor, as descriptors that a process begun within is to inherit: it holds the lock
    then, until it ends. Without ``flock`` there is none."""
    if fcntl is None:
        yield ()
        return
    with (folder / "lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield (file.fileno(),)


def held(folder: Path) -> bool:
    """Whether a supervisor holds the lock."""
    if fcntl is None:
        return False
    try:
        with (folder / "lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def main(folder: Path) -> int:
    words = json.loads((folder / "command.json").read_text())
    # The job gets the signals itself, and ends in its own time.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    # -P: what lies in the working folder is not imported.
    command = [sys.executable, "-P", "-m", "streamvsr", *words]
    with (folder / "log").open("ab") as log, (folder / "out").open("wb") as out:
        job = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=log, cwd=folder)  # noqa: S603
    record = {
        "pid": job.pid,
        "started": started(job.pid),
        "supervisor": os.getpid(),
        "supervisor_started": started(os.getpid()),
    }
    write_file(folder / "pid.json", json.dumps(record).encode())
    code = job.wait()
    write_file(folder / "exit", str(code).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
