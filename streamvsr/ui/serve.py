"""Start the server: its folder's lock, its address and token, uvicorn."""

from __future__ import annotations

import errno
import json
import os
import secrets
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from streamvsr.errors import StreamvsrError, UsageError
from streamvsr.part_file import write_file
from streamvsr.ui.commands import Services
from streamvsr.ui.folders import Folders
from streamvsr.ui.options import UiOptions, state_folder

BACKLOG = 256


class ServeError(StreamvsrError):
    """The server cannot be started."""


def serve(options: UiOptions, folders: Sequence[str], services: Services, ready: Callable[[str], None]) -> None:
    """Serve until interrupted. ``ready`` gets the page's address. Raises ``StreamvsrError``."""
    import uvicorn

    from streamvsr.ui.access import Guard
    from streamvsr.ui.server import Server
    from streamvsr.ui.web import application

    for folder in folders:
        if not os.path.isdir(folder):
            raise UsageError(f"'{folder}' is no folder")
    state = state_folder(options.state)
    lock = _lock(state)
    try:
        before = known(state)
        token = options.token or before.get("token") or secrets.token_urlsafe(24)
        if len(token) < 8:
            raise UsageError("--token: at least eight letters or digits")
        listener = _listen(options.host, options.port, int(before.get("port") or 0))
        port = listener.getsockname()[1]
        shown = {"0.0.0.0": _own_address(), "::": _own_address()}.get(options.host, options.host)  # noqa: S104
        url = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"
        record = {"url": url, "token": token, "port": port, "pid": os.getpid()}
        _write_private(state / "server.json", json.dumps(record))
        local = options.host in ("127.0.0.1", "::1", "localhost")
        server = Server(
            Folders([Path(f) for f in folders], state / "uploads"), state, services,
            most_upload=options.max_upload * 1e9, local=local,
        )  # fmt: skip
        app = Guard(application(server), token, port, options.host)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=1, ws="none"
        )
        ready(f"{url}?token={token}")
        uvicorn.Server(config).run([listener])
    finally:
        lock.close()


def known(state: Path) -> dict[str, Any]:
    """Where the last server of this folder was, or is."""
    with suppress(OSError, ValueError):
        found = json.loads((state / "server.json").read_text())
        return found if isinstance(found, dict) else {}
    return {}


def _lock(state: Path) -> IO[bytes]:
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = (state / "lock").open("ab")
    except OSError as error:
        raise ServeError(f"'{state}': {error.strerror or error}; choose another folder with --state") from error
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        pass
    except OSError as error:
        file.close()
        where = known(state).get("url", "elsewhere")
        raise ServeError(f"a server with this queue runs already, at {where}; or choose another --state") from error
    return file


def _listen(host: str, port: int, last: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the port of the last time, pages that are still open find the server again.
    for wanted in (port,) if port else (last, 0):
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, wanted))
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            if error.errno == errno.EADDRINUSE and not port and wanted:
                continue
            raise ServeError(f"{host}:{wanted} cannot be listened at: {error.strerror or error}") from error
        return listener
    raise ServeError(f"{host}: there is no free port")


def _own_address() -> str:
    """The address that other machines reach, as far as can be known without asking one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
    return socket.gethostname()


def _write_private(path: Path, text: str) -> None:
    write_file(path, text.encode())
    with suppress(OSError):
        path.chmod(0o600)
