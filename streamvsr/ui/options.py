"""Options of ``streamvsr ui`` and ``streamvsr submit``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from streamvsr.options import option


@dataclass(frozen=True, slots=True)
class UiOptions:
    host: str = option("127.0.0.1", "--host", help="listen here; 0.0.0.0: for other machines too", metavar="ADDRESS")
    port: int = option(
        0, "--port", help="0: the last one, or any that is free", kind="integer", metavar="N", least=0, most=65535
    )
    token: str | None = option(
        None, "--token", help="what the page's address has to know (default: made up)", metavar="TEXT", sensitive=True
    )
    no_browser: bool = option(False, "--no-browser", help="open no browser", kind="flag")
    state: str | None = option(None, "--state", help="where the queue and uploads are kept", metavar="FOLDER")
    max_upload: float = option(
        50.0, "--max-upload", help="gigabytes that one upload may have", kind="number", metavar="N", least=0.001
    )


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    state: str | None = option(None, "--state", help="the folder of the server's queue", metavar="FOLDER")
    wait: bool = option(False, "--wait", help="wait for its end; the exit code is the job's", kind="flag")


def state_folder(given: str | None) -> Path:
    """``--state``, or where the system keeps what programs remember."""
    if given is not None:
        return Path(given).absolute()
    base = os.environ.get("XDG_STATE_HOME")
    if not base:
        base = os.environ.get("LOCALAPPDATA") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return Path(base) / "streamvsr" / "ui"
