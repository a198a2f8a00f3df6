"""``streamvsr submit``: a run for the queue of the page's server."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from streamvsr.cli.console import Console
from streamvsr.cli.own_options import options_help, take
from streamvsr.cli.parser import asks_for_help, parse
from streamvsr.errors import StreamvsrError, UsageError

USAGE = """\
usage: streamvsr submit [options] [options of a run] INPUT [options] OUTPUT

Hands a run to the server that 'streamvsr ui' has started, which runs its jobs
one after another, and prints the job's number.

"""
_REST = """

examples:
  streamvsr submit old.avi new.mp4
  streamvsr submit --wait old.avi -crf 20 new.mkv"""
LOOK_SECONDS = 0.5
TIMEOUT_SECONDS = 30.0


class NoServerError(StreamvsrError):
    """No server answers."""


def submit_command(words: Sequence[str]) -> int:
    """Submit; the exit code. Raises ``StreamvsrError``."""
    from streamvsr.ui.options import SubmitOptions, state_folder
    from streamvsr.ui.serve import known

    if not words or asks_for_help(words):
        print(USAGE + options_help(SubmitOptions) + _REST)
        return 0 if words else 2
    own, rest = take(words, SubmitOptions)
    options = SubmitOptions(**own)
    config = parse(rest).config
    if config is None:
        raise UsageError("submit takes a run: streamvsr submit INPUT OUTPUT")
    server = known(state_folder(options.state))
    if not server:
        raise NoServerError("no server was started yet: streamvsr ui")
    paths = (config.input.path, config.output.path)
    # The server has a working folder of its own.
    absolute = [os.path.abspath(word) if word in paths and "://" not in word and word != "-" else word for word in rest]
    job = _ask(server, "jobs", {"command": absolute})["jobs"][0]
    console = Console()
    print(job["id"], flush=True)
    while options.wait and job["state"] not in ("done", "failed", "cancelled"):
        time.sleep(LOOK_SECONDS)
        job = _ask(server, f"jobs/{job['id']}")
    if job["state"] == "failed":
        console.error(job["error"])
    return 1 if job["state"] in ("failed", "cancelled") else 0


def _ask(server: dict[str, Any], path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - the address is one that our server has written down
        f"{server['url']}api/v1/{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {server['token']}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        try:
            text = json.load(error)["error"]
        except (ValueError, KeyError, TypeError):
            text = f"status {error.code}"
        raise UsageError(f"the server refuses: {text}") from error
    except (OSError, ValueError) as error:
        raise NoServerError("the server does not answer; start it again: streamvsr ui") from error
